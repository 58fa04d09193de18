import type { WorkerPlan } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type {
  EventKind,
  EventPort,
  EventTarget,
  LossReason,
  QueueBatch,
  QueueOutcome,
  ScheduledEvent,
  ScheduledOutcome,
  Undelivered,
} from '#contract/events.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { IngressPort } from '#contract/snapshot.ts'
import type { Cell, Receiver } from './cell.ts'
import {
  readBatchResult,
  readScheduled,
  receiverName,
  writeBatch,
  writeScheduled,
} from './event-message.ts'
import { eventWaitMs } from './limits.ts'
import { RefusedError } from './process.ts'

export type EventsOptions = {
  /** The cell of a Worker, as it is deployed. */
  readonly cellOf: (to: EventTarget) => Cell | undefined
  readonly ingress: Pick<IngressPort, 'beginEvent'>
  readonly clock: Clock
  readonly log: Log
  /** How long a handler may take. */
  readonly eventMs: number
  readonly closing: AbortSignal
}

type Sent = { readonly type: 'answered'; readonly reply: string } | Undelivered
type Attempt = Sent | 'refused'

/** Finds processes for events: see `EventPort`. */
export class Events implements EventPort {
  readonly #options: EventsOptions
  readonly #listeners = new Set<(account: AccountId) => void>()
  #waiters: (() => void)[] = []

  constructor(options: EventsOptions) {
    this.#options = options
  }

  /** Cells have come up, gone, or changed places. */
  changed(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  /** Other versions of an account are deployed than before. */
  deployed(account: AccountId): void {
    for (const listener of this.#listeners) listener(account)
  }

  onDeployed(listener: (account: AccountId) => void): Disposable {
    // A function of its own: the same listener may be given twice.
    const own = (account: AccountId): void => listener(account)
    this.#listeners.add(own)
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) }
  }

  handles(to: EventTarget, kind: EventKind): boolean | undefined {
    const versions = this.#options.cellOf(to)?.versionsOf(to.worker)
    return versions?.some((plan) => handles(plan, to.entrypoint, kind))
  }

  async queue(to: EventTarget, batch: QueueBatch, stop?: AbortSignal): Promise<QueueOutcome> {
    const sent = await this.#send(to, { kind: 'queue', stop }, (name) => writeBatch(name, batch))
    return this.#read(sent, readBatchResult)
  }

  async scheduled(
    to: EventTarget,
    event: ScheduledEvent,
    stop?: AbortSignal,
  ): Promise<ScheduledOutcome> {
    const sent = await this.#send(to, { kind: 'scheduled', stop }, (name) =>
      writeScheduled(name, event),
    )
    return this.#read(sent, (reply) => ({ type: 'ended', ...readScheduled(reply) }))
  }

  #read<Result>(sent: Sent, read: (reply: string) => Result): Result | Undelivered {
    if (sent.type !== 'answered') return sent
    try {
      return read(sent.reply)
    } catch (error) {
      // The handler has ended, and what it made of the event can't be known.
      this.#options.log.error('a reply of an agent can not be read', { error: messageOf(error) })
      return { type: 'lost', reason: 'crash' }
    }
  }

  async #send(
    to: EventTarget,
    { kind, stop }: { readonly kind: EventKind; readonly stop: AbortSignal | undefined },
    write: (receiver: string) => Uint8Array,
  ): Promise<Sent> {
    const { cellOf, closing } = this.#options
    const deadline = performance.now() + eventWaitMs
    for (;;) {
      const cell = cellOf(to)
      const versions = cell?.versionsOf(to.worker) ?? []
      if (!cell || !versions.some((plan) => has(plan, to.entrypoint))) return { type: 'unknown' }
      cell.wake()
      const receiver = cell.receiver(to.worker)
      if (receiver) {
        const { plan, id } = receiver.slot
        if (!handles(plan, to.entrypoint, kind)) return { type: 'unhandled' }
        const event = write(receiverName(id, to.entrypoint))
        const attempt = await this.#attempt(receiver, event, stop)
        if (attempt !== 'refused') return attempt
      }
      const leftMs = deadline - performance.now()
      if (leftMs <= 0 || closing.aborted || stop?.aborted) return { type: 'unreached' }
      await this.#change(leftMs, stop)
    }
  }

  /** Sends an event to a process. `refused`: it was gone already. */
  async #attempt(
    { process, targetId }: Receiver,
    event: Uint8Array,
    stop: AbortSignal | undefined,
  ): Promise<Attempt> {
    const { ingress, clock, eventMs } = this.#options
    const ending = new AbortController()
    let reason: LossReason = 'crash'
    const end = (why: LossReason): void => {
      reason = why
      ending.abort()
    }
    const flight = ingress.beginEvent(targetId, () => end('cut'))
    const onStop = (): void => end('cut')
    stop?.addEventListener('abort', onStop)
    const timer = clock.after(eventMs, () => end('time'))
    let isAnswered = false
    try {
      const reply = await process.deliver(event, ending.signal)
      isAnswered = true
      return { type: 'answered', reply }
    } catch (error) {
      if (error instanceof RefusedError) return 'refused'
      return { type: 'lost', reason: flight.exceeded?.limit ?? reason }
    } finally {
      timer[Symbol.dispose]()
      stop?.removeEventListener('abort', onStop)
      flight.end({ isAnswered })
    }
  }

  /** Resolves at the next change of any cell, or after so long. */
  #change(milliseconds: number, stop: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        stop?.removeEventListener('abort', wake)
        resolve()
      }
      // A process that refused may be gone before anybody has noticed.
      const timer = setTimeout(wake, Math.min(milliseconds, lookMs))
      stop?.addEventListener('abort', wake)
      this.#waiters.push(wake)
    })
  }
}

/** Somebody who waits looks again so often, whatever changes. */
const lookMs = 1_000

/** Whether a version has an entrypoint. What a service worker listens to is not known. */
function has({ exports, code }: WorkerPlan, entrypoint: string | undefined): boolean {
  if (entrypoint === undefined) return exports.hasDefault || code.format === 'service-worker'
  return exports.named.some(({ name }) => name === entrypoint)
}

function handles(plan: WorkerPlan, entrypoint: string | undefined, kind: EventKind): boolean {
  const { exports, code } = plan
  if (entrypoint === undefined) {
    return code.format === 'service-worker' || exports.handlers.includes(kind)
  }
  return exports.named.some(({ name, handlers }) => name === entrypoint && handlers.includes(kind))
}
