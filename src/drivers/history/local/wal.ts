import { endianness } from 'node:os'
import { pageBytes } from './limits.ts'

// The format of a write-ahead log (https://sqlite.org/fileformat2.html#the_write_ahead_log), read only.
// A frame counts if it has the salts of the header, and its checksum goes on from that of the frame
// before. A transaction counts if its last frame does, which says how large the database is then.

export const walHeaderBytes = 32
const frameHeaderBytes = 24
export const frameBytes = frameHeaderBytes + pageBytes
/** The last bit says in which order the words of checksums are: SQLite takes that of the machine. */
const magic = endianness() === 'LE' ? 0x377f0682 : 0x377f0683

/** How far a WAL was read: after `frames` frames, where the checksum is `sum1`, `sum2`. */
export type WalPosition = {
  readonly salt1: number
  readonly salt2: number
  readonly frames: number
  readonly sum1: number
  readonly sum2: number
}

/** Before any WAL: nothing goes on from here. */
export const noPosition: WalPosition = { salt1: 0, salt2: 0, frames: 0, sum1: 0, sum2: 0 }

export function isSameWal(one: WalPosition, other: WalPosition): boolean {
  return one.salt1 === other.salt1 && one.salt2 === other.salt2
}

export function isSamePosition(one: WalPosition, other: WalPosition): boolean {
  const isSameSum = one.sum1 === other.sum1 && one.sum2 === other.sum2
  return isSameWal(one, other) && one.frames === other.frames && isSameSum
}

/** The position at the beginning of a WAL, or `undefined` if this is no valid header. */
export function positionOf(header: Buffer): WalPosition | undefined {
  if (header.byteLength < walHeaderBytes || header.readUInt32BE(0) !== magic) return undefined
  if (header.readUInt32BE(8) !== pageBytes) return undefined
  const check = new FrameCheck(noPosition)
  check.addHeader(header)
  if (!check.isAt(header.readUInt32BE(24), header.readUInt32BE(28))) return undefined
  return check.position(header.readUInt32BE(16), header.readUInt32BE(20), 0)
}

/** Memory for frames, so aligned that their words can be read at once. */
export class FrameBuffer {
  readonly bytes: Buffer
  readonly words: Int32Array

  constructor(frames: number) {
    const memory = new ArrayBuffer(frames * frameBytes)
    this.bytes = Buffer.from(memory)
    this.words = new Int32Array(memory)
  }

  numberAt(offset: number): number {
    return this.bytes.readUInt32BE(offset)
  }

  /** Pages of the database after this frame if it ends a transaction, else 0. */
  pagesAt(offset: number): number {
    return this.bytes.readUInt32BE(offset + 4)
  }

  pageAt(offset: number): Buffer {
    const from = offset + frameHeaderBytes
    return this.bytes.subarray(from, from + pageBytes)
  }
}

/** Walks from frame to frame. */
export class FrameCheck {
  #salt1: number
  #salt2: number
  #frames: number
  #sum1: number
  #sum2: number

  constructor(from: WalPosition) {
    this.#salt1 = from.salt1
    this.#salt2 = from.salt2
    this.#frames = from.frames
    this.#sum1 = from.sum1 | 0
    this.#sum2 = from.sum2 | 0
  }

  /** Whether the frame at `offset` is the next one. If so, the position moves behind it. */
  next(buffer: FrameBuffer, offset: number): boolean {
    const { bytes, words } = buffer
    if (bytes.readUInt32BE(offset) === 0 || !this.hasSalts(bytes, offset)) return false
    const before = [this.#sum1, this.#sum2] as const
    this.#add(words, offset / 4, offset / 4 + 2)
    this.#add(words, (offset + frameHeaderBytes) / 4, (offset + frameBytes) / 4)
    if (this.isAt(bytes.readUInt32BE(offset + 16), bytes.readUInt32BE(offset + 20))) {
      this.#frames++
      return true
    }
    ;[this.#sum1, this.#sum2] = before
    return false
  }

  hasSalts(bytes: Buffer, offset: number): boolean {
    return (
      bytes.readUInt32BE(offset + 8) === this.#salt1 &&
      bytes.readUInt32BE(offset + 12) === this.#salt2
    )
  }

  addHeader(header: Buffer): void {
    const words = new Int32Array(6)
    Buffer.from(words.buffer).set(header.subarray(0, 24))
    this.#add(words, 0, 6)
  }

  isAt(sum1: number, sum2: number): boolean {
    return this.#sum1 >>> 0 === sum1 && this.#sum2 >>> 0 === sum2
  }

  get frames(): number {
    return this.#frames
  }

  position(salt1 = this.#salt1, salt2 = this.#salt2, frames = this.#frames): WalPosition {
    return { salt1, salt2, frames, sum1: this.#sum1 >>> 0, sum2: this.#sum2 >>> 0 }
  }

  #add(words: Int32Array, from: number, to: number): void {
    let sum1 = this.#sum1
    let sum2 = this.#sum2
    for (let at = from; at < to; at += 2) {
      sum1 = (sum1 + (words[at] ?? 0) + sum2) | 0
      sum2 = (sum2 + (words[at + 1] ?? 0) + sum1) | 0
    }
    this.#sum1 = sum1
    this.#sum2 = sum2
  }
}
