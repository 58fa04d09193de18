import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { WebSocket } from 'ws'
import { accountId, versionId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Random } from '#contract/ports/random.ts'
import { liveKey, type RoutedWorker, type Target, type WakePort } from '#contract/snapshot.ts'
import { type RawWorkerd, startRawWorkerd } from '#test/raw-workerd.ts'
import { eventually } from '#test/temporary.ts'
import { createIngress, type Ingress } from './server.ts'
import { trustIn } from './visitor.ts'

const module = `
export default {
  async fetch(request) {
    const url = new URL(request.url)
    switch (url.pathname) {
      case '/throw': throw new Error('boom')
      case '/own500': return new Response('Internal Server Error', { status: 500 })
      case '/echo': return new Response(request.body, { headers: { 'x-method': request.method } })
      case '/early': return new Response('early')
      case '/stream': {
        const { readable, writable } = new TransformStream()
        const writer = writable.getWriter()
        const write = async () => {
          for (let n = 0; n < 5; n++) { await writer.write(new TextEncoder().encode(n + '\\n')); await scheduler.wait(20) }
          await writer.close()
        }
        write()
        return new Response(readable)
      }
      case '/endless': return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)) } }))
      case '/never': await scheduler.wait(60_000); return new Response('late')
      case '/ws': {
        if (request.headers.get('upgrade') !== 'websocket') return new Response('no', { status: 426 })
        if (url.searchParams.has('refuse')) return new Response('refused', { status: 403, headers: { 'x-why': 'test' } })
        const [client, server] = Object.values(new WebSocketPair())
        server.accept()
        server.addEventListener('message', (event) => server.send('echo ' + event.data))
        server.addEventListener('close', (event) => server.close(event.code === 1005 ? 1000 : event.code))
        return new Response(null, { status: 101, webSocket: client })
      }
      default: return Response.json({ url: request.url, cf: request.cf, headers: [...request.headers] })
    }
  }
}`

const account = accountId.parse('0'.repeat(32))
const worker = workerName.parse('w')
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const random: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
  uuid: () => randomUUID(),
}

let workerd: RawWorkerd
let ingress: Ingress
let port: number
/** What ingress had woken. */
const woken: RoutedWorker[] = []

function target(over: Partial<Target> = {}): Target {
  return {
    id: 't1',
    version: '00000000-0000-4000-8000-000000000001',
    percentage: 100,
    socketPath: workerd.socketPath,
    cfBlobHeader: 'x-cf-blob-secret',
    protoHeader: 'x-proto-secret',
    state: 'up',
    ...over,
  }
}

function publish(...targets: Target[]): void {
  ingress.publishLive({ workers: new Map([[liveKey({ account, worker }), targets]]) })
}

async function makeIngress(proxies: readonly string[]): Promise<void> {
  const waker: WakePort = {
    wake(routed) {
      woken.push(routed)
      if (routed.version === undefined) publish(target({ state: 'down' }))
    },
  }
  ingress = createIngress({ trust: trustIn(proxies), random, log: silent, waker })
  ingress.publishRoutes({ hosts: new Map([['w.localhost', { account, worker }]]) })
  publish(target())
  ;({ port } = await ingress.listen({ host: '127.0.0.1', port: 0 }))
}

type Answer = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

function get(
  path: string,
  options: { method?: string; headers?: Record<string, string | string[]>; body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        port,
        path,
        method: options.method ?? 'GET',
        headers: { host: 'w.localhost', ...options.headers },
      },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (data) => (body += data))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        )
        response.on('error', reject)
      },
    )
    outgoing.on('error', reject)
    outgoing.end(options.body)
  })
}

