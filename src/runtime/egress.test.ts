import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net'
import { after, before, suite, test } from 'node:test'
import { createServer as createTlsServer, TLSSocket } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { WebSocketServer } from 'ws'
import { workerLoaderWiring } from '#bindings/worker-loader/wiring.ts'
import { certificate, certificateKey } from '#egress/certificate.fixture.ts'
import { createEgress } from '#egress/server.ts'
import { type Fixture, startFixture } from './fixture.ts'

// What user code can reach through the proxy, from inside a real cell. What it can't is in
// `network.test.ts` and `egress/*.test.ts`.

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const tls = { key: certificateKey, cert: certificate }

/** Runs `body` with `p`, an object of ports, and answers what it returns. */
function code(body: string): string {
  return `import { connect } from 'cloudflare:sockets'
import nodeTls from 'node:tls'
import net from 'node:net'
const encode = (text) => new TextEncoder().encode(text)
const say = async (socket, text) => { const writer = socket.writable.getWriter(); await writer.write(encode(text)); writer.releaseLock() }
const hear = async (socket) => { const reader = socket.readable.getReader(); const { value } = await reader.read(); reader.releaseLock(); return new TextDecoder().decode(value) }
async function run(p) { ${body} }
export default { async fetch(request) {
  try { return Response.json({ value: await run(JSON.parse(await request.text())) }) }
  catch (error) { return Response.json({ error: error.message }) }
} }`
}

const answer: RequestListener = (request, response) => {
  const { url = '', method, rawHeaders } = request
  if (url === '/gzip') {
    response.writeHead(200, { 'content-encoding': 'gzip' })
    return void response.end(gzipSync('unpacked'))
  }
  if (url.startsWith('/to/')) {
    response.writeHead(302, {
      location: decodeURIComponent(url.slice(4)),
      'set-cookie': ['a=1', 'b=2'],
    })
    return void response.end()
  }
  if (url === '/slow') {
    response.write('first ')
    return void setTimeout(() => response.end('second'), 50)
  }
  if (url === '/cut') {
    response.writeHead(200, { 'content-length': 100 })
    response.write('some', () => response.destroy())
    return
  }
  let body = ''
  request.setEncoding('utf8').on('data', (data: string) => (body += data))
  request.on('end', () => {
    response.setHeader('x-plain', 'caf\u00e9')
    response.end(JSON.stringify({ method, url, body, rawHeaders }))
  })
}

