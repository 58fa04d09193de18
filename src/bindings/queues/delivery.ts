import { messageOf } from '#contract/errors.ts'
import type { EventPort, EventTarget, QueueBatch, QueueOutcome } from '#contract/events.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { dueAt } from './due.ts'
import * as limits from './limits.ts'
import type { Grave, Message, MessageStore } from './message-store.ts'
import { firstConcurrency, nextConcurrency } from './pace.ts'
import { isSpent, settle } from './settle.ts'
import type { ConsumerTarget, Consumer, Queue } from './store.ts'

export type DeliveryOptions = {
  readonly messages: MessageStore
  readonly events: EventPort
  readonly clock: Clock
  readonly log: Log
  /** The queue and the consumer as they are now; `undefined` once one of them is gone. */
  readonly find: () => Place | undefined
  /** Where dead letters of a queue go. Makes a queue that is missing. */
  readonly graveOf: (queue: Queue, name: string) => Promise<Grave>
  /** Told of a queue that dead letters went to. */
  readonly onSent: (queue: Queue['id']) => void
}

/** Who is given what. */
export type Place = {
  readonly queue: Queue
  readonly consumer: Consumer & { readonly target: ConsumerTarget }
}

type Leased = { readonly lease: number; readonly messages: readonly Message[] }

/** Something may have been missed (a clock that jumped): looked at again so often at least. */
const mostWaitMs = 30_000
/** How long a Worker that takes nothing is left alone: twice as long each time. */
const firstPauseMs = 250
const longestPauseMs = 30_000

/**
 * Gives one push consumer its batches: waits for one to be due, leases it, has it delivered, settles
 * it. Whatever ends it in between, the lease brings the messages back.
 */
