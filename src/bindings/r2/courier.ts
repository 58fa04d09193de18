import { ApiError, messageOf } from '#contract/errors.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { QueuePort } from '#contract/queues.ts'
import type { Notice, NoticesStore } from './notices-store.ts'

export type CourierOptions = {
  readonly notices: NoticesStore
  readonly clock: Clock
  readonly log: Log
}

const stepNotices = 100
/** How long to wait where a queue takes no more. */
const retryMs = 1_000

/** Tells queues what was written down for them: in order, and again until they have it. */
export class Courier implements AsyncDisposable {
  readonly #options: CourierOptions
  #queues: QueuePort | undefined
  #working: Promise<void> | undefined
  #timer: Disposable | undefined
  #hasNews = false
  #isClosed = false

  constructor(options: CourierOptions) {
    this.#options = options
  }

  /** From now on there are queues to tell. */
  start(queues: QueuePort | undefined): void {
    this.#queues = queues
    this.look()
  }

  /** There may be something to tell. */
  look(): void {
    this.#hasNews = true
    if (this.#working || this.#isClosed || !this.#queues) return
    const queues = this.#queues
    this.#timer?.[Symbol.dispose]()
    this.#working = this.#work(queues).finally(() => {
      this.#working = undefined
    })
  }

  /** Ends after what is on its way; the rest is told after the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer?.[Symbol.dispose]()
    await this.#working
  }

  async #work(queues: QueuePort): Promise<void> {
    try {
      while (this.#hasNews && !this.#isClosed) {
        this.#hasNews = false
        const step = await this.#options.notices.next(stepNotices)
        this.#hasNews ||= step.length > 0
        for (const group of groupsOf(step)) await this.#tell(queues, group)
      }
    } catch (error) {
      this.#options.log.error('R2 could not tell a queue', { error: messageOf(error) })
      this.#timer = this.#options.clock.after(retryMs, () => this.look())
    }
  }

  async #tell(queues: QueuePort, group: readonly Notice[]): Promise<void> {
    const [first] = group
    if (!first) return
    const { account, queue } = first
    try {
      await queues.send(
        { account, queue },
        group.map(({ body }) => body),
      )
    } catch (error) {
      // A queue that is gone has nobody who waits for it.
      if (!(error instanceof ApiError) || queues.nameOf({ account, queue }) !== undefined) {
        throw error
      }
    }
    await this.#options.notices.remove(group)
  }
}

/** Notices for the same queue that come one after the other. */
function groupsOf(notices: readonly Notice[]): readonly (readonly Notice[])[] {
  const groups: Notice[][] = []
  for (const notice of notices) {
    const last = groups.at(-1)
    if (last?.[0]?.queue === notice.queue && last[0].account === notice.account) last.push(notice)
    else groups.push([notice])
  }
  return groups
}
