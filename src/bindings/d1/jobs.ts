import { messageOf } from '#contract/errors.ts'
import { Gate } from '#contract/gate.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { tooBusy } from './errors.ts'
import { jobsAtOnce, jobsWaiting } from './limits.ts'

/** Work that goes on behind the answers of the API, so much at once. Whoever made it disposes of it. */
export class Jobs implements AsyncDisposable {
  readonly #clock: Clock
  readonly #log: Log
  readonly #gate = new Gate(jobsAtOnce, jobsWaiting)
  readonly #running = new Map<string, Promise<void>>()
  readonly #closing = new AbortController()

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  /**
   * Has something done. Resolves once it is prepared and goes on by itself, and with `false` if something
   * of this key is under way already: then nothing is done. Throws `tooBusy`.
   */
  async run(key: string, prepare: () => Promise<() => Promise<void>>): Promise<boolean> {
    if (this.#running.has(key)) return false
    if (this.#closing.signal.aborted || this.#running.size >= jobsAtOnce + jobsWaiting)
      throw tooBusy()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#running.set(key, promise)
    const end = (): void => {
      this.#running.delete(key)
      resolve()
    }
    try {
      const work = await prepare()
      void this.#gate
        .pass(work)
        .catch((error: unknown) => {
          this.#log.error('work of D1 failed', { key, error: messageOf(error) })
        })
        .finally(end)
      return true
    } catch (error) {
      end()
      throw error
    }
  }

  /** Waits until it is done, for so long at most. Whether it is under way still. */
  async wait(key: string, milliseconds: number): Promise<boolean> {
    const running = this.#running.get(key)
    if (!running) return false
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#clock.after(milliseconds, resolve)
    await Promise.race([running, promise])
    timer[Symbol.dispose]()
    return this.#running.has(key)
  }

  /** Aborted once nothing is to go on: what is under way ends as soon as it can. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** The pieces of something, which end with an error once nothing is to go on. */
  async *whileOpen<Piece>(pieces: AsyncIterable<Piece>): AsyncGenerator<Piece> {
    for await (const piece of pieces) {
      this.#closing.signal.throwIfAborted()
      yield piece
    }
  }

  /** Begins nothing more, and waits until what is under way has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the server stops'))
    await Promise.all(this.#running.values())
  }
}
