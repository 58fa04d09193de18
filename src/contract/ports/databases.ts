import type { AccountId } from '#contract/ids.ts'

/**
 * The `Databases` port: SQLite databases whose SQL is their users' own. It runs in workerd's SQLite
 * and nowhere else, in jailed processes (*database cells*), by an *engine*: a small Worker of the
 * product that keeps the databases, with one object per file. Each file has a *history*
 * (`history.ts`), of which every commit is a moment that can be returned to.
 */
export interface Databases {
  /** The files of one product. `engine` is its Worker: a module of one file, without imports but `cloudflare:workers`. */
  open(product: { readonly name: string; readonly engine: URL }): DatabaseFiles

  /** The processes that databases of an account are in at the moment. */
  status(account: AccountId): readonly DatabaseCellStatus[]
}

export type DatabaseCellStatus = {
  /** Whose databases: what `open` was told. */
  readonly product: string
  /** Databases that it has open. */
  readonly open: number
  /** ISO 8601. */
  readonly startedAt: string
  readonly pid: number
  /** Absent where the system does not say. */
  readonly memoryBytes?: number
  readonly cpuMs?: number
}

/** One file. Its generations are files of their own: a restore makes the next, and leaves this as it is. */
export type DatabaseFile = {
  readonly account: AccountId
  /** 32 hexadecimal digits in lower case, unique. */
  readonly database: string
  /** From 1 to 0xffffffff. Which one is current is for the product to know. */
  readonly generation: number
}

export interface DatabaseFiles {
  /**
   * Has the engine take a call, in the order in which a file is called. Calls that wait for the same
   * file travel together and share one commit; each succeeds or fails by itself. What the call and the
   * reply are is between the product and its engine. Resolves once everything that it wrote is on disk.
   * Throws a `DatabaseError`.
   */
  call(file: DatabaseFile, call: Uint8Array): Promise<DatabaseReply>

  /**
   * As `call`, for one that is too large to be held: the engine is sent the stream, and nothing else
   * runs in the file until it has answered. For as long as it takes while `source` goes on.
   */
  stream(file: DatabaseFile, source: AsyncIterable<Uint8Array>): Promise<DatabaseReply>

  /** The newest bookmark of a file: at least that of every reply so far. Makes the file if there is none. */
  bookmark(file: DatabaseFile): Promise<string>

  /**
   * The newest bookmark at a time (ms since 1970), of any generation up to that of `file`. Throws
   * `HistoryError` if that is before what is kept, or in the future.
   */
  bookmarkAt(file: DatabaseFile, time: number): Promise<string>

  /**
   * Makes `to`, a later generation of the same database, be what the database was at a bookmark; it has
   * no other content before. Resolves when it is on disk. Throws `HistoryError` for a bookmark that is
   * not this database's, or not kept any more.
   */
  restore(bookmark: string, to: DatabaseFile): Promise<void>

  /**
   * Compares a file with what its history makes of it, while it is in use: `undefined` if they are the
   * same, else what is wrong, in a sentence.
   */
  verify(file: DatabaseFile): Promise<string | undefined>

  /** Bytes of a file, and of its database's history; 0 where there is none. */
  sizeOf(file: DatabaseFile): Promise<{ readonly fileBytes: number; readonly historyBytes: number }>

  /**
   * Removes a file. What its database was stays for as long as history does; of a `copy`, which was
   * never the database, nothing stays; of `all`, nothing of the whole database.
   */
  delete(file: DatabaseFile, what: 'file' | 'copy' | 'all'): Promise<void>

  /**
   * Removes all that is not of these databases, or was to be a later generation of one: whatever a crash
   * left. Comes before any call.
   */
  sweep(known: readonly DatabaseFile[]): Promise<void>
}

export type DatabaseReply = {
  readonly reply: Uint8Array
  /** Where the file is after the call, or later. */
  readonly bookmark: string
}

/** What kept a call from being answered; `isRetryable` if nothing of it was done. */
export class DatabaseError extends Error {
  readonly reason: DatabaseFailure
  readonly isRetryable: boolean
  constructor(reason: DatabaseFailure, isRetryable: boolean) {
    super(`the database could not be called: ${reason}`)
    this.name = 'DatabaseError'
    this.reason = reason
    this.isRetryable = isRetryable
  }
}

export type DatabaseFailure =
  /** Too many calls wait for this file. */
  | 'queue-full'
  /** It waited so long for those before it that nobody waits any more. */
  | 'queued-too-long'
  /** It ran for longer than a call may, and its process was killed. */
  | 'timeout'
  /** Its process held too much, and was killed. */
  | 'memory'
  /** The process ended; what it wrote may be there. */
  | 'lost'
  /** The process does not start, or the server stops. */
  | 'unavailable'
  /** What is on disk is not what was written, and history can't make it good. */
  | 'damaged'
