import type { MessageFormat, QueueMetrics } from '#contract/events.ts'
import type { Clock } from '#contract/ports/clock.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import type { MessageStore } from './message-store.ts'
import type { QueueId } from './schema.ts'
import type { Queue } from './store.ts'

/** A message that somebody wants to send. */
export type Draft = {
  readonly format: MessageFormat
  readonly body: Uint8Array
  /** Seconds; the queue's own delay if absent. */
  readonly delaySeconds?: number | undefined
}

export type SenderOptions = {
  readonly messages: MessageStore
  readonly clock: Clock
  /** Messages a second that one queue takes. Any number if absent. */
  readonly messagesPerSecond?: number | undefined
  /** Bytes that may wait in one queue. */
  readonly backlogBytes: number
  /** Told when a queue has more. */
  readonly onSent: (queue: QueueId) => void
}

/** The one way into a queue, for Workers, for clients of the API, and for other products. */
export class Sender {
  readonly #options: SenderOptions
  readonly #rates = new Map<QueueId, Rate>()
  /** Bytes that wait in queues, as they were last seen. */
  readonly #backlogs = new Map<QueueId, number>()
  readonly #ofTurn = new Map<QueueId, Promise<QueueMetrics>>()

  constructor(options: SenderOptions) {
    this.#options = options
  }

  /** Resolves with what the queue holds when all of them are on disk. Throws an `ApiError`. */
  async send(queue: Queue, drafts: readonly Draft[], source: string): Promise<QueueMetrics> {
    const { messages, clock, onSent } = this.#options
    const now = clock.now()
    this.#checkRate(queue.id, drafts.length, now)
    await this.#checkSpace(queue, drafts)
    const added = drafts.map(({ format, body, delaySeconds }) => {
      return { format, body, visibleAt: now + delayOf(queue, delaySeconds) * 1000 }
    })
    await messages.send(queue.id, added, { now, source })
    onSent(queue.id)
    return this.#metricsOfTurn(queue)
  }

  async metrics(queue: Queue): Promise<QueueMetrics> {
    const metrics = await this.#options.messages.metrics(queue.lines)
    this.#backlogs.set(queue.id, metrics.backlogBytes)
    return metrics
  }

  /** The same for all whose messages came to the disk together: looked up once for a turn. */
  #metricsOfTurn(queue: Queue): Promise<QueueMetrics> {
    const known = this.#ofTurn.get(queue.id)
    if (known) return known
    const metrics = this.metrics(queue)
    this.#ofTurn.set(queue.id, metrics)
    setImmediate(() => this.#ofTurn.delete(queue.id))
    return metrics
  }

  forget(queue: QueueId): void {
    this.#rates.delete(queue)
    this.#backlogs.delete(queue)
  }

  async #checkSpace(queue: Queue, drafts: readonly Draft[]): Promise<void> {
    const { backlogBytes } = this.#options
    const added = drafts.reduce((sum, { body }) => sum + body.byteLength, 0)
    if ((this.#backlogs.get(queue.id) ?? 0) + added <= backlogBytes) return
    // It may have been emptied since.
    const { backlogBytes: waiting } = await this.metrics(queue)
    if (waiting + added > backlogBytes) throw errors.storageFull()
  }

  #checkRate(queue: QueueId, count: number, now: number): void {
    const { messagesPerSecond } = this.#options
    if (messagesPerSecond === undefined) return
    const rate = this.#rates.get(queue) ?? { second: 0, count: 0 }
    this.#rates.set(queue, rate)
    const second = Math.floor(now / 1000)
    if (rate.second !== second) Object.assign(rate, { second, count: 0 })
    if (rate.count + count > messagesPerSecond) throw errors.overloaded()
    rate.count += count
  }
}

type Rate = { second: number; count: number }

function delayOf({ settings }: Queue, asked: number | undefined): number {
  return asked ?? settings.deliveryDelay
}

/** Throws the error for a delay that is none. `invalid` says of what it is. */
export function checkDelay(
  delay: number | undefined,
  invalid: (delay: string) => Error = errors.messageDelayInvalid,
): number | undefined {
  if (delay === undefined) return undefined
  if (!Number.isInteger(delay) || delay < 0 || delay > limits.longestDelay) {
    throw invalid(String(delay))
  }
  return delay
}

/** Throws the error for a message that is too long. */
export function checkSize(bytes: number): void {
  if (bytes > limits.messageBytes) throw errors.messageTooLong(bytes)
}

/** Throws the error for a batch that has too many messages, too long ones, or too much. */
export function checkBatch(sizes: readonly number[]): void {
  if (sizes.length > limits.sendMessages) throw errors.tooManyMessages(sizes.length)
  for (const size of sizes) {
    if (size > limits.messageBytes) throw errors.messageInBatchTooLong(size)
  }
  const total = sizes.reduce((sum, size) => sum + size, 0)
  if (total > limits.sendBytes) throw errors.batchTooLong(total)
}
