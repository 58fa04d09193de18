import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { WebSocket } from 'ws'
import { accountId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { liveKey, type Target } from '#contract/snapshot.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { type RawWorkerd, startRawWorkerd } from '#test/raw-workerd.ts'
import { closeFrame } from './frames.ts'
import { createIngress, type Ingress } from './server.ts'
import { trustIn } from './visitor.ts'
import { Downstream } from './websocket.ts'

// WebSockets whose visitors do not do as they should, or whose process goes away.

const module = `
export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url)
    if (searchParams.has('refuse')) return new Response('refused', { status: 403 })
    if (searchParams.has('slow')) await scheduler.wait(300)
    const [client, server] = Object.values(new WebSocketPair())
    server.accept()
    if (searchParams.has('flood')) for (let n = 0; n < 200; n++) server.send('x'.repeat(60_000))
    return new Response(null, { status: 101, webSocket: client })
  }
}`

const account = accountId.parse('0'.repeat(32))
const worker = workerName.parse('w')
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

const said = 'The Worker is being restarted.'

let workerd: RawWorkerd
let ingress: Ingress
let port: number

function publish(over: Partial<Target> = {}): void {
  const target: Target = {
    id: 't1',
    version: '00000000-0000-4000-8000-000000000001',
    percentage: 100,
    socketPath: workerd.socketPath,
    cfBlobHeader: 'x-cf-blob-secret',
    protoHeader: 'x-proto-secret',
    state: 'up',
    ...over,
  }
  ingress.publishLive({ workers: new Map([[liveKey({ account, worker }), [target]]]) })
}

/** A visitor that asks for a WebSocket and never ends its half of the connection by itself. */
async function halfOpen(path: string, at = port): Promise<Disposable & { socket: Socket }> {
  const socket = connect({ port: at, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: w.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  )
  return { socket, [Symbol.dispose]: () => void socket.destroy() }
}

suite('what a Worker says', () => {
  const hello = Buffer.from([0x81, 2, 0x68, 0x69])
  const endings: [string, Buffer, boolean, Uint8Array][] = [
    ['between two frames it may be told to close', hello, false, closeFrame(1012, said)],
    ['within a frame there is nothing to say', hello.subarray(0, 3), false, Buffer.alloc(0)],
    ['nor after its own Close frame', Buffer.from(closeFrame(1000, '')), false, Buffer.alloc(0)],
    ['nor when it has ended it, read or not', hello, true, Buffer.alloc(0)],
  ]
  for (const [title, words, hasEnded, ending] of endings) {
    test(title, async () => {
      const visitor = new PassThrough()
      const down = new Downstream(visitor)
      down.pass(words)
      if (hasEnded) down.end()
      down.close()
      down.pass(hello)
      const seen = await buffer(visitor)
      assert.deepEqual([...seen], [...words, ...ending])
    })
  }
})

suite('WebSockets through ingress', () => {
  before(async () => {
    workerd = await startRawWorkerd(module)
    ingress = createIngress({ trust: trustIn([]), random: systemRandom, log: silent })
    ingress.publishRoutes({ hosts: new Map([['w.localhost', { account, worker }]]) })
    publish()
    ;({ port } = await ingress.listen({ host: '127.0.0.1', port: 0 }))
  })
  after(async () => {
    await ingress.close(1_000)
    await workerd[Symbol.asyncDispose]()
  })

  const reluctant: [string, string, boolean][] = [
    ['that reads nothing', '/ws?flood', false],
    ['whose handshake was refused and who keeps its half open', '/ws?refuse', true],
    ['that keeps its half open after a Close frame', '/ws', true],
  ]
  for (const [title, path, isReading] of reluctant) {
    test(`a visitor ${title} does not hold up a drain`, { timeout: 10_000 }, async () => {
      using visitor = await halfOpen(path)
      if (isReading) visitor.socket.resume()
      else visitor.socket.pause()
      await new Promise((resolve) => void setTimeout(resolve, 500))
      const startedAt = performance.now()
      await ingress.drain(['t1'], 50)
      assert.ok(performance.now() - startedAt < 1_000)
    })
  }

  test('what was refused as a WebSocket does not hold up a stop', { timeout: 10_000 }, async () => {
    const own = createIngress({ trust: trustIn([]), random: systemRandom, log: silent })
    const { port: at } = await own.listen({ host: '127.0.0.1', port: 0 })
    using visitor = await halfOpen('/ws', at)
    await once(visitor.socket.resume(), 'end')
    const startedAt = performance.now()
    await own.close(100)
    assert.ok(performance.now() - startedAt < 3_000)
  })

  test('a handshake that a release cuts is made again', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?slow`, {
      headers: { host: 'w.localhost' },
    })
    await new Promise((resolve) => void setTimeout(resolve, 100))
    publish({ state: 'held' })
    ingress.closeWebSockets(['t1'])
    await ingress.drain(['t1'], 5_000)
    publish({ id: 't2' })
    await once(socket, 'open')
    socket.terminate()
    publish()
  })
})
