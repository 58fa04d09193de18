import { rm } from 'node:fs/promises'
import { messageOf } from '#contract/errors.ts'
import type { HistoryFile, Timeline } from '#contract/ports/history.ts'
import { formatBookmark } from './bookmark.ts'
import { Intake, takeAll, takeRecords, type Target, nextSequence, timeAfter } from './intake.ts'
import { Journal, JournalReader } from './journal.ts'
import {
  checkpointFrames,
  recordPages,
  sealAtCloseBytes,
  sealBytes,
  sealSumsFactor,
  sumsAtCheckpointBytes,
  syncAfterMs,
} from './limits.ts'
import type { Commit } from './record.ts'
import { Snapshot } from './snapshot.ts'
import { type HistoryStore, syncFolder } from './store.ts'
import { type PageSums, writeSums } from './sums.ts'
import { differenceOf } from './verify.ts'
import { WalFile } from './wal-file.ts'
import { noPosition, type WalPosition } from './wal.ts'

export type TimelineState = {
  readonly head: Commit
  readonly sums: PageSums
  readonly journal: Journal
}

/** The history of a file that is in use. */
export class LocalTimeline implements Timeline, Target {
  readonly sums: PageSums
  readonly clock
  head: Commit
  journal: Journal
  readonly #store: HistoryStore
  readonly #file: HistoryFile
  readonly #onClose: () => void
  readonly #wal: WalFile
  #bookmark: string
  #bookmarked: Commit
  /** Journals that are being made segments. */
  readonly #closing = new Set<Journal>()
  #sumsWritten: Promise<void> = Promise.resolve()
  /** Of the journals that there are; `undefined` once another was begun. */
  #folderSynced: Promise<void> | undefined
  #timer: Disposable | undefined
  #failure: Error | undefined
  #isClosed = false

  constructor(
    store: HistoryStore,
    file: HistoryFile,
    { state, onClose }: { state: TimelineState; onClose: () => void },
  ) {
    this.#store = store
    this.#file = file
    this.#onClose = onClose
    this.clock = store.clock
    this.head = state.head
    this.sums = state.sums
    this.journal = state.journal
    this.#wal = new WalFile(file.path)
    this.#bookmarked = this.head
    this.#bookmark = formatBookmark({ ...file, ...this.head })
  }

  get bookmark(): string {
    if (this.#bookmarked !== this.head) {
      this.#bookmarked = this.head
      this.#bookmark = formatBookmark({ ...this.#file, ...this.head })
    }
    return this.#bookmark
  }

  catchUp(): string | Promise<string> {
    if (this.#failure) throw this.#failure
    if (this.head.pages === 0) return this.#appear()
    const from = this.#wal.next(this.head.wal)
    if (!from) return this.bookmark
    const { frames, builder } = this.#store
    const intake = new Intake(this, this.#wal.read(from, frames), builder)
    let hasMore = false
    try {
      hasMore = intake.step(recordPages)
    } finally {
      intake.drop()
    }
    return hasMore ? this.#takeLong() : this.#settle()
  }

  async sync(): Promise<void> {
    if (this.#failure) throw this.#failure
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    try {
      for (const journal of [...this.#closing, this.journal]) await journal.sync()
      this.#folderSynced ??= syncFolder(this.#store.folderOf(this.#file))
      await this.#folderSynced
    } catch (error) {
      // After a sync that failed, nobody can say what is on disk.
      this.#failure = new Error(`the history can't be written: ${messageOf(error)}`, {
        cause: error,
      })
      throw this.#failure
    }
  }

  verify(): Promise<string | undefined> {
    return this.#store.turn(this.#file, () => differenceOf(this.#store, this.#file, this))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      if (this.journal.bytes > sealAtCloseBytes) this.#tryToRotate()
      await this.sync()
      await this.#writeSums(this.head, this.sums.copy())
    } finally {
      this.#timer?.[Symbol.dispose]()
      this.#wal[Symbol.dispose]()
      await this.journal.close()
      this.#onClose()
    }
  }

  /** Seals journals that an earlier process left behind its last. */
  sealLeft(journals: readonly { readonly path: string; readonly last: number }[]): void {
    for (const { path, last } of journals) void this.#seal(path, last)
  }

  /**
   * The file is not there yet, or was made since. What is in it without its WAL, which is an empty
   * database, is a commit by itself: so each of the WAL has the same number if it is taken in again.
   */
  async #appear(): Promise<string> {
    await using snapshot = await Snapshot.openFile(this.#file.path)
    if (!snapshot) return this.bookmark
    const { pages } = snapshot
    const commit = {
      sequence: nextSequence(this.head),
      time: timeAfter(this),
      pages,
      wal: noPosition,
    }
    await takeRecords(this, snapshot.records(commit))
    return this.#takeLong()
  }

  async #takeLong(): Promise<string> {
    for (;;) {
      const from: WalPosition | undefined = this.#wal.next(this.head.wal)
      if (!from) break
      const before = this.head
      await takeAll(this, this.#wal, from)
      if (this.head === before) break
    }
    return this.#settle()
  }

  #settle(): string | Promise<string> {
    if (this.journal.isSynced) return this.bookmark
    const limit = Math.max(sealBytes, this.sums.pages * 4 * sealSumsFactor)
    if (this.journal.bytes > limit) this.#tryToRotate()
    if (this.head.wal.frames >= checkpointFrames) return this.#checkpoint()
    this.#timer ??= this.clock.after(syncAfterMs, () => {
      this.#timer = undefined
      this.sync().catch((error: unknown) => this.#complain('a history was not synced', error))
    })
    return this.bookmark
  }

