import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Wire } from '#contract/wire.ts'
import { type Fixture, startFixture } from './fixture.ts'

const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const der = {
  pkcs8: { format: 'der', type: 'pkcs8' },
  spki: { format: 'der', type: 'spki' },
} as const

function key(
  format: 'raw' | 'pkcs8' | 'spki' | 'jwk',
  data: string,
  [algorithm, ...usages]: readonly [Json, ...string[]],
): Wire {
  return { type: 'key', key: { format, data, algorithm, usages } }
}

const hmac = { name: 'HMAC', hash: 'SHA-256' }
const wires: Readonly<Record<string, Wire>> = {
  TEXT: { type: 'text', text: 'text' },
  J: { type: 'json', json: { a: [1, null, 'ü'] } },
  NUMBER: { type: 'json', json: 5 },
  DATA: { type: 'data', base64: btoa('bytes') },
  WASM: { type: 'wasm', module: 'm.wasm' },
  RAW: key('raw', btoa('secret'), [hmac, 'sign']),
  JWK: key('jwk', JSON.stringify({ kty: 'oct', k: 'c2VjcmV0' }), [hmac, 'verify']),
  PRIVATE: key('pkcs8', privateKey.export(der.pkcs8).toString('base64'), ['Ed25519', 'sign']),
  PUBLIC: key('spki', publicKey.export(der.spki).toString('base64'), [
    { name: 'Ed25519' },
    'verify',
  ]),
  KV: { type: 'backend', client: 'kvNamespace', resource: { id: 'one' } },
  'odd "name\n': { type: 'text', text: 'odd' },
}

// The same for both formats: `env` is the argument, or what the globals say.
const report = `
async function reportOn(env) {
  const message = new TextEncoder().encode('message')
  const mac = await crypto.subtle.sign('HMAC', env.RAW, message)
  const signature = await crypto.subtle.sign('Ed25519', env.PRIVATE, message)
  return Response.json({
    TEXT: env.TEXT,
    JSON: env.J,
    NUMBER: env.NUMBER,
    DATA: new TextDecoder().decode(env.DATA),
    WASM: env.WASM === undefined || env.WASM instanceof WebAssembly.Module,
    macs: await crypto.subtle.verify('HMAC', env.JWK, mac, message),
    signs: await crypto.subtle.verify('Ed25519', env.PUBLIC, signature, message),
    extractable: env.RAW.extractable,
    KV: await env.KV.get('key'),
    odd: env['odd "name\\n'],
  })
}`

const reported = {
  TEXT: 'text',
  JSON: { a: [1, null, 'ü'] },
  NUMBER: 5,
  DATA: 'bytes',
  WASM: true,
  macs: true,
  signs: true,
  extractable: false,
  KV: '{"id":"one"}',
  odd: 'odd',
}

const caller = `
import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'
class Counter extends RpcTarget { n = 0; add(by) { return this.n += by } }
const attempts = {
  fetch: (env) => env.DEFAULT.fetch('http://any/path', { method: 'POST', body: 'b' }).then((r) => r.text()),
  rpc: (env) => env.NAMED.add(1, { by: 2 }),
  props: (env) => env.NAMED.props(),
  noProps: (env) => env.PLAIN.props(),
  target: async (env) => { const counter = await env.NAMED.counter(5); await counter.add(1); return counter.add(2) },
  pipelined: (env) => env.NAMED.counter(10).add(1),
  callback: (env) => env.NAMED.callback((text) => 'called with ' + text),
  mine: async (env) => { const c = new Counter(); await env.NAMED.use(c); return c.n },
  stream: async (env) => new Response(await env.NAMED.stream(new Blob(['in']).stream())).text(),
  error: (env) => env.NAMED.fail().catch((error) => [error.name, error.message]),
  missing: (env) => env.NAMED.nope().catch((error) => error.message),
  self: (env) => env.SELF.hello(),
  loopback: (env, ctx) => ctx.exports.Self.hello(),
  nobody: (env) => env.NOBODY.fetch('http://n').then((r) => r.status, (error) => error.message),
  lost: (env) => env.LOST.fetch('http://n').catch((error) => error.message),
  lostCall: (env) => env.LOST.call().catch((error) => error.message),
  object: (env) => env.OBJECT.fetch('http://n').catch((error) => error.message),
  defaultless: (env) => env.DEFAULTLESS.fetch('http://n').catch((error) => error.message),
  only: (env) => env.ONLY.fetch('http://n').then((r) => r.text()),
  names: (env) => Object.keys(env).sort().join(),
}
export class Self extends WorkerEntrypoint { hello() { return 'hello from ' + this.env.NAME } }
export default { async fetch(request, env, ctx) {
  const results = {}
  for (const [name, attempt] of Object.entries(attempts)) results[name] = await Promise.try(attempt, env, ctx).catch((e) => 'threw ' + e)
  return Response.json(results)
} }`

