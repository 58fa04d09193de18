import { isTokenByte, isValueByte } from './head.ts'
import { Malformed } from './malformed.ts'

// Where the body of a message ends (RFC 9112 §6 and §7).

/** Takes a body out of the bytes of a connection. */
export interface BodyReader {
  /** Whether the last byte of it has been taken. */
  readonly isDone: boolean
  /** The piece that `take` has found; absent if there was none. Of the caller's own bytes, no copy. */
  readonly piece: Uint8Array | undefined
  /**
   * Takes bytes from `at` on, at most one piece. Returns where it has stopped: to be called again from
   * there until `isDone` or the bytes are used up. Throws `Malformed`.
   */
  take(bytes: Uint8Array, at: number): number
}

/** So many bytes. */
export class LengthReader implements BodyReader {
  #left: number
  piece: Uint8Array | undefined

  constructor(length: number) {
    this.#left = length
  }

  get isDone(): boolean {
    return this.#left === 0
  }

  take(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.#left)
    this.piece = end > at ? bytes.subarray(at, end) : undefined
    this.#left -= end - at
    return end
  }
}

/** All that comes until the connection is closed: of responses only. */
export class EndlessReader implements BodyReader {
  readonly isDone = false
  piece: Uint8Array | undefined

  take(bytes: Uint8Array, at: number): number {
    this.piece = at < bytes.length ? bytes.subarray(at) : undefined
    return bytes.length
  }
}

const cr = 0x0d
const lf = 0x0a
const colon = 0x3a
const semicolon = 0x3b

const atSize = 0
const inSize = 1
const inExtension = 2
const afterSize = 3
const inData = 4
const behindData = 5
const afterData = 6
const atTrailer = 7
const inTrailerName = 8
const inTrailerValue = 9
const afterTrailer = 10
const afterLast = 11
const isComplete = 12

/** Digits of a length of a chunk: what is longer is beyond 2^53 or has zeros for no reason. */
const sizeDigits = 16

/**
 * Chunks (RFC 9112 §7.1), as strictly as heads are read: a length is hexadecimal digits and nothing
 * else, a line ends with CR LF. Extensions and trailers are checked, and dropped (§7.1.1, §7.1.2);
 * of both there may be so many bytes.
 */
export class ChunkReader implements BodyReader {
  #state = atSize
  #size = 0
  #digits = 0
  /** Bytes of extensions and trailers that may still come. */
  #allowance: number
  piece: Uint8Array | undefined

  constructor(allowance: number) {
    this.#allowance = allowance
  }

  get isDone(): boolean {
    return this.#state === isComplete
  }

  take(bytes: Uint8Array, from: number): number {
    this.piece = undefined
    let at = from
    while (at < bytes.length) {
      if (this.#state === inData) {
        const end = Math.min(bytes.length, at + this.#size)
        this.piece = bytes.subarray(at, end)
        this.#size -= end - at
        if (this.#size === 0) this.#state = behindData
        return end
      }
      this.#next(bytes[at++] ?? 0)
      if (this.#state === isComplete) return at
    }
    return at
  }

  /** One byte of what is around the data. */
  #next(byte: number): void {
    switch (this.#state) {
      case atSize:
      case inSize:
        return this.#inSize(byte)
      case inExtension:
        if (byte === cr) this.#state = afterSize
        else this.#allow(isValueByte(byte))
        return
      case afterSize:
        return this.#feed(byte, this.#size > 0 ? inData : atTrailer)
      case behindData:
        if (byte !== cr) throw new Malformed(400, 'a chunk is longer than it says')
        this.#state = afterData
        return
      case afterData:
        this.#digits = 0
        return this.#feed(byte, atSize)
      default:
        return this.#inTrailers(byte)
    }
  }

  #inSize(byte: number): void {
    const digit = digits[byte] ?? none
    if (digit !== none) {
      if (++this.#digits > sizeDigits) throw new Malformed(400, 'a chunk is too long')
      this.#size = (this.#state === atSize ? 0 : this.#size) * 16 + digit
      if (!Number.isSafeInteger(this.#size)) throw new Malformed(400, 'a chunk is too long')
      this.#state = inSize
    } else if (this.#state === inSize && byte === cr) this.#state = afterSize
    else if (this.#state === inSize && byte === semicolon) this.#state = inExtension
    else throw new Malformed(400, 'a length of a chunk that is none')
  }

  #inTrailers(byte: number): void {
    switch (this.#state) {
      case atTrailer:
        if (byte === cr) this.#state = afterLast
        else {
          this.#allow(isTokenByte(byte))
          this.#state = inTrailerName
        }
        return
      case inTrailerName:
        this.#allow(byte === colon || isTokenByte(byte))
        if (byte === colon) this.#state = inTrailerValue
        return
      case inTrailerValue:
        if (byte === cr) this.#state = afterTrailer
        else this.#allow(isValueByte(byte))
        return
      case afterTrailer:
        return this.#feed(byte, atTrailer)
      default:
        return this.#feed(byte, isComplete)
    }
  }

  #feed(byte: number, next: number): void {
    if (byte !== lf) throw new Malformed(400, 'a carriage return by itself')
    this.#state = next
  }

  #allow(isRight: boolean): void {
    if (!isRight) throw new Malformed(400, 'an extension or a trailer that is none')
    if (--this.#allowance < 0) throw new Malformed(400, 'too much beside the data of chunks')
  }
}

const none = 0xff
const digits = new Uint8Array(256).fill(none)
for (let digit = 0; digit < 16; digit++) {
  const char = digit.toString(16)
  digits[char.charCodeAt(0)] = digit
  digits[char.toUpperCase().charCodeAt(0)] = digit
}
