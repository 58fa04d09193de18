import type { Gate } from '#contract/gate.ts'
import type { AccountId } from '#contract/ids.ts'
import { type DatabaseCellStatus, DatabaseError } from '#contract/ports/databases.ts'
import { BackOff } from '#runtime/back-off.ts'
import type { DatabaseContext } from './host-options.ts'
import { Incarnation, type Seat } from './incarnation.ts'
import { longestPauseMs, stopGraceMs } from './limits.ts'
import type { PlacedFile } from './paths.ts'

/**
 * A database cell, whatever process it is in: there is one while somebody calls. Owned by the cells of
 * its account, whose processes start one after the other: each writes to a database of the namespace
 * when it starts, and two at once would find it locked.
 */
export class DatabaseCell {
  readonly #context: DatabaseContext
  readonly #account: AccountId
  readonly #starts: Gate
  readonly #backOff = new BackOff()
  #current: Incarnation | undefined
  #starting: Promise<Incarnation> | undefined
  /** Resolves when the process before is gone. */
  #before: Promise<void> = Promise.resolve()
  #usedAt = 0
  #startedAt = 0
  #notBefore = 0
  #idle: Disposable | undefined

  constructor(context: DatabaseContext, account: AccountId, starts: Gate) {
    this.#context = context
    this.#account = account
    this.#starts = starts
  }

  get pid(): number | undefined {
    return this.#current?.pid
  }

  /** `undefined` while there is no process. */
  get status(): DatabaseCellStatus | undefined {
    const current = this.#current
    if (!current || current.isGone) return undefined
    return {
      product: this.#context.product,
      open: current.openFiles,
      startedAt: new Date(this.#startedAt).toISOString(),
      pid: current.pid,
      ...current.usage,
    }
  }

  /** Opens a file in it, starting a process if there is none. Throws what a start or a history does. */
  async seat(file: PlacedFile): Promise<Seat> {
    this.#usedAt = this.#context.clock.now()
    for (;;) {
      const incarnation = await this.#enter()
      const timeline = await incarnation.timeline(file)
      if (!incarnation.isGone) return incarnation.seat(timeline)
      await incarnation.closed
    }
  }

  /** Ends its process, if any, once nothing is in flight. */
  async stop(): Promise<void> {
    const ending = this.#current ?? (await this.#starting?.catch(() => undefined))
    this.#current = undefined
    this.#clearIdle()
    if (ending) this.#before = ending.stop(stopGraceMs)
    await this.#before
  }

  async #enter(): Promise<Incarnation> {
    const current = this.#current
    if (current && !current.isGone) {
      if (current.openFiles < this.#context.limits.openFiles || !current.isIdle) return current
      this.#context.log.debug('a database cell has had many files open', { account: this.#account })
      await this.stop()
    }
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined))
    return this.#starting
  }

  async #start(): Promise<Incarnation> {
    await this.#before
    await this.#current?.closed
    const { clock } = this.#context
    await this.#pause()
    try {
      const started = await this.#starts.pass(() => Incarnation.start(this.#context, this.#account))
      this.#current = started
      this.#startedAt = clock.now()
      void started.closed.then(() => this.#onEnd(started))
      this.#watchIdleness()
      return started
    } catch (error) {
      this.#pauseFor(this.#backOff.died('start', { ranMs: 0, answered: 0 }))
      throw error
    }
  }

  /** Resolves when a process may be started. */
  async #pause(): Promise<void> {
    const { clock, closing } = this.#context
    const waitMs = this.#notBefore - clock.now()
    if (waitMs > 0 && !closing.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      using timer = clock.after(waitMs, resolve)
      closing.addEventListener('abort', () => resolve(), { once: true })
      await promise
      void timer
    }
    if (closing.aborted) throw new DatabaseError('unavailable', true)
  }

  #pauseFor(milliseconds: number): void {
    this.#notBefore = this.#context.clock.now() + Math.min(milliseconds, longestPauseMs)
  }

  #onEnd(ended: Incarnation): void {
    if (this.#current !== ended) return
    const ranMs = this.#context.clock.now() - this.#startedAt
    const { reason, answered } = ended
    this.#context.log.warn('a database cell died', { account: this.#account, ranMs, reason })
    // One that we ended, because of what a call did, is no crash loop.
    const kind = reason === 'crash' ? 'crash' : 'memory'
    this.#pauseFor(this.#backOff.died(kind, { ranMs, answered }))
  }

  #watchIdleness(): void {
    const { sleepMs, clock } = this.#context
    if (sleepMs === undefined) return
    this.#clearIdle()
    const wait = Math.max(sleepMs - (clock.now() - this.#usedAt), 100)
    this.#idle = clock.after(wait, () => {
      const isIdle = this.#current?.isIdle === true && clock.now() - this.#usedAt >= sleepMs
      if (isIdle) void this.stop()
      else this.#watchIdleness()
    })
  }

  #clearIdle(): void {
    this.#idle?.[Symbol.dispose]()
    this.#idle = undefined
  }
}
