import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { eventually } from '#test/temporary.ts'
import { answerOf, ask, authority, front, openHttp2, useFront } from './tls-fixture.ts'

// Visitors that neither send nor take anything, and those that only look like it.

const stallMs = 500
/** Long enough for whoever is to be cut to have been cut. */
const longMs = 2.5 * stallMs

useFront({ stallMs, idleMs: 3 * stallMs })

/** Resolves when the Worker has nothing to do for anybody. */
function freed(): Promise<boolean> {
  return eventually(() => front.ingress.idleMs(['t1']) > 0, 5_000)
}

function busy(): Promise<boolean> {
  return eventually(() => front.ingress.idleMs(['t1']) === 0, 5_000)
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}

type Visitor = Disposable & {
  readonly socket: Socket
  readonly heard: () => string
  readonly closed: Promise<unknown>
}

const protocols: readonly [string, () => Socket][] = [
  ['HTTP/1', () => connect(front.port, '127.0.0.1')],
  ['HTTP/1 with TLS', () => openTls(['http/1.1'])],
]

function openTls(ALPNProtocols: string[]): Socket {
  const { tlsPort: port } = front
  const { cert: ca } = authority
  return connectTls({ host: '127.0.0.1', port, ca, servername: 'w.test', ALPNProtocols })
}

