import type { Duplex } from 'node:stream'
import type { HttpRequest } from './exchange.ts'
import { readRequestLine, readTerms, type RequestLine, type Terms } from './framing.ts'
import { type Head, HeadReader } from './head.ts'
import { Malformed, refusals, type RefusalStatus } from './malformed.ts'
import { RequestBody } from './request-body.ts'
import { dateLine, Http1Response, type Outlet } from './response.ts'

export type Answer = (request: HttpRequest, response: Http1Response) => void
/** Takes over a connection that is to become a WebSocket, with what came behind the request. */
export type Join = (request: HttpRequest, socket: Duplex, rest: Buffer) => void

/** How long a connection waits, in milliseconds. */
export type Patience = {
  /** For a head, from its first byte, and for the first one from the connection's beginning. */
  readonly headMs: number
  /** For a request after a response. */
  readonly idleMs: number
  /** For the rest of a body that nobody reads. */
  readonly lingerMs: number
  /** For the client to close a connection that ends. */
  readonly goodbyeMs: number
}

/** What a connection knows of the place that it is at. */
export interface Place {
  readonly answer: Answer
  /** Absent: nobody wants a WebSocket, and who asks for one is answered like anybody else. */
  readonly join: Join | undefined
  readonly patience: Patience
  /** Bytes of a head; and of what may be beside the data of chunks. */
  readonly headBytes: number
  /** What a head ends with behind which the connection goes on. */
  readonly keepAliveLines: string
  /** Whether requests that begin now are the last ones of their connections. */
  readonly isLeaving: boolean
  /** Whether connections end as soon as they are idle, without a wait for the client's goodbye. */
  readonly isEnding: boolean
  /** It is not this place's any more: closed, or taken over. */
  left(connection: Connection): void
}

const isReading = 0
const isAnswering = 1
const isParting = 2
const isGone = 3

/**
 * A client's connection. Requests are answered one after the other: what was sent ahead waits, unread
 * beyond a piece, until the response before it has ended (RFC 9112 §9.3.2).
 */
export class Connection implements Outlet {
  readonly socket: Duplex
  readonly #place: Place
  readonly #heads: HeadReader
  #line: RequestLine | undefined
  #state = isReading
  #isRunning = false
  /** What was received and not used, from `#at` on. */
  #bytes: Buffer | undefined
  #at = 0
  #body: RequestBody | undefined
  #response: Http1Response | undefined
  #terms: Terms | undefined
  #isLast = false
  /** Pieces that came, and queues that were taken. */
  #moves = 0
  /** Whether a part of a head has been read. */
  #hasBegun = false
  /** When it has waited long enough for what it waits for, by `performance.now()`. */
  deadline: number