  /** The next transaction may begin the WAL anew: then this is the only copy of what is not in the file. */
  async #checkpoint(): Promise<string> {
    await this.sync()
    if (this.sums.pages * 4 <= sumsAtCheckpointBytes) {
      const { head } = this
      const sums = this.sums.copy()
      await this.#writeSums(head, sums)
    }
    return this.bookmark
  }

  /** Where that can't be done, this journal goes on: what was taken in is there. */
  #tryToRotate(): void {
    try {
      this.#rotate()
    } catch (error) {
      this.#complain('a journal was not begun', error)
    }
  }

  /** Goes on in a new journal, and makes a segment of this one. */
  #rotate(): void {
    const { head, journal: old } = this
    this.journal = Journal.create(this.#store.journalPath(this.#file, head.sequence), head)
    this.#folderSynced = undefined
    this.#closing.add(old)
    const sums = this.sums.copy()
    void this.#sealOwn(old, head.sequence)
    void this.#writeSums(head, sums)
  }

  async #sealOwn(journal: Journal, last: number): Promise<void> {
    await this.#seal(journal.path, last)
    this.#closing.delete(journal)
    await journal.close()
  }

  #seal(path: string, last: number): Promise<void> {
    const sealed = this.#store.turn(this.#file, () =>
      sealJournal(this.#store, this.#file, { path, last }),
    )
    return sealed.catch((error: unknown) => this.#complain('a journal was not sealed', error))
  }

  /** One after the other, and not in the database's turn: nobody who writes waits for a long restore. */
  #writeSums(commit: Commit, sums: Uint32Array): Promise<void> {
    const path = this.#store.sumsPath(this.#file)
    this.#sumsWritten = this.#sumsWritten
      .then(() => writeSums(path, commit, sums))
      .catch((error: unknown) => this.#complain('page sums were not written', error))
    return this.#sumsWritten
  }

  #complain(message: string, error: unknown): void {
    const { account, database, generation } = this.#file
    this.#store.log.error(message, { account, database, generation, error: messageOf(error) })
  }
}

/** Makes a segment of a journal whose last commit is known, and removes it. */
export async function sealJournal(
  store: HistoryStore,
  of: HistoryFile,
  { path, last }: { readonly path: string; readonly last: number },
): Promise<void> {
  const reader = new JournalReader(path)
  const segment = await store.putSegment(of, { kind: 'commits', keptMs: 0 }, reader.records())
  if (segment.lastSequence !== last) {
    await store.discard([segment])
    throw new Error(`${path} ends with commit ${segment.lastSequence}, not ${last}`)
  }
  await store.index.replace(of, [], [segment])
  await rm(path)
}
