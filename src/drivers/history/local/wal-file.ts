import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs'
import {
  frameBytes,
  type FrameBuffer,
  FrameCheck,
  isSameWal,
  positionOf,
  type WalPosition,
  walHeaderBytes,
} from './wal.ts'

const saltsOffset = 8
const saltsBytes = 16
const firstFrames = 4

/** The WAL of a file that another process writes to, and removes and makes again as it likes. */
export class WalFile implements Disposable {
  readonly #path: string
  readonly #small = Buffer.alloc(walHeaderBytes)
  #fd: number | undefined

  constructor(databasePath: string) {
    this.#path = `${databasePath}-wal`
  }

  /**
   * Where frames that were not read yet begin: at `position`, or at the beginning of a WAL that was
   * begun anew. `undefined` if there are none.
   */
  next(position: WalPosition): WalPosition | undefined {
    const fd = this.#open()
    if (fd === undefined) return undefined
    if (this.#isFrameOf(fd, position)) return position
    const length = readSync(fd, this.#small, 0, walHeaderBytes, 0)
    if (length < walHeaderBytes) return undefined
    // Its first words are as they were nearly always: the salts tell before the checksum has to.
    const salt1 = this.#small.readUInt32BE(16)
    if (salt1 === position.salt1 && this.#small.readUInt32BE(20) === position.salt2)
      return undefined
    const beginning = positionOf(this.#small)
    if (!beginning || isSameWal(beginning, position)) return undefined
    return this.#isFrameOf(fd, beginning) ? beginning : undefined
  }

  /** Reads frames from a position on, into `buffer`. */
  read(from: WalPosition, buffer: FrameBuffer): FrameReader {
    return new FrameReader(this.#fd, from, buffer)
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #open(): number | undefined {
    if (this.#fd !== undefined) {
      if (fstatSync(this.#fd).nlink > 0) return this.#fd
      this[Symbol.dispose]()
    }
    if (!statSync(this.#path, { throwIfNoEntry: false })) return undefined
    // The process that writes it may have been taken over: no link of its making is followed.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
    this.#fd = openSync(this.#path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    return this.#fd
  }

  #isFrameOf(fd: number, position: WalPosition): boolean {
    const at = walHeaderBytes + position.frames * frameBytes
    if (readSync(fd, this.#small, 0, saltsBytes, at) < saltsBytes) return false
    return (
      this.#small.readUInt32BE(saltsOffset) === position.salt1 &&
      this.#small.readUInt32BE(saltsOffset + 4) === position.salt2
    )
  }
}

export class FrameReader {
  readonly buffer: FrameBuffer
  readonly check: FrameCheck
  readonly #fd: number | undefined
  #batch = firstFrames
  #filled = 0
  #at = 0

  constructor(fd: number | undefined, from: WalPosition, buffer: FrameBuffer) {
    this.#fd = fd
    this.buffer = buffer
    this.check = new FrameCheck(from)
  }

  /** The offset of the next frame in the buffer, or `undefined` if what comes is none. */
  next(): number | undefined {
    if (this.#at + frameBytes > this.#filled && !this.#fill()) return undefined
    const offset = this.#at
    if (!this.check.next(this.buffer, offset)) return undefined
    this.#at += frameBytes
    return offset
  }

  #fill(): boolean {
    if (this.#fd === undefined) return false
    const wanted = Math.min(this.#batch * frameBytes, this.buffer.bytes.byteLength)
    const from = walHeaderBytes + this.check.frames * frameBytes
    this.#filled = readSync(this.#fd, this.buffer.bytes, 0, wanted, from)
    this.#batch *= 4
    this.#at = 0
    return this.#filled >= frameBytes
  }
}
