import { messageOf } from '#contract/errors.ts'
import type { Parts } from './operation.ts'

// Between looks; between steps when there is more to do.
const lookMs = 10_000
const stepMs = 20
const stepFiles = 10

/** What is done behind the scenes: files that are not the database any more, and those that come and go. */
export class Upkeep implements AsyncDisposable {
  readonly #parts: Parts
  #timer: Disposable
  #working: Promise<void> = Promise.resolve()
  #isClosed = false
  #hasChecked = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#timer = this.#workIn(stepMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer[Symbol.dispose]()
    await this.#working
  }

  #workIn(milliseconds: number): Disposable {
    return this.#parts.clock.after(milliseconds, () => {
      this.#working = this.#work()
    })
  }

  async #work(): Promise<void> {
    let hasMore = false
    const { transfers, log } = this.#parts
    try {
      if (!this.#hasChecked) await transfers.removeUnnamed()
      this.#hasChecked = true
      if (await transfers.hasExpired()) hasMore = await transfers.removeExpired()
      if (await this.#removeDiscarded()) hasMore = true
    } catch (error) {
      log.error('D1 could not tidy up', { error: messageOf(error) })
    }
    if (!this.#isClosed) this.#timer = this.#workIn(hasMore ? stepMs : lookMs)
  }

  /** Files that a restore or a copy has left. */
  async #removeDiscarded(): Promise<boolean> {
    const { store, files } = this.#parts
    const { found, hasMore } = await store.discarded(stepFiles)
    for (const { id, file } of found) {
      // What is later than the database never was it.
      const current = store.find(file.account, id)?.file.generation ?? file.generation
      await files.delete(file, file.generation > current ? 'copy' : 'file')
      await store.forgetDiscarded(id, file)
    }
    return hasMore
  }
}