function visit(open: () => Socket, first: string): Visitor {
  const socket = open()
  let heard = ''
  socket.on('error', () => undefined).on('data', (piece: Buffer) => (heard += String(piece)))
  socket.write(first, 'latin1')
  return {
    socket,
    heard: () => heard,
    closed: new Promise((resolve) => socket.once('close', resolve)),
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

const get = (path: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: w.test\r\n${more}\r\n`
const post = (path: string, more: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: w.test\r\n${more}\r\n`
const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

/** A visitor that takes nothing more, once it has heard something. */
async function deafen({ socket }: Visitor): Promise<void> {
  await once(socket, 'data')
  socket.pause()
}

for (const [protocol, open] of protocols) {
  suite(`${protocol}: who stalls`, () => {
    const uploads: readonly [string, string][] = [
      ['announces a body that never begins', post('/length', 'Content-Length: 5\r\n')],
      ['stops in the middle', `${post('/length', 'Content-Length: 5\r\n')}he`],
      ['stops in a chunk', `${post('/length', 'Transfer-Encoding: chunked\r\n')}5\r\nhe`],
      [
        'never ends its chunks',
        `${post('/length', 'Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n`,
      ],
      ['was told to go on', post('/length', 'Expect: 100-continue\r\nContent-Length: 5\r\n')],
    ]
    for (const [title, bytes] of uploads) {
      test(`who ${title} is told 408`, async () => {
        using visitor = visit(open, bytes)
        await visitor.closed
        assert.match(
          visitor.heard(),
          /^(HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 408 Request Timeout\r\n[^]*Connection: close\r\n[^]*\r\n\r\n$/,
        )
        await freed()
      })
    }

    test('who stops in the middle of an upload that is being answered is cut', async () => {
      using visitor = visit(open, `${post('/echo', 'Content-Length: 9\r\n')}hello`)
      await visitor.closed
      assert.match(visitor.heard(), /^HTTP\/1\.1 200 OK[^]*hello$/)
      await freed()
    })

    test('who takes nothing is cut, and its Worker stops', async () => {
      using visitor = visit(open, get('/endless'))
      await deafen(visitor)
      assert.equal(front.ingress.idleMs(['t1']), 0)
      await freed()
    })

    test('who takes nothing of a WebSocket is cut', async () => {
      using visitor = visit(open, get('/ws?flood', upgrade))
      await deafen(visitor)
      assert.equal(front.ingress.idleMs(['t1']), 0)
      await freed()
    })
  })

  suite(`${protocol}: who does not`, () => {
    test('a Worker may take its time', async () => {
      using visitor = visit(open, get(`/late?ms=${longMs}`, 'Connection: close\r\n'))
      await visitor.closed
      assert.match(visitor.heard(), /^HTTP\/1\.1 200 OK[^]*late/)
    })

    test('a Worker may let an upload wait', async () => {
      const head = post(`/late?ms=${longMs}`, 'Content-Length: 30000000\r\n')
      using visitor = visit(open, head)
      visitor.socket.write(Buffer.alloc(30_000_000))
      await eventually(() => visitor.heard().includes('late'))
      assert.match(visitor.heard(), /^HTTP\/1\.1 200 OK/)
    })

    test('a slow upload is no stalled one', async () => {
      using visitor = visit(open, post('/length', 'Content-Length: 10\r\n'))
      for (let n = 0; n < 10; n++) {
        await pause(stallMs / 5)
        visitor.socket.write('x')
      }
      await eventually(() => visitor.heard().endsWith('10'))
    })

    test('a slow download is no stalled one', async () => {
      using visitor = visit(open, get('/endless'))
      await deafen(visitor)
      let heard = 0
      for (let n = 0; n < 12; n++) {
        await pause(stallMs / 5)
        heard = visitor.heard().length
        visitor.socket.resume()
        await eventually(() => visitor.heard().length > heard + 8_000_000)
        visitor.socket.pause()
      }
      assert.equal(front.ingress.idleMs(['t1']), 0)
      visitor.socket.destroy()
      await freed()
    })

    test('a WebSocket may be silent', async () => {
      using visitor = visit(open, get('/ws', upgrade))
      await busy()
      await pause(longMs)
      visitor.socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]))
      await eventually(() => visitor.heard().endsWith('echo hi'))
      visitor.socket.destroy()
      await freed()
    })

    test('a connection may be idle between two requests', async () => {
      using visitor = visit(open, get('/early'))
      await eventually(() => visitor.heard().includes('early'))
      await pause(longMs)
      visitor.socket.write(get('/status?code=404'))
      await eventually(() => visitor.heard().includes('HTTP/1.1 404'))
    })
  })
}

/** The frames of a visitor that asks for a path and has windows without an end (RFC 9113 §6). */
function wideOpen(path: string): string {
  const frame = (kind: readonly [number, number, number], payload: number[]): number[] => {
    const [type, flags, stream] = kind
    return [0, 0, payload.length, type, flags, 0, 0, 0, stream, ...payload]
  }
  const word = (said: string): number[] => [said.length, ...Buffer.from(said)]
  const widest = [0x7f, 0xff, 0x00, 0x00]
  // HPACK: GET and https are in the table, the names of path and authority too (RFC 7541, appendix A).
  const head = [0x82, 0x87, 0x04, ...word(path), 0x01, ...word('w.test')]
  const frames = [
    ...frame([4, 0, 0], [0, 4, ...widest]),
    ...frame([8, 0, 0], widest),
    ...frame([1, 5, 1], head),
  ]
  return `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${String.fromCharCode(...frames)}`
}

suite('HTTP/2', () => {
  function begin(session: ClientHttp2Session, path: string, method: string): ClientHttp2Stream {
    const headers = { ':authority': 'w.test', ':path': path, ':method': method }
    return session.request(headers, { endStream: false }).on('error', () => undefined)
  }

  test('who stops in the middle of an upload is told 408; the connection goes on', async () => {
    await using session = await openHttp2()
    const stream = begin(session, '/length', 'POST')
    stream.write('he')
    assert.deepEqual((await answerOf(stream)).status, 408)
    await freed()
    assert.equal((await ask(session, { ':path': '/early' })).body, 'early')
  })

  test('who stops in the middle of an upload that is being answered is cut', async () => {
    await using session = await openHttp2()
    const stream = begin(session, '/echo', 'POST')
    stream.write('hello')
    const heard = text(stream).catch(() => 'cut')
    await once(stream, 'close')
    assert.notEqual(stream.rstCode, 0)
    await heard
    await freed()
  })

  test('who takes nothing of a stream is cut; the connection goes on', async () => {
    await using session = await openHttp2()
    const stream = begin(session, '/endless', 'GET').end()
    await once(stream, 'response')
    assert.equal(front.ingress.idleMs(['t1']), 0)
    await freed()
    assert.equal((await ask(session, { ':path': '/early' })).body, 'early')
  })

  test('who takes nothing of a connection is cut', async () => {
    using visitor = visit(() => openTls(['h2']), wideOpen('/endless'))
    await deafen(visitor)
    await freed()
    // It reads nothing, and sees that nobody is there only when it speaks.
    await pause(2 * longMs)
    await eventually(() => {
      visitor.socket.write('x')
      return visitor.socket.destroyed
    })
  })

  test('a Worker may take its time', async () => {
    await using session = await openHttp2()
    assert.equal((await ask(session, { ':path': `/late?ms=${longMs}` })).body, 'late')
  })

  test('a slow upload is no stalled one', async () => {
    await using session = await openHttp2()
    const stream = begin(session, '/length', 'POST')
    for (let n = 0; n < 10; n++) {
      await pause(stallMs / 5)
      stream.write('x')
    }
    stream.end()
    assert.equal((await answerOf(stream)).body, '10')
  })
})
