import { accountId, blobKey, type BlobKey } from '#contract/ids.ts'
import type { HistoryOwner } from '#contract/ports/history.ts'
import {
  expecting,
  integerColumn,
  type Row,
  type Sql,
  sql,
  type Statement,
  textColumn,
} from '#contract/ports/sql.ts'

/** What is in a blob: a run of commits, or a base: all pages as of its last commit. */
export type Segment = {
  readonly generation: number
  readonly kind: 'base' | 'commits'
  readonly firstSequence: number
  readonly lastSequence: number
  readonly firstTime: number
  readonly lastTime: number
  /** Milliseconds of which one moment is kept, or 0 for every commit. */
  readonly keptMs: number
  readonly rawBytes: number
  readonly bytes: number
  readonly blob: BlobKey
}

export type Generation = { readonly generation: number; readonly beganAt: number }

/** Which generations and segments there are. */
export class IndexStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  /** In order. */
  async generations({ account, database }: HistoryOwner): Promise<readonly Generation[]> {
    const rows = await this.#sql.read(
      sql`SELECT generation, began_at FROM generation
          WHERE account = ${account} AND database = ${database} ORDER BY generation`,
    )
    return rows.map((row) => ({
      generation: integerColumn(row, 'generation'),
      beganAt: integerColumn(row, 'began_at'),
    }))
  }

  /** In the order of their commits. */
  async segments(
    { account, database }: HistoryOwner,
    generation: number,
  ): Promise<readonly Segment[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM segment WHERE account = ${account} AND database = ${database}
          AND generation = ${generation} ORDER BY last_sequence, first_sequence`,
    )
    return rows.map(segmentOf)
  }

  async beginGeneration(
    owner: HistoryOwner,
    { generation, beganAt }: Generation,
    base?: Segment,
  ): Promise<void> {
    const begun = sql`INSERT INTO generation (account, database, generation, began_at)
        VALUES (${owner.account}, ${owner.database}, ${generation}, ${beganAt})`
    await this.#sql.write(base ? [begun, insertion(owner, base)] : [begun])
  }

  /** Puts segments in the place of others, in one step. */
  async replace(
    owner: HistoryOwner,
    old: readonly Segment[],
    segments: readonly Segment[],
  ): Promise<void> {
    const gone = old.map((segment) => expecting(1, deletion(segment)))
    await this.#sql.write([...gone, ...segments.map((segment) => insertion(owner, segment))])
  }

  async forgetGeneration({ account, database }: HistoryOwner, generation: number): Promise<void> {
    await this.#sql.write([
      sql`DELETE FROM segment WHERE account = ${account} AND database = ${database}
          AND generation = ${generation}`,
      sql`DELETE FROM generation WHERE account = ${account} AND database = ${database}
          AND generation = ${generation}`,
    ])
  }

  async bytesOf({ account, database }: HistoryOwner): Promise<number> {
    const [row] = await this.#sql.read(
      sql`SELECT coalesce(sum(bytes), 0) AS bytes FROM segment
          WHERE account = ${account} AND database = ${database}`,
    )
    return row ? integerColumn(row, 'bytes') : 0
  }

  async owners(): Promise<readonly HistoryOwner[]> {
    const rows = await this.#sql.read(
      sql`SELECT DISTINCT account, database FROM generation ORDER BY account, database`,
    )
    return rows.map((row) => ({
      account: accountId.parse(textColumn(row, 'account')),
      database: textColumn(row, 'database'),
    }))
  }

  /** Every generation of every database. */
  async all(): Promise<readonly (HistoryOwner & { readonly generation: number })[]> {
    const rows = await this.#sql.read(
      sql`SELECT account, database, generation FROM generation
          ORDER BY account, database, generation`,
    )
    return rows.map((row) => ({
      account: accountId.parse(textColumn(row, 'account')),
      database: textColumn(row, 'database'),
      generation: integerColumn(row, 'generation'),
    }))
  }

  async hasBlob(key: BlobKey): Promise<boolean> {
    return (await this.#sql.read(sql`SELECT 1 FROM segment WHERE blob = ${key}`)).length > 0
  }
}

function insertion({ account, database }: HistoryOwner, segment: Segment): Statement {
  const { generation, kind, firstSequence, lastSequence, firstTime, lastTime } = segment
  return sql`INSERT INTO segment (account, database, generation, kind, first_sequence, last_sequence,
      first_time, last_time, kept, raw_bytes, bytes, blob)
      VALUES (${account}, ${database}, ${generation}, ${kind}, ${firstSequence}, ${lastSequence},
      ${firstTime}, ${lastTime}, ${segment.keptMs}, ${segment.rawBytes}, ${segment.bytes},
      ${segment.blob})`
}

function deletion({ blob }: Segment): Statement {
  return sql`DELETE FROM segment WHERE blob = ${blob}`
}

function segmentOf(row: Row): Segment {
  return {
    generation: integerColumn(row, 'generation'),
    kind: textColumn(row, 'kind') === 'base' ? 'base' : 'commits',
    firstSequence: integerColumn(row, 'first_sequence'),
    lastSequence: integerColumn(row, 'last_sequence'),
    firstTime: integerColumn(row, 'first_time'),
    lastTime: integerColumn(row, 'last_time'),
    keptMs: integerColumn(row, 'kept'),
    rawBytes: integerColumn(row, 'raw_bytes'),
    bytes: integerColumn(row, 'bytes'),
    blob: blobKey.parse(textColumn(row, 'blob')),
  }
}
