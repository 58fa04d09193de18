import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { suite, test } from 'node:test'
import { numbersFrom, seed } from '#test/random.ts'
import { remembering, type Seen, statusesIn, visit } from './connection-fixture.ts'
import { next, refused, understood } from './smuggling-fixture.ts'

// However bytes are cut on their way, a connection does the same; and what is well formed is read as
// Node's own parser reads it.

const number = numbersFrom(seed)
const upTo = (most: number): number => Math.floor(number() * most)

function oneOf<Item>(items: readonly Item[]): Item {
  const item = items[upTo(items.length)]
  if (item === undefined) throw new Error('there is none')
  return item
}

/** What is seen of bytes, and what is answered, when they come in these pieces. */
async function resultOf(pieces: readonly Uint8Array[]): Promise<{ seen: Seen[]; heard: string }> {
  const seen: Seen[] = []
  using visitor = visit({ answer: remembering(seen) })
  await visitor.send(...pieces)
  await visitor.send('')
  return { seen, heard: visitor.heard.replaceAll(/Date: [^\r]*/g, 'Date: now') }
}

function byteByByte(bytes: Buffer): readonly Uint8Array[] {
  return [...bytes].map((byte) => Buffer.from([byte]))
}

function atRandom(bytes: Buffer, longest: number): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + upTo(longest)
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}

suite(`what could be read in two ways, cut with seed ${seed}`, () => {
  const probes = [
    ...refused.map(([title, bytes]) => [title, bytes] as const),
    ...understood.map(([title, bytes]) => [title, bytes] as const),
  ]
  for (const [title, text] of probes) {
    test(title, async () => {
      const bytes = Buffer.from(text + next, 'latin1')
      const whole = await resultOf([bytes])
      const ways = Array.from({ length: 5 }, () => atRandom(bytes, Math.ceil(bytes.length / 5)))
      for (const pieces of [byteByByte(bytes), ...ways]) {
        assert.deepEqual(await resultOf(pieces), whole)
      }
    })
  }

  test('there are enough of them', () => {
    assert.ok(probes.length >= 95)
  })
})

/** Requests that are well formed, in every way that they may be. */
function someRequest(): string {
  const method = oneOf(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'M-SEARCH'])
  const target = oneOf(['/', '/a/b%20c', '/?q=1&r=%2F', '/a;b=c', '//x', '/~"<>[]{}|^`'])
  const lines = [`${method} ${target} HTTP/1.1`, `${oneOf(['Host', 'HOST', 'host'])}: w.test`]
  for (let n = upTo(6); n > 0; n--) {
    const name = oneOf(['X-A', 'x-b', 'Accept', 'COOKIE', "!#$%&'*+-.^_`|~9"])
    const value = oneOf([
      '',
      'a',
      'a b\tc',
      '"q, r"',
      '\u00e9\u00ff',
      ':;,=',
      'x'.repeat(upTo(500)),
    ])
    lines.push(`${name}:${oneOf(['', ' ', '\t', '  \t'])}${value}${oneOf(['', ' ', '\t '])}`)
  }
  const body = 'x\r\n0\r\n\r\n'.repeat(upTo(40))
  const kind = oneOf(['none', 'length', 'chunks'])
  if (kind === 'length') lines.push(`Content-Length: ${body.length}`)
  if (kind === 'chunks') lines.push('Transfer-Encoding: chunked')
  const head = `${oneOf(['', '', '\r\n'])}${lines.join('\r\n')}\r\n\r\n`
  if (kind === 'none') return head
  return head + (kind === 'length' ? body : chunked(body))
}

function chunked(body: string): string {
  let text = ''
  for (let at = 0; at < body.length;) {
    const piece = body.slice(at, at + 1 + upTo(60))
    const size = oneOf([piece.length.toString(16), piece.length.toString(16).toUpperCase()])
    text += `${oneOf(['', '0', '000'])}${size}${oneOf(['', '', ';a=b', ';c'])}\r\n${piece}\r\n`
    at += piece.length
  }
  return `${text}0\r\n${oneOf(['', 'X-Trailer: a\r\n'])}\r\n`
}

async function read(request: IncomingMessage): Promise<string> {
  let body = ''
  request.setEncoding('latin1')
  for await (const piece of request) body += String(piece)
  return body
}

/** What Node reads of bytes. */
async function readByNode(bytes: Buffer, requests: number): Promise<Seen[]> {
  const seen: Seen[] = []
  let arrived = 0
  const remember = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // Those that are sent ahead are read side by side.
    const place = arrived++
    const body = await read(request)
    const { method = '', url = '', httpVersion: version, rawHeaders: headers } = request
    seen[place] = { method, url, version, headers, body }
    response.end('ok')
  }
  const server = createServer((request, response) => void remember(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address)
  const socket = connect(address.port, '127.0.0.1', () => socket.write(bytes))
  let heard = ''
  for await (const piece of socket) {
    heard += String(piece)
    if (statusesIn(heard).split(' ').length === requests) break
  }
  socket.destroy()
  server.close()
  await once(server, 'close')
  return seen
}

suite(`what is well formed, made with seed ${seed}`, () => {
  for (let n = 0; n < 60; n++) {
    const requests = Array.from({ length: 1 + upTo(5) }, someRequest)
    test(`${requests.length} requests, number ${n}`, async () => {
      const bytes = Buffer.from(requests.join(''), 'latin1')
      const ours = await resultOf(atRandom(bytes, 1_500))
      assert.equal(statusesIn(ours.heard), requests.map(() => '200').join(' '))
      assert.deepEqual(ours.seen, await readByNode(bytes, requests.length))
      assert.deepEqual(await resultOf([bytes]), ours)
    })
  }
})
