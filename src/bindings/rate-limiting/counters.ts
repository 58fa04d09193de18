import type { AccountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import * as limits from './limits.ts'

/** What is asked of a counter. */
export type Ask = {
  readonly account: AccountId
  readonly namespaceId: string
  readonly key: string
  /** Seconds. */
  readonly period: number
  readonly limit: number
  /** How much a call that succeeds adds. */
  readonly delta: number
}

/** The counters of one account with one period, all of one bucket. */
type Window = {
  readonly account: AccountId
  readonly period: number
  /** Which period since 1970 it is. */
  bucket: number
  /** By namespace and key, the oldest first. */
  counts: Map<string, number>
  bytes: number
}

/**
 * The counters of all accounts, in memory: for all callers on this server, and for as long as it
 * runs. A counter is one of an account, namespace, key and period; buckets follow the wall clock.
 *
 * When the memory they may take is used up, the account that uses most loses its oldest counters,
 * which then count from zero: calls are let through rather than refused, and never one account's
 * because of another's that uses more.
 */
export class Counters implements Disposable {
  readonly #clock: Clock
  readonly #mostBytes: number
  readonly #windows = new Map<string, Window>()
  #bytes = 0
  #timer: Disposable | undefined

  constructor(clock: Clock, mostBytes = limits.counterBytes) {
    this.#clock = clock
    this.#mostBytes = mostBytes
  }

  /** Counts a call if it is within the limit, and says whether it is. */
  take({ account, namespaceId, key, period, limit, delta }: Ask): boolean {
    const window = this.#windowOf(account, period)
    const name = `${namespaceId}:${key}`
    const count = window.counts.get(name)
    if (!((count ?? 0) < limit)) return false
    window.counts.set(name, (count ?? 0) + delta)
    if (count === undefined) this.#grow(window, weightOf(name))
    return true
  }

  /** How much there is, of all accounts. */
  get size(): { readonly counters: number; readonly bytes: number } {
    const counters = [...this.#windows.values()].reduce((sum, { counts }) => sum + counts.size, 0)
    return { counters, bytes: this.#bytes }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#windows.clear()
    this.#bytes = 0
  }

  #windowOf(account: AccountId, period: number): Window {
    const bucket = this.#bucketOf(period)
    const name = `${account}/${period}`
    const known = this.#windows.get(name)
    if (known) {
      // A clock that was set back begins another bucket too: a limit must not last longer for it.
      if (known.bucket !== bucket) this.#empty(known, bucket)
      return known
    }
    const window = { account, period, bucket, counts: new Map<string, number>(), bytes: 0 }
    this.#windows.set(name, window)
    this.#timer ??= this.#clock.after(limits.sweepMs, () => this.#sweep())
    return window
  }

  #bucketOf(period: number): number {
    return Math.floor(this.#clock.now() / (period * 1000))
  }

  #empty(window: Window, bucket: number): void {
    this.#bytes -= window.bytes
    window.bucket = bucket
    window.counts = new Map()
    window.bytes = 0
  }

  #grow(window: Window, bytes: number): void {
    window.bytes += bytes
    this.#bytes += bytes
    if (this.#bytes > this.#mostBytes) this.#free()
  }

  /** Many at once: to find out who has most is not for every call. */
  #free(): void {
    const goal = this.#mostBytes * (1 - limits.freedPart)
    while (this.#bytes > goal) {
      const windows = this.#largest()
      // Never so much that another has far more then: many may be about as large.
      const least = Math.max(goal, this.#bytes - bytesOf(windows) * limits.freedPart)
      for (const window of windows) this.#drop(window, least)
    }
  }

  /** The windows of the account that has most. */
  #largest(): readonly Window[] {
    const byAccount = Map.groupBy(this.#windows.values(), ({ account }) => account)
    return [...byAccount.values()].reduce((most, each) =>
      bytesOf(each) > bytesOf(most) ? each : most,
    )
  }

  #drop(window: Window, goal: number): void {
    for (const name of window.counts.keys()) {
      if (this.#bytes <= goal) return
      const bytes = weightOf(name)
      window.counts.delete(name)
      window.bytes -= bytes
      this.#bytes -= bytes
    }
  }

  #sweep(): void {
    for (const [name, window] of this.#windows) {
      if (window.bucket === this.#bucketOf(window.period)) continue
      this.#bytes -= window.bytes
      this.#windows.delete(name)
    }
    this.#timer =
      this.#windows.size === 0 ? undefined : this.#clock.after(limits.sweepMs, () => this.#sweep())
  }
}

function bytesOf(windows: readonly Window[]): number {
  return windows.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Bytes, of a string that may need two for each character. */
function weightOf(name: string): number {
  return limits.counterOverhead + 2 * name.length
}
