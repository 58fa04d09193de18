import type { MessageFormat, QueueMetrics } from '#contract/events.ts'
import type { Ports } from '#contract/ports.ts'
import {
  bytesColumnOrNull,
  integerColumn,
  integerColumnOrNull,
  type Row,
  sql,
  type Statement,
  textColumn,
} from '#contract/ports/sql.ts'
import type { Waiting } from './due.ts'
import { queueMissing } from './errors.ts'
import { insertMessages, type NewMessage } from './insert-store.ts'
import { longestDelay } from './limits.ts'
import { messageFormat, type QueueId } from './schema.ts'
import { unburied, type Verdict } from './settle.ts'

export type Message = {
  readonly seq: number
  /** The same wherever it goes. */
  readonly id: string
  /** In ms since 1970. */
  readonly timestampMs: number
  /** Deliveries begun. */
  readonly attempts: number
  readonly format: MessageFormat
  /** Who sent it: `worker`, `api` ... */
  readonly source: string
  readonly body: Uint8Array
}

/** What is to become of one message of a lease. */
export type Settlement = { readonly seq: number; readonly verdict: Verdict }

export type LeaseOptions = {
  /** Messages, and bytes of their bodies, unless the first alone has more. */
  readonly count: number
  readonly bytes: number
  readonly now: number
  /** When it ends, in ms since 1970. */
  readonly until: number
}

export type SettleOptions = {
  readonly line: number
  readonly lease: number
  readonly now: number
  readonly grave: Grave
}

/** Where dead letters go, and when they can be delivered there. They stay where there ought to be such a queue and is none. */
export type Grave = DeadLetters | 'nowhere' | 'unavailable'
type DeadLetters = { readonly queue: QueueId; readonly visibleAt: number }

/** Rows of one step of the work behind the scenes. */
const stepRows = 500
/** Ids are drawn so many at a time: a system call each shows. */
const idBatch = 128

export async function openMessages(ports: Pick<Ports, 'sql' | 'random'>): Promise<MessageStore> {
  const [row] = await ports.sql.read(
    sql`SELECT
          (SELECT max(seq) FROM message) AS seq,
          (SELECT max((
            SELECT entered_at FROM delivery WHERE line = line.id ORDER BY seq DESC LIMIT 1
          )) FROM line) AS entered_at`,
  )
  return new MessageStore(ports, {
    seq: (row && integerColumnOrNull(row, 'seq')) ?? 0,
    enteredAt: (row && integerColumnOrNull(row, 'entered_at')) ?? 0,
  })
}

/** What the newest message has. */
type Newest = { readonly seq: number; readonly enteredAt: number }

/**
 * Messages and what is to become of them in each line. Lines are numbers that `QueueStore` gives out.
 * Each write resolves when it is on disk; no read or write looks at more rows than it is about.
 */
export class MessageStore {
  readonly #ports: Pick<Ports, 'sql' | 'random'>
  #lastSeq: number
  /** Entries are in the order of their times, whatever the clock does: see `rewind`. */
  #enteredAt: number
  #ids = ''

  constructor(ports: Pick<Ports, 'sql' | 'random'>, newest: Newest) {
    this.#ports = ports
    this.#lastSeq = newest.seq
    this.#enteredAt = newest.enteredAt
  }

