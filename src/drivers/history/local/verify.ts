import { open, rm } from 'node:fs/promises'
import { HistoryError, type HistoryFile } from '#contract/ports/history.ts'
import { pageBytes } from './limits.ts'
import { writeState } from './rebuild.ts'
import type { Commit } from './record.ts'
import { Snapshot } from './snapshot.ts'
import type { HistoryStore } from './store.ts'
import type { PageSums } from './sums.ts'
import { isSamePosition } from './wal.ts'

/** Compares a file with what the history makes of it, in a sentence if they differ. */
export async function differenceOf(
  store: HistoryStore,
  file: HistoryFile,
  { head, sums }: { readonly head: Commit; readonly sums: PageSums },
): Promise<string | undefined> {
  await using snapshot = await Snapshot.open(file.path, head.wal)
  if (!snapshot) return head.pages === 0 ? undefined : 'there is no file'
  if (snapshot.wal.end && !isSamePosition(snapshot.wal.end, head.wal)) {
    return 'the WAL ends where the history does not'
  }
  if (snapshot.pages !== head.pages) {
    return `the file has ${snapshot.pages} pages, the history ${head.pages}`
  }
  const path = store.temporaryPath(file)
  try {
    await writeState(path, store.records(file, head.sequence))
    return await firstDifference(path, snapshot, sums)
  } catch (error) {
    if (error instanceof HistoryError) return error.message
    throw error
  } finally {
    await rm(path, { force: true })
  }
}

async function firstDifference(
  path: string,
  snapshot: Snapshot,
  sums: PageSums,
): Promise<string | undefined> {
  await using rebuilt = await open(path, 'r')
  for await (const { first, bytes } of snapshot.blocks()) {
    const block = Buffer.alloc(bytes.byteLength)
    await rebuilt.read(block, 0, block.byteLength, (first - 1) * pageBytes)
    if (block.equals(bytes)) continue
    for (let at = 0; at < bytes.byteLength; at += pageBytes) {
      const number = first + at / pageBytes
      const isSame = block.subarray(at, at + pageBytes).equals(bytes.subarray(at, at + pageBytes))
      if (!isSame && sums.get(number) !== 0) return `page ${number} differs`
    }
  }
  return undefined
}
