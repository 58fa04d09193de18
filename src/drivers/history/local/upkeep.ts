import { rm } from 'node:fs/promises'
import type { HistoryOwner } from '#contract/ports/history.ts'
import type { Segment } from './index-store.ts'
import {
  baseAfterBytes,
  baseAfterSizes,
  budgetSizes,
  coarseMs,
  exactMs,
  expiredBytes,
  retentionMs,
  thinnedMs,
  thinnedTogetherBytes,
  tidiedPerCall,
} from './limits.ts'
import { writeState } from './rebuild.ts'
import { Snapshot } from './snapshot.ts'
import type { HistoryStore, Of } from './store.ts'
import { thinned } from './thinning.ts'
import { noPosition } from './wal.ts'

// What is kept of a database, and how:
// - Each commit of the last day. Of what is older, the last state of each minute; a bookmark between
//   two of them leads to the earlier. Only sealed segments are thinned, and as a whole.
// - A base once the commits after the last are four times as large as it, and 64 MB: so much is read
//   for a restore at most, and a base costs a quarter of what was written anyway.
// - Nothing that no moment of the last 30 days needs: what is before a base that is as old goes. If
//   there is none, one is made as soon as what would go is as large as it.
// - No more than the budget: beyond, the oldest minutes become hours, generation by generation; then
//   generations go that are not the newest; then the oldest half of what there is.
// One call of `step` does one of these things.

export type UpkeepOptions = {
  readonly store: HistoryStore
  readonly budgetBytes: number
  readonly isOpen: (of: Of) => boolean
}

export class Upkeep {
  readonly #store: HistoryStore
  readonly #budgetBytes: number
  readonly #isOpen: (of: Of) => boolean
  #left: HistoryOwner[] = []
  #isSwept = false

  constructor({ store, budgetBytes, isOpen }: UpkeepOptions) {
    this.#store = store
    this.#budgetBytes = budgetBytes
    this.#isOpen = isOpen
  }

