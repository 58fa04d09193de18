import { rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { HistoryError, type HistoryFile } from '#contract/ports/history.ts'
import type { Segment } from './index-store.ts'
import { takeAll, takeRecords, type Target } from './intake.ts'
import { Journal, JournalReader } from './journal.ts'
import { comparedAtOpenBytes, pageBytes } from './limits.ts'
import { writeState } from './rebuild.ts'
import { type Commit, numberAt } from './record.ts'
import { Snapshot } from './snapshot.ts'
import { type HistoryStore, ifMissing, syncFolder } from './store.ts'
import { PageSums, readSums, type SumsOf } from './sums.ts'
import type { TimelineState } from './timeline.ts'
import { WalFile } from './wal-file.ts'
import { isSameWal, noPosition } from './wal.ts'

// How a history and its file are brought together, when nobody has the file open.
//
// What the history has is read first: segments, then journals up to the first record that is not
// whole. Then the file is examined against it:
// - The WAL is the one of the last commit, and has its frame with its checksum: all before is right,
//   and what comes after is taken in.
// - The WAL is another, or gone: SQLite does that when all of it is in the file, and the history was
//   synced before. So the file, without what the new WAL has, must be as the page sums say.
// - Otherwise the file lacks something: it is made anew from the history.
// If the history was cut (a torn end is normal after the machine went down: the WAL has the rest) and
// the file is not what is left of it, the file may be right and the history damaged. Page sums were
// written apart, when the WAL may have begun anew: if they say that the file is whole, the history
// begins again with it. If nothing proves either, that is an error. So it is if the history names a commit
// that neither has: a record is begun once its commit is in the WAL, on disk, so both are damaged.

type ReadJournal = {
  readonly path: string
  readonly start: Commit
  readonly last: Commit
  /** The end of its last commit in the file. */
  readonly end: number
}

type Loaded = {
  readonly head: Commit
  readonly sums: PageSums
  /** Pages that were written of late. */
  readonly recent: ReadonlySet<number>
  readonly journals: readonly ReadJournal[]
  /** Whether something was there that could not be read. */
  readonly isCut: boolean
  /** The last commit that there is a trace of in what could not be read, or 0. */
  readonly named: number
  /** Sums of a later commit than the last that could be read. */
  readonly later: SumsOf | undefined
}

export type Opened = TimelineState & {
  /** Journals before the last, to be sealed. */
  readonly left: readonly { readonly path: string; readonly last: number }[]
}

const nothing: Commit = { sequence: 0, time: 0, pages: 0, wal: noPosition }

export async function openState(store: HistoryStore, file: HistoryFile): Promise<Opened> {
  await store.makeFolder(file)
  await store.sweepFolder(file)
  await rm(repairPath(file), { force: true })
  const generations = await store.index.generations(file)
  if (!generations.some(({ generation }) => generation === file.generation)) {
    return begin(store, file)
  }
  const loaded = await load(store, file)
  const found = await examine(file, loaded)
  const { goesOn, commits } = found
  const hasAll = loaded.head.sequence + commits >= loaded.named
  const lacks = found.lacks ?? (hasAll ? undefined : 'its WAL is cut or damaged')
  if (!loaded.isCut && lacks !== undefined) return repair(store, file, { loaded, lacks })
  if (!loaded.isCut || (goesOn && lacks === undefined)) return goOn(store, file, loaded)
  return loaded.later === undefined && lacks === undefined
    ? goOn(store, file, loaded)
    : beginAgain(store, file, { loaded, lacks: lacks ?? 'there are later commits' })
}

async function begin(store: HistoryStore, file: HistoryFile): Promise<Opened> {
  const time = Math.floor(store.clock.now())
  const head = { sequence: 0, time, pages: 0, wal: noPosition }
  for (const { path } of await store.journals(file)) await rm(path)
  const journal = Journal.create(store.journalPath(file, 0), head)
  const target: Target = { head, sums: new PageSums(), clock: store.clock, journal }
  await takeContent(target, file)
  await journal.sync()
  await syncFolder(store.folderOf(file))
  await store.index.beginGeneration(file, { generation: file.generation, beganAt: time })
  return { head: target.head, sums: target.sums, journal, left: [] }
}

/** What is there already is one commit. */
async function takeContent(target: Target, { path }: HistoryFile): Promise<void> {
  await using snapshot = await Snapshot.open(path, noPosition)
  if (!snapshot) return
  const wal = snapshot.wal.end ?? snapshot.wal.beginning ?? noPosition
  const commit = { sequence: 1, time: target.head.time, pages: snapshot.pages, wal }
  await takeRecords(target, snapshot.records(commit))
}

async function load(store: HistoryStore, file: HistoryFile): Promise<Loaded> {
  const segments = await store.index.segments(file, file.generation)
  const sealed = segments.at(-1)?.lastSequence ?? 0
  const base = segments.findLast(({ kind }) => kind === 'base')?.lastSequence ?? 0
  const found = await readSums(store.sumsPath(file))
  const stored = found && found.commit.sequence >= base ? found : undefined
  const sums = stored?.sums.clone() ?? new PageSums()
  let head = stored?.commit ?? nothing
  for await (const record of store.sealedRecords(file, sealed, stored?.commit.sequence)) {
    sums.apply(record)
    if (record.kind === 'commit') head = record.commit
  }
  const read = await readJournals(store, file, { sealed, sums, from: head.sequence })
  const last = read.journals.at(-1)?.last
  const loaded = { ...read, head: last ?? head, sums, later: undefined }
  if (!stored || stored.commit.sequence <= (last?.sequence ?? sealed)) return loaded
  // What was stored is of a commit that can't be read.
  const known = await recount(store, file, last?.sequence ?? sealed)
  return { ...loaded, ...known, later: stored, isCut: true }
}

async function recount(store: HistoryStore, file: HistoryFile, to: number) {
  const sums = new PageSums()
  let head = nothing
  for await (const record of store.records(file, to)) {
    sums.apply(record)
    if (record.kind === 'commit') head = record.commit
  }
  return { head, sums }
}

async function readJournals(
  store: HistoryStore,
  file: HistoryFile,
  {
    sealed,
    sums,
    from,
  }: { readonly sealed: number; readonly sums: PageSums; readonly from: number },
): Promise<Pick<Loaded, 'journals' | 'recent' | 'isCut' | 'named'>> {
  const journals: ReadJournal[] = []
  const recent = new Set<number>()
  let isCut = false
  let named = 0
  for (const { path, sequence } of await store.journals(file)) {
    // It goes on from a commit that is in one before.
    if (isCut) named = Math.max(named, sequence)
    if (isCut) continue
    // One that was sealed, and whose removal did not get to the disk.
    if (sequence < sealed) await rm(path)
    if (sequence < sealed) continue
    const reader = new JournalReader(path)
    let last: Commit | undefined
    for await (const record of reader.records()) {
      if (record.commit.sequence > from) sums.apply(record)
      for (let index = 0; index < record.count; index++) recent.add(numberAt(record, index))
      if (record.kind === 'commit') last = record.commit
    }
    sums.dropParts()
    const { start, end, isTorn } = reader
    isCut = isTorn || start?.sequence !== (journals.at(-1)?.last.sequence ?? sealed)
    if (start && (isTorn || !isCut)) journals.push({ path, start, last: last ?? start, end })
    if (isCut) named = reader.named
  }
  return { journals, recent, isCut: isCut || journals.length === 0, named }
}

type Finding = {
  /** What the file lacks, in words; `undefined` if nothing. */
  readonly lacks?: string
  /** Whether its WAL has the commit, and all that came after it. */
  readonly goesOn: boolean
  /** How many commits there are that the history lacks. */
  readonly commits: number
}

async function examine(
  { path }: HistoryFile,
  { head, sums, recent, isCut }: Pick<Loaded, 'head' | 'sums' | 'recent' | 'isCut'>,
): Promise<Finding> {
  if (head.pages === 0) return examineFirst(path, isCut)
  await using snapshot = await Snapshot.open(path, head.wal)
  if (!snapshot) return { lacks: 'the file is missing', goesOn: false, commits: 0 }
  const { beginning, passes, commits } = snapshot.wal
  if (beginning && isSameWal(beginning, head.wal) && !passes) {
    return { lacks: 'its WAL is cut or damaged', goesOn: false, commits: 0 }
  }
  const isWhole = isCut || head.pages * pageBytes <= comparedAtOpenBytes
  const page = await snapshot.differs(
    sums,
    (number) => isWhole || number === 1 || recent.has(number),
  )
  if (page === undefined) return { goesOn: passes, commits }
  return { lacks: `page ${page} is not as it was written`, goesOn: passes, commits }
}

/** A history without a commit: if it was cut, no more than one page can have been in the file, and the rest in the WAL. */
async function examineFirst(path: string, isCut: boolean): Promise<Finding> {
  const size = isCut ? ((await stat(path).catch(ifMissing))?.size ?? 0) : 0
  if (size > pageBytes) {
    return { lacks: 'there is more than the history has', goesOn: false, commits: 0 }
  }
  await using snapshot = isCut ? await Snapshot.open(path, noPosition) : undefined
  // What is in the file alone is a commit too: an empty database.
  return { goesOn: true, commits: snapshot ? snapshot.wal.commits + 1 : 0 }
}

async function goOn(store: HistoryStore, file: HistoryFile, loaded: Loaded): Promise<Opened> {
  const { head, sums, journals } = loaded
  const target: Target = {
    head,
    sums,
    clock: store.clock,
    journal: await reopened(store, file, loaded),
  }
  if (head.pages > 0) await takeWal(target, file)
  return {
    head: target.head,
    sums,
    journal: target.journal,
    left: journals.slice(0, -1).map(({ path, last }) => ({ path, last: last.sequence })),
  }
}

async function takeWal(target: Target, { path }: HistoryFile): Promise<void> {
  using wal = new WalFile(path)
  for (;;) {
    const from = wal.next(target.head.wal)
    const before = target.head
    if (from) await takeAll(target, wal, from)
    if (target.head === before) return
  }
}

async function reopened(
  store: HistoryStore,
  file: HistoryFile,
  { head, journals }: Loaded,
): Promise<Journal> {
  // Journals that were read need not be on disk: the last process may have been killed.
  for (const { path, start, end } of journals.slice(0, -1)) {
    const before = Journal.reopen(path, start, end)
    await before.sync()
    await before.close()
  }
  const last = journals.at(-1)
  for (const { path, sequence } of await store.journals(file)) {
    // What could not be read is nothing that is needed.
    if (sequence > (last?.start.sequence ?? -1)) await rm(path)
  }
  if (last) return Journal.reopen(last.path, last.start, last.end)
  return Journal.create(store.journalPath(file, head.sequence), head)
}

async function repair(
  store: HistoryStore,
  file: HistoryFile,
  { loaded, lacks }: { readonly loaded: Loaded; readonly lacks: string },
): Promise<Opened> {
  // Commits behind the damage that were not taken in yet: their checksums go on from the last's.
  const opened = await goOn(store, file, loaded)
  await opened.journal.sync()
  const { account, database, generation, path } = file
  const { sequence } = opened.head
  store.log.error('a database is made anew from its history', {
    account,
    database,
    generation,
    sequence,
    lacks,
  })
  await writeState(repairPath(file), store.records(file, sequence))
  for (const left of [`${path}-wal`, `${path}-shm`]) await rm(left, { force: true })
  await rename(repairPath(file), path)
  await syncFolder(dirname(path))
  return opened
}

function repairPath({ path }: HistoryFile): string {
  return `${path}.repair`
}

/** The history was cut. If sums that were stored apart say that the file is whole, that is where it goes on. */
async function beginAgain(
  store: HistoryStore,
  file: HistoryFile,
  { loaded, lacks }: { readonly loaded: Loaded; readonly lacks: string },
): Promise<Opened> {
  const { account, database, generation } = file
  const names = { account, database, generation, sequence: loaded.head.sequence, lacks }
  const { later } = loaded
  const found = later && (await examine(file, { ...loaded, head: later.commit, sums: later.sums }))
  const hasAll = later && later.commit.sequence + (found?.commits ?? 0) >= loaded.named
  if (!later || !hasAll || found?.lacks !== undefined) {
    store.log.error('a history is damaged, and its file is not what is left of it', names)
    throw new HistoryError(
      'damaged',
      `the history was cut at commit ${names.sequence}, and in the file ${lacks}`,
    )
  }
  const target = await counted(store, file, later)
  const { head, sums } = target
  store.log.error('a history has a hole: it goes on with what is in the file', {
    ...names,
    goesOnAt: head.sequence,
  })
  await using snapshot = await Snapshot.open(file.path, head.wal)
  if (!snapshot) throw new HistoryError('damaged', 'the file is gone')
  const base = await store.putSegment(file, { kind: 'base', keptMs: 0 }, snapshot.records(head))
  await store.index.replace(file, [], [...(await restOf(store, file, loaded)), base])
  for (const { path } of await store.journals(file)) await rm(path)
  const journal = Journal.create(store.journalPath(file, head.sequence), head)
  return { head, sums, journal, left: [] }
}

/** Takes in what the WAL has after a commit, for the sake of the numbers: each was a bookmark. */
async function counted(store: HistoryStore, file: HistoryFile, from: SumsOf): Promise<Target> {
  const path = store.temporaryPath(file)
  const journal = Journal.create(path, from.commit)
  const target: Target = { head: from.commit, sums: from.sums, clock: store.clock, journal }
  try {
    await takeWal(target, file)
    return target
  } finally {
    await journal.close()
    await rm(path)
  }
}

/** What could be read of cut journals, as a segment. */
async function restOf(
  store: HistoryStore,
  file: HistoryFile,
  { journals, head }: Loaded,
): Promise<readonly Segment[]> {
  const from = journals[0]?.start.sequence
  if (from === undefined || head.sequence === from) return []
  const records = store.records(file, head.sequence, from)
  return [await store.putSegment(file, { kind: 'commits', keptMs: 0 }, records)]
}
