import { z } from 'zod'
import type { AccountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { DatabaseError, type DatabaseFiles, type DatabaseReply } from '#contract/ports/databases.ts'
import { importOf, withAttempts } from './call.ts'
import type { Insights } from './insights.ts'
import { attempts, heldCalls, heldMs, retryMs } from './limits.ts'
import type { DatabaseId } from './schema.ts'
import { isReadOnly } from './split.ts'
import type { Database, DatabaseStore } from './store.ts'

export type CallsOptions = {
  readonly store: DatabaseStore
  readonly files: DatabaseFiles
  readonly clock: Clock
  readonly insights: Insights
}

/** A database whose calls wait. */
type Hold = { readonly over: Promise<void>; waiting: number }

/**
 * Calls of databases. Each goes to the file that its database is at that moment, so whoever wants to put
 * another in its place holds them first.
 */
export class Calls {
  readonly #options: CallsOptions
  readonly #holds = new Map<DatabaseId, Hold>()
  /** How many calls of a database are under way; no entry: none. */
  readonly #underWay = new Map<DatabaseId, number>()
  readonly #onIdle = new Map<DatabaseId, () => void>()
  /** Databases of which one is imported into, or restored. */
  readonly #claimed = new Set<DatabaseId>()

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** Has a call made. Throws a `DatabaseError`, or an `ApiError` where there is no such database. */
  async call(account: AccountId, id: DatabaseId, call: Uint8Array): Promise<DatabaseReply> {
    const started = performance.now()
    const { reply, bookmark } = await this.#tried(account, id, call)
    this.#options.insights.count(id, { call, reply, durationMs: performance.now() - started })
    return { reply, bookmark }
  }

  /** Has a file of SQL run, as one transaction. */
  async import(database: Database, sql: AsyncIterable<Uint8Array>): Promise<DatabaseReply> {
    const { files, store } = this.#options
    return this.#counted(database.id, () =>
      files.stream(store.get(database.account, database.id).file, importOf(sql)),
    )
  }

  /** Runs while nothing else of its kind does in a database; `undefined` if something does. */
  async claim<Result>(id: DatabaseId, run: () => Promise<Result>): Promise<Result | undefined> {
    if (this.#claimed.has(id)) return undefined
    this.#claimed.add(id)
    try {
      return await run()
    } finally {
      this.#claimed.delete(id)
    }
  }

  /** Runs while no call of a database does. New ones wait, for a while at most. Claim it first. */
  async held<Result>(id: DatabaseId, run: () => Promise<Result>): Promise<Result> {
    const { promise: over, resolve: release } = Promise.withResolvers<void>()
    this.#holds.set(id, { over, waiting: 0 })
    try {
      if (this.#underWay.has(id)) {
        await new Promise<void>((resolve) => this.#onIdle.set(id, resolve))
      }
      return await run()
    } finally {
      this.#holds.delete(id)
      release()
    }
  }

  /** Tries again what may be: what has not begun, and what changes nothing. */
  async #tried(account: AccountId, id: DatabaseId, call: Uint8Array): Promise<DatabaseReply> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { reply, bookmark } = await this.#once(account, id, call)
        return { reply: attempt === 1 ? reply : withAttempts(reply, attempt), bookmark }
      } catch (error) {
        if (attempt === attempts || !mayRepeat(error, call)) throw error
      }
      await this.#pause(retryMs * attempt)
    }
  }

  async #once(account: AccountId, id: DatabaseId, call: Uint8Array): Promise<DatabaseReply> {
    if (this.#holds.has(id)) await this.#released(id)
    const { files, store } = this.#options
    return this.#counted(id, () => files.call(store.get(account, id).file, call))
  }

  async #counted(id: DatabaseId, run: () => Promise<DatabaseReply>): Promise<DatabaseReply> {
    this.#underWay.set(id, (this.#underWay.get(id) ?? 0) + 1)
    try {
      return await run()
    } finally {
      const left = (this.#underWay.get(id) ?? 1) - 1
      if (left > 0) this.#underWay.set(id, left)
      else {
        this.#underWay.delete(id)
        this.#onIdle.get(id)?.()
        this.#onIdle.delete(id)
      }
    }
  }

  async #released(id: DatabaseId): Promise<void> {
    const until = this.#options.clock.now() + heldMs
    for (let hold = this.#holds.get(id); hold; hold = this.#holds.get(id)) {
      if (hold.waiting >= heldCalls) throw new DatabaseError('queue-full', true)
      const left = until - this.#options.clock.now()
      if (left <= 0) throw new DatabaseError('queued-too-long', true)
      hold.waiting += 1
      await this.#orAfter(left, hold.over)
      hold.waiting -= 1
    }
  }

  async #orAfter(milliseconds: number, over: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#options.clock.after(milliseconds, resolve)
    await Promise.race([over, promise])
    timer[Symbol.dispose]()
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(milliseconds, resolve))
  }
}

const told = z.object({ sql: z.string() })
const calls = z.union([z.array(told), told.transform((one) => [one])])

function mayRepeat(error: unknown, call: Uint8Array): boolean {
  if (!(error instanceof DatabaseError)) return false
  if (error.reason !== 'lost' && error.reason !== 'unavailable') return false
  return error.isRetryable || onlyReads(call)
}

function onlyReads(call: Uint8Array): boolean {
  const parsed = calls.safeParse(jsonOf(call))
  return parsed.success && parsed.data.every(({ sql }) => isReadOnly(sql))
}

function jsonOf(call: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(call.subarray(1)))
  } catch {
    return undefined
  }
}
