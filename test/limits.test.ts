import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { bindery } from '#test/command.ts'
import { ask, call, deploy, formOf, namespace, type Place, placeOf } from '#test/deployer.ts'
import { startLoad } from '#test/load.ts'
import { startTestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// Limits as an operator and an author set them, and what a Worker that exceeds one does to others.

const bomb = `
  const held = []
  export default {
    fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname === '/spin') for (;;);
      if (pathname === '/bomb') for (;;) held.push(new Uint8Array(1 << 20).fill(1))
      return new Response('fine')
    },
  }`
const fine = `export default { async fetch(request) { await request.text(); return new Response('fine') } }`

const cellRows = z.array(
  z.object({
    workers: z.array(z.string()),
    state: z.string(),
    deaths: z.number(),
    last_death: z.object({ reason: z.string() }).nullable(),
    memory_bytes: z.number().nullable(),
  }),
)

async function cellOf(place: Place, worker: string) {
  const rows = cellRows.parse(await call(place, 'GET', '~/cells'))
  return rows.find(({ workers }) => workers.includes(worker)) ?? assert.fail(`no ${worker}`)
}

suite('limits', () => {
  test('limits.cpu_ms of an upload, and those of the server', async () => {
    await using server = await startTestServer({
      flags: ['--cpu-limit', '60s', '--memory-limit', '32MB'],
    })
    const place = placeOf(server)
    await deploy(place, 'own', { code: bomb, metadata: { limits: { cpu_ms: 300 } } })
    const began = performance.now()
    const spun = await server.visit('own', '/spin')
    assert.equal(spun.status, 503)
    assert.match(await spun.text(), /Error 1102/)
    assert.ok(performance.now() - began < 3_000, 'not after a minute')
    assert.equal((await server.visit('own')).status, 200)
    assert.equal((await server.visit('own', '/bomb', { method: 'POST', body: '' })).status, 503)
    assert.equal(await (await server.visit('own')).text(), 'fine')
    const cell = await cellOf(place, 'own')
    assert.equal(cell.last_death?.reason, 'memory')
    assert.equal(cell.deaths, 2)
    const { stdout } = await bindery(['cells', '--data', server.dataDirectory])
    assert.match(stdout, /^own +running .* 2 .* memory: /m)
  })

  const refused: Readonly<Record<string, object>> = {
    'no time': { cpu_ms: 0 },
    'less than none': { cpu_ms: -1 },
    'more than five minutes': { cpu_ms: 300_001 },
    'a word': { cpu_ms: 'much' },
    'no subrequest': { subrequests: 0 },
  }
  test('limits that can not be', async () => {
    await using server = await startTestServer()
    for (const [title, limits] of Object.entries(refused)) {
      const form = formOf({ code: fine, metadata: { limits } })
      const answer = await ask(placeOf(server), 'PUT', '~/workers/scripts/limited', form)
      assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 10021], title)
    }
  })

  test('a Worker that loops under load: those in other cells do not fail', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    await deploy(place, 'loops', { code: bomb, metadata: { limits: { cpu_ms: 500 } } })
    await deploy(place, 'works', { code: fine })
    const load = startLoad({ port: server.visitorPort, host: 'works.localhost', perSecond: 100 })
    const loops = startLoad({
      port: server.visitorPort,
      host: 'loops.localhost',
      path: '/spin',
      perSecond: 5,
    })
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    const looped = await loops.stop()
    const { failures, sent } = await load.stop()
    assert.deepEqual(failures, [])
    assert.ok(sent > 300, `${sent}`)
    assert.equal(looped.failures.length, looped.sent, 'every loop ends')
    for (const failure of looped.failures) assert.match(failure, / (503|502) /)
    await eventually(async () => (await server.visit('loops')).status === 200)
  })
})

suite('subrequests', () => {
  const asking = `
    const tell = async (run) => { try { return await run() } catch (e) { return String(e) } }
    export default {
      async fetch(request, env) {
        const { pathname } = new URL(request.url)
        let n = 0
        const ask =
          pathname === '/fetch' ? () => fetch('http://127.0.0.1:9/') : () => env.KV.get('k')
        if (pathname === '/uncaught') for (;;) await ask()
        const error = await tell(async () => {
          for (;; n++) await ask()
        })
        return Response.json({ n, error })
      },
    }`

  test('a request may make as many as it may, and then gets errors', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const id = await namespace(place, 'n')
    await deploy(place, 'asking', {
      code: asking,
      bindings: [{ type: 'kv_namespace', name: 'KV', namespace_id: id }],
      metadata: { limits: { subrequests: 40 } },
    })
    const seen = z.object({ n: z.number(), error: z.string() })
    const kv = seen.parse(await (await server.visit('asking', '/kv')).json())
    assert.deepEqual(kv, {
      n: 40,
      error: 'Error: KV GET failed: 429 Too many API requests by single Worker invocation.',
    })
    const out = seen.parse(await (await server.visit('asking', '/fetch')).json())
    assert.deepEqual(out, { n: 40, error: 'Error: Network connection lost.' })
    const uncaught = await server.visit('asking', '/uncaught')
    assert.equal(uncaught.status, 500)
    assert.match(await uncaught.text(), /Error 1101/)
    assert.equal((await cellOf(place, 'asking')).deaths, 0)
  })
})

suite('Workers that sleep', () => {
  test('after a start none has a process; a visit wakes one within a moment', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const names = Array.from({ length: 5 }, (_, n) => `sleeper${n}`)
    for (const name of names) await deploy(place, name, { code: fine })
    await server.restart()
    const again = placeOf(server)
    for (const name of names) assert.equal((await cellOf(again, name)).state, 'asleep')
    const tookMs: number[] = []
    for (const name of names) {
      const began = performance.now()
      assert.equal(await (await server.visit(name)).text(), 'fine')
      tookMs.push(performance.now() - began)
    }
    // Budget: 150 ms. A machine that runs other tests beside this one takes its time.
    assert.ok(Math.min(...tookMs) < 1_000, `${tookMs.map(Math.round).join(', ')} ms`)
    assert.equal((await cellOf(again, 'sleeper0')).state, 'running')
  })

  test('unless they are never to', async () => {
    await using server = await startTestServer({ flags: ['--sleep-after', 'never'] })
    await deploy(placeOf(server), 'awake', { code: fine })
    await server.restart()
    assert.equal((await cellOf(placeOf(server), 'awake')).state, 'running')
  })
})