  constructor(socket: Duplex, place: Place) {
    this.socket = socket
    this.#place = place
    this.#heads = new HeadReader(place.headBytes, (line) => (this.#line = readRequestLine(line)))
    this.deadline = performance.now() + place.patience.headMs
    socket.on('data', this.#onData).on('end', this.#onEnd).on('drain', this.#onDrain)
    socket.on('close', this.#onClose).on('error', this.#onError)
  }

  get isIdle(): boolean {
    return this.#state === isReading
  }

  get keepsAlive(): boolean {
    const { keepsAlive = false, upgrade, expectsContinue } = this.#terms ?? {}
    // What comes behind an upgrade that does not take place may be the middle of something; and who
    // was not told to send a body may send it or not (RFC 9110 §10.1.1).
    if (upgrade !== undefined || (expectsContinue && !this.#body?.isAwaited)) return false
    return keepsAlive && !this.#isLast && !this.#place.isLeaving
  }

  get keepAliveLines(): string {
    return this.#place.keepAliveLines
  }

  /** Nothing is to be answered behind what is in flight. */
  end(): void {
    this.#isLast = true
    if (this.#state !== isAnswering) this.#part()
  }

  cut(): void {
    this.socket.destroy()
    this.#close()
  }

  /** The deadline has passed. */
  expire(): void {
    if (this.#state === isReading && !this.#heads.isEmpty) this.#refuse(408)
    else if (this.#state === isReading) this.#part()
    else this.cut()
  }

  /**
   * While the client is waited for, to send what it has announced or to take what is queued for it: a
   * mark that is another one when a byte has moved.
   */
  get awaited(): string | undefined {
    const { writableLength } = this.socket
    const isToSend = this.#state === isAnswering && this.#body?.takes && !this.#body.isDone
    return isToSend || writableLength > 0 ? `${this.#moves} ${writableLength}` : undefined
  }

  /** It was waited for long enough. Who takes nothing can be told nothing. */
  stall(): void {
    if (this.socket.writableLength > 0) this.cut()
    else this.#refuse(408)
  }

  finished(): void {
    const { isLast = true } = this.#response ?? {}
    this.#response = undefined
    if (isLast || this.#isLast) return this.#part()
    if (this.#body && !this.#body.isDone) {
      // The next request is behind what is left of this one.
      this.deadline = performance.now() + this.#place.patience.lingerMs
      this.#body.drop()
    } else {
      this.#body = undefined
      this.#await()
    }
  }

  readonly #onData = (piece: Buffer): void => {
    this.#moves += 1
    if (this.#state >= isParting) return
    const rest = this.#bytes?.subarray(this.#at)
    this.#bytes = rest && rest.length > 0 ? Buffer.concat([rest, piece]) : piece
    this.#at = 0
    this.#run()
  }

  /** Who has said all it will before it has its response has left, as far as anybody can know. */
  readonly #onEnd = (): void => {
    if (this.#state === isAnswering) this.cut()
    else if (this.#state === isReading) this.#part()
  }

  readonly #onDrain = (): void => {
    this.#moves += 1
    this.#response?.drain()
    this.#run()
  }

  readonly #onError = (): void => this.cut()

  readonly #onClose = (): void => this.#close()

  #close(): void {
    if (this.#state === isGone) return
    this.#state = isGone
    this.#bytes = undefined
    this.#response?.close()
    this.#body?.cut()
    this.#place.left(this)
  }

  /** Uses what was received as far as that is possible at the moment. */
  readonly #run = (): void => {
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      while (this.#step());
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#refuse(error.status)
    } finally {
      this.#isRunning = false
    }
    if (this.#state >= isParting) return
    // A client that leaves is noticed only while it is listened to: so far, and no further.
    const waiting = this.#bytes ? this.#bytes.length - this.#at : 0
    if (waiting >= this.#place.headBytes) this.socket.pause()
    else if (this.socket.isPaused()) this.socket.resume()
  }

  /** Whether there may be another step. */
  #step(): boolean {
    const bytes = this.#bytes
    if (this.#body) return this.#takeBody(this.#body)
    if (this.#state !== isReading || !bytes || this.socket.writableNeedDrain) return false
    const from = this.#at === 0 ? bytes : bytes.subarray(this.#at)
    const end = this.#heads.read(from)
    if (end < 0) {
      this.#expectRest()
      return false
    }
    this.#hasBegun = false
    const head = this.#heads.take(from)
    this.#use(this.#at + end)
    this.#begin(head)
    return true
  }

  /** The time of a head runs from its first byte; that of a connection's first one, from its beginning. */
  #expectRest(): void {
    if (this.#hasBegun || this.#heads.isEmpty) return
    this.#hasBegun = true
    this.deadline = Math.min(this.deadline, performance.now() + this.#place.patience.headMs)
  }

  #takeBody(body: RequestBody): boolean {
    if (!body.isDone) {
      if (!this.#bytes || !body.takes) return false
      this.#use(body.take(this.#bytes, this.#at))
    }
    if (!body.isDone) return true
    this.#body = undefined
    if (this.#state === isAnswering && !this.#response) this.#await()
    return true
  }

  /** Bytes before `at` are used. */
  #use(at: number): void {
    if (at === this.#bytes?.length) this.#bytes = undefined
    this.#at = this.#bytes ? at : 0
  }

  #begin({ fields }: Head): void {
    const line = this.#line
    if (!line) return
    const terms = readTerms(fields, line.version)
    const { socket } = this
    this.#terms = terms
    this.#body = terms.framing && this.#bodyOf(terms.framing)
    const request: HttpRequest = {
      method: line.method,
      url: line.target,
      httpVersion: line.version,
      rawHeaders: fields,
      socket,
      body: this.#body,
    }
    this.deadline = Infinity
    const { join } = this.#place
    if (join && isHandshake(line, terms)) return this.#leave(request, join)
    this.#state = isAnswering
    const addressee = { isHead: line.method === 'HEAD', version: line.version }
    this.#response = new Http1Response(this, addressee)
    this.#place.answer(request, this.#response)
  }

  #bodyOf(framing: NonNullable<Terms['framing']>): RequestBody | undefined {
    if (framing !== 'chunked' && framing.length === 0) return undefined
    return new RequestBody(framing, this.#place.headBytes, () => {
      if (this.#terms?.expectsContinue && !this.#response?.headersSent) this.#continue()
      this.#run()
    })
  }

  /** RFC 9110 §10.1.1: somebody wants the body now. */
  #continue(): void {
    if (!this.#body || this.#body.isTouched || !this.#response) return
    this.#terms = this.#terms && { ...this.#terms, expectsContinue: false }
    this.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
  }

  /** Gives the connection away. */
  #leave(request: HttpRequest, join: Join): void {
    const { socket } = this
    const rest = this.#bytes?.subarray(this.#at) ?? Buffer.alloc(0)
    this.#bytes = undefined
    this.#state = isGone
    socket.pause()
    socket.off('data', this.#onData).off('end', this.#onEnd).off('drain', this.#onDrain)
    socket.off('close', this.#onClose).off('error', this.#onError)
    this.#place.left(this)
    join(request, socket, rest)
  }

  /** Waits for the next request. */
  #await(): void {
    this.#state = isReading
    this.deadline = performance.now() + this.#place.patience.idleMs
    this.#run()
  }

  /** What came can't be understood, or did not come in time: it is told so, if that can be told. */
  #refuse(status: RefusalStatus): void {
    if (this.#state >= isParting) return
    if (this.#response?.headersSent) return this.cut()
    // The request that this belongs to has its response: another one would be taken for the next.
    if (this.#state === isAnswering && !this.#response) return this.#part()
    const response = this.#response
    const body = this.#body
    this.socket.write(
      `HTTP/1.1 ${status} ${refusals[status]}\r\n${dateLine()}Connection: close\r\nContent-Length: 0\r\n\r\n`,
      'latin1',
    )
    this.#part()
    response?.close()
    body?.cut()
  }

  /**
   * Ends the connection behind what was sent. What still comes is read and forgotten for a moment:
   * closing at once could take back what the client has not read yet (RFC 9112 §9.6).
   */
  #part(): void {
    if (this.#state >= isParting) return
    this.#state = isParting
    this.#bytes = undefined
    this.#body = undefined
    this.#response = undefined
    this.deadline = Infinity
    const { isEnding, patience } = this.#place
    if (isEnding) return void this.socket.end(() => this.socket.destroy())
    this.socket.end(() => (this.deadline = performance.now() + patience.goodbyeMs))
    this.socket.resume()
  }
}

/**
 * Other upgrades are answered as if they were not there, and so are handshakes with a body, and what
 * `Connection` does not offer (RFC 9110 §7.8): it may be of a hop before.
 */
function isHandshake({ method, version }: RequestLine, { upgrade, ...terms }: Terms): boolean {
  const { framing, offersUpgrade } = terms
  const hasBody = framing !== undefined && (framing === 'chunked' || framing.length > 0)
  const asks = upgrade === 'websocket' && offersUpgrade
  return method === 'GET' && version === '1.1' && asks && !hasBody
}
