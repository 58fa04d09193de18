import type { Socket } from 'node:net'
import type { BodySink, HttpBody } from '#http1/exchange.ts'
import { joinedBytes } from '#http1/limits.ts'
import type { Call } from './call.ts'

/** The field that says where the body of a call ends (RFC 9112 §6), or nothing. */
export function framingLine({ body, method }: Pick<Call, 'body' | 'method'>): string {
  if (body?.length !== undefined) return `Content-Length: ${body.length}\r\n`
  if (body) return 'Transfer-Encoding: chunked\r\n'
  // RFC 9110 §8.6: said where a method leads to expect a body.
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? 'Content-Length: 0\r\n' : ''
}

/** Writes a body to a connection as it comes, as fast as that takes it. */
export class Sending implements BodySink {
  readonly #socket: Socket
  readonly #body: HttpBody
  readonly #ended: (how: 'sent' | 'cut') => void
  readonly #isChunked: boolean
  #left: number
  #isOver = false

  /** `ended` is called once, unless it is stopped before: all of it is with the socket, or will not be. */
  constructor(socket: Socket, body: HttpBody, ended: (how: 'sent' | 'cut') => void) {
    this.#socket = socket
    this.#body = body
    this.#ended = ended
    this.#isChunked = body.length === undefined
    this.#left = body.length ?? 0
  }

  start(): void {
    this.#body.flowTo(this)
  }

  /** Nothing more is written. */
  stop(): void {
    this.#isOver = true
    this.#body.resume()
  }

  /** The socket takes more. */
  resume(): void {
    if (!this.#isOver) this.#body.resume()
  }

  onPiece(piece: Uint8Array): void {
    if (this.#isOver) return
    this.#left -= piece.length
    // More than it said would be another request to the process.
    if (!this.#isChunked && this.#left < 0) return this.#end('cut')
    const takesMore = this.#isChunked ? this.#writeChunk(piece) : this.#socket.write(piece)
    if (!takesMore) this.#body.pause()
  }

  onEnd(): void {
    if (this.#isOver) return
    if (!this.#isChunked && this.#left !== 0) return this.#end('cut')
    if (this.#isChunked) this.#socket.write('0\r\n\r\n', 'latin1')
    this.#end('sent')
  }

  onCut(): void {
    if (!this.#isOver) this.#end('cut')
  }

  #end(how: 'sent' | 'cut'): void {
    this.#isOver = true
    this.#ended(how)
  }

  #writeChunk(piece: Uint8Array): boolean {
    const head = `${piece.length.toString(16)}\r\n`
    const size = head.length + piece.length + 2
    if (size <= joinedBytes) {
      const joined = Buffer.allocUnsafe(size)
      joined.write(head, 0, 'latin1')
      joined.set(piece, head.length)
      joined.write('\r\n', size - 2, 'latin1')
      return this.#socket.write(joined)
    }
    this.#socket.cork()
    this.#socket.write(head, 'latin1')
    const takesMore = this.#socket.write(piece)
    this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    return takesMore
  }
}
