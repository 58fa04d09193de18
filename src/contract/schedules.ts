import type { Cron } from './cron.ts'
import type { ScheduledOutcome } from './events.ts'
import type { AccountId, WorkerName } from './ids.ts'

/** A cron trigger: when the `scheduled` handler of a Worker is to be called. */
export type Schedule = {
  readonly account: AccountId
  readonly worker: WorkerName
  readonly cron: Cron
  /** When it was made, in ms since 1970: no earlier minute is one of its. */
  readonly since: number
}

/** One minute of one schedule, and what became of it. */
export type Tick = {
  /** The expression, as it was written. */
  readonly cron: string
  /** The minute, in ms since 1970. */
  readonly scheduledTime: number
  readonly startedAt: number
  /** Absent while it runs. */
  readonly ended?: {
    readonly at: number
    /** `ok`, or Cloudflare's word for how it failed. */
    readonly outcome: string
    /** What happened, where the word does not say it; else `""`. */
    readonly detail: string
    /** How often the handler was called, or tried to be. */
    readonly attempts: number
  }
}

/** Who calls handlers when it is time. Control tells it what there is. */
export interface SchedulePort {
  /** All schedules there are. The first of them start with `start`. */
  publish(schedules: readonly Schedule[]): void
  /** What happened lately to a Worker's schedules, newest first: a hundred at most. */
  past(of: Pick<Schedule, 'account' | 'worker'>): Promise<readonly Tick[]>
  /** Calls a handler at once, whatever its schedules say; nothing is written down. Never rejects. */
  run(
    of: Pick<Schedule, 'account' | 'worker'>,
    event: { readonly cron: string; readonly scheduledTime: number },
  ): Promise<ScheduledOutcome>
  /** A Worker is gone, with what happened to its schedules. */
  forget(of: Pick<Schedule, 'account' | 'worker'>): Promise<void>
}
