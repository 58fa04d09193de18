import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { HttpResponse } from './exchange.ts'
import { readLength } from './framing.ts'
import { joinedBytes } from './limits.ts'

/** The connection that a response goes out on. */
export interface Outlet {
  readonly socket: Duplex
  /** Whether the connection can go on behind this response: asked when its head is made. */
  readonly keepsAlive: boolean
  /** What the head ends with if it does. */
  readonly keepAliveLines: string
  /** The response has ended; all of it is with the socket. */
  finished(): void
  cut(): void
}

/** Whom a response is for. */
export type Addressee = { readonly isHead: boolean; readonly version: '1.0' | '1.1' }

/** How the end of a body is told: by its length, by chunks, by closing; or there is none. */
type Ending = 'none' | 'length' | 'chunks' | 'close'

/** A response of HTTP/1.1: a head and its first piece are one write. */
export class Http1Response implements HttpResponse {
  readonly #outlet: Outlet
  readonly #addressee: Addressee
  /** A head that has not gone out. */
  #held = ''
  #ending: Ending = 'none'
  #left = 0
  #closed: (() => void)[] | undefined
  #drained: (() => void)[] | undefined
  headersSent = false
  destroyed = false
  writableEnded = false
  /** Whether the connection ends behind it. Known once there is a head. */
  isLast = false

  constructor(outlet: Outlet, addressee: Addressee) {
    this.#outlet = outlet
    this.#addressee = addressee
  }