  /** Looks at some databases. `true` if there are others, or more to do for one. */
  async tidy(): Promise<boolean> {
    if (!this.#isSwept) await this.#store.sweepBlobs()
    this.#isSwept = true
    if (this.#left.length === 0) this.#left = [...(await this.#store.index.owners())]
    for (const owner of this.#left.splice(0, tidiedPerCall)) {
      const hasMore = await this.#store.turn(owner, () => this.#step(owner))
      if (hasMore) this.#left.push(owner)
    }
    return this.#left.length > 0
  }

  /** One thing that there is to do for a database; `false` if there is none. */
  async #step(owner: HistoryOwner): Promise<boolean> {
    const now = this.#store.clock.now()
    const generations = await this.#store.index.generations(owner)
    for (const [index, { generation }] of generations.entries()) {
      const of = { ...owner, generation }
      const next = generations[index + 1]
      const isOver = next !== undefined && next.beganAt < now - retentionMs
      if (isOver && !this.#isOpen(of)) {
        await this.#store.deleteGeneration(of)
        return true
      }
      if (await this.#stepOf(of, now)) return true
    }
    return this.#stepToBudget(
      owner,
      generations.map(({ generation }) => ({ ...owner, generation })),
    )
  }

  async #stepOf(of: Of, now: number): Promise<boolean> {
    const segments = await this.#store.index.segments(of, of.generation)
    const needed = segments.findLast(
      ({ kind, lastTime }) => kind === 'base' && lastTime <= now - retentionMs,
    )
    if (needed && (await this.#dropBefore(of, segments, needed))) return true
    const at = baseAt(segments, now)
    if (at) {
      await this.#makeBase(of, at)
      return true
    }
    return this.#thin(of, segments, { keptMs: thinnedMs, before: now - exactMs })
  }

  async #stepToBudget(owner: HistoryOwner, generations: readonly Of[]): Promise<boolean> {
    const newest = generations.at(-1)
    if (!newest) return false
    const segments = await this.#store.index.segments(newest, newest.generation)
    const size = segments.findLast(({ kind }) => kind === 'base')?.rawBytes ?? 0
    const budget = Math.max(this.#budgetBytes, budgetSizes * size)
    if ((await this.#store.index.bytesOf(owner)) <= budget) return false
    const before = this.#store.clock.now() - exactMs
    for (const of of generations) {
      const own = await this.#store.index.segments(of, of.generation)
      if (await this.#thin(of, own, { keptMs: coarseMs, before })) return true
    }
    const [oldest] = generations
    if (oldest && oldest !== newest && !this.#isOpen(oldest)) {
      await this.#store.deleteGeneration(oldest)
      return true
    }
    return this.#halve(newest, segments)
  }

  /** Forgets the older half, by bytes. */
  async #halve(of: Of, segments: readonly Segment[]): Promise<boolean> {
    const half = segments.reduce((sum, { bytes }) => sum + bytes, 0) / 2
    let passed = 0
    const middle = segments.find(
      ({ bytes, kind }) => (passed += bytes) >= half && kind === 'commits',
    )
    const base =
      segments.findLast(
        ({ kind, lastSequence }) => kind === 'base' && lastSequence === middle?.lastSequence,
      ) ??
      (middle && (await this.#makeBase(of, middle)))
    return base !== undefined && this.#dropBefore(of, segments, base)
  }

  async #dropBefore(of: Of, segments: readonly Segment[], base: Segment): Promise<boolean> {
    const old = segments.filter(
      (segment) => segment.lastSequence <= base.lastSequence && segment.blob !== base.blob,
    )
    if (old.length === 0) return false
    await this.#store.index.replace(of, old, [])
    await this.#store.discard(old)
    return true
  }

  /** Makes a base of what the history says that there was after a segment. */
  async #makeBase(of: Of, { lastSequence }: Segment): Promise<Segment> {
    const path = this.#store.temporaryPath(of)
    try {
      const commit = await writeState(path, this.#store.records(of, lastSequence))
      await using snapshot = await Snapshot.open(path, noPosition)
      if (!commit || !snapshot) throw new Error('a segment without a page')
      const base = await this.#store.putSegment(
        of,
        { kind: 'base', keptMs: 0 },
        snapshot.records(commit),
      )
      await this.#store.index.replace(of, [], [base])
      return base
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Keeps one moment of each so many milliseconds, in the oldest segments that have more. */
  async #thin(
    of: Of,
    segments: readonly Segment[],
    { keptMs, before }: { readonly keptMs: number; readonly before: number },
  ): Promise<boolean> {
    const run = nextRun(segments, ({ kept, last }) => kept < keptMs && last < before)
    const [first] = run
    if (!first) return false
    const store = this.#store
    const segment = await store.putSegment(
      of,
      { kind: 'commits', keptMs },
      thinned(() => recordsOf(store, run), keptMs),
    )
    // It covers what it was made of, from the first commit on.
    await store.index.replace(of, run, [{ ...segment, firstSequence: first.firstSequence }])
    await store.discard(run)
    return true
  }
}

/** The segment after which a base is to be taken, if any. */
function baseAt(segments: readonly Segment[], now: number): Segment | undefined {
  const bases = segments.filter(({ kind }) => kind === 'base')
  const commits = segments.filter(({ kind }) => kind === 'commits')
  const newest = bases.at(-1)
  const since = commits.filter(({ lastSequence }) => lastSequence > (newest?.lastSequence ?? 0))
  const limit = Math.max(baseAfterSizes * (newest?.rawBytes ?? 0), baseAfterBytes)
  if (rawBytesOf(since) > limit) return since.at(-1)
  const needed = bases.findLast(({ lastTime }) => lastTime <= now - retentionMs)
  const expired = commits.filter(
    ({ lastTime, lastSequence }) =>
      lastTime <= now - retentionMs && lastSequence > (needed?.lastSequence ?? 0),
  )
  const worth = Math.max(newest?.rawBytes ?? 0, expiredBytes)
  const last = expired.at(-1)
  const isThere = bases.some(({ lastSequence }) => lastSequence === last?.lastSequence)
  return rawBytesOf(expired) > worth && !isThere ? last : undefined
}

/** The oldest segments, next to each other, that are to be thinned, and are not too much for one step. */
function nextRun(
  segments: readonly Segment[],
  isWanted: (segment: { readonly kept: number; readonly last: number }) => boolean,
): readonly Segment[] {
  const run: Segment[] = []
  let bytes = 0
  for (const segment of segments) {
    if (segment.kind === 'base') continue
    const isNext = isWanted({ kept: segment.keptMs, last: segment.lastTime })
    bytes += segment.rawBytes
    const isFull = run.length > 0 && bytes > thinnedTogetherBytes
    if (isNext && !isFull) run.push(segment)
    else if (run.length > 0) break
    else bytes = 0
  }
  return run
}

async function* recordsOf(store: HistoryStore, segments: readonly Segment[]) {
  for (const segment of segments) yield* store.recordsIn(segment)
}

function rawBytesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { rawBytes }) => sum + rawBytes, 0)
}
