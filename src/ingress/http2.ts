import { METHODS } from 'node:http'
import {
  constants,
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { BodySink, HttpBody, HttpRequest, HttpResponse } from '#http1/exchange.ts'
import { headerBytes, http2Limits, keepAliveMs, shutdownStreamId } from './limits.ts'
import type { Awaited, Stalls } from './stall.ts'

export type Http2Options = {
  readonly answer: (request: HttpRequest, response: HttpResponse) => void
  /** Called when a connection is gone. */
  readonly ended: () => void
  readonly stalls: Stalls
  /** How long a connection may be idle, in ms. Without it: `keepAliveMs`. */
  readonly idleMs?: number | undefined
}

/** HTTP/2 on connections that somebody else accepts. */
export class Http2 {
  readonly #server = createServer(http2Limits)
  readonly #sessions = new Map<Http2Session, Ending>()
  readonly #ended: () => void
  readonly #stalls: Stalls
  readonly #idleMs: number
  #isLeaving = false

  constructor({ answer, ended, stalls, idleMs = keepAliveMs }: Http2Options) {
    this.#ended = ended
    this.#stalls = stalls
    this.#idleMs = idleMs
    // What goes wrong with one session or stream ends that one: there is nobody to tell.
    this.#server.on('sessionError', () => undefined)
    this.#server.on('session', (session) => this.#greet(session))
    this.#server.on('stream', (stream, headers, ...[, raw]: [number, string[]]) => {
      stream.on('error', () => undefined)
      const refusal = refusalOf(headers, raw)
      if (refusal !== undefined) return stream.respond({ ':status': refusal }, { endStream: true })
      const body = bodyOf(stream, headers)
      const exchange = new Exchange(stream, body)
      const ending = stream.session && this.#sessions.get(stream.session)
      stalls.add(exchange)
      ending?.opened()
      stream.once('close', () => {
        stalls.delete(exchange)
        ending?.closed()
      })
      answer(requestOf(stream, { headers, raw, body }), new StreamResponse(stream))
    })
  }

  get sessions(): number {
    return this.#sessions.size
  }

  /** Serves a connection whose handshake has agreed on HTTP/2. */
  take(socket: TLSSocket): void {
    this.#server.once('session', (session: ServerHttp2Session) => sockets.set(session, socket))
    this.#server.emit('connection', socket)
  }

  /** Tells visitors to go elsewhere with what they want next: what they have asked is answered. */
  leave(): void {
    this.#isLeaving = true
    for (const session of this.#sessions.keys()) announceEnd(session)
  }

  /** Takes no more requests; a connection ends with the last response on it. */
  end(): void {
    for (const session of this.#sessions.keys()) session.close()
  }

  cut(): void {
    for (const session of this.#sessions.keys()) session.destroy()
  }

  #greet(session: ServerHttp2Session): void {
    const ending = new Ending(session)
    this.#sessions.set(session, ending)
    this.#stalls.add(ending)
    session.once('close', () => {
      this.#stalls.delete(ending)
      this.#sessions.delete(session)
      this.#ended()
    })
    // Nothing was said for a while: what is still open may go on, and then it ends.
    session.setTimeout(this.#idleMs, () => session.close())
    if (this.#isLeaving) announceEnd(session)
  }
}

const methods: ReadonlySet<string> = new Set(METHODS)

/** The status of what the parser of HTTP/1 refuses by itself, and that of HTTP/2 lets through. */
function refusalOf(headers: IncomingHttpHeaders, raw: readonly string[]): number | undefined {
  if (!methods.has(headers[':method'] ?? '')) return 400
  // What can be seen in ASCII: no URL has anything else.
  if (!/^[!-~]*$/.test(headers[':path'] ?? '')) return 400
  // Values are lines on the way to a Worker.
  if (raw.some((text) => /[^\t\x20-\x7e\x80-\xff]/.test(text))) return 400
  const bytes = raw.reduce((sum, text) => sum + text.length, 0)
  return bytes > headerBytes ? 431 : undefined
}

/** The connection of each session: what a session gives out in its place can't be told apart. */
const sockets = new WeakMap<object, TLSSocket>()

/** RFC 9113 §6.8: the last stream is named as high as can be, so that none on its way is refused. */
function announceEnd(session: Http2Session): void {
  if (!session.closed && !session.destroyed) {
    session.goaway(constants.NGHTTP2_NO_ERROR, shutdownStreamId)
  }
}

/** A stream's request, with the headers that HTTP/1 would have had. */
function requestOf(
  stream: ServerHttp2Stream,
  of: {
    readonly headers: IncomingHttpHeaders
    readonly raw: readonly string[]
    readonly body: StreamBody | undefined
  },
): HttpRequest {
  const { headers, raw, body } = of
  return {
    method: headers[':method'] ?? '',
    url: headers[':path'] ?? '',
    httpVersion: '2',
    rawHeaders: plainHeaders(raw),
    socket: (stream.session && sockets.get(stream.session)) ?? {},
    body,
  }
}

function bodyOf(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): StreamBody | undefined {
  if (!stream.endAfterHeaders) return new StreamBody(stream, headers['content-length'])
  stream.resume()
  return undefined
}

/** Whether a session is over, and its connection has only to take the last of it. */
class Ending implements Awaited {
  readonly #session: Http2Session
  #streams = 0

  constructor(session: Http2Session) {
    this.#session = session
  }

  opened(): void {
    this.#streams += 1
  }

  closed(): void {
    this.#streams -= 1
  }

  get awaited(): string | undefined {
    return this.#session.closed && this.#streams === 0 ? 'its end' : undefined
  }

  stall(): void {
    sockets.get(this.#session)?.destroy()
  }
}

/** A stream whose visitor may have to be waited for. */
class Exchange implements Awaited {
  readonly #stream: ServerHttp2Stream
  readonly #body: StreamBody | undefined
  #drains = 0

  constructor(stream: ServerHttp2Stream, body: StreamBody | undefined) {
    this.#stream = stream
    this.#body = body
    stream.on('drain', () => (this.#drains += 1))
  }

  get awaited(): string | undefined {
    const { writableLength } = this.#stream
    if (writableLength === 0 && !this.#body?.takes) return undefined
    return `${this.#body?.pieces} ${this.#drains} ${writableLength}`
  }

  stall(): void {
    const stream = this.#stream
    if (stream.headersSent) {
      stream.close(constants.NGHTTP2_CANCEL)
      // A connection that takes nothing takes no reset either.
      stream.destroy()
    } else {
      stream.respond({ ':status': 408 }, { endStream: true })
      stream.close(constants.NGHTTP2_NO_ERROR)
    }
  }
}

/** The body of a stream's request. */
class StreamBody implements HttpBody {
  readonly length: number | undefined
  readonly #stream: ServerHttp2Stream
  #sink: BodySink | undefined
  #end: 'whole' | 'cut' | undefined
  #isPaused = false
  isTouched = false
  /** How many pieces have come. */
  pieces = 0

  constructor(stream: ServerHttp2Stream, length: string | undefined) {
    this.#stream = stream
    this.length = length !== undefined && /^[0-9]{1,15}$/.test(length) ? Number(length) : undefined
    stream.pause()
    stream.on('data', (piece: Buffer) => {
      this.pieces += 1
      this.isTouched = true
      this.#sink?.onPiece(piece)
    })
    // A stream that was reset ends as well.
    stream.once('end', () => this.#finish(stream.aborted ? 'cut' : 'whole'))
    stream.once('close', () => this.#finish('cut'))
  }

  /** Whether there may be more, and somebody wants it. */
  get takes(): boolean {
    return this.#sink !== undefined && !this.#isPaused && !this.#end
  }

  flowTo(sink: BodySink): void {
    this.#sink = sink
    if (this.#end) this.#tell(this.#end === 'whole' && !this.isTouched ? 'whole' : 'cut')
    else this.resume()
  }

  pause(): void {
    this.#isPaused = true
    this.#stream.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#stream.resume()
  }

  drop(): void {
    this.#sink = undefined
    this.#stream.resume()
  }

  #finish(how: 'whole' | 'cut'): void {
    if (this.#end) return
    this.#end = how
    this.#tell(how)
  }

  #tell(how: 'whole' | 'cut'): void {
    const sink = this.#sink
    this.#sink = undefined
    if (how === 'whole') sink?.onEnd()
    else sink?.onCut()
  }
}

/**
 * Without the pseudo headers, but with the one `host` that `:authority` stands for. A `host` that says
 * something else stays beside it: two are refused. A cookie may come in crumbs (RFC 9113 §8.2.3).
 */
function plainHeaders(raw: readonly string[]): readonly string[] {
  const plain: string[] = []
  const crumbs: string[] = []
  let authority: string | undefined
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? ''
    const value = raw[index + 1] ?? ''
    if (name === ':authority') authority = value
    else if (name === 'cookie') crumbs.push(value)
    else if (!name.startsWith(':')) plain.push(name, value)
  }
  if (crumbs.length > 0) plain.push('cookie', crumbs.join('; '))
  if (authority === undefined) return plain
  const only: string[] = ['host', authority]
  for (let index = 0; index < plain.length; index += 2) {
    const name = plain[index] ?? ''
    const value = plain[index + 1] ?? ''
    if (name !== 'host' || value.toLowerCase() !== authority.toLowerCase()) only.push(name, value)
  }
  return only
}

/** A stream's response. */
class StreamResponse implements HttpResponse {
  readonly #stream: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
    // The visitor need not send the rest of what nobody reads any more.
    stream.once('finish', () => {
      if (stream.endAfterHeaders || stream.readableEnded) return
      setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR))
    })
  }

  get headersSent(): boolean {
    return this.#stream.headersSent
  }

  get destroyed(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }

  get writableEnded(): boolean {
    return this.#stream.writableEnded
  }

  writeHead(status: number, headers: readonly string[]): void {
    if (this.destroyed) return
    const raw: string[] = [':status', String(status)]
    for (let index = 0; index + 1 < headers.length; index += 2) {
      const name = (headers[index] ?? '').toLowerCase()
      if (!ofConnections.has(name)) raw.push(name, headers[index + 1] ?? '')
    }
    this.#stream.respond(raw)
  }

  /** It went out when it was made. */
  flushHead(): void {}

  write(piece: Uint8Array): boolean {
    return this.#isOver || this.#stream.write(piece)
  }

  end(piece?: string | Uint8Array): void {
    if (!this.#isOver) this.#stream.end(piece)
  }

  destroy(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  once(event: 'close' | 'drain', listener: () => void): void {
    this.#stream.once(event, listener)
  }

  off(event: 'close', listener: () => void): void {
    this.#stream.off(event, listener)
  }

  /** The head alone ends the response to a HEAD, and some by their status. */
  get #isOver(): boolean {
    return this.#stream.writableEnded || this.destroyed
  }
}

/** What HTTP/2 has no headers for (RFC 9113 §8.2.2), whatever a Worker says. */
const ofConnections: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])
