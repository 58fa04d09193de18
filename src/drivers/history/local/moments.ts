import { JournalReader } from './journal.ts'
import type { HistoryRecord } from './record.ts'
import { hasBeginning, type HistoryStore, type Of } from './store.ts'

export type Moment = { readonly sequence: number; readonly time: number }

/** The newest commit of a generation at or before a time, or `undefined` if none is kept. */
export async function newestAt(
  store: HistoryStore,
  of: Of,
  { time, beganAt }: { readonly time: number; readonly beganAt: number },
): Promise<Moment | undefined> {
  for (const { path } of (await store.journals(of)).toReversed()) {
    const found = await lastUntil(new JournalReader(path).records(), time)
    if (found) return found
  }
  const segments = await store.index.segments(of, of.generation)
  const segment = segments.findLast(({ firstTime }) => firstTime <= time)
  const found = segment && (await lastUntil(store.recordsIn(segment), time))
  if (found) return found
  // The beginning, unless it is not kept any more.
  return hasBeginning(segments) ? { sequence: 0, time: beganAt } : undefined
}

async function lastUntil(
  records: AsyncIterable<HistoryRecord>,
  time: number,
): Promise<Moment | undefined> {
  let last: Moment | undefined
  for await (const { kind, commit } of records) {
    if (commit.time > time) return last
    if (kind === 'commit') last = { sequence: commit.sequence, time: commit.time }
  }
  return last
}
