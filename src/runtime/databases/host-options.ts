import type { Clock } from '#contract/ports/clock.ts'
import type { History } from '#contract/ports/history.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Random } from '#contract/ports/random.ts'
import type { Jail } from '#runtime/jail.ts'
import type { Watchdog } from '#runtime/watchdog.ts'

/** What database cells are handed. */
export type DatabaseOptions = {
  readonly workerdPath: string
  /** That of the other cells: see `CellHostOptions`. */
  readonly runDirectory: string
  /** Where files are: a folder per account, made when it is needed. */
  readonly path: string
  /** Asked for at each start: no process starts before it is known whether there is one. */
  readonly jail: () => Promise<Jail | undefined>
  readonly history: History
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly startTimeoutMs: number
  /** How long a cell may be idle before it ends. Absent: it does not. */
  readonly sleepMs?: number | undefined
  /** Other limits than those of `limits.ts`: for tests. */
  readonly limits?: Partial<DatabaseLimits>
}

export type DatabaseLimits = {
  readonly callMs: number
  readonly crowdedMs: number
  readonly queueMs: number
  readonly queuedCalls: number
  readonly processBytes: number
  readonly openFiles: number
  readonly fileBytes: number
}

/** What the cells of one product have in common. */
export type DatabaseContext = DatabaseOptions & {
  readonly limits: DatabaseLimits
  /** The product's name, which is the key of its namespace. */
  readonly product: string
  /** The text of its engine. */
  readonly engine: string
  readonly watchdog: Watchdog
  /** Aborted when the server stops. */
  readonly closing: AbortSignal
}
