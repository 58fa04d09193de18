import { messageOf } from '#contract/errors.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { type ClockView, readClock } from './clock-view.ts'
import type { MessageStore } from './message-store.ts'
import type { Queue, QueueStore } from './store.ts'

export type UpkeepOptions = {
  readonly store: QueueStore
  readonly messages: MessageStore
  readonly clock: Clock
  readonly log: Log
  /** Told when messages may have become visible that were not. */
  readonly onRewound: () => void
}

// Between looks; between steps when there is more to do.
const lookMs = 5_000
const stepMs = 20
/** Queues that are looked at in one step. */
const stepQueues = 200

/** What is done behind the scenes: old messages, lines that were let go of, a clock that went back. */
export class Upkeep implements AsyncDisposable {
  readonly #options: UpkeepOptions
  #timer: Disposable
  #working: Promise<void> = Promise.resolve()
  #isClosed = false
  #view: ClockView | undefined
  #due: readonly Queue[] = []

  constructor(options: UpkeepOptions) {
    this.#options = options
    this.#timer = this.#workIn(stepMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer[Symbol.dispose]()
    await this.#working
  }

  #workIn(milliseconds: number): Disposable {
    return this.#options.clock.after(milliseconds, () => {
      this.#working = this.#work()
    })
  }

  async #work(): Promise<void> {
    let hasMore = false
    try {
      const mayRemove = await this.#lookAtClock()
      const steps = [await this.#options.messages.removeLines(), mayRemove && (await this.#sweep())]
      hasMore = steps.includes(true)
    } catch (error) {
      this.#options.log.error('queues could not be tidied up', { error: messageOf(error) })
    }
    if (!this.#isClosed) this.#timer = this.#workIn(hasMore ? stepMs : lookMs)
  }

  /** Says whether the clock is to be trusted with removing what is old. */
  async #lookAtClock(): Promise<boolean> {
    const { messages, clock } = this.#options
    const now = clock.now()
    // At the start, the newest message says what time it has been already.
    const last = this.#view ?? { at: messages.newest || now, trustedFrom: Infinity }
    const { view, wentBackFrom } = readClock(last, now)
    this.#view = view
    if (wentBackFrom !== undefined) await this.#rewind(wentBackFrom, now)
    return now >= view.trustedFrom
  }

  async #rewind(from: number, to: number): Promise<void> {
    const { store, messages, log, onRewound } = this.#options
    log.warn('the clock went back', { milliseconds: from - to })
    messages.enterFrom(to)
    for (const { lines } of store.all) {
      for (const line of lines) await messages.rewind(line, { from, to })
    }
    onRewound()
  }

  /** Removes what is older than its queue keeps messages. */
  async #sweep(): Promise<boolean> {
    const { store, messages, clock } = this.#options
    if (this.#due.length === 0) this.#due = [...store.all]
    const step = this.#due.slice(0, stepQueues)
    const more: Queue[] = []
    for (const { id } of step) {
      const queue = store.get(id)
      if (!queue) continue
      const before = clock.now() - queue.settings.retention * 1000
      const steps = []
      for (const line of queue.lines) steps.push(await messages.removeOld(line, before))
      if (steps.includes(true)) more.push(queue)
    }
    this.#due = [...this.#due.slice(step.length), ...more]
    return this.#due.length > 0
  }
}
