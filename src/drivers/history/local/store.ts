import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type BlobKey, blobKey } from '#contract/ids.ts'
import type { Blob } from '#contract/ports/blob.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { HistoryError, type HistoryOwner } from '#contract/ports/history.ts'
import type { Log } from '#contract/ports/log.ts'
import { hex } from './bookmark.ts'
import type { IndexStore, Segment } from './index-store.ts'
import { JournalReader } from './journal.ts'
import { recordPages } from './limits.ts'
import { type Commit, type HistoryRecord, RecordBuilder } from './record.ts'
import { readSegment, SegmentWriter } from './segments.ts'
import { FrameBuffer } from './wal.ts'

export type StoreOptions = {
  /** The folder of journals. */
  readonly path: string
  readonly index: IndexStore
  readonly blob: Blob
  readonly clock: Clock
  readonly log: Log
}

export type Of = HistoryOwner & { readonly generation: number }

export type JournalFile = { readonly path: string; readonly sequence: number }

/** Where histories are: segments in blobs, what is newer in journals. */
export class HistoryStore {
  readonly index: IndexStore
  readonly clock: Clock
  readonly log: Log
  /** Memory of whoever does not wait while using it. */
  readonly frames = new FrameBuffer(recordPages)
  readonly builder = new RecordBuilder()
  readonly #path: string
  readonly #blob: Blob
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #begun = new Set<BlobKey>()
  #files = 0

  constructor({ path, index, blob, clock, log }: StoreOptions) {
    this.#path = path
    this.index = index
    this.clock = clock
    this.log = log
    this.#blob = blob
  }

  /** Runs what reads or changes the segments and journals of a database: one after the other. */
  turn<Result>({ database }: HistoryOwner, run: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(database) ?? Promise.resolve()
    const result = before.then(run, run)
    const over = result.then(
      () => undefined,
      () => undefined,
    )
    this.#turns.set(database, over)
    void this.#forgetTurn(database, over)
    return result
  }