  /** Adds messages to every line of a queue, all or none. Throws `queueMissing`. */
  async send(
    queue: QueueId,
    messages: readonly NewMessage[],
    { now, source }: { readonly now: number; readonly source: string },
  ): Promise<void> {
    const enteredAt = this.#entry(now)
    const from = this.#lastSeq + 1
    this.#lastSeq += messages.length
    const ids = messages.map(() => this.#newId())
    const statements = insertMessages(messages, { queue, from, ids, source, now, enteredAt })
    const [first] = await this.#ports.sql.write(statements)
    if (first?.changes === 0) throw queueMissing()
  }

  /** What a queue with these lines holds: as much as the longest of them. */
  async metrics(lines: readonly number[]): Promise<QueueMetrics> {
    const all = await Promise.all(lines.map((line) => this.#lineMetrics(line)))
    const [longest] = all.toSorted((a, b) => b.backlogCount - a.backlogCount)
    return longest ?? { backlogCount: 0, backlogBytes: 0 }
  }

  async #lineMetrics(line: number): Promise<QueueMetrics> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT count, bytes, (
            SELECT sent_at FROM delivery JOIN message ON message.seq = delivery.seq
            WHERE delivery.line = line.id ORDER BY delivery.seq LIMIT 1
          ) AS oldest FROM line WHERE id = ${line}`,
    )
    if (!row) return { backlogCount: 0, backlogBytes: 0 }
    const oldest = integerColumnOrNull(row, 'oldest')
    return {
      backlogCount: integerColumn(row, 'count'),
      backlogBytes: integerColumn(row, 'bytes'),
      ...(oldest !== null && { oldestMessageTimestampMs: oldest }),
    }
  }

  /** The beginning of a line: what is visible, or will be next. */
  async head(line: number, count: number): Promise<readonly Waiting[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT visible_at, attempts, size FROM delivery
          WHERE line = ${line} ORDER BY visible_at, seq LIMIT ${count}`,
    )
    return rows.map((row) => ({
      visibleAt: integerColumn(row, 'visible_at'),
      attempts: integerColumn(row, 'attempts'),
      size: integerColumn(row, 'size'),
    }))
  }

