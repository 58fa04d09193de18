import assert from 'node:assert/strict'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { type TlsOptions, TLSSocket } from 'node:tls'
import { WebSocketServer } from 'ws'
import { ApiError } from '#contract/errors.ts'
import type { Wire } from '#contract/wire.ts'
import { createEgress } from '#egress/server.ts'
import { makeAuthority, type Pem } from '#test/certificates.ts'
import { type Fixture, startFixture } from './fixture.ts'

// Ways out with a client certificate, from inside a real cell, against TLS servers that ask for one.

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** Who a server says it was called by, and over which connection. */
const code = `
const encode = (text) => new TextEncoder().encode(text)
const get = 'GET /raw HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'
async function raw(socket) {
  await socket.opened
  const writer = socket.writable.getWriter()
  await writer.write(encode(get))
  return (await new Response(socket.readable).text()).split('\\r\\n\\r\\n')[1] ?? ''
}
const first = async (response) => [response.status, ...(await response.text()).trim().split('\\n')]
async function run(env, p) { BODY }
export default { async fetch(request, env) {
  try { return Response.json({ value: await run(env, await request.json()) }) }
  catch (error) { return Response.json({ error: error.message }) }
} }`

const exits: Readonly<Record<string, Wire>> = {
  ALICE: { type: 'exit', certificate: 'alice' },
  ALICE_TOO: { type: 'exit', certificate: 'alice' },
  BOB: { type: 'exit', certificate: 'bob' },
  STRANGER: { type: 'exit', certificate: 'stranger' },
}

const refused = 'The origin hung up without an answer: it may not accept the client certificate.'
const noProxy = 'proxy request failed, cannot connect to the specified address'

type Seen = { who: string; port: number; isResumed: boolean; url: string; tls: string | null }

const answer: RequestListener = (request, response) => {
  const { socket, url = '' } = request
  if (url.startsWith('/to/')) {
    response.writeHead(302, { location: decodeURIComponent(url.slice(4)) })
    return void response.end()
  }
  if (url === '/last') response.setHeader('connection', 'close')
  if (url === '/echo') return void request.pipe(response)
  const isSecure = socket instanceof TLSSocket
  const { CN: names = 'nobody' } = isSecure ? (socket.getPeerCertificate().subject ?? {}) : {}
  const seen: Seen = {
    who: [names].flat().join(),
    port: socket.remotePort ?? 0,
    isResumed: isSecure && socket.isSessionReused(),
    url,
    tls: isSecure ? socket.getProtocol() : null,
  }
  response.end(JSON.stringify(seen))
}

