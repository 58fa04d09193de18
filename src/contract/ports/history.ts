import type { AccountId } from '#contract/ids.ts'

/**
 * The `History` port: what databases in WAL mode were at every commit, made from their write-ahead
 * logs. It is a second copy of everything committed, and the way back to any moment of the last
 * `retentionMs`.
 *
 * How it stays whole: all writes to a file pass through one place, which asks for `catchUp` after each
 * write transaction and before the next. SQLite begins a WAL anew only at the start of a write
 * transaction, so no frame is overwritten that was not read. After a crash the WAL still has what the
 * history lacks, because a history is synced before its WAL may begin anew.
 *
 * A *bookmark* is 57 characters, `gggggggg-ssssssss-tttttttt-<32>`, all lower-case hexadecimal: the
 * generation of the file, the number of the commit (from 0, what the file was made with), the second
 * (since 1970) it was made in, and the database. Later ones are greater, as text.
 */
export interface History extends AsyncDisposable {
  /**
   * Opens the history of a file, which nobody has open, and makes good what a crash left: commits in
   * the WAL that the history lacks are taken in; commits in the history that the file lacks (its WAL
   * was damaged or lost) are put back. A file without a history, or none yet, begins one.
   * Throws a `HistoryError` (`damaged`) if neither can be made of the other.
   */
  open(file: HistoryFile): Promise<Timeline>

  /** The newest bookmark at a time (ms since 1970), of any generation up to `generation`. Throws `HistoryError`. */
  bookmarkAt(of: HistoryOwner & { readonly generation: number }, time: number): Promise<string>

  /**
   * Writes the database as of a bookmark to a new file at `path`, without a WAL, synced; and begins
   * the history of generation `generation` with it. `path` must not exist. Where commits were thinned,
   * the newest that is kept, at or before the bookmark. A restore that was cut off is made again by the
   * same call; `generation` is a new one otherwise. Throws `HistoryError`.
   */
  restore(
    of: HistoryOwner,
    bookmark: string,
    to: { readonly generation: number; readonly path: string },
  ): Promise<void>

  /** Bytes kept for a database. */
  sizeOf(of: HistoryOwner): Promise<number>

  /** Forgets all generations of a database. None may be open. */
  delete(of: HistoryOwner): Promise<void>

  /** Forgets one generation, as if it had never been. It must not be open. */
  forget(of: HistoryOwner & { readonly generation: number }): Promise<void>

  /** Every generation that there is a history of: for sweeps. */
  list(): Promise<readonly (HistoryOwner & { readonly generation: number })[]>

  /**
   * One round of upkeep: removes what is older than `retentionMs` (of which nobody needs the base),
   * thins what is old or too much, takes new bases where a restore would take long. Bounded per call;
   * resolves with whether there is more to do.
   */
  tidy(): Promise<boolean>
}

export type HistoryOwner = { readonly account: AccountId; readonly database: string }

export type HistoryFile = HistoryOwner & {
  readonly generation: number
  /** The database's path; `-wal` and `-shm` are beside it. It need not exist yet. */
  readonly path: string
}

/** The history of one file that is in use. Calls are made one after the other. Whoever opened it disposes of it. */
export interface Timeline extends AsyncDisposable {
  /**
   * Takes in what was committed since, if anything, and gives the newest bookmark: each transaction is
   * one commit. At once where it can: nothing new costs a few small reads. No write transaction runs
   * meanwhile, nor before a promise of it resolves. Throws, or rejects, if nothing can be written; what
   * was not taken in is taken in by a later call.
   */
  catchUp(): string | Promise<string>

  /** What the last `catchUp` gave. */
  readonly bookmark: string

  /** Resolves when all that was taken in is on disk. Called before the process that has the file open may close it. */
  sync(): Promise<void>

  /**
   * Compares the file, which may be in use but is not written to meanwhile, with the history:
   * `undefined` if they are the same, else the first difference, in a sentence.
   */
  verify(): Promise<string | undefined>
}

export class HistoryError extends Error {
  readonly reason: 'unknown-bookmark' | 'too-old' | 'in-the-future' | 'damaged'
  constructor(reason: HistoryError['reason'], message: string) {
    super(message)
    this.name = 'HistoryError'
    this.reason = reason
  }
}
