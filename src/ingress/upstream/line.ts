import { Socket } from 'node:net'

type Done = (error?: Error | null) => void

/**
 * A connection to a process that goes on listening when it is not listened to. A Worker may answer
 * without reading all that it is sent, and close: a write that fails then must not take away what it
 * said, which is there to be read. A `Socket` by itself would be destroyed.
 */
export class Line extends Socket {
  /** Whether the other end takes no more: what is written then is lost. */
  isDeaf = false

  constructor() {
    super({ allowHalfOpen: true })
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    if (this.isDeaf) done()
    // oxlint-disable-next-line no-underscore-dangle -- that is what Node calls it
    else super._write(chunk, encoding, (error) => this.#written(error, done))
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    if (this.isDeaf) done()
    // oxlint-disable-next-line no-underscore-dangle -- that is what Node calls it
    else super._writev?.(chunks, (error) => this.#written(error, done))
  }

  #written(error: Error | null | undefined, done: Done): void {
    if (error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET')) {
      this.isDeaf = true
      done()
    } else done(error)
  }
}
