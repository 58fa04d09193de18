import { type FileHandle, open } from 'node:fs/promises'
import { pageBytes } from './limits.ts'
import { type Commit, type HistoryRecord, numberAt, pageAt } from './record.ts'

/**
 * Writes what records amount to into a new file, and syncs it. Holds one record at a time. Gives the
 * last commit, or `undefined` if there was none.
 */
export async function writeState(
  path: string,
  records: AsyncIterable<HistoryRecord>,
): Promise<Commit | undefined> {
  await using file = await open(path, 'wx', 0o600)
  let size = 0
  let last: Commit | undefined
  for await (const record of records) {
    await Promise.all(runsOf(record).map(({ first, pages }) => writeRun(file, first, pages)))
    if (record.kind !== 'commit') continue
    last = record.commit
    // What is beyond is cut off now: if the database grows again, it is not to come back.
    if (last.pages < size) await file.truncate(last.pages * pageBytes)
    size = last.pages
  }
  await file.truncate(size * pageBytes)
  await file.sync()
  return last
}

type Run = { readonly first: number; readonly pages: readonly Buffer[] }

/** Pages that are next to each other are written at once. */
function runsOf(record: HistoryRecord): readonly Run[] {
  const order = Array.from({ length: record.count }, (_, index) => index).toSorted(
    (one, other) => numberAt(record, one) - numberAt(record, other),
  )
  const runs: { first: number; pages: Buffer[] }[] = []
  for (const index of order) {
    const number = numberAt(record, index)
    const run = runs.at(-1)
    if (run && run.first + run.pages.length === number) run.pages.push(pageAt(record, index))
    else runs.push({ first: number, pages: [pageAt(record, index)] })
  }
  return runs
}

async function writeRun(file: FileHandle, first: number, pages: readonly Buffer[]): Promise<void> {
  let position = (first - 1) * pageBytes
  let left = pages
  while (left.length > 0) {
    const { bytesWritten } = await file.writev(left, position)
    position += bytesWritten
    left = behind(left, bytesWritten)
  }
}

function behind(pages: readonly Buffer[], bytes: number): readonly Buffer[] {
  let left = bytes
  return pages.flatMap((page) => {
    const written = Math.min(left, page.byteLength)
    left -= written
    return written === page.byteLength ? [] : [page.subarray(written)]
  })
}
