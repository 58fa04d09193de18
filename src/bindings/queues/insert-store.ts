import type { MessageFormat } from '#contract/events.ts'
import { sql, type Statement } from '#contract/ports/sql.ts'
import type { QueueId } from './schema.ts'

export type NewMessage = {
  readonly format: MessageFormat
  readonly body: Uint8Array
  /** When it can be delivered first, in ms since 1970. */
  readonly visibleAt: number
}

export type Insert = {
  readonly queue: QueueId
  /** The `seq` of the first; those of the others follow. */
  readonly from: number
  /** One for each. */
  readonly ids: readonly string[]
  readonly source: string
  readonly now: number
  readonly enteredAt: number
}

/**
 * Puts messages into every line of a queue: few statements however many messages, because a statement
 * costs more than a row. The first changes no row if there is no such queue.
 */
export function insertMessages(
  messages: readonly NewMessage[],
  { queue, from, ids, source, now, enteredAt }: Insert,
): readonly Statement[] {
  const rows = messages.flatMap(({ format, body }, n) => [from + n, ids[n] ?? '', format, body])
  const strings = textFor(messages.length)
  return [
    { strings, values: [now, source, ...rows, queue] },
    ...runsOf(messages).map(
      ({ first, last, visibleAt }) =>
        sql`INSERT INTO delivery (line, seq, entered_at, visible_at, attempts, size)
            SELECT line.id, message.seq, ${enteredAt}, ${visibleAt}, 0, length(message.body)
            FROM line CROSS JOIN message
            WHERE line.queue = ${queue} AND line.is_removed = 0
              AND message.seq BETWEEN ${from + first} AND ${from + last}`,
    ),
  ]
}

const texts = new Map<number, readonly string[]>()

/** The pieces of text around the values: the same array each time, so that each is prepared once. */
function textFor(count: number): readonly string[] {
  const known = texts.get(count)
  if (known) return known
  const row = [', ', ', ', ', ']
  const made = [
    `INSERT INTO message (sent_at, source, seq, id, format, body)
     SELECT `,
    ', ',
    ', * FROM (VALUES (',
    ...Array.from({ length: count - 1 }, () => [...row, '), (']).flat(),
    ...row,
    ')) WHERE EXISTS (SELECT 1 FROM line WHERE is_removed = 0 AND queue = ',
    ')',
  ]
  texts.set(count, made)
  return made
}

type Run = { readonly first: number; readonly last: number; readonly visibleAt: number }

/** Neighbours that become visible at the same time, by their places. */
function runsOf(messages: readonly NewMessage[]): readonly Run[] {
  const runs: Run[] = []
  for (const [n, { visibleAt }] of messages.entries()) {
    const run = runs.at(-1)
    if (run?.visibleAt === visibleAt) runs[runs.length - 1] = { ...run, last: n }
    else runs.push({ first: n, last: n, visibleAt })
  }
  return runs
}
