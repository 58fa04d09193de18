import assert from 'node:assert/strict'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { after, before, suite, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { discardedBytes, jsonBytes } from '#control/limits.ts'
import { uploadBytes } from '#deploy/limits.ts'
import { type Answer, answerOf } from '#test/contract/server.ts'
import { serveSteady, type Steady } from '#test/contract/steady.ts'
import { storedIn } from '#test/contract/stored.ts'

// Bodies that are larger than they may be, and bodies that end too early.

const mebibyte = 1024 * 1024
/** What the sockets of both sides may hold. */
const buffered = 8 * mebibyte
const head = [
  '--xx\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"main_module":"a.js"}',
  '--xx\r\nContent-Disposition: form-data; name="a.js"; filename="a.js"',
  'Content-Type: application/javascript+module\r\n\r\n',
].join('\r\n')
const tail = '\r\n--xx--\r\n'

type Sent = {
  readonly path: string
  readonly type: string
  readonly head?: string
  /** How much follows the head. */
  readonly bytes: number
  readonly tail?: string
  /** Whether the length is told before. */
  readonly isDeclared?: boolean
  readonly agent?: Agent
}

suite('bodies that are too large', () => {
  let server: Steady
  before(async () => {
    server = await serveSteady()
  })
  after(() => server[Symbol.asyncDispose]())

  const multipart = 'multipart/form-data; boundary=xx'
  const upload = { path: 'workers/scripts/fresh', type: multipart, head }
  const json = { path: 'workers/scripts/steady/secrets', type: 'application/json', head: '"' }
  const endless = 1024 * mebibyte

  const cases: readonly (readonly [title: string, sent: Sent, code: number, read: number])[] = [
    ['a form that says it is', { ...upload, bytes: endless, isDeclared: true }, 10027, 0],
    ['a form that does not say', { ...upload, bytes: endless }, 10027, uploadBytes],
    ['modules of 100 MB', { ...upload, bytes: 1e8, tail, isDeclared: true }, 10027, 1e8],
    ['JSON that says it is', { ...json, bytes: endless, isDeclared: true }, 10026, 0],
    ['JSON that does not say', { ...json, bytes: endless }, 10026, jsonBytes],
  ]
  for (const [title, sent, code, read] of cases) {
    test(title, async () => {
      const stored = storedIn(server.dataDirectory)
      const memory = watchMemory()
      const { answer, written } = await send(server, sent)
      const grown = memory.peak()
      assert.deepEqual([answer.status, answer.codes], [413, [code]], answer.text)
      assert.ok(written <= read + discardedBytes + buffered, `${written} bytes were read`)
      // The body as it comes and the body in one piece, and what the collector has not found yet.
      assert.ok(grown <= 2.5 * read + 4 * buffered, `${grown} bytes of memory for ${read}`)
      assert.deepEqual(storedIn(server.dataDirectory), stored)
      assert.equal((await server.visit('steady')).body, 'steady')
    })
  }

  test('the connection can be used again, then and later', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (const isDeclared of [true, false]) {
      const large = await send(server, { ...json, bytes: 2 * mebibyte, isDeclared, agent })
      assert.equal(large.answer.status, 413)
      for (const pause of [0, 700]) {
        await wait(pause)
        const small = await send(server, { ...json, bytes: 10, agent })
        assert.equal(small.answer.status, 400)
        assert.equal(small.socket, large.socket, `${isDeclared} ${pause}`)
      }
    }
    agent.destroy()
  })

  test('a sender that goes away', async () => {
    const stored = storedIn(server.dataDirectory)
    for (const { path, type, head: begin } of [upload, json]) {
      const outgoing = open(server, { path, type, bytes: mebibyte, isDeclared: true })
      outgoing.on('error', () => undefined).write(begin)
      await wait(100)
      outgoing.destroy()
    }
    await wait(100)
    assert.deepEqual(storedIn(server.dataDirectory), stored)
    assert.equal((await server.visit('steady')).body, 'steady')
  })
})

function open(server: Steady, sent: Sent): ClientRequest {
  const { path, type, bytes, head: begin = '', tail: end = '', agent = false } = sent
  const length = begin.length + bytes + end.length
  return request(`${server.apiUrl}${server.home}/${path}`, {
    method: 'PUT',
    agent,
    headers: {
      authorization: `Bearer ${server.token}`,
      'content-type': type,
      ...(sent.isDeclared && { 'content-length': length }),
    },
  })
}

/** Sends until there is an answer, no faster than it is taken. */
async function send(
  server: Steady,
  sent: Sent,
): Promise<{ answer: Answer; written: number; socket: number | undefined }> {
  const outgoing = open(server, sent)
  const answered = answerTo(outgoing)
  const heard = new AbortController()
  const done = answered.finally(() => heard.abort()).catch(() => undefined)
  const piece = Buffer.alloc(64 * 1024, 'x')
  let left = sent.bytes
  outgoing.write(sent.head ?? '')
  while (left > 0 && !heard.signal.aborted) {
    const next = piece.subarray(0, Math.min(left, piece.length))
    left -= next.length
    if (!outgoing.write(next)) await Promise.race([drained(outgoing), done])
  }
  if (left === 0) outgoing.end(sent.tail ?? '')
  const { answer, socket } = await answered.finally(() => left > 0 && outgoing.destroy())
  return { answer, written: sent.bytes - left, socket }
}

/** `once` of `node:events` would reject when the other side has had enough. */
function drained(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => void outgoing.once('drain', resolve))
}

function answerTo(
  outgoing: ClientRequest,
): Promise<{ answer: Answer; socket: number | undefined }> {
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject).on('response', (incoming: IncomingMessage) => {
      // Who has the answer may find that nobody listens any more.
      outgoing.off('error', reject).on('error', () => undefined)
      const socket = incoming.socket.localPort
      const chunks: Uint8Array<ArrayBuffer>[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(new Uint8Array(chunk)))
      incoming.on('error', reject).on('end', () => {
        const response = new Response(new Blob(chunks), { status: incoming.statusCode ?? 0 })
        void answerOf(response).then((answer) => resolve({ answer, socket }))
      })
    })
  })
}

/** How much more memory than now there was at most, in buffers: what is in them is not ours to say. */
function watchMemory(): { peak(): number } {
  const start = process.memoryUsage().arrayBuffers
  let peak = start
  const look = (): void => void (peak = Math.max(peak, process.memoryUsage().arrayBuffers))
  const timer = setInterval(look, 2).unref()
  return {
    peak: () => {
      look()
      clearInterval(timer)
      return peak - start
    },
  }
}
