import { METHODS } from 'node:http'
import {
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { BodySink, VisitorBody, VisitorRequest, VisitorResponse } from './exchange.ts'
import { headerBytes, http2Limits, keepAliveMs, shutdownStreamId } from './limits.ts'

type Answer = (request: VisitorRequest, response: VisitorResponse) => void

/** HTTP/2 on connections that somebody else accepts. `ended` is called when one of them is gone. */
export class Http2 {
  readonly #server = createServer(http2Limits)
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #ended: () => void
  #isLeaving = false

  constructor(answer: Answer, ended: () => void) {
    this.#ended = ended
    // What goes wrong with one session or stream ends that one: there is nobody to tell.
    this.#server.on('sessionError', () => undefined)
    this.#server.on('session', (session) => this.#greet(session))
    this.#server.on('stream', (stream, headers, ...[, raw]: [number, string[]]) => {
      stream.on('error', () => undefined)
      const refusal = refusalOf(headers, raw)
      if (refusal !== undefined) return stream.respond({ ':status': refusal }, { endStream: true })
      const request = requestOf(stream, headers, raw)
      answer(request, new StreamResponse(stream))
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
    for (const session of this.#sessions) announceEnd(session)
  }

  /** Takes no more requests; a connection ends with the last response on it. */
  end(): void {
    for (const session of this.#sessions) session.close()
  }

  cut(): void {
    for (const session of this.#sessions) session.destroy()
  }

  #greet(session: ServerHttp2Session): void {
    this.#sessions.add(session)
    session.once('close', () => {
      this.#sessions.delete(session)
      this.#ended()
    })
    // Nothing was said for a while: what is still open may go on, and then it ends.
    session.setTimeout(keepAliveMs, () => session.close())
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
function announceEnd(session: ServerHttp2Session): void {
  if (!session.closed && !session.destroyed) {
    session.goaway(constants.NGHTTP2_NO_ERROR, shutdownStreamId)
  }
}

/** A stream's request, with the headers that HTTP/1 would have had. */
function requestOf(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  raw: readonly string[],
): VisitorRequest {
  const length = headers['content-length']
  if (stream.endAfterHeaders) stream.resume()
  return {
    method: headers[':method'] ?? '',
    url: headers[':path'] ?? '',
    httpVersion: '2',
    rawHeaders: plainHeaders(raw),
    socket: (stream.session && sockets.get(stream.session)) ?? {},
    body: stream.endAfterHeaders ? undefined : new StreamBody(stream, length),
  }
}

/** The body of a stream's request. */
class StreamBody implements VisitorBody {
  readonly length: number | undefined
  readonly #stream: ServerHttp2Stream
  #sink: BodySink | undefined
  #end: 'whole' | 'cut' | undefined
  isTouched = false

  constructor(stream: ServerHttp2Stream, length: string | undefined) {
    this.#stream = stream
    this.length = length !== undefined && /^[0-9]{1,15}$/.test(length) ? Number(length) : undefined
    stream.pause()
    stream.on('data', (piece: Buffer) => {
      this.isTouched = true
      this.#sink?.onPiece(piece)
    })
    // A stream that was reset ends as well.
    stream.once('end', () => this.#finish(stream.aborted ? 'cut' : 'whole'))
    stream.once('close', () => this.#finish('cut'))
  }

  flowTo(sink: BodySink): void {
    this.#sink = sink
    if (this.#end) this.#tell(this.#end === 'whole' && !this.isTouched ? 'whole' : 'cut')
    else this.#stream.resume()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
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
class StreamResponse implements VisitorResponse {
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
