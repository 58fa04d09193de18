import type { AccountId, WorkerName } from './ids.ts'
import type { Json } from './json.ts'
import type { ExceededLimit } from './snapshot.ts'

// What comes to a Worker that is no request: batches of a queue, ticks of a schedule. Whoever has one
// (a binding's live half, `main.ts` for schedules) gives it to the port; `runtime/` finds a process.

/** Whose handler an event is for. */
export type EventTarget = {
  readonly account: AccountId
  readonly worker: WorkerName
  /** A named export; the default export if absent. */
  readonly entrypoint?: string
}

export type EventKind = 'queue' | 'scheduled'

/** Messages for one call of a `queue` handler. */
export type QueueBatch = {
  /** The queue's name, as the handler sees it. */
  readonly queue: string
  readonly messages: readonly QueueMessage[]
  readonly metrics: QueueMetrics
}

export type QueueMessage = {
  /** Unique within the batch. */
  readonly id: string
  /** When it was sent, in ms since 1970. */
  readonly timestampMs: number
  /** 1 at the first delivery; at most 65 535. */
  readonly attempts: number
  readonly format: MessageFormat
  readonly body: Uint8Array
}

/**
 * How a body is written down: UTF-8 of a text, UTF-8 of JSON, bytes as they are, or what V8 makes of
 * a value (read by the consumer's isolate and by nobody else).
 */
export type MessageFormat = 'text' | 'json' | 'bytes' | 'v8'

/** What a queue holds, roughly. */
export type QueueMetrics = {
  readonly backlogCount: number
  readonly backlogBytes: number
  /** In ms since 1970; absent if the queue is empty. */
  readonly oldestMessageTimestampMs?: number
}

/** What became of a batch. */
export type QueueOutcome = QueueResult | Undelivered

/** The handler has ended, and its `waitUntil` work with it. Ids are those of the batch's messages. */
export type QueueResult = {
  readonly type: 'ended'
  /** `ok`, or workerd's word for how it failed. */
  readonly outcome: string
  readonly ackAll: boolean
  readonly retryAll: Retry | undefined
  readonly acked: ReadonlySet<string>
  readonly retried: ReadonlyMap<string, Retry>
  /** Messages that the handler was not given, because their bodies are not what their format says. */
  readonly undecodable: ReadonlySet<string>
}

/** `delaySeconds` is whatever the handler named, if it named any. */
export type Retry = { readonly delaySeconds?: number }

export type ScheduledEvent = {
  /** The schedule, as it was written. */
  readonly cron: string
  /** In ms since 1970. */
  readonly scheduledTime: number
}

export type ScheduledOutcome =
  | {
      readonly type: 'ended'
      /** `ok`, or workerd's word for how it failed. */
      readonly outcome: string
      /** Whether the handler asked not to be called again for this tick. */
      readonly noRetry: boolean
    }
  | Undelivered

/** Why an event has no outcome. */
export type Undelivered =
  /** No such Worker is deployed, or its version has no such entrypoint. No handler saw the event. */
  | { readonly type: 'unknown' }
  /** The version that it was for has no handler for such events. No handler saw the event. */
  | { readonly type: 'unhandled' }
  /** There was no process in time. No handler saw the event. */
  | { readonly type: 'unreached' }
  /** Its process, or its time, came to an end before the handler did: it may have done anything. */
  | { readonly type: 'lost'; readonly reason: LossReason }

/**
 * `crash`: the process ended by itself. `time`: it took longer than an event may. `cut`: the server
 * stops, or a release has waited long enough. Otherwise the limit that the process was killed for.
 */
export type LossReason = 'crash' | 'time' | 'cut' | ExceededLimit

/**
 * Delivers events to deployed Workers. A process that sleeps is woken, one that is being started or
 * replaced is waited for (half a minute at most), a split deployment is drawn from by its shares.
 *
 * A delivery is traffic: while it runs the cell is not put to sleep, a release lets it finish (up to
 * its own limit; where objects are handed over, as long as requests may), and CPU and memory limits
 * hold. It ends after 15 minutes, or when `stop` is aborted. Never rejects.
 */
export interface EventPort {
  queue(to: EventTarget, batch: QueueBatch, stop?: AbortSignal): Promise<QueueOutcome>
  scheduled(to: EventTarget, event: ScheduledEvent, stop?: AbortSignal): Promise<ScheduledOutcome>
  /** Whether what is deployed has such a handler; `undefined` if there is no such Worker. */
  handles(to: EventTarget, kind: EventKind): boolean | undefined
  /**
   * Has somebody told of each account of which other versions are deployed than before: what `handles`
   * said may be otherwise now. Disposing of what it returns ends that.
   */
  onDeployed(listener: (account: AccountId) => void): Disposable
}

/** Who has the port: the runtime. */
export interface EventHost {
  readonly events: EventPort
  /** What deployed Workers of an account are bound to by bindings of one type that have a back end. */
  bindings(account: AccountId, type: string): readonly BoundResource[]
}

export type BoundResource = {
  readonly worker: WorkerName
  /** As the binding's `wiring` said. */
  readonly resource: Json
}
