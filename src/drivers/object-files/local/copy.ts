import { lstat, open } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { copyOwn, isMissing, openOwn } from './own.ts'

// How a database is copied while workerd writes to it.
//
// Not with SQLite, though workerd's databases are ordinary ones in WAL mode with ordinary locks, and
// a reader (a transaction, the backup API, `VACUUM INTO`) gets consistent copies and holds up no
// writer: 50 of 50 under load. But a reader is a second connection, and workerd counts on being the
// only one:
// - `storage.deleteAll()` closes the database, unlinks the file and makes a new one of that name. A
//   second connection keeps SQLite from removing `-wal` and `-shm` at that close, and the new
//   database takes the old `-shm` for its own: the object's next query fails with
//   SQLITE_IOERR_SHORT_READ, and so on until the reader is gone.
// - workerd sets no busy timeout (`sqlite.c++`). If it opens an object while the other connection recovers the WAL
//   or closes, user code is told SQLITE_BUSY.
// So nothing here locks or opens with SQLite what workerd may have open.
//
// Instead both files are copied as they are, the database first, then its WAL, and the copy is
// recovered as SQLite would after a crash. That is right if the WAL was not begun anew meanwhile,
// which its header tells (it has two random numbers for each new beginning):
// - A page of the database that a checkpoint wrote, or was writing, while we read it is of a frame of
//   this WAL, and that frame was there before the page. The WAL is read after it: the frame is in
//   the copy, and stands for the page.
// - Frames that are committed stay as they are. What was half written at the end of the copy fails
//   its checksum: recovery ends at the last commit before it.
// Where there is no WAL nobody writes: the database is the whole truth if it is unchanged at the end.

/** How often a database is tried before it is called busy. */
const attempts = 8
const attemptsOfNone = 2
const pauseMs = 20
/** Longer than any clock that stamps files takes from one tick to the next. */
const tickMs = 12
/** A file that is older than this is older than a tick, whatever the clocks do. */
const freshMs = 1_000
const walHeaderBytes = 32

export type DatabaseCopy = {
  readonly from: string
  readonly to: string
  readonly now: () => number
}

/**
 * Copies a database and its WAL to a path that is the caller's alone. `false` if it is written to so
 * fast that its WAL begins anew during each attempt. Rejects with ENOENT if there is none.
 */
export async function copyDatabase(copy: DatabaseCopy): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      if (await tryCopy(copy)) return true
      if (attempt === attempts) return false
    } catch (error) {
      // While everything in it is being deleted there is no file for a moment.
      if (!isMissing(error) || attempt > attemptsOfNone) throw error
    }
    await setTimeout(pauseMs * attempt)
  }
}

async function tryCopy({ from, to, now }: DatabaseCopy): Promise<boolean> {
  const walBefore = await walHeaderOf(from)
  const before = await stampOf(from)
  const isFresh = Math.abs(now() - before.modifiedAt) < freshMs
  if (walBefore === '' && isFresh) await setTimeout(tickMs)
  await copyOwn(from, to)
  // What an attempt before left there is overwritten, or removed by an empty file.
  await copyWal(from, to)
  const after = await stampOf(from)
  if ((await walHeaderOf(from)) !== walBefore || after.inode !== before.inode) return false
  return walBefore !== '' || after.stamp === before.stamp
}

async function copyWal(from: string, to: string): Promise<void> {
  try {
    await copyOwn(`${from}-wal`, `${to}-wal`)
  } catch (error) {
    if (!isMissing(error)) throw error
    await using file = await open(`${to}-wal`, 'w')
    await file.truncate()
  }
}

/** `""` if there is no WAL, or nothing in it. */
async function walHeaderOf(database: string): Promise<string> {
  try {
    await using file = await openOwn(`${database}-wal`)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(walHeaderBytes), 0)
    return buffer.toString('hex', 0, bytesRead)
  } catch (error) {
    if (isMissing(error)) return ''
    throw error
  }
}

async function stampOf(path: string) {
  const { ino, size, mtimeNs, ctimeNs, mtimeMs } = await lstat(path, { bigint: true })
  return { inode: ino, stamp: `${size} ${mtimeNs} ${ctimeNs}`, modifiedAt: Number(mtimeMs) }
}