  /** Resolves when nobody has a turn. */
  async idle(): Promise<void> {
    while (this.#turns.size > 0) await Promise.all(this.#turns.values())
  }

  async #forgetTurn(database: string, over: Promise<unknown>): Promise<void> {
    await over
    if (this.#turns.get(database) === over) this.#turns.delete(database)
  }

  folderOf({ account, database }: HistoryOwner): string {
    return join(this.#path, account, database)
  }

  async makeFolder(owner: HistoryOwner): Promise<void> {
    const folder = this.folderOf(owner)
    if ((await mkdir(folder, { recursive: true })) === undefined) return
    for (const path of [this.#path, join(this.#path, owner.account)]) await syncFolder(path)
  }

  journalPath(of: Of, sequence: number): string {
    return join(this.folderOf(of), `${hex(of.generation)}-${hex(sequence)}.journal`)
  }

  sumsPath(of: Of): string {
    return join(this.folderOf(of), `${hex(of.generation)}.sums`)
  }

  /** A path for a file that is needed for a while, in the folder of a database. */
  temporaryPath(owner: HistoryOwner): string {
    return join(this.folderOf(owner), `${this.#files++}.temporary`)
  }

  /** The journals of a generation, in order. */
  async journals(of: Of): Promise<readonly JournalFile[]> {
    const names = await readdir(this.folderOf(of)).catch(ifMissing)
    return (names ?? []).toSorted().flatMap((name) => {
      const [, generation, sequence] = /^([0-9a-f]{8})-([0-9a-f]{8})\.journal$/.exec(name) ?? []
      if (!sequence || generation !== hex(of.generation)) return []
      return [{ path: join(this.folderOf(of), name), sequence: Number.parseInt(sequence, 16) }]
    })
  }

  /** Removes what was only there for a while, of a process that ended. */
  async sweepFolder(owner: HistoryOwner): Promise<void> {
    for (const name of (await readdir(this.folderOf(owner)).catch(ifMissing)) ?? []) {
      if (/\.(temporary|new)$/.test(name)) await rm(join(this.folderOf(owner), name))
    }
  }

  /** Stores a segment; it counts once it is in the index. */
  async putSegment(
    of: Of,
    { kind, keptMs }: Pick<Segment, 'kind' | 'keptMs'>,
    records: AsyncIterable<HistoryRecord>,
  ): Promise<Segment> {
    const blob = blobKey.parse(of.database + randomBytes(16).toString('hex'))
    this.#begun.add(blob)
    const writer = new SegmentWriter(records)
    const bytes = await this.#blob.put(blob, writer.bytes())
    const { first, last, rawBytes } = writer
    if (!first || !last) throw new Error('a segment without a commit')
    return {
      generation: of.generation,
      kind,
      firstSequence: first.sequence,
      lastSequence: last.sequence,
      firstTime: first.time,
      lastTime: last.time,
      keptMs,
      rawBytes,
      bytes,
      blob,
    }
  }

  async discard(segments: readonly Segment[]): Promise<void> {
    for (const { blob } of segments) await this.#blob.delete(blob)
  }

  /** Bytes on disk of a database's history. */
  async sizeOf(owner: HistoryOwner): Promise<number> {
    let bytes = await this.index.bytesOf(owner)
    const folder = this.folderOf(owner)
    for (const name of (await readdir(folder).catch(ifMissing)) ?? []) {
      bytes += (await stat(join(folder, name)).catch(ifMissing))?.size ?? 0
    }
    return bytes
  }

  /** Removes all of a database: rows, then what they named. */
  async delete(owner: HistoryOwner): Promise<void> {
    for (const { generation } of await this.index.generations(owner)) {
      await this.deleteGeneration({ ...owner, generation })
    }
    await rm(this.folderOf(owner), { recursive: true, force: true })
  }

  async deleteGeneration(of: Of): Promise<void> {
    const segments = await this.index.segments(of, of.generation)
    await this.index.forgetGeneration(of, of.generation)
    await this.discard(segments)
    for (const { path } of await this.journals(of)) await rm(path)
    await rm(this.sumsPath(of), { force: true })
  }

  /** Removes blobs that no row names: what a crash left. */
  async sweepBlobs(): Promise<void> {
    for await (const { key } of this.#blob.list()) {
      if (this.#begun.has(key) || (await this.index.hasBlob(key))) continue
      await this.#blob.delete(key)
    }
  }

  /** The records of one segment. */
  async *recordsIn(segment: Segment): AsyncGenerator<HistoryRecord> {
    await using blob = await this.#blob.get(segment.blob)
    if (!blob) throw new HistoryError('damaged', 'a segment of the history is missing')
    yield* readSegment(blob, segment.bytes)
  }

  /**
   * What leads from a commit to another, or from nothing (a base, or the empty database) to it.
   * Throws a `HistoryError` where something is missing.
   */
  async *records(of: Of, to: number, from?: number): AsyncGenerator<HistoryRecord> {
    let at = yield* this.sealedRecords(of, to, from)
    for (const { path } of await this.journals(of)) {
      if (at >= to) return
      const reader = new JournalReader(path)
      for await (const record of between(reader.records(), at, to)) {
        if ((reader.start?.sequence ?? at + 1) > at) throw hole(at + 1)
        yield record
        if (record.kind === 'commit') at = record.commit.sequence
      }
    }
    if (at < to) throw hole(at + 1)
  }

  /** The same, as far as there are segments: returns up to which commit. */
  async *sealedRecords(of: Of, to: number, from?: number): AsyncGenerator<HistoryRecord, number> {
    const segments = await this.index.segments(of, of.generation)
    let at = from ?? 0
    if (from === undefined) {
      const base = segments.findLast(
        ({ kind, lastSequence }) => kind === 'base' && lastSequence <= to,
      )
      if (base) yield* this.recordsIn(base)
      else if (!hasBeginning(segments)) throw tooOld()
      at = base?.lastSequence ?? 0
    }
    for (const segment of segments) {
      if (at >= to) return at
      if (segment.kind === 'base' || segment.lastSequence <= at) continue
      if (segment.firstSequence > at + 1) throw hole(at + 1)
      yield* between(this.recordsIn(segment), at, to)
      at = segment.lastSequence
    }
    return at
  }

  /** The last commit of a generation that is not open, or of which no commit is being written. */
  async newest(of: Of): Promise<Commit | undefined> {
    let newest: Commit | undefined
    for (const { path } of await this.journals(of)) {
      const reader = new JournalReader(path)
      for await (const { kind, commit } of reader.records()) if (kind === 'commit') newest = commit
      newest ??= reader.start
    }
    if (newest) return newest
    const last = (await this.index.segments(of, of.generation)).at(-1)
    if (!last) return undefined
    for await (const { kind, commit } of this.recordsIn(last))
      if (kind === 'commit') newest = commit
    return newest
  }
}

export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

export function ifMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
  throw error
}

async function* between(
  records: AsyncIterable<HistoryRecord>,
  from: number,
  to: number,
): AsyncGenerator<HistoryRecord> {
  for await (const record of records) {
    if (record.commit.sequence > to) return
    if (record.commit.sequence > from) yield record
  }
}

/** Whether the first commit, before which the database is empty, is kept. */
export function hasBeginning([oldest]: readonly Segment[]): boolean {
  return oldest === undefined || (oldest.kind === 'commits' && oldest.firstSequence <= 1)
}

function tooOld(): HistoryError {
  return new HistoryError('too-old', 'what the database was then is not kept any more')
}

function hole(sequence: number): HistoryError {
  return new HistoryError('damaged', `commit ${sequence} is missing in the history`)
}
