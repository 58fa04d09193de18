import { closeSync, fdatasync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import {
  type Commit,
  commitNamed,
  decodeRecord,
  headBytes,
  headIn,
  type HistoryRecord,
  longestRecord,
  recordLength,
  RecordBuilder,
} from './record.ts'

const syncData = promisify(fdatasync)

type JournalStart = { readonly path: string; readonly start: Commit }

/** The file that commits are appended to. What is behind its last commit does not count. */
export class Journal {
  readonly path: string
  /** The commit that it goes on from. */
  readonly start: Commit
  readonly #fd: number
  /** The end of the last commit, and of what was written. */
  #end: number
  #tail: number
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #isClosed = false

  private constructor({ path, start }: JournalStart, fd: number, end: number) {
    this.path = path
    this.start = start
    this.#fd = fd
    this.#end = end
    this.#tail = end
  }

  /** Makes one, or one anew. Its folder is the caller's to sync. */
  static create(path: string, start: Commit): Journal {
    const journal = new Journal({ path, start }, openSync(path, 'w', 0o600), 0)
    try {
      journal.append(new RecordBuilder(0).finish('start', start))
      return journal
    } catch (error) {
      closeSync(journal.#fd)
      rmSync(path)
      throw error
    }
  }

  /** Opens one that was read, and cuts off what is behind `end`. */
  static reopen(path: string, start: Commit, end: number): Journal {
    const journal = new Journal({ path, start }, openSync(path, 'r+'), end)
    ftruncateSync(journal.#fd, end)
    // What was read need not be on disk: the last process may have been killed.
    journal.#unsynced = 1
    return journal
  }

  get bytes(): number {
    return this.#end
  }

  get isSynced(): boolean {
    return this.#unsynced === 0
  }

  /** Writes a record. If it can't be, what is there is as it was. */
  append({ kind, bytes }: HistoryRecord): void {
    this.#unsynced++
    try {
      for (let at = 0; at < bytes.byteLength;) {
        at += writeSync(this.#fd, bytes, at, bytes.byteLength - at, this.#tail + at)
      }
    } catch (error) {
      this.abort()
      throw error
    }
    this.#tail += bytes.byteLength
    if (kind !== 'part') this.#end = this.#tail
  }

  /** Takes back parts whose commit did not come. */
  abort(): void {
    this.#tail = this.#end
    ftruncateSync(this.#fd, this.#end)
  }

  /** Resolves when all that was appended before is on disk. */
  async sync(): Promise<void> {
    while (this.#unsynced > 0 && !this.#isClosed) {
      this.#syncing ??= this.#syncOnce()
      await this.#syncing
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.#syncing?.catch(() => undefined)
    this.#isClosed = true
    closeSync(this.#fd)
  }

  async #syncOnce(): Promise<void> {
    const covered = this.#unsynced
    try {
      await syncData(this.#fd)
      this.#unsynced -= covered
    } finally {
      this.#syncing = undefined
    }
  }
}

/** Reads a journal from its beginning, to the end of its last whole record. */
export class JournalReader {
  readonly #path: string
  /** The first record; there is none if even that is torn. */
  start: Commit | undefined
  /** Behind the last commit. */
  end = 0
  /** Whether there is anything behind that. */
  isTorn = false
  /** The last commit of which there is a whole head, whatever became of it and of those before; or 0. */
  named = 0

  constructor(path: string) {
    this.#path = path
  }

  /** The records after the first; each is lent until the next is asked for. */
  async *records(): AsyncGenerator<HistoryRecord> {
    await using file = await open(this.#path, 'r')
    const block = Buffer.allocUnsafeSlow(2 * longestRecord)
    let filled = 0
    let position = 0
    for (;;) {
      const { bytesRead } = await file.read(
        block,
        filled,
        block.byteLength - filled,
        position + filled,
      )
      filled += bytesRead
      let used = 0
      for (;;) {
        const record = decodeRecord(block.subarray(0, filled), used)
        if (!record) break
        used += record.bytes.byteLength
        if (!this.#take(record, position + used)) {
          this.isTorn = true
          return
        }
        if (record.kind !== 'start') yield record
      }
      this.isTorn = position + filled > this.end
      if (used === 0) {
        this.named = await lastNamed(file, position)
        return
      }
      block.copyWithin(0, used, filled)
      position += used
      filled -= used
    }
  }

  #take({ kind, commit }: HistoryRecord, end: number): boolean {
    if ((kind === 'start') !== (this.start === undefined)) return false
    this.start ??= commit
    if (kind !== 'part') this.end = end
    return true
  }
}

/** Goes from head to head, behind a record that is not whole; where there is none, to the next that is. */
async function lastNamed(file: FileHandle, from: number): Promise<number> {
  const block = Buffer.allocUnsafeSlow(2 * longestRecord)
  let last = 0
  let at = from
  for (;;) {
    const { bytesRead } = await file.read(block, 0, block.byteLength, at)
    if (bytesRead < headBytes) return last
    const read = block.subarray(0, bytesRead)
    const head = headIn(read, 0)
    if (head === undefined) {
      // A head may begin in what is left.
      at += bytesRead - headBytes + 1
      continue
    }
    last = commitNamed(read, head) ?? last
    at += head + (recordLength(read, head) ?? headBytes)
  }
}