export class Delivery {
  readonly #options: DeliveryOptions
  readonly #running = new Set<Promise<void>>()
  readonly #cut = new AbortController()
  #concurrency: number
  #timer: Disposable | undefined
  #isLooking = false
  #looked: Promise<void> = Promise.resolve()
  #isAsked = false
  #isStopped = false
  /** Its Worker takes nothing: not before then. */
  #pausedUntil = 0
  #pauseMs = 0

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#concurrency = firstConcurrency(options.find()?.consumer.settings.maxConcurrency ?? null)
  }

  /** There may be something to deliver: more messages, other settings, a Worker that is back. */
  look(): void {
    this.#isAsked = true
    if (this.#isLooking || this.#isStopped) return
    this.#isLooking = true
    this.#looked = new Promise((resolve) => {
      setImmediate(() => void this.#lookAround().then(resolve))
    })
  }

  /** Other versions are deployed: a Worker that took nothing is asked again at once. */
  resume(): void {
    if (this.#pauseMs === 0) return
    this.#pauseMs = 0
    this.#pausedUntil = 0
    this.look()
  }

  /** Begins nothing more, and waits for what is under way: `cut` ends that. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.[Symbol.dispose]()
    // What is being leased meanwhile is given as well: the attempt has been counted.
    await this.#looked
    await Promise.all(this.#running)
  }

  cut(): void {
    this.#cut.abort()
  }

  async #lookAround(): Promise<void> {
    try {
      while (this.#isAsked && !this.#isStopped) {
        this.#isAsked = false
        await this.#deliverDue()
      }
    } catch (error) {
      this.#options.log.error('a queue can not be looked at', { error: messageOf(error) })
      this.#lookIn(longestPauseMs)
    } finally {
      this.#isLooking = false
    }
    if (this.#isAsked) this.look()
  }

  async #deliverDue(): Promise<void> {
    const { messages, clock } = this.#options
    for (;;) {
      const place = this.#options.find()
      if (!place || place.queue.settings.isPaused || this.#isStopped) return
      const { line, settings } = place.consumer
      const limit = settings.maxConcurrency ?? this.#concurrency
      if (this.#running.size >= limit) return
      const now = clock.now()
      const head = await messages.head(line, settings.batchSize)
      const rules = { ...settings, batchBytes: limits.batchBytes }
      const due = dueAt(head, now, rules)
      if (due === undefined) return
      const waitMs = Math.max(due, this.#pausedUntil) - now
      if (waitMs > 0) return this.#lookIn(waitMs)
      if (!this.#takesEvents(place)) return this.#lookIn(this.#pausedUntil - now)
      const leased = await messages.lease(line, {
        count: settings.batchSize,
        bytes: limits.batchBytes,
        now,
        until: now + limits.leaseMs,
      })
      if (leased) this.#begin(place, leased)
    }
  }

  /** Whether it is worth a lease: a Worker that is gone, or has no handler, is left alone for a while. */
  #takesEvents({ queue, consumer }: Place): boolean {
    const { events, log } = this.#options
    const handles = events.handles(targetOf(queue, consumer.target), 'queue')
    if (handles === true) return true
    if (this.#pauseMs === 0) {
      const { worker, entrypoint } = consumer.target
      const reason = handles === undefined ? 'it is not deployed' : 'it has no queue handler'
      log.warn('a consumer takes no messages', { queue: queue.name, worker, entrypoint, reason })
    }
    this.#pause()
    return false
  }

  #begin(place: Place, leased: Leased): void {
    const done = this.#deliver(place, leased).catch((error: unknown) => {
      // The lease ends by itself, and what was leased is given again.
      const { queue } = place
      this.#options.log.error('a batch is not settled', {
        queue: queue.name,
        error: messageOf(error),
      })
    })
    this.#running.add(done)
    void done.finally(() => {
      this.#running.delete(done)
      this.look()
    })
  }

  async #deliver(place: Place, { lease, messages: all }: Leased): Promise<void> {
    const { consumer, queue } = place
    const spent = all.filter(({ attempts }) => isSpent(attempts, consumer.settings))
    await this.#settleAs(place, { lease, messages: spent })
    const given = all.filter((message) => !spent.includes(message))
    if (given.length === 0) return
    const batch = await this.#batchOf(queue, consumer, given)
    const outcome = await this.#options.events.queue(
      targetOf(queue, consumer.target),
      batch,
      this.#cut.signal,
    )
    await this.#settleAs(place, { lease, messages: given }, outcome)
    await this.#setPace(place, outcome)
  }

  async #batchOf(
    { name }: Queue,
    { line }: Consumer,
    messages: readonly Message[],
  ): Promise<QueueBatch> {
    return { queue: name, messages, metrics: await this.#options.messages.metrics([line]) }
  }

  /** Writes down what became of messages; without an outcome they are dead. */
  async #settleAs(
    { queue, consumer }: Place,
    { lease, messages }: Leased,
    outcome?: QueueOutcome,
  ): Promise<void> {
    const { settings, deadLetterQueue: name, line } = consumer
    const verdicts = outcome
      ? settle(messages, outcome, settings)
      : messages.map(() => ({ type: 'dead' }) as const)
    const settlements = messages.map(({ seq }, index) => {
      return { seq, verdict: verdicts[index] ?? ({ type: 'done' } as const) }
    })
    const { clock, graveOf, onSent } = this.#options
    const isAnyDead = verdicts.some(({ type }) => type === 'dead')
    const grave = isAnyDead ? await graveOf(queue, name) : 'nowhere'
    await this.#options.messages.settle(settlements, { line, lease, now: clock.now(), grave })
    if (typeof grave === 'object') onSent(grave.queue)
  }

  async #setPace({ queue, consumer }: Place, outcome: QueueOutcome): Promise<void> {
    const { messages, clock, log } = this.#options
    const { batchSize, maxConcurrency } = consumer.settings
    if (takesMore(outcome)) this.#pauseMs = 0
    else this.#pause()
    const isFailed = outcome.type !== 'ended' || outcome.outcome !== 'ok'
    if (isFailed) {
      const { worker } = consumer.target
      const how = outcome.type === 'ended' ? outcome.outcome : outcome.type
      const reason = outcome.type === 'lost' ? outcome.reason : undefined
      log.warn('a batch failed', { queue: queue.name, worker, how, reason })
    }
    const head = await messages.head(consumer.line, batchSize)
    const isBehind =
      head.length >= batchSize && head.every(({ visibleAt }) => visibleAt <= clock.now())
    this.#concurrency = nextConcurrency(this.#concurrency, { isFailed, isBehind }, maxConcurrency)
  }

  #pause(): void {
    // Batches that were under way at the same time failed for the same reason.
    if (this.#options.clock.now() < this.#pausedUntil) return
    this.#pauseMs = Math.min(Math.max(firstPauseMs, this.#pauseMs * 2), longestPauseMs)
    this.#pausedUntil = this.#options.clock.now() + this.#pauseMs
  }

  #lookIn(milliseconds: number): void {
    if (this.#isStopped) return
    this.#timer?.[Symbol.dispose]()
    const waitMs = Math.min(Math.max(1, milliseconds), mostWaitMs)
    this.#timer = this.#options.clock.after(waitMs, () => this.look())
  }
}

/**
 * Whether it is worth giving the consumer more at once. A process that has died is not gone in the same
 * moment, and one that dies each time is not to burn all attempts of what waits.
 */
function takesMore(outcome: QueueOutcome): boolean {
  if (outcome.type === 'lost') return outcome.reason === 'time' || outcome.reason === 'cut'
  return outcome.type === 'ended'
}

function targetOf({ account }: Queue, { worker, entrypoint }: ConsumerTarget): EventTarget {
  return { account, worker, ...(entrypoint !== undefined && { entrypoint }) }
}
