import { type BodyReader, ChunkReader, LengthReader } from './body.ts'
import type { BodySink, HttpBody } from './exchange.ts'
import type { Framing } from './framing.ts'

/** The body of a request on a connection, which hands it bytes as long as it takes them. */
export class RequestBody implements HttpBody {
  readonly length: number | undefined
  readonly #reader: BodyReader
  readonly #wanted: () => void
  #sink: BodySink | undefined
  #isPaused = false
  #isDropped = false
  #isOver = false
  isTouched = false

  /** `wanted` is called when it takes bytes again. `allowance`: as for chunks. */
  constructor(framing: Framing, allowance: number, wanted: () => void) {
    this.length = framing === 'chunked' ? undefined : framing.length
    this.#reader =
      framing === 'chunked' ? new ChunkReader(allowance) : new LengthReader(framing.length)
    this.#wanted = wanted
  }

  /** Whether its end has come by. */
  get isDone(): boolean {
    return this.#reader.isDone
  }

  get takes(): boolean {
    return this.#isDropped || (this.#sink !== undefined && !this.#isPaused)
  }

  /** Whether anybody has wanted it. */
  get isAwaited(): boolean {
    return this.#isDropped || this.#sink !== undefined
  }

  flowTo(sink: BodySink): void {
    if (this.#isOver) {
      if (this.isDone && !this.isTouched) sink.onEnd()
      else sink.onCut()
      return
    }
    this.#sink = sink
    this.#isPaused = false
    this.#wanted()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#wanted()
  }

  drop(): void {
    this.#sink = undefined
    this.#isDropped = true
    this.#wanted()
  }

  /** Takes bytes from `at` on; returns where it has stopped. Throws `Malformed`. */
  take(bytes: Uint8Array, at: number): number {
    const stopped = this.#reader.take(bytes, at)
    const { piece } = this.#reader
    if (piece && this.#sink) {
      this.isTouched = true
      this.#sink.onPiece(piece)
    }
    if (this.isDone) {
      this.#isOver = true
      const sink = this.#sink
      this.#sink = undefined
      sink?.onEnd()
    }
    return stopped
  }

  cut(): void {
    if (this.#isOver) return
    this.#isOver = true
    const sink = this.#sink
    this.#sink = undefined
    sink?.onCut()
  }
}
