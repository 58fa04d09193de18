import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { call, deploy, formOf, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// Workers that a deployed Worker loads, some of them by nobody who means well.

/** Loads what it is sent, and passes the request on: `?name=` is what it is loaded as. */
const parent = `
import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers'
const codeOf = (code, more) =>
  ({ compatibilityDate: '2026-11-01', mainModule: 'main.js', modules: { 'main.js': code }, ...more })
export class Kept extends WorkerEntrypoint {
  get(key) { return this.env.SECRET.slice(0, 1) + key }
}
export class Seen extends WorkerEntrypoint {
  async tail(events) { await this.env.NOTES.getByName('notes').note(events.map(({ scriptName }) => scriptName)) }
}
export class Notes extends DurableObject {
  note(names) { this.ctx.storage.kv.put('names', [...this.read(), ...names]) }
  read() { return this.ctx.storage.kv.get('names') ?? [] }
}
export class Board extends DurableObject {
  async call(name, code) {
    const facet = this.ctx.facets.get('facet', () =>
      ({ class: this.env.LOADER.get(name, async () => codeOf(code)).getDurableObjectClass('App') }))
    return facet.count()
  }
}
export default {
  async fetch(request, env, ctx) {
    try { return await answer(request, env, ctx) } catch (error) { return new Response(error.stack, { status: 500 }) }
  },
}
async function answer(request, env, ctx) {
    const url = new URL(request.url)
    const name = url.searchParams.get('name')
    const cpuMs = url.searchParams.get('cpu')
    if (url.pathname === '/fine') return new Response('fine')
    if (url.pathname === '/names') return Response.json(await env.NOTES.getByName('notes').read())
    const code = await request.text()
    if (url.pathname === '/facet') return new Response(String(await env.BOARD.getByName('b').call(name, code)))
    const more = {
      env: { KEPT: ctx.exports.Kept({}), WORD: 'given' },
      ...(url.searchParams.has('null') && { globalOutbound: null }),
      ...(url.searchParams.has('watched') && { tails: [ctx.exports.Seen({})] }),
      ...(url.searchParams.has('limits') && { limits: { cpuMs: 100 } }),
    }
    const stub = name === null ? env.LOADER.load(codeOf(code, more)) : env.LOADER.get(name, async () => codeOf(code, more))
    return stub.getEntrypoint(null, cpuMs ? { limits: { cpuMs: Number(cpuMs) } } : {}).fetch('http://guest/')
}`

const bindings = [
  { type: 'worker_loader', name: 'LOADER' },
  { type: 'secret_text', name: 'SECRET', text: 'canary-of-the-parent' },
  { type: 'durable_object_namespace', name: 'BOARD', class_name: 'Board' },
  { type: 'durable_object_namespace', name: 'NOTES', class_name: 'Notes' },
]
const metadata = { migrations: { tag: 'v1', new_sqlite_classes: ['Board', 'Notes'] } }

const fine = `export default { fetch: () => new Response('fine') }`
const spin = `export default { fetch() { for (;;); } }`
const spinAtStart = `for (;;);
export default {}`
const bomb = `const held = []
export default { fetch() { for (;;) held.push(new Uint8Array(1 << 20).fill(1)) } }`

/** Does what it can to stay. */
const stubborn = `import { WorkerEntrypoint } from 'cloudflare:workers'
Object.defineProperty(WorkerEntrypoint.prototype, 'leave', { value() {} })
Promise.prototype.then = () => {}
export default {
  fetch(request, env, ctx) {
    Object.getPrototypeOf(ctx).waitUntil = () => {}
    return new Response(word)
  },
}`

const cellRows = z.array(
  z.object({
    workers: z.array(z.string()),
    deaths: z.number(),
    last_death: z.object({ reason: z.string() }).nullable(),
    memory_bytes: z.number().nullable(),
  }),
)

suite('loaded Workers', () => {
  let server: TestServer
  let place: Place
  before(async () => {
    server = await startTestServer()
    place = placeOf(server)
    await deploy(place, 'parent', { code: parent, bindings, metadata })
    await deploy(place, 'neighbour', { code: fine })
  })
  after(() => server[Symbol.asyncDispose]())

  const run = (code: string, search = '', path = '/'): Promise<Response> =>
    server.visit('parent', `${path}?${search}`, { method: 'POST', body: code })
  const said = async (code: string, search = ''): Promise<string> =>
    (await run(code, search)).text()
  async function cell() {
    const rows = cellRows.parse(await call(place, 'GET', '~/cells'))
    return rows.find(({ workers }) => workers.includes('parent')) ?? assert.fail('no parent')
  }

  /** Has the neighbour visited all the while; each visit must be answered. */
  async function besideNeighbour(work: () => Promise<void>): Promise<void> {
    const over = new AbortController()
    let visits = 0
    const visiting = (async () => {
      while (!over.signal.aborted) {
        const response = await server.visit('neighbour')
        assert.equal(await response.text(), 'fine')
        visits += 1
      }
    })()
    await work().finally(() => over.abort())
    await visiting
    assert.ok(visits > 5, `${visits} visits`)
  }

  test('run, with what they are given and no more', async () => {
    const curious = `import { env as imported, exports } from 'cloudflare:workers'
      export default { async fetch(request, env, ctx) {
        return Response.json([
          Object.keys(env), Object.keys(imported), env.WORD, await env.KEPT.get('k'),
          await env.KEPT.SECRET.then(String, () => 'refused'), await env.KEPT.env.then(String, () => 'refused'),
          Object.keys(ctx.exports), Object.keys(exports), globalThis.process?.env ?? {},
        ])
      } }`
    for (const search of ['', 'name=curious', 'name=curious']) {
      const answer = await said(curious, search)
      assert.deepEqual(JSON.parse(answer).slice(0, 7), [
        ['KEPT', 'WORD'],
        ['KEPT', 'WORD'],
        'given',
        'ck',
        'refused',
        'refused',
        ['default'],
      ])
      assert.doesNotMatch(answer, /canary/)
    }
  })

  test('reach nothing of the house: no file, no socket, no internal module', async () => {
    const tries = `import { readdirSync } from 'node:fs'
      import { connect } from 'node:net'
      const paths = ['/bundle', '/dev', '/tmp', '/']
      const open = (path) => new Promise((resolve) => {
        try { connect({ path }).on('error', (e) => resolve('error')).on('connect', () => resolve('open')) } catch (e) { resolve('threw') }
      })
      export default { async fetch() {
        const found = []
        for (const path of paths) { try { found.push(...readdirSync(path)) } catch {} }
        const modules = []
        for (const name of ['bindery-internal:worker-loader', 'cloudflare-internal:workers', 'bindery:sockets'])
          modules.push(await import(name).then(() => name, () => 'none'))
        const sockets = await Promise.race([open('/run/b'), new Promise((r) => setTimeout(r, 500, 'nothing'))])
        return Response.json({ found, modules, sockets })
      } }`
    const answer = z
      .object({ found: z.array(z.string()), modules: z.array(z.string()), sockets: z.string() })
      .parse(JSON.parse(await said(tries)))
    assert.deepEqual(answer.modules, ['none', 'none', 'none'])
    assert.notEqual(answer.sockets, 'open')
    assert.ok(!answer.found.some((name) => /index|sock|bindery/.test(name)), String(answer.found))
  })

  test('have the way out of the parent, which leads to no private address, or none', async () => {
    const port = new URL(server.apiUrl).port
    const reach = (url: string): string =>
      `export default { async fetch() {
        try { return new Response('reached ' + (await fetch('${url}')).status) } catch (e) { return new Response(e.message) }
      } }`
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '10.0.0.1', '169.254.169.254']) {
      assert.doesNotMatch(await said(reach(`http://${host}:${port}/`)), /reached 200/, host)
    }
    assert.match(await said(reach('http://example.com/'), 'null'), /not permitted to access/)
    const tcp = `import { connect } from 'cloudflare:sockets'
      export default { async fetch() {
        try { await connect('127.0.0.1:${port}').opened; return new Response('open') } catch (e) { return new Response('refused') }
      } }`
    assert.equal(await said(tcp), 'refused')
    assert.equal(await said(tcp, 'null'), 'refused')
  })

  test('that loop or fill memory take no neighbour down; the parent is back', async () => {
    const attacks = [
      ['cpu', spin, 'name=spin&cpu=50'],
      ['cpu', spin, 'name=spin2&limits'],
      ['cpu', spin, 'limits'],
      ['cpu', spinAtStart, 'limits'],
      ['cpu', spinAtStart, 'name=spin3&limits'],
      ['memory', bomb, 'name=bomb'],
    ] as const
    for (const [reason, code, search] of attacks) {
      await besideNeighbour(async () => {
        const { deaths } = await cell()
        const began = performance.now()
        const response = await run(code, search)
        const took = performance.now() - began
        assert.equal(response.status, 503, search)
        assert.match(await response.text(), /Error 1102/)
        assert.equal(await (await server.visit('parent', '/fine')).text(), 'fine')
        assert.equal((await cell()).last_death?.reason, reason)
        assert.equal((await cell()).deaths, deaths + 1)
        if (reason === 'cpu') assert.ok(took < 10_000, `${took} ms, and not the parent's 30 s`)
      })
    }
  })

  test('are facets of an object', async () => {
    const app = `import { DurableObject } from 'cloudflare:workers'
      export class App extends DurableObject {
        count() {
          const n = (this.ctx.storage.kv.get('n') ?? 0) + 1
          this.ctx.storage.kv.put('n', n)
          return n
        }
      }`
    assert.equal(await (await run(app, 'name=app', '/facet')).text(), '1')
    // More than are kept: the facet goes on.
    for (let n = 0; n < 80; n++) assert.equal(await said(fine, `name=f${n}`), 'fine')
    assert.equal(await (await run(app, 'name=app', '/facet')).text(), '2')
  })

  test('are watched under their names', async () => {
    assert.equal(await said(fine, 'name=seen&watched'), 'fine')
    assert.equal(await said(fine, 'watched'), 'fine')
    const names = await eventually(async () => {
      const found: unknown = await (await server.visit('parent', '/names')).json()
      return Array.isArray(found) && found.length >= 2 && found
    })
    assert.deepEqual(new Set(names), new Set([null, 'seen']))
  })

  test('of a new version are loaded anew, and no other Worker finds them', async () => {
    const mine = (word: string): string => `export default { fetch: () => new Response('${word}') }`
    assert.equal(await said(mine('first'), 'name=shared'), 'first')
    await deploy(place, 'other', { code: parent, bindings, metadata })
    const other = await server.visit('other', '/?name=shared', {
      method: 'POST',
      body: mine('other'),
    })
    assert.equal(await other.text(), 'other')
    assert.equal(await said(mine('second'), 'name=shared'), 'first')
    const changed = formOf({ code: `${parent}\n//`, bindings })
    await call(place, 'PUT', '~/workers/scripts/parent', changed)
    assert.equal(await said(mine('second'), 'name=shared'), 'second')
  })

  const count = Number(process.env['BINDERY_TEST_LOADED_WORKERS'] ?? 300)
  test(`${count} names do not grow the process for ever`, { timeout: 900_000 }, async (t) => {
    const padding = `/*${'x'.repeat(20_000)}*/`
    let most = 0
    let next = 0
    const { deaths } = await cell()
    const load = async (n: number): Promise<void> => {
      const code = `${stubborn}\nconst word = 'n${n}'${padding}`
      assert.equal(await said(code, `name=n${n}`), `n${n}`)
    }
    const loadAll = async (): Promise<void> => {
      while (next < count) {
        const n = (next += 1)
        await load(n)
        // One that may be there, be on its way out, or be gone.
        await load(Math.max(1, n - 60 - (n % 10)))
        if (n % 50 === 0) most = Math.max(most, (await cell()).memory_bytes ?? 0)
      }
    }
    await Promise.all(Array.from({ length: 6 }, loadAll))
    const last = await cell()
    t.diagnostic(`${most >> 20} MB at most`)
    assert.equal(last.deaths, deaths, 'no process died of it')
    assert.ok(most < 450 * 1024 * 1024, `${most} bytes`)
  })
})

withNewestAndOldest('loaders', (wrangler) => {
  const code = `export default {
    fetch(request, env) {
      const code = 'export default { fetch: (request) => new Response("loaded for " + request.url) }'
      const modules = { 'main.js': code }
      const stub = env.LOADER.get('one', async () => ({ compatibilityDate: '2026-11-01', mainModule: 'main.js', modules }))
      return stub.getEntrypoint().fetch('http://guest/')
    },
  }`

  async function deployed(name: string, config: object): Promise<void> {
    await wrangler.project(name, config, { 'index.js': code })
    assert.match(await wrangler.ok(['deploy'], { cwd: name }), /LOADER/)
    assert.equal(await wrangler.visit(name), 'loaded for http://guest/')
  }

  test('by unsafe bindings', async () => {
    await deployed('unsafe', { unsafe: { bindings: [{ name: 'LOADER', type: 'worker_loader' }] } })
  })

  test('by their own key', { skip: wrangler.lacks('worker_loaders') }, async () => {
    await deployed('own', { worker_loaders: [{ binding: 'LOADER' }] })
  })
})
