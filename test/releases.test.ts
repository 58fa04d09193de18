import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { Wrangler } from '#test/clients.ts'
import { call, deploy, formOf, namespace, placeOf } from '#test/deployer.ts'
import { startLoad } from '#test/load.ts'
import { startTestServer } from '#test/server.ts'
import { openSocket } from '#test/sockets.ts'

// A release drops no request, and a change of bindings alone keeps the isolate.

/** Answers with which release it is. */
const answering = (release: number | string): string => `export default {
  async fetch(request) {
    await request.text()
    return new Response(${JSON.stringify(String(release))})
  },
}`

/** The same; streams for five seconds, and echoes. */
const streaming = (release: number): string => `export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/stream') {
      const { readable, writable } = new TransformStream()
      const writer = writable.getWriter()
      const write = async () => {
        for (let n = 0; n < 50; n++) {
          await writer.write(new TextEncoder().encode('.'))
          await scheduler.wait(100)
        }
        await writer.close()
      }
      write()
      return new Response(readable)
    }
    if (pathname === '/ws') {
      const [client, server] = Object.values(new WebSocketPair())
      server.accept()
      server.addEventListener('message', (event) => server.send(event.data))
      return new Response(null, { status: 101, webSocket: client })
    }
    await request.text()
    return new Response('${release}')
  },
}`