/** Sends bytes as they are and gives back everything until the connection closes. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'))
    let answer = ''
    socket.setTimeout(5_000, () => socket.destroy())
    socket.on('data', (data) => (answer += data.toString('latin1')))
    socket.on('close', () => resolve(answer)).on('error', reject)
  })
}

suite('ingress', () => {
  before(async () => {
    workerd = await startRawWorkerd(
      module,
      'cfBlobHeader = "x-cf-blob-secret", forwardedProtoHeader = "x-proto-secret"',
    )
    await makeIngress([])
  })
  after(async () => {
    await ingress.close(1_000)
    await workerd[Symbol.asyncDispose]()
  })

  test('a request reaches its Worker with the headers of the platform', async () => {
    const own = { 'x-own': 'kept', 'cloudflare-workers-version-key': 'user' }
    const seen = JSON.parse((await get('/some/path?q=1', { headers: own })).body)
    const headers = Object.fromEntries(seen.headers)
    assert.equal(seen.url, 'http://w.localhost/some/path?q=1')
    for (const [name, value] of Object.entries(own)) assert.equal(headers[name], value)
    assert.equal(headers['cf-connecting-ip'], '127.0.0.1')
    assert.equal(headers['x-real-ip'], '127.0.0.1')
    assert.match(headers['cf-ray'], /^[0-9a-f]{16}-BND$/)
    assert.equal(seen.cf.httpProtocol, 'HTTP/1.1')
  })

  const forged: [string, string][] = [
    ['CF-Connecting-IP', '6.6.6.6'],
    ['cf-ray', 'forged'],
    ['Cf-Visitor', 'forged'],
    ['CF-Worker', 'forged'],
    ['X-Forwarded-For', '6.6.6.6'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', 'forged'],
    ['Forwarded', 'for=6.6.6.6'],
    ['X-Real-IP', '6.6.6.6'],
    ['True-Client-IP', '6.6.6.6'],
    ['X-Bindery-Capability', 'forged'],
    ['x-cf-blob-secret', '{"forged":1}'],
    ['x-proto-secret', 'https'],
    ['X-CF-Blob-Secret', 'not json'],
  ]
  for (const [name, value] of forged) {
    test(`a visitor cannot forge ${name}`, async () => {
      const answer = await get('/', { headers: { [name]: [value, value] } })
      assert.equal(answer.status, 200)
      assert.doesNotMatch(answer.body, /6\.6\.6\.6|forged|not json|https/)
    })
  }

  const malformed: [string, string, RegExp][] = [
    [
      'two Hosts',
      'GET / HTTP/1.1\r\nHost: w.localhost\r\nHost: x.localhost\r\n\r\n',
      /^HTTP\/1.1 400/,
    ],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', /^HTTP\/1.1 400/],
    ['userinfo in Host', 'GET / HTTP/1.1\r\nHost: a@w.localhost\r\n\r\n', /^HTTP\/1.1 400/],
    ['a path in Host', 'GET / HTTP/1.1\r\nHost: w.localhost/x\r\n\r\n', /^HTTP\/1.1 400/],
    [
      'absolute form',
      'GET http://w.localhost/ HTTP/1.1\r\nHost: w.localhost\r\n\r\n',
      /^HTTP\/1.1 400/,
    ],
    ['asterisk form', 'OPTIONS * HTTP/1.1\r\nHost: w.localhost\r\n\r\n', /^HTTP\/1.1 400/],
    [
      'length and chunks',
      'POST /echo HTTP/1.1\r\nHost: w.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1.1 400/,
    ],
    ['bare LF', 'GET / HTTP/1.1\nHost: w.localhost\n\n', /^HTTP\/1.1 400/],
    [
      '40 KB of headers',
      `GET / HTTP/1.1\r\nHost: w.localhost\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`,
      /^HTTP\/1.1 431/,
    ],
    [
      'a URL of 17 KB',
      `GET /${'a'.repeat(17_000)} HTTP/1.1\r\nHost: w.localhost\r\n\r\n`,
      /^HTTP\/1.1 414/,
    ],
    [
      'CONNECT',
      'CONNECT w.localhost:80 HTTP/1.1\r\nHost: w.localhost\r\n\r\n',
      /^(HTTP\/1.1 4\d\d|$)/,
    ],
    ['another protocol', '\u0016\u0003\u0001\u0002\u0000', /^HTTP\/1.1 400/],
  ]
  for (const [title, text, expected] of malformed) {
    test(`refused: ${title}`, async () => {
      assert.match(await raw(text.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')), expected)
    })
  }

  const hosts: [string, number][] = [
    ['w.localhost', 200],
    ['W.LocalHost', 200],
    ['w.localhost:8787', 200],
    ['w.localhost.', 200],
    ['x.localhost', 404],
    ['localhost', 404],
    ['127.0.0.1', 404],
    ['[::1]:80', 404],
    ['a.w.localhost', 404],
  ]
  for (const [host, status] of hosts) {
    test(`host ${host} gives ${status}`, async () => {
      assert.equal((await get('/', { headers: { host } })).status, status)
    })
  }

  test('bodies stream both ways', async () => {
    const big = 'x'.repeat(3_000_000)
    const answer = await get('/echo', { method: 'POST', body: big })
    assert.equal(answer.headers['x-method'], 'POST')
    assert.equal(answer.body.length, big.length)
    const chunked = await get('/echo', {
      method: 'PUT',
      headers: { 'transfer-encoding': 'chunked' },
      body: 'hello',
    })
    assert.equal(chunked.body, 'hello')
    assert.equal((await get('/stream')).body, '0\n1\n2\n3\n4\n')
    assert.equal((await get('/', { method: 'HEAD' })).body, '')
  })

  test('a body that the Worker does not read does not keep its answer', async () => {
    let answers = ''
    for (let n = 0; n < 20; n++) {
      const socket = connect(port, '127.0.0.1')
      const head = 'Host: w.localhost\r\nContent-Length: 1000000\r\n\r\n'
      socket.write(`POST /early HTTP/1.1\r\n${head}${'x'.repeat(1_000_000)}`)
      socket.write('GET /early HTTP/1.1\r\nHost: w.localhost\r\nConnection: close\r\n\r\n')
      for await (const data of socket) answers += String(data)
    }
    assert.equal(answers.match(/HTTP\/1\.1 200/g)?.length, 40)
  })

  test('an exception is the 1101 page; a Worker may still send a 500 of its own', async () => {
    const threw = await get('/throw')
    assert.equal(threw.status, 500)
    assert.match(threw.body, /Error 1101/)
    assert.match(threw.body, new RegExp(String(threw.headers['cf-ray'])))
    const own = await get('/own500')
    assert.deepEqual([own.status, own.body], [500, 'Internal Server Error'])
  })

  test('a visitor who leaves ends the stream', async () => {
    const outgoing = httpRequest({ port, path: '/endless', headers: { host: 'w.localhost' } }).end()
    const [response] = await once(outgoing, 'response')
    await once(response, 'data')
    response.on('error', () => undefined)
    outgoing.on('error', () => undefined).destroy()
    await ingress.drain(['t1'], 5_000)
  })

  test('WebSockets', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { host: 'w.localhost' } })
    await once(socket, 'open')
    socket.send('hello')
    const [data] = await once(socket, 'message')
    assert.equal(String(data), 'echo hello')
    socket.close(1000)
    assert.equal((await once(socket, 'close'))[0], 1000)
  })

  test('a refused handshake is an ordinary answer on a connection that ends', async () => {
    const answer = await raw(
      'GET /ws?refuse HTTP/1.1\r\nHost: w.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w.localhost\r\nX-Bindery-Capability: x\r\n\r\n',
    )
    assert.match(answer, /^HTTP\/1.1 403/)
    assert.match(answer, /x-why: test/i)
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1)
  })

  test('who waits for a Worker that goes away is told so', { timeout: 5_000 }, async () => {
    publish(target({ state: 'held' }))
    const waiting = get('/')
    await new Promise((resolve) => void setTimeout(resolve, 100))
    ingress.publishLive({ workers: new Map() })
    ingress.publishRoutes({ hosts: new Map() })
    assert.equal((await waiting).status, 404)
    ingress.publishRoutes({ hosts: new Map([['w.localhost', { account, worker }]]) })
    publish(target())
  })

  test('another upgrade is a plain request', async () => {
    const answer = await get('/ws', { headers: { connection: 'Upgrade', upgrade: 'h2c' } })
    assert.equal(answer.status, 426)
  })

  test('shares are kept to', async () => {
    publish(
      target({ id: 'a', percentage: 80 }),
      target({ id: 'b', percentage: 20, socketPath: '/nonexistent/socket', state: 'down' }),
    )
    assert.equal((await get('/')).status, 200, 'a version that is down is passed over')
    publish(target())
  })

  test('a process that is down is waited for, then the request goes on', async () => {
    publish(target({ state: 'down' }))
    const answer = get('/')
    setTimeout(() => publish(target()), 150)
    assert.equal((await answer).status, 200)
  })

  test('a Worker that sleeps, and a preview, are woken and waited for', async () => {
    const preview = { account, worker, version: versionId.parse(target().version) }
    ingress.publishRoutes({
      hosts: new Map([['w.localhost', { account, worker }]]),
      findPreview: async (hostname) => (hostname === 'v-w.localhost' ? preview : undefined),
    })
    publish(target({ state: 'asleep' }))
    const answer = get('/')
    await eventually(() => woken.length === 1)
    publish(target())
    assert.equal((await answer).status, 200)
    const previewed = get('/', { headers: { host: 'v-w.localhost' } })
    await eventually(() => woken.length === 2)
    ingress.publishLive({ workers: new Map([[liveKey(preview), [target()]]]) })
    assert.equal((await previewed).status, 200)
    assert.deepEqual(woken, [{ account, worker }, preview])
    assert.equal((await get('/', { headers: { host: 'u-w.localhost' } })).status, 404)
    publish(target())
  })

  test('a process that stays away is a 502, soon', { timeout: 10_000 }, async () => {
    publish(target({ id: 'gone', socketPath: '/nonexistent/socket' }))
    const answer = await get('/')
    assert.equal(answer.status, 502)
    publish(target())
  })

  test('a killed process: a request in flight that may have acted is a 502, not a hang', async () => {
    await using mortal = await startRawWorkerd(module)
    publish(target({ id: 'mortal', socketPath: mortal.socketPath }))
    const answer = get('/never', { method: 'POST', body: 'x' })
    setTimeout(() => void mortal.kill(), 200)
    assert.equal((await answer).status, 502)
    publish(target())
  })

  test('drain waits for what is in flight and cuts it at the deadline', async () => {
    const answer = get('/stream')
    await new Promise((resolve) => void setTimeout(resolve, 30))
    const startedAt = performance.now()
    await ingress.drain(['t1'], 10_000)
    assert.ok(performance.now() - startedAt > 20)
    assert.equal((await answer).body, '0\n1\n2\n3\n4\n')
    const endless = get('/never').catch((error: Error) => error.message)
    await new Promise((resolve) => void setTimeout(resolve, 100))
    await ingress.drain(['t1'], 50)
    assert.equal(await endless, 'socket hang up')
  })
})

suite('ingress behind a trusted proxy', () => {
  before(async () => {
    workerd = await startRawWorkerd(
      module,
      'cfBlobHeader = "x-cf-blob-secret", forwardedProtoHeader = "x-proto-secret"',
    )
    await makeIngress(['127.0.0.0/8', '10.0.0.0/8', '::1'])
  })
  after(async () => {
    await ingress.close(1_000)
    await workerd[Symbol.asyncDispose]()
  })

  const chains: [string, string][] = [
    ['203.0.113.7', '203.0.113.7'],
    ['6.6.6.6, 203.0.113.7, 10.1.2.3', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8::1', '2001:db8::1'],
    ['10.1.2.3', '10.1.2.3'],
    ['nonsense', '127.0.0.1'],
  ]
  for (const [chain, ip] of chains) {
    test(`X-Forwarded-For: ${chain} is ${ip}`, async () => {
      const answer = await get('/', {
        headers: { 'x-forwarded-for': chain, 'x-forwarded-proto': 'https' },
      })
      const seen = JSON.parse(answer.body)
      assert.equal(Object.fromEntries(seen.headers)['cf-connecting-ip'], ip)
      assert.match(seen.url, /^https:/)
    })
  }

  test('a list that is not addresses is refused', () => {
    assert.throws(() => trustIn(['example.com']))
    assert.throws(() => trustIn(['10.0.0.0/99']))
  })
})