  /**
   * Gives messages at the beginning of a line to somebody, until some time: an attempt of each has
   * begun. `undefined` if none is visible.
   */
  async lease(
    line: number,
    { count, bytes, now, until }: LeaseOptions,
  ): Promise<{ readonly lease: number; readonly messages: readonly Message[] } | undefined> {
    const lease = Number.parseInt(this.#ports.random.hex(6), 16)
    const [leased] = await this.#ports.sql.write([
      sql`UPDATE delivery SET visible_at = ${until}, attempts = attempts + 1, lease = ${lease}
          WHERE line = ${line} AND seq IN (
            SELECT seq FROM (
              SELECT seq, size, sum(size) OVER (ORDER BY visible_at, seq) AS total FROM (
                SELECT seq, size, visible_at FROM delivery
                WHERE line = ${line} AND visible_at <= ${now}
                ORDER BY visible_at, seq LIMIT ${count}
              ) AS head
            ) AS summed WHERE total <= ${bytes} OR total = size)`,
    ])
    if (!leased || leased.changes === 0) return undefined
    const rows = await this.#ports.sql.read(
      sql`SELECT delivery.seq, attempts, id, sent_at, format, source, body
          FROM delivery JOIN message ON message.seq = delivery.seq
          WHERE lease = ${lease} ORDER BY line, delivery.seq`,
    )
    return { lease, messages: rows.map(messageOf) }
  }

  /** Does to the messages of a lease what was decided; what was leased again since is left alone. */
  async settle(settlements: readonly Settlement[], options: SettleOptions): Promise<void> {
    if (settlements.length === 0) return
    const isDone = settlements.every(({ verdict }) => verdict.type === 'done')
    // As most batches end: one statement for all, which finds them by the lease.
    const statements = isDone
      ? [sql`DELETE FROM delivery WHERE lease = ${options.lease}`]
      : settlements.flatMap((settlement) => this.#settlement(settlement, options))
    await this.#ports.sql.write(statements)
  }

  /** The same for one message, by whoever holds its lease. Says whether it was still theirs. */
  async settleOne(settlement: Settlement, options: SettleOptions): Promise<boolean> {
    const results = await this.#ports.sql.write(this.#settlement(settlement, options))
    return (results.at(-1)?.changes ?? 0) > 0
  }

  /** Deliveries begun of one message of a lease; `undefined` if it is nobody's, or somebody else's. */
  async attemptsOf(line: number, seq: number, lease: number): Promise<number | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT attempts FROM delivery
          WHERE line = ${line} AND seq = ${seq} AND lease = ${lease}`,
    )
    return row && integerColumn(row, 'attempts')
  }

  #settlement(settlement: Settlement, options: SettleOptions): readonly Statement[] {
    const { line, lease, now, grave } = options
    const { seq } = settlement
    const verdict = grave === 'unavailable' ? unburied(settlement.verdict) : settlement.verdict
    const end = sql`DELETE FROM delivery
                    WHERE line = ${line} AND seq = ${seq} AND lease = ${lease}`
    switch (verdict.type) {
      case 'done':
        return [end]
      case 'dead':
        return typeof grave === 'object' ? [...this.#moved(seq, grave, options), end] : [end]
      case 'retry':
        return [
          sql`UPDATE delivery SET visible_at = ${now + verdict.delaySeconds * 1000}, lease = NULL
              WHERE line = ${line} AND seq = ${seq} AND lease = ${lease}`,
        ]
      case 'release':
        return [
          sql`UPDATE delivery SET visible_at = ${now}, lease = NULL, attempts = attempts - 1
              WHERE line = ${line} AND seq = ${seq} AND lease = ${lease}`,
        ]
    }
  }

  /** A message as it is, with its id and its time, put into another queue: kept there from now on. */
  #moved(
    seq: number,
    { queue, visibleAt }: DeadLetters,
    { line, lease, now }: SettleOptions,
  ): readonly Statement[] {
    const next = ++this.#lastSeq
    const enteredAt = this.#entry(now)
    return [
      sql`INSERT INTO message (seq, id, sent_at, format, source, body)
          SELECT ${next}, id, sent_at, format, source, body
          FROM message JOIN delivery ON delivery.seq = message.seq
          WHERE line = ${line} AND delivery.seq = ${seq} AND lease = ${lease}
            AND EXISTS (SELECT 1 FROM line WHERE queue = ${queue} AND is_removed = 0)`,
      sql`INSERT INTO delivery (line, seq, entered_at, visible_at, attempts, size)
          SELECT line.id, message.seq, ${enteredAt}, ${visibleAt}, 0, length(message.body)
          FROM line, message
          WHERE line.queue = ${queue} AND line.is_removed = 0 AND message.seq = ${next}`,
    ]
  }

  /** Ends the leases of all push consumers: whoever held them is gone. */
  async voidLeases(now: number): Promise<void> {
    await this.#ports.sql.write([
      // With the +, leases are looked through rather than lines: SQLite takes these for short.
      sql`UPDATE delivery SET visible_at = ${now}, lease = NULL
          WHERE lease IS NOT NULL
            AND +line IN (SELECT line FROM consumer WHERE worker IS NOT NULL)`,
    ])
  }

  /** Messages at the beginning of a line, whoever has them. */
  async peek(line: number, count: number): Promise<readonly Message[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT delivery.seq, attempts, id, sent_at, format, source, body
          FROM delivery JOIN message ON message.seq = delivery.seq
          WHERE line = ${line} ORDER BY visible_at, delivery.seq LIMIT ${count}`,
    )
    return rows.map(messageOf)
  }

  /** Removes one message from a line. Says whether it was there. */
  async removeOne(line: number, seq: number, id: string): Promise<boolean> {
    const [removed] = await this.#ports.sql.write([
      sql`DELETE FROM delivery WHERE line = ${line} AND seq = ${seq}
          AND EXISTS (SELECT 1 FROM message WHERE seq = ${seq} AND id = ${id})`,
    ])
    return removed?.changes === 1
  }

  // Behind the scenes: each is a bounded step, and says whether there is more to do.

  /** Removes what came into a line before a time, or then. */
  async removeOld(line: number, enteredBefore: number): Promise<boolean> {
    const [oldest] = await this.#ports.sql.read(
      sql`SELECT entered_at FROM delivery WHERE line = ${line} ORDER BY seq LIMIT 1`,
    )
    if (!oldest || integerColumn(oldest, 'entered_at') > enteredBefore) return false
    const [removed] = await this.#ports.sql.write([
      sql`DELETE FROM delivery WHERE line = ${line} AND seq IN (
            SELECT seq FROM (
              SELECT seq, entered_at FROM delivery WHERE line = ${line}
              ORDER BY seq LIMIT ${stepRows}
            ) AS head WHERE entered_at <= ${enteredBefore})`,
    ])
    return removed?.changes === stepRows
  }

  /** Removes what is in lines that were let go of, then these. */
  async removeLines(): Promise<boolean> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id FROM line WHERE is_removed = 1 ORDER BY id LIMIT 1`,
    )
    if (!row) return false
    const line = integerColumn(row, 'id')
    await this.#ports.sql.write([
      sql`DELETE FROM delivery WHERE line = ${line} AND seq IN
          (SELECT seq FROM delivery WHERE line = ${line} ORDER BY seq LIMIT ${stepRows})`,
      sql`DELETE FROM line WHERE id = ${line}
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE line = ${line})`,
    ])
    return true
  }

  /** Whether lines of a queue are still being removed. */
  async isRemoving(queue: QueueId): Promise<boolean> {
    const rows = await this.#ports.sql.read(
      sql`SELECT 1 AS one FROM line WHERE queue = ${queue} AND is_removed = 1 LIMIT 1`,
    )
    return rows.length > 0
  }

  /** When the newest message came in, or 0. */
  get newest(): number {
    return this.#enteredAt
  }

  #entry(now: number): number {
    this.#enteredAt = Math.max(this.#enteredAt, now)
    return this.#enteredAt
  }

  /** The clock went back: what comes in from now on has its time again. Called before `rewind`. */
  enterFrom(now: number): void {
    this.#enteredAt = now
  }

  /**
   * The clock went back: what was visible by the time that it was stays so, and what was to wait waits
   * no longer than it was to. A lease that looks over is left to who has it. What came in when the
   * clock was ahead came in now, for all that is known.
   */
  async rewind(line: number, { from, to }: { from: number; to: number }): Promise<void> {
    const latest = to + longestDelay * 1000
    await this.#ports.sql.write([
      // Entries are in the order of their times: from the end, up to the first that is not ahead.
      sql`UPDATE delivery SET entered_at = ${to}
          WHERE line = ${line} AND seq > coalesce((
            SELECT seq FROM delivery WHERE line = ${line} AND entered_at <= ${to}
            ORDER BY seq DESC LIMIT 1), -1)`,
      sql`UPDATE delivery SET visible_at = ${to}
          WHERE line = ${line} AND visible_at > ${to} AND visible_at <= ${from} AND lease IS NULL`,
      sql`UPDATE delivery SET visible_at = visible_at - ${from - to}
          WHERE line = ${line} AND visible_at > ${from}`,
      sql`UPDATE delivery SET visible_at = ${latest}
          WHERE line = ${line} AND visible_at > ${latest}`,
    ])
  }

  #newId(): string {
    if (this.#ids.length === 0) this.#ids = this.#ports.random.hex(16 * idBatch)
    const id = this.#ids.slice(0, 32)
    this.#ids = this.#ids.slice(32)
    return id
  }
}

function messageOf(row: Row): Message {
  return {
    seq: integerColumn(row, 'seq'),
    id: textColumn(row, 'id'),
    timestampMs: integerColumn(row, 'sent_at'),
    attempts: integerColumn(row, 'attempts'),
    format: messageFormat.parse(textColumn(row, 'format')),
    source: textColumn(row, 'source'),
    body: bytesColumnOrNull(row, 'body') ?? new Uint8Array(),
  }
}
