import { join } from 'node:path'
import { accountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { History } from '#contract/ports/history.ts'
import type { Sql } from '#contract/ports/sql.ts'
import { openBlobs } from '#drivers/blob/fs/driver.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { openSqlite } from '#drivers/sql/sqlite/driver.ts'
import { readMigrations } from '#drivers/sql/sqlite/migrations.ts'
import { historyMigrations, openHistory } from './driver.ts'

/** A clock that stands still, and whose timers are called when it is moved. */
export class HandClock implements Clock {
  #now = 1_795_000_000_000
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>()

  now(): number {
    return this.#now
  }

  after(milliseconds: number, run: () => void): Disposable {
    const timer = { at: this.#now + milliseconds, run }
    this.#timers.add(timer)
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) }
  }

  pass(milliseconds: number): number {
    this.#now += milliseconds
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now)) {
      this.#timers.delete(timer)
      timer.run()
    }
    return this.#now
  }
}

export const owner = { account: accountId.parse('c'.repeat(32)), database: 'd'.repeat(32) }

export type Opened = AsyncDisposable & {
  readonly history: History
  readonly errors: readonly string[]
}

/** Opens a history whose everything is in one folder; what it logs as an error is kept. */
export async function openIn(folder: string, clock: Clock, budgetBytes?: number): Promise<Opened> {
  const errors: string[] = []
  const log = jsonLog({ write: (line) => errors.push(line), level: 'error', now: Date.now })
  const migrations = await readMigrations(historyMigrations)
  const sql: Sql = await openSqlite({ path: join(folder, 'index.db'), migrations, log })
  const blob = await openBlobs({ path: join(folder, 'blobs') })
  const path = join(folder, 'journals')
  const options = { path, sql, blob, clock, log }
  const history = openHistory(budgetBytes === undefined ? options : { ...options, budgetBytes })
  return {
    history,
    errors,
    async [Symbol.asyncDispose]() {
      await history[Symbol.asyncDispose]()
      await sql[Symbol.asyncDispose]()
    },
  }
}