suite('the way out of a cell', () => {
  let fixture: Fixture
  const ports: Record<string, number> = {}
  const stops: (() => Promise<unknown>)[] = []

  async function serve(name: string, server: Server): Promise<void> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    ports[name] = (server.address() as AddressInfo).port
    const sockets = new Set<Socket>()
    server.on('connection', (socket: Socket) => {
      sockets.add(socket.on('error', () => {}))
    })
    stops.push(() => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    })
  }

  before(async () => {
    const http = createServer(answer)
    const sockets = new WebSocketServer({ noServer: true })
    http.on('upgrade', (request, socket, head) => {
      if (request.url === '/no')
        return void socket.end('HTTP/1.1 418 No\r\nContent-Length: 3\r\n\r\nno!')
      sockets.handleUpgrade(request, socket, head, (visitor) => {
        visitor.on('message', (data) =>
          visitor.send(`echo ${data instanceof Buffer ? data.toString() : ''}`),
        )
        visitor.on('close', (status) => http.emit('parted', status))
      })
    })
    await serve('http', http)
    await serve('https', createHttpsServer(tls, answer))
    await serve(
      'echo',
      createTcpServer(
        (socket) => void socket.on('data', (data) => socket.write(`echo ${data.toString()}`)),
      ),
    )
    await serve(
      'tls',
      createTlsServer(
        tls,
        (socket) =>
          void socket
            .on('error', () => {})
            .on('data', (data) => socket.write(`secure ${data.toString()}`)),
      ),
    )
    // As PostgreSQL does: a question in plain text, a byte, and TLS from there on.
    await serve(
      'starttls',
      createTcpServer((socket) => {
        socket.once('data', (question) => {
          socket.write(question.toString() === 'please' ? 'S' : 'N')
          const secured = new TLSSocket(socket, { ...tls, isServer: true })
          secured
            .on('error', () => {})
            .on('data', (data) => secured.write(`upgraded ${data.toString()}`))
        })
      }),
    )
    await serve(
      'private',
      createServer((_, response) => void response.end('reached')),
    )
    const open = Object.entries(ports).filter(([name]) => name !== 'private')
    fixture = await startFixture({
      egress: createEgress({
        allow: open.map(([, port]) => `127.0.0.1:${port}`),
        certificates: [certificate],
        resolve: async (name) =>
          name.endsWith('origin.test') || name === 'other.test'
            ? [{ text: '127.0.0.1', family: 'ipv4' }]
            : [],
        log: silent,
      }),
    })
  })
  after(async () => {
    await fixture[Symbol.asyncDispose]()
    for (const stop of stops) await stop()
  })

  async function run(body: string): Promise<unknown> {
    await fixture.apply([await fixture.ready('w', { code: code(body), flags: ['nodejs_compat'] })])
    const { body: text } = await fixture.visit('w', '/', {
      method: 'POST',
      body: JSON.stringify(ports),
    })
    return JSON.parse(text)
  }

  /** The same in a Worker that the one that is visited has loaded. */
  async function runLoaded(body: string): Promise<unknown> {
    const loading = `const modules = { 'main.js': ${JSON.stringify(code(body))} }
      export default { fetch: (request, env) => env.LOADER
        .load({ compatibilityDate: '2026-11-01', mainModule: 'main.js', modules }).getEntrypoint().fetch(request) }`
    const bindings = { LOADER: workerLoaderWiring() }
    await fixture.apply([await fixture.ready('w', { code: loading, bindings })])
    const sent = { method: 'POST', body: JSON.stringify(ports) }
    return JSON.parse((await fixture.visit('w', '/', sent)).body)
  }

  const cases: [what: string, body: string, expected: unknown][] = [
    [
      'GET, with the name of the origin as Host and nothing of ours',
      `const { method, url, rawHeaders } = await (await fetch('http://origin.test:' + p.http + '/a%20b?c=%C3%A9', { headers: { 'X-A': '1', Host: 'forged.test' } })).json(); rawHeaders[1] = rawHeaders[1].replace(/\\d+/, ''); return { method, url, rawHeaders }`,
      {
        value: {
          method: 'GET',
          url: '/a%20b?c=%C3%A9',
          rawHeaders: ['host', 'origin.test:', 'connection', 'keep-alive', 'X-A', '1'],
        },
      },
    ],
    [
      'POST with a stream both ways',
      `const { readable, writable } = new IdentityTransformStream(); const writer = writable.getWriter();
       const sent = fetch('http://127.0.0.1:' + p.http + '/', { method: 'POST', body: readable });
       for (const part of ['one ', 'two ', 'three']) { await writer.write(encode(part)); await scheduler.wait(5) }
       await writer.close(); const { method, body } = await (await sent).json(); return method + ' ' + body`,
      { value: 'POST one two three' },
    ],
    [
      'other methods',
      `const all = []; for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) all.push((await (await fetch('http://origin.test:' + p.http, { method })).json()).method); return all.join(' ')`,
      { value: 'PUT PATCH DELETE OPTIONS PROPFIND' },
    ],
    [
      'HEAD',
      `const r = await fetch('http://origin.test:' + p.http, { method: 'HEAD' }); return [r.status, await r.text()]`,
      { value: [200, ''] },
    ],
    [
      'https',
      `return (await (await fetch('https://origin.test:' + p.https + '/x')).json()).url`,
      { value: '/x' },
    ],
    [
      'https by address',
      `return (await fetch('https://127.0.0.1:' + p.https)).status`,
      { value: 200 },
    ],
    [
      'a certificate of somebody else',
      `const r = await fetch('https://other.test:' + p.https); return [r.status, (await r.text()).split('\\n')[0]]`,
      { value: [526, 'error code: 526'] },
    ],
    [
      'https where there is no TLS',
      `return (await fetch('https://origin.test:' + p.http)).status`,
      { value: 525 },
    ],
    [
      'a packed body',
      `const r = await fetch('http://origin.test:' + p.http + '/gzip'); return [await r.text(), r.headers.get('content-encoding')]`,
      { value: ['unpacked', 'gzip'] },
    ],
    [
      'a header that is not ASCII',
      `return [...(await fetch('http://origin.test:' + p.http)).headers.get('x-plain')].map((c) => c.codePointAt(0)).at(-1) > 127`,
      { value: true },
    ],
    [
      'a response in pieces',
      `return await (await fetch('http://origin.test:' + p.http + '/slow')).text()`,
      { value: 'first second' },
    ],
    [
      'a response cut in the middle',
      `return await (await fetch('http://origin.test:' + p.http + '/cut')).text().catch(() => 'cut')`,
      { value: 'cut' },
    ],
    [
      'a redirect that is followed',
      `const r = await fetch('http://origin.test:' + p.http + '/to/' + encodeURIComponent('https://origin.test:' + p.https + '/there')); return [r.redirected, (await r.json()).url]`,
      { value: [true, '/there'] },
    ],
    [
      'a redirect that is not',
      `const r = await fetch('http://origin.test:' + p.http + '/to/x', { redirect: 'manual' }); return [r.status, r.headers.getSetCookie()]`,
      { value: [302, ['a=1', 'b=2']] },
    ],
    [
      'a redirect to a private address',
      `const r = await fetch('http://origin.test:' + p.http + '/to/' + encodeURIComponent('http://127.0.0.1:' + p.private + '/')); return [r.status, (await r.text()).split('\\n')[0]]`,
      { value: [403, 'error code: 1003'] },
    ],
    ['nobody there', `return (await fetch('http://nowhere.test/')).status`, { value: 530 }],
    [
      'a WebSocket',
      `const { webSocket } = await fetch('http://origin.test:' + p.http, { headers: { Upgrade: 'websocket' } }); webSocket.accept();
       const heard = new Promise((resolve) => webSocket.addEventListener('message', (event) => resolve(event.data))); webSocket.send('hello');
       const said = await heard; webSocket.close(1000); return said`,
      { value: 'echo hello' },
    ],
    [
      'a WebSocket that is refused',
      `const r = await fetch('http://origin.test:' + p.http + '/no', { headers: { Upgrade: 'websocket' } }); return [r.status, await r.text()]`,
      { value: [418, 'no!'] },
    ],
    [
      'a WebSocket to a private address',
      `return (await fetch('http://127.0.0.1:' + p.private, { headers: { Upgrade: 'websocket' } })).status`,
      { value: 403 },
    ],
    [
      'connect()',
      `const socket = connect('origin.test:' + p.echo); const { remoteAddress } = await socket.opened; await say(socket, 'hello'); const heard = await hear(socket); await socket.close(); return [remoteAddress === 'origin.test:' + p.echo, heard]`,
      { value: [true, 'echo hello'] },
    ],
    [
      'connect() in two parts',
      `const socket = connect({ hostname: '127.0.0.1', port: p.echo }); await say(socket, 'hello'); return hear(socket)`,
      { value: 'echo hello' },
    ],
    [
      'connect() to a private address',
      `const socket = connect('127.0.0.1:' + p.private); socket.closed.catch(() => {}); await socket.opened`,
      { error: 'proxy request failed, cannot connect to the specified address' },
    ],
    [
      'connect() with TLS',
      `const socket = connect('origin.test:' + p.tls, { secureTransport: 'on' }); const { remoteAddress } = await socket.opened; await say(socket, 'hello'); return [remoteAddress === 'origin.test:' + p.tls, socket.secureTransport, await hear(socket)]`,
      { value: [true, 'on', 'secure hello'] },
    ],
    [
      'connect() with TLS to an address',
      `const socket = connect({ hostname: '127.0.0.1', port: p.tls }, { secureTransport: 'on' }); await say(socket, 'hello'); return hear(socket)`,
      { value: 'secure hello' },
    ],
    [
      'connect() with TLS, and a certificate of somebody else',
      `const socket = connect('other.test:' + p.tls, { secureTransport: 'on' }); socket.closed.catch(() => {}); await socket.opened`,
      { error: 'proxy request failed, cannot connect to the specified address' },
    ],
    [
      'connect() that starts TLS later',
      `const socket = connect('origin.test:' + p.starttls, { secureTransport: 'starttls' }); await say(socket, 'please'); const first = await hear(socket);
       const secured = socket.startTls(); await secured.opened; await say(secured, 'hello'); const heard = await hear(secured); await socket.closed; return [first, socket.upgraded, heard]`,
      { value: ['S', true, 'upgraded hello'] },
    ],
    [
      '... for another name',
      `const socket = connect('other.test:' + p.starttls, { secureTransport: 'starttls' }); await say(socket, 'please'); await hear(socket);
       const secured = socket.startTls({ expectedServerHostname: 'origin.test' }); await say(secured, 'hello'); return hear(secured)`,
      { value: 'upgraded hello' },
    ],
    [
      '... twice',
      `const socket = connect('origin.test:' + p.starttls, { secureTransport: 'starttls' }); await say(socket, 'please'); await hear(socket); socket.startTls(); socket.startTls()`,
      { error: 'startTls can only be called once.' },
    ],
    [
      'node:net',
      `return new Promise((resolve, reject) => { const socket = net.connect(p.echo, 'origin.test'); socket.on('error', reject).on('data', (data) => { socket.destroy(); resolve(String(data)) }).write('hello') })`,
      { value: 'echo hello' },
    ],
    [
      'node:tls',
      `return new Promise((resolve, reject) => { const socket = nodeTls.connect({ host: 'origin.test', port: p.tls, servername: 'origin.test' }); socket.on('error', reject).on('data', (data) => { socket.destroy(); resolve(String(data)) }).write('hello') })`,
      { value: 'secure hello' },
    ],
  ]
  for (const [what, body, expected] of cases) {
    test(what, async () => {
      assert.deepEqual(await run(body), expected)
    })
  }

  // Node's TLS can't be had done outside there: it says so, and sends nothing in plain text.
  const unlike: Readonly<Record<string, unknown>> = {
    'node:tls': { error: 'proxy request failed, cannot connect to the specified address' },
  }
  for (const [what, body, expected] of cases.filter(([name]) =>
    /GET|private|connect|^\.|node/.test(name),
  )) {
    test(`in a loaded Worker: ${what}`, async () => {
      assert.deepEqual(await runLoaded(body), unlike[what] ?? expected)
    })
  }
})