const callee = `
import { DurableObject, RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'
class Counter extends RpcTarget { constructor(n) { super(); this.n = n } add(by) { return this.n += by } }
export class NotAnEntrypoint extends DurableObject {}
export class Named extends WorkerEntrypoint {
  add(a, { by }) { return a + by }
  props() { return this.ctx.props }
  counter(start) { return new Counter(start) }
  callback(f) { return f('text') }
  async use(counter) { await counter.add(3); await counter.add(4) }
  stream(readable) { return readable.pipeThrough(new TransformStream({ flush(c) { c.enqueue(new TextEncoder().encode(' out')) } })) }
  fail() { throw new RangeError('too far') }
}
export default { async fetch(request, env) {
  return new Response([request.method, request.url, await request.text(), env.WHO].join(' '))
} }`

const service = (worker: string, more: { entrypoint?: string; props?: Json } = {}): Wire => ({
  type: 'worker',
  worker: workerName.parse(worker),
  ...more,
})

const missing = 'The Worker or entrypoint that this binding refers to does not exist.'

suite('every kind of wire reaches user code', () => {
  let fixture: Fixture
  before(async () => {
    fixture = await startFixture()
  })
  after(() => fixture[Symbol.asyncDispose]())

  test('modules', async () => {
    const worker = await fixture.ready('m', {
      code: `${report}; export default { fetch: (r, env) => reportOn(env) }`,
      // Modules import WebAssembly: workerd refuses it as a binding.
      bindings: Object.fromEntries(Object.entries(wires).filter(([name]) => name !== 'WASM')),
    })
    await fixture.apply([worker])
    assert.deepEqual(JSON.parse((await fixture.visit('m')).body), reported)
    const { grant, url } = fixture.calls.at(-1) ?? assert.fail('no call')
    assert.deepEqual([grant.name, grant.worker, url.split('?')[0]], ['KV', 'm', '/key'])
  })

  test('service worker: globals', async () => {
    const code = `${report}; addEventListener('fetch', (event) => event.respondWith(reportOn(globalThis)))`
    const worker = await fixture.ready('sw', {
      code: { 'index.js': ['esModule', code], 'm.wasm': ['wasm', wasm] },
      format: 'service-worker',
      bindings: wires,
    })
    await fixture.apply([worker])
    assert.deepEqual(JSON.parse((await fixture.visit('sw')).body), reported)
  })

  test('bound Workers call each other, with props, targets, callbacks and streams', async () => {
    const main = await fixture.ready('main', {
      code: caller,
      bindings: {
        DEFAULT: service('callee'),
        NAMED: service('callee', { entrypoint: 'Named', props: { role: 'tester' } }),
        PLAIN: service('callee', { entrypoint: 'Named' }),
        SELF: service('main', { entrypoint: 'Self' }),
        NOBODY: service('nobody'),
        LOST: service('callee', { entrypoint: 'Lost' }),
        OBJECT: service('callee', { entrypoint: 'NotAnEntrypoint' }),
        DEFAULTLESS: service('defaultless'),
        ONLY: service('defaultless', { entrypoint: 'only' }),
        NAME: { type: 'text', text: 'main' },
      },
    })
    const other = await fixture.ready('callee', {
      code: callee,
      bindings: { WHO: { type: 'text', text: 'callee' } },
    })
    const defaultless = await fixture.ready('defaultless', {
      code: `export const only = { fetch: () => new Response('only') }`,
    })
    await fixture.apply([main, other, defaultless])
    const { body } = await fixture.visit('main')
    assert.deepEqual(JSON.parse(body), {
      fetch: 'POST http://any/path b callee',
      rpc: 3,
      props: { role: 'tester' },
      noProps: {},
      target: 8,
      pipelined: 11,
      callback: 'called with text',
      mine: 7,
      stream: 'in out',
      error: ['RangeError', 'too far'],
      missing: 'The RPC receiver does not implement the method "nope".',
      self: 'hello from main',
      loopback: 'hello from main',
      nobody: missing,
      lost: missing,
      lostCall: 'The RPC receiver does not implement the method "call".',
      object: missing,
      defaultless: missing,
      only: 'only',
      names: 'DEFAULT,DEFAULTLESS,LOST,NAME,NAMED,NOBODY,OBJECT,ONLY,PLAIN,SELF',
    })
  })

  test('calls are spread over the versions of a split deployment, by their shares', async () => {
    const spread = (version: string): string => `
      import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'
      class Counter extends RpcTarget { #n = 0; add() { return ++this.#n } }
      export class Api extends WorkerEntrypoint {
        async fetch(request) {
          return new Response('${version} ' + this.ctx.props.p + ' ' + await request.text())
        }
        version() { return '${version}' }
        counter() { return new Counter() }
        boom() { throw new RangeError('boom') }
        twice(f) { return f(21) }
        get property() { return 'a value' }
      }
      export default { fetch: () => new Response('${version}') }`
    const at = async (percentage: number, version: string) => ({
      ...(await fixture.ready('callee', { code: spread(version), version: idOf(version) })),
      percentage,
    })
    const main = await fixture.ready('main', {
      code: `
        let asked = 0
        const tell = async (run) => { try { return await run() } catch (e) { return String(e) } }
        export default {
          async fetch(request, env) {
            const counts = { call: {}, fetch: {}, asked: ++asked }
            for (let n = 0; n < 200; n++) {
              const version = await env.API.version()
              counts.call[version] = (counts.call[version] ?? 0) + 1
              const text = await (await env.S.fetch('http://x/')).text()
              counts.fetch[text] = (counts.fetch[text] ?? 0) + 1
            }
            using counter = await env.API.counter()
            await counter.add()
            const body = await (await env.API.fetch('http://x/', { method: 'POST', body: 'b' })).text()
            return Response.json({
              counts,
              body: body.slice(4),
              pipelined: await env.API.counter().add(),
              counter: await counter.add(),
              twice: await env.API.twice((n) => 2 * n),
              property: await env.API.property,
              boom: await tell(() => env.API.boom()),
              missing: await tell(() => env.API.nope()),
              control: await tell(() => env.API.assign({})),
            })
          },
        }`,
      bindings: {
        S: service('callee'),
        API: service('callee', { entrypoint: 'Api', props: { p: 'props' } }),
      },
    })
    const seen = async () => JSON.parse((await fixture.visit('main')).body)
    await fixture.apply([await at(25, 'one'), await at(75, 'two'), main])
    const { counts, ...rest } = await seen()
    assert.deepEqual(rest, {
      body: 'props b',
      pipelined: 1,
      counter: 2,
      twice: 42,
      property: 'a value',
      boom: 'RangeError: boom',
      missing: 'TypeError: The RPC receiver does not implement the method "nope".',
      control: 'TypeError: The RPC receiver does not implement the method "assign".',
    })
    // 200 calls, of which 50 are expected: five standard deviations are 31.
    for (const { one, two } of [counts.call, counts.fetch]) {
      assert.equal(one + two, 200)
      assert.ok(one > 19 && one < 81, `${one} of 200`)
    }
    const targets = fixture.targets('main')
    await fixture.apply([await at(100, 'one'), await at(0, 'two'), main])
    const later = (await seen()).counts
    assert.deepEqual(later, { call: { one: 200 }, fetch: { one: 200 }, asked: 2 })
    assert.deepEqual(fixture.targets('main'), targets, 'other shares are no other process')
    await fixture.apply([await at(100, 'two'), main])
    assert.deepEqual((await seen()).counts, { call: { two: 200 }, fetch: { two: 200 }, asked: 1 })
  })
})

/** A version's id that begins with a digit per name. */
function idOf(version: string): string {
  return `00000000-0000-4000-8000-00000000000${version === 'one' ? 1 : 2}`
}
