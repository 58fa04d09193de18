import { type Commit, type HistoryRecord, numberAt, pageAt, RecordBuilder } from './record.ts'

type Span = {
  /** The last commit of the span: all that is kept of it. */
  last: Commit
  /** Which record has the newest of each page. */
  readonly newest: Map<number, number>
}

/**
 * One commit for each span of time in which there were any: the last, with all pages that the span
 * wrote as they were then. `read` gives the records, twice.
 */
export async function* thinned(
  read: () => AsyncIterable<HistoryRecord>,
  spanMs: number,
): AsyncGenerator<HistoryRecord> {
  const spans = new Map<number, Span>()
  let index = 0
  let waiting: (readonly [number, number])[] = []
  for await (const record of read()) {
    for (let page = 0; page < record.count; page++) waiting.push([numberAt(record, page), index])
    index++
    if (record.kind !== 'commit') continue
    const key = Math.floor(record.commit.time / spanMs)
    const span = spans.get(key) ?? { last: record.commit, newest: new Map<number, number>() }
    span.last = record.commit
    for (const [number, at] of waiting) span.newest.set(number, at)
    spans.set(key, span)
    waiting = []
  }
  yield* written(read, [...spans.values()])
}

async function* written(
  read: () => AsyncIterable<HistoryRecord>,
  spans: readonly Span[],
): AsyncGenerator<HistoryRecord> {
  const builder = new RecordBuilder()
  let index = 0
  let at = 0
  for await (const record of read()) {
    const span = spans[at]
    if (!span) return
    for (let page = 0; page < record.count; page++) {
      const number = numberAt(record, page)
      if (span.newest.get(number) !== index || number > span.last.pages) continue
      if (!builder.hasRoomFor(number)) yield builder.finish('part', span.last)
      builder.add(number, pageAt(record, page))
    }
    index++
    if (record.kind !== 'commit' || record.commit.sequence !== span.last.sequence) continue
    yield builder.finish('commit', span.last)
    at++
  }
}
