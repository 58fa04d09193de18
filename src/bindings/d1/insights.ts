import { z } from 'zod'
import type { Clock } from '#contract/ports/clock.ts'
import { metaReply } from './call.ts'
import {
  countedBytes,
  countedCalls,
  countedDatabases,
  countedHours,
  countedTexts,
  sampleEvery,
  textLength,
} from './limits.ts'
import type { DatabaseId } from './schema.ts'

// What is known of the queries that were run. It is in memory alone. Of a database that is called very
// often, one call in `sampleEvery` is looked at, and counts for as many: as at Cloudflare, these are
// estimates.

/** Numbers of a text, or of all, within an hour. */
export type Tally = {
  readonly database: DatabaseId
  /** Since the UNIX epoch. */
  readonly hour: number
  /** Absent: of all texts. */
  readonly query: string | undefined
  count: number
  readQueries: number
  writeQueries: number
  queryDurationMs: number
  rowsRead: number
  rowsWritten: number
  rowsReturned: number
}

type Known = {
  readonly hours: Map<number, Tally>
  readonly texts: Map<string, Tally>
  /** Calls within the second that began then. */
  second: number
  calls: number
}

export type Counted = {
  readonly call: Uint8Array
  readonly reply: Uint8Array
  readonly durationMs: number
}

const hourMs = 3_600_000

export class Insights {
  readonly #clock: Clock
  readonly #databases = new Map<DatabaseId, Known>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A call was answered. */
  count(id: DatabaseId, counted: Counted): void {
    const now = this.#clock.now()
    const known = this.#knownOf(id)
    const weight = weightOf(known, now)
    if (weight === 0) return
    if (counted.call.byteLength > countedBytes || counted.reply.byteLength > countedBytes) return
    if (counted.reply[0] !== 0x5b) return
    const hour = Math.floor(now / hourMs)
    for (const { query, ...numbers } of readCall(counted)) {
      add(tallyOf(known.hours, hour, { database: id, hour, query: undefined }), numbers, weight)
      add(tallyOf(known.texts, `${hour} ${query}`, { database: id, hour, query }), numbers, weight)
    }
    trim(known.texts, countedTexts)
    trim(known.hours, countedHours)
  }

  /** Numbers of texts. */
  *texts(id: DatabaseId): Generator<Tally> {
    yield* this.#databases.get(id)?.texts.values() ?? []
  }

  /** Numbers of all queries of a database, by the hour. */
  *hours(id: DatabaseId): Generator<Tally> {
    yield* this.#databases.get(id)?.hours.values() ?? []
  }

  forget(id: DatabaseId): void {
    this.#databases.delete(id)
  }

  #knownOf(id: DatabaseId): Known {
    const known = this.#databases.get(id)
    if (known) return known
    const made = { hours: new Map(), texts: new Map(), second: 0, calls: 0 }
    this.#databases.set(id, made)
    trim(this.#databases, countedDatabases)
    return made
  }
}

/** How many calls this one stands for; 0 if it is not looked at. */
function weightOf(known: Known, now: number): number {
  const second = Math.floor(now / 1000)
  if (known.second !== second) {
    known.second = second
    known.calls = 0
  }
  known.calls += 1
  if (known.calls <= countedCalls) return 1
  return known.calls % sampleEvery === 0 ? sampleEvery : 0
}

type Numbers = Omit<Tally, 'database' | 'hour' | 'query' | 'count'>

const told = z.object({ sql: z.string() })
const toldCall = z.union([z.array(told), told.transform((one) => [one])])
const columnsAndRows = z.object({ rows: z.array(z.unknown()) })

/** What a call says of each of its statements. Nothing, if it is not one that can be read. */
function readCall({ call, reply, durationMs }: Counted): (Numbers & { readonly query: string })[] {
  const statements = toldCall.safeParse(jsonOf(call.subarray(1))).data ?? []
  const results = metaReply.safeParse(jsonOf(reply)).data ?? []
  return statements.flatMap(({ sql }, index) => {
    const result = results[index]
    if (!result || sql.trim() === '') return []
    const { meta, results: rows } = result
    return [
      {
        query: sql.slice(0, textLength),
        readQueries: meta.rows_written === 0 && !meta.changed_db ? 1 : 0,
        writeQueries: meta.rows_written === 0 && !meta.changed_db ? 0 : 1,
        // The engine's clock stands still while it runs; ours sees the whole of the call.
        queryDurationMs: meta.duration > 0 ? meta.duration : durationMs / statements.length,
        rowsRead: meta.rows_read,
        rowsWritten: meta.rows_written,
        rowsReturned: Array.isArray(rows)
          ? rows.length
          : (columnsAndRows.safeParse(rows).data?.rows.length ?? 0),
      },
    ]
  })
}

function tallyOf<Key>(
  tallies: Map<Key, Tally>,
  key: Key,
  of: Pick<Tally, 'database' | 'hour' | 'query'>,
): Tally {
  const known = tallies.get(key)
  if (known) return known
  const made: Tally = { ...of, ...nothing }
  tallies.set(key, made)
  return made
}

export const nothing: Readonly<Record<keyof Omit<Tally, 'database' | 'hour' | 'query'>, number>> = {
  count: 0,
  readQueries: 0,
  writeQueries: 0,
  queryDurationMs: 0,
  rowsRead: 0,
  rowsWritten: 0,
  rowsReturned: 0,
}

function add(tally: Tally, numbers: Numbers, weight: number): void {
  tally.count += weight
  tally.readQueries += numbers.readQueries * weight
  tally.writeQueries += numbers.writeQueries * weight
  tally.queryDurationMs += numbers.queryDurationMs * weight
  tally.rowsRead += numbers.rowsRead * weight
  tally.rowsWritten += numbers.rowsWritten * weight
  tally.rowsReturned += numbers.rowsReturned * weight
}

/** Lets go of the oldest. */
function trim<Key, Value>(map: Map<Key, Value>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return
    map.delete(key)
  }
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
