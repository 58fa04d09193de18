import { setImmediate } from 'node:timers/promises'
import type { Clock } from '#contract/ports/clock.ts'
import type { Journal } from './journal.ts'
import { recordPages } from './limits.ts'
import { type Commit, type HistoryRecord, RecordBuilder } from './record.ts'
import type { PageSums } from './sums.ts'
import type { FrameReader, WalFile } from './wal-file.ts'
import { FrameBuffer, type WalPosition } from './wal.ts'

/** What commits are taken into. */
export type Target = {
  readonly journal: Journal
  readonly sums: PageSums
  readonly clock: Clock
  /** The last commit. */
  head: Commit
}

/** Takes commits from a WAL into a journal: each that is whole, and a transaction without an end not at all. */
export class Intake {
  readonly #target: Target
  readonly #reader: FrameReader
  readonly #builder: RecordBuilder
  #time: number
  #hasParts = false

  constructor(target: Target, reader: FrameReader, builder: RecordBuilder) {
    this.#target = target
    this.#reader = reader
    this.#builder = builder
    this.#time = timeAfter(target)
    builder.clear()
  }

  /** Reads up to so many frames. `true` if there are more. What was begun goes on in the next call, or is dropped. */
  step(frames: number): boolean {
    const { buffer, check } = this.#reader
    for (let count = 0; count < frames; count++) {
      const offset = this.#reader.next()
      if (offset === undefined) return false
      const number = buffer.numberAt(offset)
      if (!this.#builder.hasRoomFor(number)) this.#append('part', this.#target.head.pages)
      this.#builder.add(number, buffer.pageAt(offset))
      const pages = buffer.pagesAt(offset)
      if (pages > 0) this.#append('commit', pages, check.position())
    }
    return true
  }

  drop(): void {
    if (this.#hasParts) this.#target.journal.abort()
    this.#hasParts = false
    this.#target.sums.dropParts()
    this.#builder.clear()
  }

  #append(kind: 'part' | 'commit', pages: number, wal: WalPosition = this.#target.head.wal): void {
    const target = this.#target
    const commit = { sequence: nextSequence(target.head), time: this.#time, pages, wal }
    append(target, this.#builder.finish(kind, commit))
    this.#hasParts = kind === 'part'
    if (kind === 'commit') this.#time = timeAfter(target)
  }
}

/** Takes in all there is from a position on, a piece at a time, with memory of its own. */
export async function takeAll(target: Target, wal: WalFile, from: WalPosition): Promise<void> {
  const reader = wal.read(from, new FrameBuffer(recordPages))
  const intake = new Intake(target, reader, new RecordBuilder())
  try {
    while (intake.step(recordPages)) await setImmediate()
  } finally {
    intake.drop()
  }
}

/** Takes in records of one commit that were made elsewhere. */
export async function takeRecords(
  target: Target,
  records: AsyncIterable<HistoryRecord>,
): Promise<void> {
  try {
    for await (const record of records) append(target, record)
  } catch (error) {
    target.journal.abort()
    throw error
  } finally {
    target.sums.dropParts()
  }
}

export function nextSequence({ sequence }: Commit): number {
  if (sequence === 0xffffffff) throw new Error('a generation has room for no more commits')
  return sequence + 1
}

/** Time never goes back, whatever the clock does. */
export function timeAfter({ clock, head }: Pick<Target, 'clock' | 'head'>): number {
  return Math.max(Math.floor(clock.now()), head.time)
}

function append(target: Target, record: HistoryRecord): void {
  target.journal.append(record)
  target.sums.apply(record)
  if (record.kind === 'commit') target.head = record.commit
}