suite('ways out with a client certificate', () => {
  let fixture: Fixture
  const pairs: Record<string, Pem> = {}
  const ports: Record<string, number> = {}
  const stops: (() => Promise<unknown>)[] = []

  async function serve(name: string, server: Server): Promise<void> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    ports[name] = (server.address() as AddressInfo).port
    const open = new Set<Socket>()
    server.on('connection', (socket: Socket) => void open.add(socket.on('error', () => {})))
    stops.push(() => {
      for (const socket of open) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    })
  }

  before(async () => {
    const [authority, other] = [await makeAuthority(), await makeAuthority()]
    pairs['alice'] = await authority.issue(['alice.test'])
    pairs['bob'] = await authority.issue(['bob.test'])
    pairs['stranger'] = await other.issue(['stranger.test'])
    const own = await authority.issue(['origin.test', '*.origin.test'])
    const secure = async (name: string, options: TlsOptions, pair = own): Promise<void> => {
      const server = createHttpsServer(
        { ...pair, ca: authority.cert, requestCert: true, ...options },
        answer,
      )
      const sockets = new WebSocketServer({ noServer: true })
      server.on('upgrade', (request, socket, head) =>
        sockets.handleUpgrade(request, socket, head, (visitor) => {
          const { CN: subject = '' } =
            socket instanceof TLSSocket ? socket.getPeerCertificate().subject : {}
          visitor.on('message', (data) =>
            visitor.send(
              `${[subject].join()} says ${data instanceof Buffer ? data.toString() : ''}`,
            ),
          )
        }),
      )
      await serve(name, server)
    }
    await secure('strict', { rejectUnauthorized: true })
    await secure('strict12', { rejectUnauthorized: true, maxVersion: 'TLSv1.2' })
    await secure('lenient', { rejectUnauthorized: false })
    await secure('unasked', { requestCert: false })
    await secure('untrusted', { rejectUnauthorized: false }, await other.issue(['origin.test']))
    await secure('private', { rejectUnauthorized: false })
    await serve('http', createHttpServer(answer))
    const open = Object.entries(ports).filter(([name]) => name !== 'private')
    fixture = await startFixture({
      egress: createEgress({
        allow: open.map(([, port]) => `127.0.0.1:${port}`),
        certificates: [authority.cert],
        clientCertificates: {
          async keyPair(_account, certificate) {
            const pair = pairs[certificate]
            if (pair) return { certificates: pair.cert, privateKey: pair.key }
            throw new ApiError({ code: 1, status: 404, message: `no certificate ${certificate}` })
          },
        },
        resolve: async (name) =>
          name.endsWith('.test') ? [{ text: '127.0.0.1', family: 'ipv4' }] : [],
        log: silent,
      }),
    })
  })
  after(async () => {
    await fixture[Symbol.asyncDispose]()
    for (const stop of stops) await stop()
  })

  async function run(body: string, subrequests?: number): Promise<unknown> {
    const source = { code: code.replace('BODY', () => body), bindings: exits }
    const limits = subrequests === undefined ? {} : { limits: { subrequests } }
    await fixture.apply([await fixture.ready('w', { ...source, ...limits })])
    const sent = { method: 'POST', body: JSON.stringify(ports) }
    return JSON.parse((await fixture.visit('w', '/', sent)).body)
  }

  const url = (port: string, path = '/'): string => `'https://origin.test:' + p.${port} + '${path}'`
  const who = (exit: string, port: string): string =>
    `const r = await ${exit}fetch(${url(port)}); const { who, tls } = await r.json(); return [who, tls]`

  const cases: [what: string, body: string, expected: unknown][] = [
    ['a strict server, TLS 1.3', who('env.ALICE.', 'strict'), { value: ['alice.test', 'TLSv1.3'] }],
    [
      'another certificate beside it',
      who('env.BOB.', 'strict'),
      { value: ['bob.test', 'TLSv1.3'] },
    ],
    [
      'a strict server, TLS 1.2',
      who('env.ALICE.', 'strict12'),
      { value: ['alice.test', 'TLSv1.2'] },
    ],
    [
      'a lenient server sees a stranger',
      who('env.STRANGER.', 'lenient'),
      { value: ['stranger.test', 'TLSv1.3'] },
    ],
    [
      'a server that does not ask is told nothing',
      who('env.ALICE.', 'unasked'),
      { value: ['nobody', 'TLSv1.3'] },
    ],
    ['fetch offers none', who('', 'lenient'), { value: ['nobody', 'TLSv1.3'] }],
    [
      'fetch is told that one is wanted',
      `return first(await fetch(${url('strict')}))`,
      {
        value: [
          525,
          'error code: 525',
          'The origin did not accept the TLS connection: certificate required (alert 116).',
        ],
      },
    ],
    [
      'a stranger at a strict server: it hangs up after the handshake of TLS 1.3',
      `return first(await env.STRANGER.fetch(${url('strict')}))`,
      { value: [520, 'error code: 520', refused] },
    ],
    [
      '... and in that of TLS 1.2',
      `return first(await env.STRANGER.fetch(${url('strict12')}))`,
      { value: [525, 'error code: 525', refused] },
    ],
    [
      "a server with another's name",
      `return (await env.ALICE.fetch('https://other.test:' + p.lenient)).status`,
      { value: 526 },
    ],
    [
      'a server whose authority nobody trusts',
      `return (await env.ALICE.fetch(${url('untrusted')})).status`,
      { value: 526 },
    ],
    [
      'a private address',
      `return first(await env.ALICE.fetch('https://127.0.0.1:' + p.private)).then(([s, c]) => [s, c])`,
      { value: [403, 'error code: 1003'] },
    ],
    [
      'a redirect to a private address',
      `return (await env.ALICE.fetch(${url('strict', '/to/')} + encodeURIComponent('https://127.0.0.1:' + p.private))).status`,
      { value: 403 },
    ],
    [
      'a redirect is followed with the same certificate',
      `const r = await env.ALICE.fetch(${url('strict', '/to/')} + encodeURIComponent(${url('lenient', '/there')})); const { who, url } = await r.json(); return [r.redirected, who, url]`,
      { value: [true, 'alice.test', '/there'] },
    ],
    [
      'http goes in clear',
      `const r = await env.ALICE.fetch('http://origin.test:' + p.http); const { who, tls } = await r.json(); return [who, tls]`,
      { value: ['nobody', null] },
    ],
    [
      'a stream both ways',
      `const { readable, writable } = new IdentityTransformStream(); const writer = writable.getWriter();
       const sent = env.ALICE.fetch(${url('strict', '/echo')}, { method: 'POST', body: readable });
       await writer.write(encode('one '));
       const reader = (await sent).body.getReader(); const heard = new TextDecoder().decode((await reader.read()).value);
       await writer.write(encode('two')); await writer.close(); return [heard, new TextDecoder().decode((await reader.read()).value)]`,
      { value: ['one ', 'two'] },
    ],
    [
      'a WebSocket',
      `const { webSocket } = await env.ALICE.fetch(${url('strict')}, { headers: { Upgrade: 'websocket' } }); webSocket.accept();
       const heard = new Promise((resolve) => webSocket.addEventListener('message', (event) => resolve(event.data))); webSocket.send('hello');
       const said = await heard; webSocket.close(1000); return said`,
      { value: 'alice.test says hello' },
    ],
    [
      'a WebSocket of a stranger',
      `return first(await env.STRANGER.fetch(${url('strict')}, { headers: { Upgrade: 'websocket' } }))`,
      { value: [520, 'error code: 520', refused] },
    ],
    [
      'connect() with TLS',
      `const socket = env.ALICE.connect('origin.test:' + p.strict, { secureTransport: 'on' }); const { remoteAddress } = await socket.opened;
       return [remoteAddress === 'origin.test:' + p.strict, socket.secureTransport, JSON.parse(await raw(socket)).who]`,
      { value: [true, 'on', 'alice.test'] },
    ],
    [
      'connect() of another binding',
      `return JSON.parse(await raw(env.BOB.connect({ hostname: 'origin.test', port: p.strict }, { secureTransport: 'on' }))).who`,
      { value: 'bob.test' },
    ],
    [
      'connect() that starts TLS later',
      `const socket = env.ALICE.connect('origin.test:' + p.strict, { secureTransport: 'starttls' }); await socket.opened; return JSON.parse(await raw(socket.startTls())).who`,
      { value: 'alice.test' },
    ],
    [
      'connect() without TLS',
      `return JSON.parse(await raw(env.ALICE.connect('origin.test:' + p.http))).who`,
      { value: 'nobody' },
    ],
    [
      'connect() of a stranger: TLS 1.3 says so late',
      `return raw(env.STRANGER.connect('origin.test:' + p.strict, { secureTransport: 'on' }))`,
      { value: '' },
    ],
    [
      '... TLS 1.2 at once',
      `const socket = env.STRANGER.connect('origin.test:' + p.strict12, { secureTransport: 'on' }); socket.closed.catch(() => {}); await socket.opened`,
      { error: noProxy },
    ],
    [
      'connect() to a private address',
      `const socket = env.ALICE.connect('127.0.0.1:' + p.private, { secureTransport: 'on' }); socket.closed.catch(() => {}); await socket.opened`,
      { error: noProxy },
    ],
  ]
  for (const [what, body, expected] of cases) {
    test(what, async () => {
      assert.deepEqual(await run(body), expected)
    })
  }

  test('connections are kept for the same certificate and for no other', async () => {
    const ask = (exit: string): string => `(await ${exit}fetch(${url('lenient')})).json()`
    const asked = ['env.ALICE.', 'env.ALICE_TOO.', 'env.BOB.', '', 'env.ALICE.', ''].map(ask)
    const answered = await run(`return [${asked.map((each) => `await ${each}`).join()}]`)
    const { value } = answered as { value: Seen[] }
    assert.deepEqual(
      value.map((each) => each.who),
      ['alice.test', 'alice.test', 'bob.test', 'nobody', 'alice.test', 'nobody'],
    )
    const [alice, aliceToo, bob, nobody, again, nobodyAgain] = value.map(({ port }) => port)
    assert.deepEqual([aliceToo, again], [alice, alice])
    assert.equal(nobodyAgain, nobody)
    assert.equal(new Set([alice, bob, nobody]).size, 3)
    assert.ok(value.every(({ isResumed }) => !isResumed))
  })

  test('sessions of TLS are not taken up again, by whichever way out', async () => {
    const closed = (exit: string): string =>
      `await (await ${exit}fetch(${url('lenient', '/last')})).json()`
    const asked = ['env.ALICE.', 'env.BOB.', '', 'env.ALICE.'].map(closed)
    const { value } = (await run(`return [${asked.join()}]`)) as { value: Seen[] }
    // What a server remembers of a session is who it was with.
    assert.deepEqual(
      value.map((each) => [each.who, each.isResumed]),
      ['alice.test', 'bob.test', 'nobody', 'alice.test'].map((name) => [name, false]),
    )
    assert.equal(new Set(value.map(({ port }) => port)).size, 4)
  })

  test('requests count with those of fetch', async () => {
    const all = `let n = 0; const count = async (call) => { try { await (await call()).text(); n += 1 } catch {} }
      for (const exit of [env.ALICE, env.BOB, globalThis]) await count(() => exit.fetch(${url('lenient')})); return n`
    assert.deepEqual(await run(all, 2), { value: 2 })
  })

  test('a certificate that is gone: the new version does not start, the old one goes on', async () => {
    const old = await fixture.ready('w', {
      code: `export default { fetch: () => new Response('old') }`,
    })
    await fixture.apply([old])
    const bindings: Readonly<Record<string, Wire>> = { GONE: { type: 'exit', certificate: 'gone' } }
    const next = await fixture.ready('w', {
      code: `export default { fetch: () => new Response('new') }`,
      bindings,
    })
    await assert.rejects(fixture.apply([next]), /no certificate gone/)
    assert.equal((await fixture.visit('w')).body, 'old')
  })

  test('code that has put something else in its place runs all the same', async () => {
    const taken = ['{ get() { throw new Error() } }', '{ value: {} }', '{ value: null }']
    for (const [index, what] of taken.entries()) {
      const source = `import { env } from 'cloudflare:workers'
        Object.defineProperty(env, 'ALICE', ${what})
        export default { fetch: () => new Response(typeof {}.connect) }`
      const version = { code: source, bindings: exits, version: `taken${index}` }
      await fixture.apply([await fixture.ready('w', version)])
      assert.equal((await fixture.visit('w')).body, 'undefined')
    }
  })

  test('a service worker has it too, but connect() without TLS alone', async () => {
    const source = `addEventListener('fetch', (event) => event.respondWith(run(event.request)))
      async function run(request) {
        const p = await request.json()
        const { who } = await (await ALICE.fetch(${url('strict')})).json()
        const socket = ALICE.connect('origin.test:' + p.strict, { secureTransport: 'on' })
        socket.closed.catch(() => {})
        return Response.json([who, await socket.opened.then(() => 'opened', (error) => error.message)])
      }`
    const version = { code: source, format: 'service-worker', bindings: exits } as const
    await fixture.apply([fixture.plan('w', version)])
    const sent = { method: 'POST', body: JSON.stringify(ports) }
    const [caller, why] = JSON.parse((await fixture.visit('w', '/', sent)).body)
    assert.equal(caller, 'alice.test')
    assert.match(why, /^proxy request failed, cannot connect to the specified address/)
  })

  test('another certificate is another isolate, the same is not', async () => {
    const counter = `let n = 0; export default { async fetch(request, env) {
      const p = await request.json(); const { who } = await (await env.EXIT.fetch(${url('lenient')})).json(); return Response.json([who, ++n]) } }`
    const visit = async (certificate: string, version: string): Promise<unknown> => {
      const bindings: Readonly<Record<string, Wire>> = { EXIT: { type: 'exit', certificate } }
      await fixture.apply([await fixture.ready('w', { code: counter, bindings, version })])
      const sent = { method: 'POST', body: JSON.stringify(ports) }
      return JSON.parse((await fixture.visit('w', '/', sent)).body)
    }
    assert.deepEqual(await visit('alice', 'v1'), ['alice.test', 1])
    assert.deepEqual(await visit('alice', 'v2'), ['alice.test', 2])
    assert.deepEqual(await visit('bob', 'v3'), ['bob.test', 1])
  })

  test('no key is in what is logged', () => {
    const lines = JSON.stringify(fixture.log)
    assert.ok(lines.includes('w0:exit:alice'), 'the configuration is logged')
    assert.ok(!/PRIVATE KEY|BEGIN CERTIFICATE/.test(lines))
  })
})
