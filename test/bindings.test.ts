import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { ask, call, deploy, formOf, namespace, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// Every kind of binding in deployed Workers, called over HTTP: what user code sees of the whole.

const callee = `
import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'
class Counter extends RpcTarget {
  #n = 0
  add(by) { return this.#n += by }
  get self() { return this }
}
export default class extends WorkerEntrypoint {
  async fetch(request) { return new Response(request.method + ' ' + new URL(request.url).pathname + ' ' + await request.text()) }
  plain() { return 'default' }
}
export class Named extends WorkerEntrypoint {
  props() { return this.ctx.props }
  own() { return this.env.OWN }
  counter() { return new Counter() }
  times(n) { return (x) => x * n }
  async twice(callback) { return await callback(21) * 2 }
  async upper(stream) { return stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TransformStream({
    transform(chunk, to) { to.enqueue(chunk.toUpperCase()) } })).pipeThrough(new TextEncoderStream()) }
  fail() { throw new RangeError('out of range') }
  async viaExports() { return this.ctx.exports.Named({ props: { from: 'exports' } }).props() }
}
export const handler = { fetch: () => new Response('a named handler') }
`

const caller = `
const questions = {
  http: async (env) => (await env.S.fetch('https://any/path', { method: 'POST', body: 'sent' })).text(),
  handler: async (env) => (await env.HANDLER.fetch('https://any/')).text(),
  plain: (env) => env.S.plain(),
  props: (env) => env.NAMED.props(),
  own: (env) => env.NAMED.own(),
  target: async (env) => {
    using counter = await env.NAMED.counter()
    await counter.add(1)
    return counter.add(2)
  },
  pipelined: (env) => env.NAMED.counter().self.add(5),
  function: async (env) => { using times = await env.NAMED.times(3); return times(4) },
  callback: (env) => env.NAMED.twice((x) => x + 1),
  stream: async (env) => new Response(await env.NAMED.upper(new Response('shout').body)).text(),
  error: (env) => env.NAMED.fail().catch((error) => [error instanceof RangeError, error.message]),
  missing: (env) => env.NAMED.nothing().catch((error) => error.message),
  exports: (env) => env.NAMED.viaExports(),
  self: async (env) => (await env.SELF.fetch('https://self/echo')).text(),
  version: (env) => [typeof env.VERSION.id, env.VERSION.tag, typeof env.VERSION.timestamp],
  variables: (env) => [env.TEXT, env.JSON, env.SECRET],
  key: async (env) => {
    const bytes = new TextEncoder().encode('text')
    const signed = await crypto.subtle.sign('HMAC', env.KEY, bytes)
    return [env.KEY.extractable, await crypto.subtle.verify('HMAC', env.KEY, signed, bytes)]
  },
  kv: async (env) => {
    await env.KV.put('k', 'v', { metadata: { m: 1 } })
    return env.KV.getWithMetadata('k')
  },
}
export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1)
    if (name === 'echo') return new Response('myself')
    return Response.json(await questions[name](env))
  },
}`

let server: TestServer
let place: Place

before(async () => {
  server = await startTestServer()
  place = placeOf(server)
  const own = [{ type: 'plain_text', name: 'OWN', text: "the callee's" }]
  await deploy(place, 'callee', { code: callee, bindings: own })
  await deploy(place, 'caller', {
    code: caller,
    metadata: { annotations: { 'workers/tag': 'v1' } },
    bindings: [
      { type: 'service', name: 'S', service: 'callee' },
      { type: 'service', name: 'HANDLER', service: 'callee', entrypoint: 'handler' },
      { type: 'service', name: 'NAMED', service: 'callee', entrypoint: 'Named', props: { a: [1] } },
      { type: 'service', name: 'SELF', service: 'caller' },
      { type: 'version_metadata', name: 'VERSION' },
      { type: 'plain_text', name: 'TEXT', text: 'tëxt' },
      { type: 'json', name: 'JSON', json: { deep: [null, { x: 1.5 }] } },
      { type: 'secret_text', name: 'SECRET', text: 'sesame' },
      {
        type: 'secret_key',
        name: 'KEY',
        format: 'raw',
        key_base64: btoa('0123456789abcdef'),
        algorithm: { name: 'HMAC', hash: 'SHA-256' },
        usages: ['sign', 'verify'],
      },
      { type: 'kv_namespace', name: 'KV', namespace_id: await namespace(place, 'all') },
    ],
  })
})
after(() => server[Symbol.asyncDispose]())

suite('every binding, over HTTP', () => {
  const answers: Readonly<Record<string, unknown>> = {
    http: 'POST /path sent',
    handler: 'a named handler',
    plain: 'default',
    props: { a: [1] },
    own: "the callee's",
    target: 3,
    pipelined: 5,
    function: 12,
    callback: 44,
    stream: 'SHOUT',
    error: [true, 'out of range'],
    missing: 'The RPC receiver does not implement the method "nothing".',
    exports: { from: 'exports' },
    self: 'myself',
    version: ['string', 'v1', 'string'],
    variables: ['tëxt', { deep: [null, { x: 1.5 }] }, 'sesame'],
    key: [false, true],
    kv: { value: 'v', metadata: { m: 1 }, cacheStatus: null },
  }
  for (const [name, expected] of Object.entries(answers)) {
    test(name, async () => {
      const response = await server.visit('caller', `/${name}`)
      const text = await response.text()
      assert.equal(response.status, 200, text)
      assert.deepEqual(JSON.parse(text), expected)
    })
  }

  test('a callee is replaced while its caller runs, and the caller calls the new one', async () => {
    const code = callee.replace("return 'default'", "return 'newer'")
    const own = [{ type: 'plain_text', name: 'OWN', text: 'changed' }]
    await deploy(place, 'callee', { code, bindings: own })
    assert.equal(await (await server.visit('caller', '/plain')).json(), 'newer')
    assert.equal(await (await server.visit('caller', '/own')).json(), 'changed')
  })

  test('two Workers may be bound to each other', async () => {
    const code = (other: string): string => `export default {
      async fetch(request, env) {
        const left = Number(new URL(request.url).searchParams.get('left'))
        const rest = left > 0 ? await (await env.OTHER.fetch('https://x/?left=' + (left - 1))).text() : ''
        return new Response(${JSON.stringify(other)} + rest)
      } }`
    await deploy(place, 'ping', { code: code('i') })
    const toPing = [{ type: 'service', name: 'OTHER', service: 'ping' }]
    await deploy(place, 'pong', { code: code('o'), bindings: toPing })
    const toPong = [{ type: 'service', name: 'OTHER', service: 'pong' }]
    await deploy(place, 'ping', { code: code('i'), bindings: toPong })
    assert.equal(await (await server.visit('ping', '/?left=4')).text(), 'ioioi')
  })

  test('a Worker that others are bound to is deleted by force alone', async () => {
    const refused = await ask(place, 'DELETE', '~/workers/scripts/callee')
    assert.equal(refused.status, 409)
    assert.match(refused.errors[0]?.message ?? '', /\(caller\)/)
    await call(place, 'DELETE', '~/workers/scripts/callee?force=true')
    assert.equal((await server.visit('callee')).status, 404)
    const left = await server.visit('caller', '/http')
    assert.equal(left.status, 500, 'the caller runs, and its call fails')
    assert.match(await left.text(), /Error 1101[\s\S]*Ray ID: [0-9a-f]{16}-/)
    assert.equal((await server.visit('caller', '/variables')).status, 200)
  })
})

suite('what a visitor is told', () => {
  test('an exception is 1101, and the Worker lives on', async () => {
    const code = `let n = 0
      export default { fetch(request) {
        n++
        if (new URL(request.url).pathname === '/throw') throw new Error('private words')
        return new Response(String(n))
      } }`
    await deploy(place, 'thrower', { code })
    const thrown = await server.visit('thrower', '/throw')
    const text = await thrown.text()
    assert.equal(thrown.status, 500)
    assert.match(text, /Error 1101/)
    assert.ok(!text.includes('private words'))
    assert.equal(await (await server.visit('thrower')).text(), '2')
  })

  test('a Worker taken off its subdomain is not there, and comes back', async () => {
    await deploy(place, 'hidden', { code: `export default { fetch: () => new Response('here') }` })
    await call(place, 'POST', '~/workers/scripts/hidden/subdomain', { enabled: false })
    assert.equal((await server.visit('hidden')).status, 404)
    await call(place, 'POST', '~/workers/scripts/hidden/subdomain', { enabled: true })
    assert.equal(await (await server.visit('hidden')).text(), 'here')
    assert.equal(await (await server.visit('hidden.main')).text(), 'here', "the account's own name")
  })
})

suite('no answer of the API holds a secret', () => {
  test('of a Worker with a secret of each kind', async () => {
    const secret = 'sesame'
    const key = btoa('0123456789abcdef')
    const admin = placeOf(server)
    const version = await call(
      admin,
      'POST',
      '~/workers/scripts/caller/versions',
      formOf({ code: caller }),
    )
    const id = (version as { id: string }).id
    const paths = [
      '/workers/scripts',
      '/workers/scripts/caller/settings',
      '/workers/scripts/caller/secrets',
      '/workers/scripts/caller/secrets/SECRET',
      '/workers/scripts/caller/versions',
      `/workers/scripts/caller/versions/${id}`,
      '/workers/scripts/caller/deployments',
      '/workers/services/caller',
      '/workers/services/caller/environments/production/bindings',
      '/workers/services/caller/environments/production/settings',
      '/workers/workers/caller',
      '/workers/workers/caller/versions',
    ]
    let mentions = 0
    for (const path of paths) {
      const text = JSON.stringify(await call(admin, 'GET', `~${path}`))
      assert.ok(!text.includes(secret) && !text.includes(key), path)
      assert.ok(!text.includes('sealed'), path)
      if (text.includes('SECRET')) mentions++
    }
    assert.ok(mentions >= 7, 'names are shown')
  })
})
