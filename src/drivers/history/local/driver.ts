import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Blob } from '#contract/ports/blob.ts'
import type { Clock } from '#contract/ports/clock.ts'
import {
  type History,
  HistoryError,
  type HistoryFile,
  type HistoryOwner,
  type Timeline,
} from '#contract/ports/history.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Sql } from '#contract/ports/sql.ts'
import { formatBookmark, parseBookmark } from './bookmark.ts'
import { IndexStore } from './index-store.ts'
import { Journal } from './journal.ts'
import { budgetBytes as defaultBudgetBytes } from './limits.ts'
import { newestAt } from './moments.ts'
import { openState } from './opening.ts'
import { writeState } from './rebuild.ts'
import { Snapshot } from './snapshot.ts'
import { HistoryStore, type Of, syncFolder } from './store.ts'
import { LocalTimeline } from './timeline.ts'
import { Upkeep } from './upkeep.ts'
import { noPosition } from './wal.ts'

/** The folder of migrations that the history's database needs. */
export const historyMigrations = new URL('./migrations/', import.meta.url)

export type HistoryOptions = {
  /** A folder of the history's own. */
  readonly path: string
  /** A database of the history's own, with `historyMigrations` applied. Stays the caller's to close. */
  readonly sql: Sql
  /** A store of the history's own. */
  readonly blob: Blob
  readonly clock: Clock
  readonly log: Log
  /** What is kept of a database, or five times its size if that is more. 1 GiB by default. */
  readonly budgetBytes?: number
}

/** Histories on this machine: what is new in journals, what is older in compressed segments. */
export function openHistory(options: HistoryOptions): History {
  const { sql, budgetBytes = defaultBudgetBytes, ...others } = options
  const store = new HistoryStore({ ...others, index: new IndexStore(sql) })
  return new LocalHistory(store, budgetBytes)
}

class LocalHistory implements History {
  readonly #store: HistoryStore
  readonly #upkeep: Upkeep
  readonly #open = new Map<string, LocalTimeline>()
  readonly #opening = new Set<string>()

  constructor(store: HistoryStore, budgetBytes: number) {
    this.#store = store
    const isOpen = (of: Of): boolean => this.#open.has(keyOf(of)) || this.#opening.has(keyOf(of))
    this.#upkeep = new Upkeep({ store, budgetBytes, isOpen })
  }

  async open(file: HistoryFile): Promise<Timeline> {
    if (!/^[0-9a-f]{32}$/.test(file.database)) throw new Error('this is no id of a database')
    const key = keyOf(file)
    if (this.#open.has(key) || this.#opening.has(key)) throw new Error('this history is open')
    this.#opening.add(key)
    try {
      const state = await this.#store.turn(file, () => openState(this.#store, file))
      const onClose = (): void => void this.#open.delete(key)
      const timeline = new LocalTimeline(this.#store, file, { state, onClose })
      timeline.sealLeft(state.left)
      this.#open.set(key, timeline)
      return timeline
    } finally {
      this.#opening.delete(key)
    }
  }

  async bookmarkAt(
    of: HistoryOwner & { readonly generation: number },
    time: number,
  ): Promise<string> {
    if (time > this.#store.clock.now()) {
      throw new HistoryError('in-the-future', 'there is no bookmark of a time to come')
    }
    return this.#store.turn(of, async () => {
      const generations = await this.#store.index.generations(of)
      for (const { generation, beganAt } of generations.toReversed()) {
        if (generation > of.generation || beganAt > time) continue
        const moment = await newestAt(this.#store, { ...of, generation }, { time, beganAt })
        if (moment) return formatBookmark({ ...of, generation, ...moment })
      }
      throw new HistoryError('too-old', 'nothing is kept of that time')
    })
  }

  async restore(
    of: HistoryOwner,
    bookmark: string,
    to: { readonly generation: number; readonly path: string },
  ): Promise<void> {
    const { database, generation, sequence } = parseBookmark(bookmark)
    if (database !== of.database) {
      throw new HistoryError('unknown-bookmark', 'this is a bookmark of another database')
    }
    await this.#store.turn(of, () => this.#restore({ ...of, generation }, sequence, to))
  }

  async sizeOf(of: HistoryOwner): Promise<number> {
    return this.#store.sizeOf(of)
  }

  async delete(of: HistoryOwner): Promise<void> {
    await this.#store.turn(of, () => this.#store.delete(of))
  }

  async forget(of: Of): Promise<void> {
    await this.#store.turn(of, () => this.#store.deleteGeneration(of))
  }

  list(): Promise<readonly Of[]> {
    return this.#store.index.all()
  }

  tidy(): Promise<boolean> {
    return this.#upkeep.tidy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timeline of this.#open.values()) await timeline[Symbol.asyncDispose]()
    // Journals that are still made segments.
    await this.#store.idle()
  }

  async #restore(
    of: Of,
    sequence: number,
    to: { readonly generation: number; readonly path: string },
  ): Promise<void> {
    const generations = await this.#store.index.generations(of)
    const newest = this.#open.get(keyOf(of))?.head ?? (await this.#store.newest(of))
    const isKnown = generations.some(({ generation }) => generation === of.generation)
    if (!isKnown || !newest || sequence > newest.sequence) {
      throw new HistoryError('unknown-bookmark', 'this database was never there')
    }
    if (existsSync(to.path)) throw new Error(`${to.path} exists`)
    await this.#dropUnfinished({ ...of, generation: to.generation })
    const temporary = `${to.path}.restoring`
    await rm(temporary, { force: true })
    try {
      const made = await writeState(temporary, this.#store.records(of, sequence))
      await this.#begin({ ...of, generation: to.generation }, temporary, made?.pages ?? 0)
      // What is left of another file of that name is not this one's.
      for (const left of ['-wal', '-shm']) await rm(`${to.path}${left}`, { force: true })
      await rename(temporary, to.path)
      await syncFolder(dirname(to.path))
    } finally {
      await rm(temporary, { force: true })
    }
  }

  /** What a restore left that did not come to its end: it is made again. */
  async #dropUnfinished(of: Of): Promise<void> {
    const newest = (await this.#store.index.generations(of)).at(-1)
    if (!newest || newest.generation < of.generation) return
    const last = await this.#store.newest(of)
    if (newest.generation > of.generation || this.#open.has(keyOf(of)) || last?.sequence !== 0) {
      throw new Error(`generation ${of.generation} is not a new one`)
    }
    await this.#store.deleteGeneration(of)
  }

  /** Begins a generation whose commit 0 is a file. */
  async #begin(of: Of, path: string, pages: number): Promise<void> {
    const time = Math.floor(this.#store.clock.now())
    const commit = { sequence: 0, time, pages, wal: noPosition }
    const journal = Journal.create(this.#store.journalPath(of, 0), commit)
    await journal.sync()
    await journal.close()
    await syncFolder(this.#store.folderOf(of))
    await using snapshot = await Snapshot.open(path, noPosition)
    const base =
      snapshot &&
      (await this.#store.putSegment(of, { kind: 'base', keptMs: 0 }, snapshot.records(commit)))
    await this.#store.index.beginGeneration(of, { generation: of.generation, beganAt: time }, base)
  }
}

function keyOf({ database, generation }: Of): string {
  return `${database}/${generation}`
}
