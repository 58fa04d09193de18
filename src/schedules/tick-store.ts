import {
  integerColumn,
  integerColumnOrNull,
  type Row,
  type Sql,
  sql,
  textColumn,
} from '#contract/ports/sql.ts'
import type { Schedule, Tick } from '#contract/schedules.ts'
import { keptMs, ticksPerWrite, ticksShown } from './limits.ts'

type Owner = Pick<Schedule, 'account' | 'worker'>

/** One minute of one schedule. */
export type TickKey = Owner & { readonly cron: string; readonly scheduledTime: number }

/** What was called when, and what became of it. Does not own `sql`. */
export class TickStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  /** Takes ticks that nobody has taken yet: those of them that are the caller's to run. */
  async claim(ticks: readonly TickKey[], now: number): Promise<readonly TickKey[]> {
    const claimed: TickKey[] = []
    for (let at = 0; at < ticks.length; at += ticksPerWrite) {
      const some = ticks.slice(at, at + ticksPerWrite)
      const results = await this.#sql.write(
        some.map(
          ({ account, worker, cron, scheduledTime }) =>
            sql`INSERT INTO tick (account, worker, cron, scheduled_at, started_at)
                VALUES (${account}, ${worker}, ${cron}, ${scheduledTime}, ${now})
                ON CONFLICT DO NOTHING`,
        ),
      )
      claimed.push(...some.filter((_, index) => results[index]?.changes === 1))
    }
    return claimed
  }

  async end(
    { account, worker, cron, scheduledTime }: TickKey,
    { at, outcome, detail, attempts }: NonNullable<Tick['ended']>,
  ): Promise<void> {
    await this.#sql.write([
      sql`UPDATE tick SET ended_at = ${at}, outcome = ${outcome}, detail = ${detail},
            attempts = ${attempts}
          WHERE account = ${account} AND worker = ${worker} AND cron = ${cron}
            AND scheduled_at = ${scheduledTime}`,
    ])
  }

  /** Ends what ran when an earlier server died: how far it came is not known. */
  async endLost(now: number): Promise<void> {
    await this.#sql.write([
      sql`UPDATE tick SET ended_at = ${now}, outcome = 'canceled', detail = 'the server ended',
            attempts = 1
          WHERE ended_at IS NULL`,
    ])
  }

  /** Newest first. */
  async past({ account, worker }: Owner): Promise<readonly Tick[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM tick WHERE account = ${account} AND worker = ${worker}
          ORDER BY scheduled_at DESC, cron LIMIT ${ticksShown}`,
    )
    return rows.map(tickOf)
  }

  async remove({ account, worker }: Owner): Promise<void> {
    await this.#sql.write([sql`DELETE FROM tick WHERE account = ${account} AND worker = ${worker}`])
  }

  /** Removes some of what is old. Says whether there may be more. */
  async removeOld(now: number): Promise<boolean> {
    const [removed] = await this.#sql.write([
      sql`DELETE FROM tick WHERE (account, worker, scheduled_at, cron) IN (
            SELECT account, worker, scheduled_at, cron FROM tick
            WHERE scheduled_at < ${now - keptMs} AND ended_at IS NOT NULL
            ORDER BY scheduled_at LIMIT ${ticksPerWrite})`,
    ])
    return removed?.changes === ticksPerWrite
  }
}

function tickOf(row: Row): Tick {
  const endedAt = integerColumnOrNull(row, 'ended_at')
  return {
    cron: textColumn(row, 'cron'),
    scheduledTime: integerColumn(row, 'scheduled_at'),
    startedAt: integerColumn(row, 'started_at'),
    ...(endedAt !== null && {
      ended: {
        at: endedAt,
        outcome: textColumn(row, 'outcome'),
        detail: textColumn(row, 'detail'),
        attempts: integerColumn(row, 'attempts'),
      },
    }),
  }
}