suite('releases', () => {
  test('20 deploys by wrangler under 100 requests a second: none fails', async () => {
    await using wrangler = new Wrangler('4.164')
    await wrangler.start()
    const { server } = wrangler
    const release = async (n: number): Promise<void> => {
      await wrangler.project('busy', {}, { 'index.js': answering(n) })
      await wrangler.ok(['deploy'], { cwd: 'busy' })
      assert.equal(await wrangler.visit('busy'), String(n), 'live when wrangler says so')
    }
    await release(0)
    const load = startLoad({ port: server.visitorPort, host: 'busy.localhost', perSecond: 100 })
    for (let n = 1; n <= 20; n++) await release(n)
    const { sent, failures, bodies } = await load.stop()
    assert.deepEqual(failures, [])
    assert.ok(sent > 1_000, `${sent} requests`)
    assert.equal(bodies.size, 21, 'every release was seen')
  })

  test('secrets, variables and namespaces change under load, and the isolate stays', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const [first, second] = [await namespace(place, 'first'), await namespace(place, 'second')]
    await call(place, 'PUT', `~/storage/kv/namespaces/${first}/bulk`, [{ key: 'k', value: 'one' }])
    await call(place, 'PUT', `~/storage/kv/namespaces/${second}/bulk`, [{ key: 'k', value: 'two' }])
    const code = `
      import { env as imported } from 'cloudflare:workers'
      let isolate
      export default {
        async fetch(request, env) {
          await request.text()
          isolate ??= crypto.randomUUID()
          const kv = await env.KV.get('k')
          return Response.json([isolate, env.V, imported.V, env.S ?? null, kv])
        },
      }`
    const bindings = (text: string, id: string): readonly object[] => [
      { type: 'plain_text', name: 'V', text },
      { type: 'kv_namespace', name: 'KV', namespace_id: id },
    ]
    const ask = async (): Promise<unknown[]> => (await server.visit('w')).json() as never
    await deploy(place, 'w', { code, bindings: bindings('a', first) })
    const [isolate] = await ask()
    const load = startLoad({ port: server.visitorPort, host: 'w.localhost', perSecond: 100 })
    const seen: unknown[][] = []
    const secret = (text: string): object => ({ name: 'S', type: 'secret_text', text })
    await call(place, 'PUT', '~/workers/scripts/w/secrets', secret('s1'))
    seen.push(await ask())
    await deploy(place, 'w', { code, bindings: bindings('b', first) })
    seen.push(await ask())
    await deploy(place, 'w', { code, bindings: bindings('b', second) })
    seen.push(await ask())
    await call(place, 'PUT', '~/workers/scripts/w/secrets', secret('s2'))
    seen.push(await ask())
    await call(place, 'DELETE', '~/workers/scripts/w/secrets/S')
    seen.push(await ask())
    const { failures } = await load.stop()
    assert.deepEqual(failures, [])
    assert.deepEqual(seen, [
      [isolate, 'a', 'a', 's1', 'one'],
      [isolate, 'b', 'b', 's1', 'one'],
      [isolate, 'b', 'b', 's1', 'two'],
      [isolate, 'b', 'b', 's2', 'two'],
      [isolate, 'b', 'b', null, 'two'],
    ])
  })

  test('every kind of change, with streams and WebSockets in flight: none is cut', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const id = await namespace(place, 'n')
    const scripts = '~/workers/scripts/w'
    const kv = { type: 'kv_namespace', name: 'KV', namespace_id: id }
    const made = async (release: number, bindings: readonly object[] = []): Promise<string> => {
      const form = formOf({ code: streaming(release), bindings })
      const version = await call(place, 'POST', `${scripts}/versions`, form)
      return z.object({ id: z.string() }).parse(version).id
    }
    const share = (...shares: readonly (readonly [string, number])[]): Promise<unknown> =>
      call(place, 'POST', `${scripts}/deployments?force=true`, {
        strategy: 'percentage',
        versions: shares.map(([version, percentage]) => ({ version_id: version, percentage })),
      })
    await deploy(place, 'w', { code: streaming(0) })
    const load = startLoad({ port: server.visitorPort, host: 'w.localhost', perSecond: 200 })
    using socket = await openSocket(server, 'w', { path: '/ws' })
    const streams: Promise<string>[] = []
    const change = async (run: () => Promise<unknown>): Promise<void> => {
      streams.push(server.visit('w', '/stream').then((answer) => answer.text()))
      await new Promise((resolve) => void setTimeout(resolve, 200))
      await run()
      socket.send('still here')
      assert.equal(await socket.next(), 'still here')
    }
    const [one, two] = [await made(1), await made(2)]
    await change(() => share([one, 100]))
    await change(() => share([one, 90], [two, 10]))
    await change(() => share([one, 10], [two, 90]))
    await change(() => share([two, 100]))
    await change(() => share([one, 100]))
    await change(async () => share([await made(3, [kv]), 100]))
    await change(() =>
      call(place, 'PUT', `${scripts}/secrets`, { name: 'S', type: 'secret_text', text: 's' }),
    )
    await change(async () => share([await made(4), 100]))
    for (const text of await Promise.all(streams)) assert.equal(text, '.'.repeat(50))
    const { failures, sent, bodies } = await load.stop()
    assert.deepEqual(failures, [])
    assert.ok(sent > 600, `${sent} requests`)
    assert.deepEqual([...bodies.keys()].toSorted(), ['0', '1', '2', '3', '4'])
  })

  test('a release that does not start changes nothing', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    await deploy(place, 'w', { code: answering('good') })
    const load = startLoad({ port: server.visitorPort, host: 'w.localhost', perSecond: 50 })
    await assert.rejects(
      deploy(place, 'w', { code: `export default {}; throw new Error('bad release')` }),
      /bad release/,
    )
    const { failures, bodies } = await load.stop()
    assert.deepEqual(failures, [])
    assert.deepEqual([...bodies.keys()], ['good'])
  })

  test('SIGTERM lets streams end and tells WebSockets; the next start has every Worker', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const code = `export default { fetch() {
      const { readable, writable } = new TransformStream()
      const writer = writable.getWriter()
      const encoder = new TextEncoder()
      const write = async () => {
        for (let n = 0; n < 10; n++) {
          await writer.write(encoder.encode(n + ' '))
          await scheduler.wait(100)
        }
        await writer.close()
      }
      write()
      return new Response(readable)
    } }`
    await deploy(place, 'slow', { code })
    const echo = `export default { fetch() {
      const [client, server] = Object.values(new WebSocketPair())
      server.accept()
      return new Response(null, { status: 101, webSocket: client })
    } }`
    await deploy(place, 'idle', { code: echo })
    const headers = { host: 'idle.localhost' }
    const idle = new WebSocket(`ws://127.0.0.1:${server.visitorPort}/`, { headers })
    await once(idle, 'open')
    const told = once(idle, 'close')
    const streams = Array.from({ length: 5 }, async () => (await server.visit('slow')).text())
    await new Promise((resolve) => void setTimeout(resolve, 300))
    const stopping = performance.now()
    await server.stop()
    // An idle WebSocket is told at once, and keeps nobody waiting.
    assert.equal((await told)[0], 1012)
    assert.ok(performance.now() - stopping < 5_000)
    for (const text of await Promise.all(streams)) assert.equal(text, '0 1 2 3 4 5 6 7 8 9 ')
    await server.restart()
    assert.equal(await (await server.visit('slow')).text(), '0 1 2 3 4 5 6 7 8 9 ')
  })
})
