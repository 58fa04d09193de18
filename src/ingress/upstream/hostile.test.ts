import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { liveKey } from '#contract/snapshot.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { createIngress, type Ingress } from '#ingress/server.ts'
import { trustIn } from '#ingress/visitor.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

// A process that does not speak as workerd does: whoever has taken it over can say anything.

const account = accountId.parse('0'.repeat(32))
const worker = workerName.parse('w')
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let server: Server
let ingress: Ingress
let port: number
/** What it says to whoever asks, and its connections. */
let speech: (socket: Socket) => void
const open = new Set<Socket>()

before(async () => {
  folder = await temporaryFolder()
  const socketPath = join(folder.path, 'cell.sock')
  server = createServer((socket) => {
    open.add(socket.on('error', () => undefined).once('close', () => open.delete(socket)))
    socket.on('data', () => speech(socket))
  })
  server.listen(socketPath)
  await once(server, 'listening')
  ingress = createIngress({ trust: trustIn([]), random: systemRandom, log: silent })
  ingress.publishRoutes({ hosts: new Map([['w.test', { account, worker }]]) })
  const version = '00000000-0000-4000-8000-000000000001'
  const headers = { cfBlobHeader: 'x-cf-blob-secret', protoHeader: 'x-proto-secret' }
  const target = {
    id: 't1',
    version,
    percentage: 100,
    socketPath,
    ...headers,
    state: 'up',
  } as const
  ingress.publishLive({ workers: new Map([[liveKey({ account, worker }), [target]]]) })
  ;({ port } = await ingress.listen({ host: '127.0.0.1', port: 0 }))
})

after(async () => {
  await ingress.close(0)
  server.close()
  await folder[Symbol.asyncDispose]()
})

const plain = 'POST / HTTP/1.1\r\nHost: w.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
const handshake =
  'GET / HTTP/1.1\r\nHost: w.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

/** What is answered to a visitor, until that connection ends. */
async function answerTo(request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => socket.write(request))
  let heard = ''
  for await (const piece of socket) heard += String(piece)
  return heard
}

const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
const final = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const switched =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

/** Says a thing again and again, as long as anybody listens. */
function endlessly(text: string): (socket: Socket) => void {
  return (socket) => {
    const speaking = setInterval(() => socket.write(text), 1)
    socket.once('close', () => clearInterval(speaking))
  }
}

const cases: readonly [string, string, (socket: Socket) => void, RegExp][] = [
  ['16 interim answers', plain, (to) => to.write(interim.repeat(16) + final), /^HTTP\/1\.1 200 /],
  ['17 of them', plain, (to) => to.write(interim.repeat(17) + final), /^HTTP\/1\.1 502 /],
  ['17, to a handshake', handshake, (to) => to.write(interim.repeat(17)), /^HTTP\/1\.1 502 /],
  ['interim answers without an end', plain, endlessly(interim), /^HTTP\/1\.1 502 /],
  ['those to a handshake', handshake, endlessly(interim), /^HTTP\/1\.1 502 /],
  ['a switch that nobody asked for', plain, (to) => to.write(switched), /^HTTP\/1\.1 502 /],
  [
    'a switch to what nobody asked for',
    handshake,
    (to) => to.write(switched.replace('websocket', 'h2c')),
    /^HTTP\/1\.1 502 /,
  ],
  [
    'a switch to nothing',
    handshake,
    (to) => to.write(switched.replace('Upgrade: websocket\r\n', '')),
    /^HTTP\/1\.1 502 /,
  ],
  ['a switch', handshake, (to) => to.end(`${switched}hello`), /^HTTP\/1\.1 101 [^]*\r\n\r\nhello$/],
]

suite('a process that says', { timeout: 20_000 }, () => {
  for (const [title, request, says, expected] of cases) {
    test(title, async () => {
      speech = says
      assert.match(await answerTo(request), expected)
      // It is not asked anything else on that connection.
      await eventually(() => ingress.idleMs(['t1']) > 0)
      if (!title.startsWith('16')) await eventually(() => open.size === 0)
    })
  }
})
