import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Ports } from '#contract/ports.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { openBlobs } from '#drivers/blob/fs/driver.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { historyMigrations, openHistory } from '#drivers/history/local/driver.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { openSqlite } from '#drivers/sql/sqlite/driver.ts'
import { readMigrations } from '#drivers/sql/sqlite/migrations.ts'
import { openVault, vaultMigrations } from '#drivers/vault/local/driver.ts'
import { workerdPath } from '#runtime/binary.ts'
import { openDatabases } from '#runtime/databases/databases.ts'
import type { DatabaseOptions } from '#runtime/databases/host-options.ts'

/** The real drivers on a folder, as a binding gets them. Warnings go to stderr. */
export async function openPorts(options: {
  readonly path: string
  /** The binding's folder of migrations. */
  readonly migrations: URL
  readonly clock?: Clock
  readonly databaseLimits?: DatabaseOptions['limits']
}): Promise<Ports & AsyncDisposable> {
  const { path, migrations, clock = systemClock, databaseLimits } = options
  await mkdir(path, { recursive: true })
  const log = jsonLog({
    write: (line) => process.stderr.write(line),
    level: 'warn',
    now: () => clock.now(),
  })
  const sql = await openSqlite({
    path: join(path, 'main.db'),
    migrations: await readMigrations(migrations),
    log,
  })
  const vaultSql = await openSqlite({
    path: join(path, 'vault.db'),
    migrations: await readMigrations(vaultMigrations),
    log,
  })
  const vault = await openVault({ sql: vaultSql, masterKeyPath: join(path, 'master.key') })
  const blob = await openBlobs({ path: join(path, 'blobs') })
  const historySql = await openSqlite({
    path: join(path, 'history.db'),
    migrations: await readMigrations(historyMigrations),
    log,
  })
  const system = { log, clock, random: systemRandom }
  const history = openHistory({
    ...system,
    sql: historySql,
    blob: await openBlobs({ path: join(path, 'segments') }),
    path: join(path, 'journals'),
  })
  const databases = openDatabases({
    ...system,
    history,
    workerdPath,
    path: join(path, 'databases'),
    runDirectory: join(path, 'run'),
    jail: async () => undefined,
    startTimeoutMs: 10_000,
    ...(databaseLimits && { limits: databaseLimits }),
  })
  return {
    databases,
    sql,
    blob,
    clock,
    random: systemRandom,
    vault,
    log,
    async [Symbol.asyncDispose]() {
      await databases[Symbol.asyncDispose]()
      await history[Symbol.asyncDispose]()
      await historySql[Symbol.asyncDispose]()
      await sql[Symbol.asyncDispose]()
      await vaultSql[Symbol.asyncDispose]()
    },
  }
}

/** A clock that moves only when told to. */
export type MovableClock = Clock & {
  /** Time passes: what is due runs. */
  moveBy(milliseconds: number): void
  /** Somebody sets the clock: what is to run after a while does so after the same while. */
  jumpBy(milliseconds: number): void
}

export function movableClock(start: number): MovableClock {
  let time = start
  const timers = new Set<{ at: number; readonly run: () => void }>()
  return {
    now: () => time,
    after(milliseconds, run) {
      const timer = { at: time + milliseconds, run }
      timers.add(timer)
      return { [Symbol.dispose]: () => void timers.delete(timer) }
    },
    moveBy(milliseconds) {
      time += milliseconds
      const due = [...timers].filter((timer) => timer.at <= time)
      for (const timer of due) {
        timers.delete(timer)
        timer.run()
      }
    },
    jumpBy(milliseconds) {
      time += milliseconds
      for (const timer of timers) timer.at += milliseconds
    },
  }
}
