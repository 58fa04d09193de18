import { z } from 'zod'
import { accountId, workerName } from '#contract/ids.ts'
import {
  integerColumn,
  type Row,
  type Sql,
  sql,
  type Statement,
  textColumn,
} from '#contract/ports/sql.ts'
import type { WorkerKey } from './worker-store.ts'

const scheduleRecord = z.object({
  account: accountId,
  worker: workerName,
  /** As it was written. */
  cron: z.string(),
  /** ISO 8601. */
  createdAt: z.string(),
})
export type StoredSchedule = Readonly<z.output<typeof scheduleRecord>>

/** Cron triggers of Workers. Does not own `sql`. */
export class ScheduleStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  async all(): Promise<readonly StoredSchedule[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM schedule ORDER BY account, worker, position`,
    )
    return rows.map(scheduleOf)
  }

  /** In the order in which they were given. */
  async of({ account, worker }: WorkerKey): Promise<readonly StoredSchedule[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM schedule WHERE account = ${account} AND worker = ${worker}
          ORDER BY position`,
    )
    return rows.map(scheduleOf)
  }

  /** How many the other Workers of an account have. */
  async countOfOthers({ account, worker }: WorkerKey): Promise<number> {
    const [row] = await this.#sql.read(
      sql`SELECT count(*) AS n FROM schedule WHERE account = ${account} AND worker <> ${worker}`,
    )
    return integerColumn(row ?? {}, 'n')
  }

  /** Gives a Worker these and no others. One that it has already keeps its time. */
  async replace(key: WorkerKey, crons: readonly string[], now: string): Promise<void> {
    const { account, worker } = key
    const known = new Map((await this.of(key)).map(({ cron, createdAt }) => [cron, createdAt]))
    await this.#sql.write([
      removeSchedules(key),
      ...crons.map(
        (cron, position) =>
          sql`INSERT INTO schedule (account, worker, cron, created_at, position)
              VALUES (${account}, ${worker}, ${cron}, ${known.get(cron) ?? now}, ${position})`,
      ),
    ])
  }
}

/** A Worker has no cron triggers any more. */
export function removeSchedules({ account, worker }: WorkerKey): Statement {
  return sql`DELETE FROM schedule WHERE account = ${account} AND worker = ${worker}`
}

function scheduleOf(row: Row): StoredSchedule {
  return scheduleRecord.parse({
    account: textColumn(row, 'account'),
    worker: textColumn(row, 'worker'),
    cron: textColumn(row, 'cron'),
    createdAt: textColumn(row, 'created_at'),
  })
}
