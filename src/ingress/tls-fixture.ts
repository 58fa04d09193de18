import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before } from 'node:test'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { accountId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { liveKey, type Target } from '#contract/snapshot.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { type Authority, makeAuthority } from '#test/certificates.ts'
import { type RawWorkerd, startRawWorkerd } from '#test/raw-workerd.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { type Certificates, openCertificates } from './certificates.ts'
import { createIngress, type Ingress, type IngressOptions } from './server.ts'
import { trustIn } from './visitor.ts'

const module = `
export default {
  async fetch(request) {
    const url = new URL(request.url)
    switch (url.pathname) {
      case '/echo': return new Response(request.body, { headers: { 'x-method': request.method } })
      case '/early': return new Response('early')
      case '/late': await scheduler.wait(Number(url.searchParams.get('ms'))); return new Response('late')
      case '/length': return new Response(String((await request.arrayBuffer()).byteLength))
      case '/status': return new Response(null, { status: Number(url.searchParams.get('code')) })
      case '/cookies': {
        const headers = new Headers([['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['http2-settings', 'x'], ['te', 'x']])
        return new Response('c', { headers })
      }
      case '/throw': throw new Error('boom')
      case '/endless': return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)) } }))
      case '/slow': {
        const { readable, writable } = new TransformStream()
        const writer = writable.getWriter()
        const write = async () => {
          for (let n = 0; n < 5; n++) { await writer.write(new TextEncoder().encode(n + '\\n')); await scheduler.wait(100) }
          await writer.close()
        }
        write()
        return new Response(readable)
      }
      case '/ws': {
        if (request.headers.get('upgrade') !== 'websocket') return new Response('no', { status: 426 })
        const [client, server] = Object.values(new WebSocketPair())
        server.accept()
        if (url.searchParams.has('flood')) for (let n = 0; n < 300; n++) server.send('x'.repeat(60_000))
        server.addEventListener('message', (event) => server.send('echo ' + event.data))
        return new Response(null, { status: 101, webSocket: client })
      }
      default: return Response.json({ url: request.url, cf: request.cf, headers: [...request.headers] })
    }
  }
}`

const account = accountId.parse('0'.repeat(32))
const worker = workerName.parse('w')
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

export let authority: Authority
export let folder: Awaited<ReturnType<typeof temporaryFolder>>
export let certificates: Certificates
let workerd: RawWorkerd

type FrontOptions = Pick<IngressOptions, 'httpsRedirect' | 'stallMs' | 'idleMs'>
type Front = { readonly ingress: Ingress; readonly port: number; readonly tlsPort: number }

export async function makeFront(options: FrontOptions = {}): Promise<Front> {
  const ingress = createIngress({
    ...options,
    trust: trustIn([]),
    random: systemRandom,
    log: silent,
  })
  ingress.publishRoutes({
    hosts: new Map(['w.test', 'other.test'].map((host) => [host, { account, worker }])),
  })
  const target: Target = {
    id: 't1',
    version: '00000000-0000-4000-8000-000000000001',
    percentage: 100,
    socketPath: workerd.socketPath,
    cfBlobHeader: 'x-cf-blob-secret',
    protoHeader: 'x-proto-secret',
    state: 'up',
  }
  ingress.publishLive({ workers: new Map([[liveKey({ account, worker }), [target]]]) })
  const { port } = await ingress.listen({ host: '127.0.0.1', port: 0 })
  const tls = await ingress.listenTls({ host: '127.0.0.1', port: 0 }, certificates)
  return { ingress, port, tlsPort: tls.port }
}

export async function write(name: string, hosts: readonly string[]): Promise<void> {
  const { cert, key } = await authority.issue(hosts)
  await writeFile(join(folder.path, `${name}.pem`), `${key}\n${cert}`)
}

export let front: Front

/** Has a front with TLS before the tests of a file, and nothing of it after them. */
export function useFront(options: FrontOptions = {}): void {
  before(async () => {
    authority = await makeAuthority()
    folder = await temporaryFolder()
    await write('a-default', ['default.test'])
    await write('w', ['w.test', '*.wild.test'])
    certificates = await openCertificates({
      directory: folder.path,
      clock: systemClock,
      log: silent,
    })
    workerd = await startRawWorkerd(
      module,
      'cfBlobHeader = "x-cf-blob-secret", forwardedProtoHeader = "x-proto-secret"',
    )
    front = await makeFront(options)
  })

  after(async () => {
    await front.ingress.close(1_000)
    await workerd[Symbol.asyncDispose]()
    certificates[Symbol.dispose]()
    await folder[Symbol.asyncDispose]()
  })
}

/** A handshake; the connection is the caller's. Rejects if it fails. */
export function shake(options: ConnectionOptions = {}): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const socket = connectTls({
    host: '127.0.0.1',
    port: front.tlsPort,
    ca: authority.cert,
    servername: 'w.test',
    ALPNProtocols: ['h2', 'http/1.1'],
    ...options,
  })
  socket.once('secureConnect', () => resolve(socket)).once('error', reject)
  return promise
}

export async function visit(
  options: { path?: string; servername?: string; headers?: OutgoingHttpHeaders } = {},
): Promise<{ status: number; headers: IncomingMessage['headers']; body: string }> {
  const outgoing = httpsRequest({
    host: '127.0.0.1',
    port: front.tlsPort,
    ca: authority.cert,
    servername: 'w.test',
    agent: false,
    ...options,
    headers: { host: 'w.test', ...options.headers },
  }).end()
  const [response]: IncomingMessage[] = await once(outgoing, 'response')
  assert.ok(response)
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
}

export async function openHttp2(at = front): Promise<ClientHttp2Session & AsyncDisposable> {
  const session = connectHttp2(`https://w.test:${at.tlsPort}`, {
    createConnection: () =>
      connectTls({
        host: '127.0.0.1',
        port: at.tlsPort,
        ca: authority.cert,
        servername: 'w.test',
        ALPNProtocols: ['h2'],
      }),
  })
  session.on('error', () => undefined)
  await once(session, 'remoteSettings')
  return Object.assign(session, {
    [Symbol.asyncDispose]: async () => {
      session.destroy()
    },
  })
}

type Answer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  // Read from the beginning: a stream that ends unread is not told apart from one that was cut.
  const answered: Promise<IncomingHttpHeaders[]> = once(stream, 'response')
  const [[headers = {}], body] = await Promise.all([answered, text(stream)])
  return { status: Number(headers[':status']), headers, body }
}

export async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Answer> {
  const stream = session.request(
    { ':authority': 'w.test', ...headers },
    { endStream: body === undefined },
  )
  if (body !== undefined) stream.end(body)
  return await answerOf(stream)
}

export function seenOf(body: string): {
  url: string
  cf: Record<string, string>
  headers: [string, string][]
} {
  return JSON.parse(body)
}
