import { matchesCron, minuteMs } from '#contract/cron.ts'
import { messageOf } from '#contract/errors.ts'
import type { EventPort, ScheduledOutcome } from '#contract/events.ts'
import { GateFullError, SharedGate } from '#contract/gate.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Sql } from '#contract/ports/sql.ts'
import type { Schedule, SchedulePort, Tick } from '#contract/schedules.ts'
import * as limits from './limits.ts'
import { type Verdict, verdictOf } from './outcome.ts'
import { type TickKey, TickStore } from './tick-store.ts'

export type SchedulesOptions = {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  readonly events: EventPort
}

/** The folder of migrations that `sql` needs. */
export const scheduleMigrations = new URL('./migrations/', import.meta.url)

type Owner = Pick<Schedule, 'account' | 'worker'>

/**
 * Calls handlers when it is time. A minute of a schedule is claimed on disk before its handler is
 * called: it is not called for it again, whatever happens, but by the retries below. A minute that
 * went by while nobody looked is skipped, as at Cloudflare.
 *
 * A handler that throws, or whose process dies, is called again up to six times, 2, 4, 8 ... 64 s
 * after it failed, unless it said `noRetry()`, or the schedule's next minute has come.
 */
export class Schedules implements SchedulePort {
  readonly #options: SchedulesOptions
  readonly #store: TickStore
  readonly #gate = new SharedGate<AccountId>({
    width: limits.runsAtOnce,
    own: limits.runsOfAccount,
    longestLine: limits.longestLine,
  })
  readonly #running = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #cut = new AbortController()
  /** The newest minute of each schedule that was begun. */
  readonly #newest = new Map<string, number>()
  #schedules: readonly Schedule[] = []
  #timer: Disposable | undefined
  #minute = 0

  private constructor(options: SchedulesOptions) {
    this.#options = options
    this.#store = new TickStore(options.sql)
  }

  /** Does not own what it is handed. */
  static async open(options: SchedulesOptions): Promise<Schedules> {
    const schedules = new Schedules(options)
    await schedules.#store.endLost(options.clock.now())
    return schedules
  }

  publish(schedules: readonly Schedule[]): void {
    this.#schedules = schedules
    const known = new Set(schedules.map((each) => nameOf(each, each.cron.text)))
    for (const name of this.#newest.keys()) if (!known.has(name)) this.#newest.delete(name)
  }

  past(of: Owner): Promise<readonly Tick[]> {
    return this.#store.past(of)
  }

  run(
    { account, worker }: Owner,
    event: { readonly cron: string; readonly scheduledTime: number },
  ): Promise<ScheduledOutcome> {
    return this.#options.events.scheduled({ account, worker }, event, this.#cut.signal)
  }

  forget(of: Owner): Promise<void> {
    return this.#store.remove(of)
  }

  /**
   * Begins, with the minute that it is. Disposing of what it returns begins no more and waits for what
   * runs, for a while at most.
   */
  start(): AsyncDisposable {
    this.#look()
    return { [Symbol.asyncDispose]: () => this.#stop() }
  }

  async #stop(): Promise<void> {
    this.#stopping.abort()
    this.#timer?.[Symbol.dispose]()
    const deadline = this.#options.clock.after(limits.stopMs, () => this.#cut.abort())
    while (this.#running.size > 0) await Promise.all(this.#running)
    deadline[Symbol.dispose]()
  }

  /** Sees to the minute that it is, and comes back at the next one. */
  #look(): void {
    if (this.#stopping.signal.aborted) return
    const now = this.#options.clock.now()
    const minute = Math.floor(now / minuteMs) * minuteMs
    // A timer may be early, and a clock that goes back shows minutes again: those are on disk.
    if (minute !== this.#minute) this.#track(this.#begin(minute))
    this.#minute = minute
    this.#timer = this.#options.clock.after(minute + minuteMs - now, () => this.#look())
  }

  #track(work: Promise<void>): void {
    const done = work.catch((error: unknown) => {
      this.#options.log.error('schedules are late', { error: messageOf(error) })
    })
    this.#running.add(done)
    void done.finally(() => this.#running.delete(done))
  }

  async #begin(minute: number): Promise<void> {
    const { clock } = this.#options
    const due = this.#schedules
      .filter(({ cron, since }) => since <= minute && matchesCron(cron, minute))
      .map(({ account, worker, cron }): TickKey => {
        return { account, worker, cron: cron.text, scheduledTime: minute }
      })
    const claimed = due.length === 0 ? [] : await this.#store.claim(due, clock.now())
    for (const tick of claimed) {
      this.#newest.set(nameOf(tick, tick.cron), minute)
      this.#track(this.#runInLine(tick))
    }
    // A bite more than came in: what is old gets less, however much there is.
    for (let left = claimed.length + 1; left > 0; left -= limits.ticksPerWrite) {
      if (!(await this.#store.removeOld(clock.now()))) break
    }
  }

  async #runInLine(tick: TickKey): Promise<void> {
    try {
      await this.#gate.pass(tick.account, () => this.#runTick(tick))
    } catch (error) {
      if (!(error instanceof GateFullError)) throw error
      const at = this.#options.clock.now()
      await this.#store.end(tick, { at, outcome: 'loadShed', detail: '', attempts: 0 })
    }
  }

  async #runTick(tick: TickKey): Promise<void> {
    const { clock, log } = this.#options
    let attempts = 0
    let verdict: Verdict
    for (;;) {
      verdict = verdictOf(await this.run(tick, tick))
      attempts += 1
      if (!verdict.isRetried || attempts > limits.retries) break
      await this.#pause(limits.firstRetryMs * 2 ** (attempts - 1))
      if (!this.#isWanted(tick)) break
    }
    const { outcome, detail } = verdict
    if (outcome !== 'ok') {
      const { worker, cron } = tick
      log.warn('a schedule failed', { worker, cron, outcome, detail, attempts })
    }
    await this.#store.end(tick, { at: clock.now(), outcome, detail, attempts })
  }

  /** Whether a tick may be tried again: it is its schedule's newest, and there is time. */
  #isWanted(tick: TickKey): boolean {
    const newest = this.#newest.get(nameOf(tick, tick.cron))
    return newest === tick.scheduledTime && !this.#stopping.signal.aborted
  }

  /** Waits, but not if everything stops. */
  async #pause(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { signal } = this.#stopping
    const end = (): void => resolve()
    signal.addEventListener('abort', end)
    const timer = this.#options.clock.after(milliseconds, end)
    if (!signal.aborted) await promise
    timer[Symbol.dispose]()
    signal.removeEventListener('abort', end)
  }
}

function nameOf({ account, worker }: Owner, cron: string): string {
  return `${account}/${worker}/${cron}`
}
