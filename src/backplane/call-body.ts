import type { BodySink, HttpBody } from '#http1/exchange.ts'

/** Bytes that may wait for whoever reads a body: beyond, its sender has to. */
const waitingBytes = 64 * 1024

/** The body of a call that has none. */
export const noBody: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
}

/** The body of a call, to be read once. Nothing of it flows before that. */
export class CallBody implements AsyncIterableIterator<Uint8Array, undefined>, BodySink {
  readonly #body: HttpBody
  #hasBegun = false
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #isOver = false
  /** Whether its sender has left before the end of it. */
  isCut = false
  #asked: PromiseWithResolvers<IteratorResult<Uint8Array, undefined>> | undefined

  constructor(body: HttpBody) {
    this.#body = body
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#hasBegun) {
      this.#hasBegun = true
      this.#body.flowTo(this)
    }
    const value = this.#waiting.shift()
    if (value) {
      this.#waitingBytes -= value.length
      if (this.#waitingBytes === 0 && !this.#isOver) this.#body.resume()
      return Promise.resolve({ done: false, value })
    }
    if (this.isCut) return Promise.reject(left())
    if (this.#isOver) return Promise.resolve(end)
    this.#asked ??= Promise.withResolvers()
    return this.#asked.promise
  }

  /** Nobody wants the rest. */
  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#waiting = []
    if (!this.#isOver) {
      this.#isOver = true
      this.#body.drop()
    }
    return Promise.resolve(end)
  }

  onPiece(piece: Uint8Array): void {
    const asked = this.#take()
    if (asked) return asked.resolve({ done: false, value: piece })
    this.#waiting.push(piece)
    this.#waitingBytes += piece.length
    if (this.#waitingBytes >= waitingBytes) this.#body.pause()
  }

  onEnd(): void {
    this.#isOver = true
    this.#take()?.resolve(end)
  }

  onCut(): void {
    this.#isOver = true
    this.isCut = true
    this.#take()?.reject(left())
  }

  #take(): PromiseWithResolvers<IteratorResult<Uint8Array, undefined>> | undefined {
    const asked = this.#asked
    this.#asked = undefined
    return asked
  }
}

const end = { done: true, value: undefined } as const

function left(): Error {
  return new Error('the caller left before the end of its body')
}
