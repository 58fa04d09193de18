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

  test('a binding leads to the version with the largest share, and follows it', async () => {
    const at = async (share: number, version: string) => ({
      ...(await fixture.ready('callee', {
        code: `export default { fetch: () => new Response(${JSON.stringify(version)}) }`,
        version,
      })),
      percentage: share,
    })
    const main = await fixture.ready('main', {
      code: `export default { fetch: (r, env) => env.S.fetch(r) }`,
      bindings: { S: service('callee') },
    })
    await fixture.apply([await at(20, 'one'), await at(80, 'two'), main])
    assert.equal((await fixture.visit('main')).body, 'two')
    assert.deepEqual(
      fixture.targets('callee').map(({ percentage }) => percentage),
      [20, 80],
    )
    await fixture.apply([await at(90, 'one'), await at(10, 'two'), main])
    assert.equal((await fixture.visit('main')).body, 'one')
  })
})
