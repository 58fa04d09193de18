import { joinBytes } from '#contract/gather.ts'
import { bodyIncomplete } from './errors.ts'

/**
 * A body that is read once and in pieces. It is read by hand: leaving a `for await` early would end
 * the connection, and the caller would not hear why.
 */
export class Body {
  readonly #source: AsyncIterator<Uint8Array>
  #ahead: Uint8Array | undefined
  #isOver = false
  #isBroken = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Whether the caller went away before its end. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** The next piece; `undefined` at the end. Rejects if the caller goes away. */
  async next(): Promise<Uint8Array | undefined> {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead) return ahead
    if (this.#isOver) return undefined
    try {
      const { done, value } = await this.#source.next()
      if (!done) return value
      this.#isOver = true
      return undefined
    } catch (error) {
      this.#isOver = this.#isBroken = true
      throw error
    }
  }

  /** Exactly the next `count` bytes. */
  async take(count: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    let missing = count
    while (missing > 0) {
      const piece = await this.next()
      if (!piece) throw bodyIncomplete()
      if (piece.byteLength > missing) this.#ahead = piece.subarray(missing)
      pieces.push(piece.subarray(0, missing))
      missing -= Math.min(missing, piece.byteLength)
    }
    return joinBytes(pieces, count)
  }

  /** All that is left; `undefined` where that is more than `limit` bytes. */
  async all(limit: number): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = []
    let size = 0
    for (let piece = await this.next(); piece; piece = await this.next()) {
      size += piece.byteLength
      if (size > limit) return undefined
      pieces.push(piece)
    }
    return joinBytes(pieces, size)
  }

  /** All that is left, piece by piece. */
  async *rest(): AsyncGenerator<Uint8Array> {
    for (let piece = await this.next(); piece; piece = await this.next()) yield piece
  }

  /** Reads what is left and drops it, up to `limit` bytes. What goes wrong meanwhile is nobody's concern. */
  async drain(limit: number): Promise<void> {
    let size = 0
    try {
      for (let piece = await this.next(); piece && size <= limit; piece = await this.next()) {
        size += piece.byteLength
      }
    } catch {
      // There is no more of it, then.
    }
  }
}