  writeHead(
    status: number,
    headers: readonly string[],
    reason = STATUS_CODES[status] ?? 'Unknown',
  ): void {
    if (this.headersSent) throw new Error('a response has one head')
    let length: string | undefined
    let hasDate = false
    let keepsAlive = true
    checkText('a reason phrase', reason)
    let text = `HTTP/1.1 ${status} ${reason}\r\n`
    for (let index = 0; index + 1 < headers.length; index += 2) {
      const name = headers[index] ?? ''
      const value = headers[index + 1] ?? ''
      checkField(name, value)
      const kind = kindOf(name)
      // How the body ends and whether the connection goes on is for this place to say.
      if (kind === 'transfer-encoding') continue
      if (kind === 'connection') {
        keepsAlive &&= value.toLowerCase() !== 'close'
        continue
      }
      if (kind === 'content-length') {
        if (length !== undefined) throw new TypeError('a response has one length')
        length = value
      } else if (kind === 'date') hasDate = true
      text += `${name}: ${value}\r\n`
    }
    if (!hasDate) text += dateLine()
    this.#decideEnding(status, length)
    this.isLast = !keepsAlive || this.#ending === 'close' || !this.#outlet.keepsAlive
    if (this.#ending === 'chunks') text += 'Transfer-Encoding: chunked\r\n'
    this.#held = text + (this.isLast ? lastLine : this.#outlet.keepAliveLines)
    this.headersSent = true
  }

  flushHead(): void {
    if (this.#held !== '' && !this.destroyed) this.#send('', undefined, '')
  }

  write(piece: Uint8Array): boolean {
    if (this.destroyed || this.writableEnded || this.#ending === 'none') return true
    if (piece.length === 0) return true
    if (this.#ending === 'chunks') return this.#send(chunkHead(piece), piece, '\r\n')
    this.#count(piece.length)
    return this.destroyed || this.#send('', piece, '')
  }

  end(piece?: string | Uint8Array): void {
    if (this.destroyed || this.writableEnded) return
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece
    const last = this.#ending === 'none' || bytes?.length === 0 ? undefined : bytes
    if (this.#ending === 'length') {
      this.#count(last?.length ?? 0)
      // What is shorter than it says has no end (RFC 9112 §8): the client must see that.
      if (this.#left > 0) this.destroy()
      if (this.destroyed) return
    }
    this.writableEnded = true
    if (this.#ending === 'chunks') {
      if (last) this.#send(chunkHead(last), last, '\r\n0\r\n\r\n')
      else this.#send('', undefined, '0\r\n\r\n')
    } else if (last || this.#held !== '') this.#send('', last, '')
    this.#outlet.finished()
  }

  /** Resolves when all that was written has gone out, so that its memory is free, or nobody reads any more. */
  sent(): Promise<void> {
    const { socket } = this.#outlet
    if (this.destroyed || socket.writableLength === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.once('close', resolve)
      socket.write('', () => {
        this.off('close', resolve)
        resolve()
      })
    })
  }

  destroy(): void {
    if (!this.destroyed) this.#outlet.cut()
  }

  once(event: 'close' | 'drain', listener: () => void): void {
    if (event === 'close') (this.#closed ??= []).push(listener)
    else (this.#drained ??= []).push(listener)
  }

  off(_event: 'close', listener: () => void): void {
    this.#closed = this.#closed?.filter((known) => known !== listener)
  }

  /** The connection is gone, or nothing more may be said on it. */
  close(): void {
    if (this.destroyed) return
    this.destroyed = true
    const listeners = this.#closed
    this.#closed = undefined
    for (const listener of listeners ?? []) listener()
  }

  /** The connection takes more. */
  drain(): void {
    const listeners = this.#drained
    this.#drained = undefined
    for (const listener of listeners ?? []) listener()
  }

  /** RFC 9112 §6.3. */
  #decideEnding(status: number, length: string | undefined): void {
    const hasNone = this.#addressee.isHead || status === 204 || status === 304
    if (length !== undefined) this.#left = readLength(length)
    if (hasNone) this.#ending = 'none'
    else if (length !== undefined) this.#ending = 'length'
    else this.#ending = this.#addressee.version === '1.1' ? 'chunks' : 'close'
  }

  /** More than the length that was said would pass for the next response. */
  #count(bytes: number): void {
    if (this.#ending !== 'length') return
    this.#left -= bytes
    if (this.#left < 0) this.destroy()
  }

  #send(before: string, piece: Uint8Array | undefined, after: string): boolean {
    const { socket } = this.#outlet
    const head = this.#held + before
    this.#held = ''
    if (!piece) return socket.write(head + after, 'latin1')
    const size = head.length + piece.length + after.length
    if (size <= joinedBytes) {
      if (size === piece.length) return socket.write(piece)
      // One write of a copy costs less than one of three pieces.
      const joined = Buffer.allocUnsafe(size)
      joined.write(head, 0, 'latin1')
      joined.set(piece, head.length)
      joined.write(after, head.length + piece.length, 'latin1')
      return socket.write(joined)
    }
    socket.cork()
    if (head !== '') socket.write(head, 'latin1')
    const takesMore = socket.write(piece)
    if (after !== '') socket.write(after, 'latin1')
    socket.uncork()
    return takesMore
  }
}

const lastLine = 'Connection: close\r\n\r\n'

type Kind = 'content-length' | 'transfer-encoding' | 'connection' | 'date'

function kindOf(name: string): Kind | undefined {
  const { length } = name
  if (length !== 4 && length !== 10 && length !== 14 && length !== 17) return undefined
  const lower = name.toLowerCase()
  return lower === 'content-length' ||
    lower === 'transfer-encoding' ||
    lower === 'connection' ||
    lower === 'date'
    ? lower
    : undefined
}

/** A line within a field would be one of its own (RFC 9110 §5.5). Above a byte, one may turn up. */
function checkField(name: string, value: string): void {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
    throw new TypeError(`a header can't be called ${JSON.stringify(name)}`)
  }
  checkText(name, value)
}

function checkText(what: string, text: string): void {
  if (!/[^\t\x20-\x7e\x80-\xff]/.test(text)) return
  throw new TypeError(`${what} can't be ${JSON.stringify(text)}`)
}

function chunkHead(piece: Uint8Array): string {
  return `${piece.length.toString(16)}\r\n`
}

let dated = { second: 0, line: '' }

/** RFC 9110 §6.6.1. Made once a second. */
export function dateLine(): string {
  const second = Math.floor(Date.now() / 1_000)
  if (second !== dated.second) {
    dated = { second, line: `Date: ${new Date(second * 1_000).toUTCString()}\r\n` }
  }
  return dated.line
}
