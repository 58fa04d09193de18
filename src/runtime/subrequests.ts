import type { CellPlan } from '#contract/cell.ts'
import type { Traffic } from '#contract/snapshot.ts'
import { subrequests } from './limits.ts'

/**
 * The account of a cell. Objects work for alarms and messages too, which nobody outside sees begin:
 * not counted there.
 */
export function countSubrequests(
  { workers }: CellPlan,
  traffic: SubrequestsOptions['traffic'],
): Subrequests | undefined {
  if (workers.some(({ objects }) => objects.length > 0)) return undefined
  const limits = new Map(
    workers.map(({ worker, limits: own }) => [worker, own.subrequests ?? subrequests]),
  )
  const perRequest = [...limits.values()].reduce((sum, limit) => sum + limit, 0)
  return new Subrequests({ perRequest, traffic, now: () => performance.now() })
}

export type SubrequestsOptions = {
  /** How many requests one request of a visitor may make in turn, over all Workers of the cell. */
  readonly perRequest: number
  /** `undefined`: it is not known any more, for a process that is on its way out. */
  readonly traffic: () => Traffic | undefined
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number
}

/** After its answer a request may go on for so long, with `waitUntil`. */
const afterwardsMs = 30_000

/**
 * Counts what a cell's Workers ask of others: the Internet and their bindings. Which request of a
 * visitor asks is not to be seen from outside, so they have one account between them: each pays in
 * what it may spend when it begins. One that is alone is held to its limit exactly; of several none
 * is ever refused what it may have, for there is never less than they have left together.
 */
export class Subrequests {
  readonly #options: SubrequestsOptions
  #left = 0
  #begun = 0
  /** How many had ended at the beginning of this stretch of time, and of the one before. */
  #ended = { at: 0, before: 0, now: 0 }

  constructor(options: SubrequestsOptions) {
    this.#options = options
  }

  /** Takes one; `false` if there is none left. */
  take(): boolean {
    const { perRequest, traffic } = this.#options
    const now = traffic()
    // Each message of a WebSocket may spend as much again, and messages are not counted.
    if (!now || now.sockets > 0) return true
    const { begun, ended } = now
    this.#left += (begun - this.#begun) * perRequest
    this.#begun = begun
    const most = (begun - ended + this.#endedLately(ended)) * perRequest
    this.#left = Math.min(this.#left, most)
    if (this.#left <= 0) return false
    this.#left -= 1
    return true
  }

  /** How many ended a short while ago: half a minute at least, and a whole one at most. */
  #endedLately(ended: number): number {
    const now = this.#options.now()
    if (now - this.#ended.at >= afterwardsMs) {
      const isOld = now - this.#ended.at >= 2 * afterwardsMs
      this.#ended = { at: now, before: isOld ? ended : this.#ended.now, now: ended }
    }
    return ended - this.#ended.before
  }
}
