import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { DatabaseError } from '#contract/ports/databases.ts'
import { HistoryError } from '#contract/ports/history.ts'
import * as errors from './errors.ts'
import { restoresAtOnce, restoreWindowMs } from './limits.ts'
import type { DatabaseOperation, Parts, Route } from './operation.ts'
import { notAnswered } from './query-api.ts'
import { bookmark, type DatabaseId } from './schema.ts'
import type { Database } from './store.ts'

/** Where a database is after a restore, and where it was. */
type Moved = { readonly bookmark: string; readonly previous: string }

const time = z.iso.datetime({ offset: true })

/** Bookmarks, and the way back to them. */
export function timeTravelRoutes(parts: Parts): readonly Route<DatabaseOperation>[] {
  const { store, files, calls, clock, log } = parts
  const turns = new Turns(clock)
  return [
    ['GET', '/time_travel/bookmark', find],
    ['POST', '/time_travel/restore', restore],
  ]

  async function find({ database, url }: DatabaseOperation): Promise<Response> {
    return succeed({ bookmark: await bookmarkOf(database, url, true) })
  }

  async function restore({ database, url }: DatabaseOperation): Promise<Response> {
    const wanted = await bookmarkOf(database, url, false)
    turns.take(database.id)
    const moved = await calls.claim(database.id, () =>
      calls.held(database.id, () => replace(database, wanted)),
    )
    if (!moved) throw errors.queryError(errors.importBusy)
    log.info('a database was restored', { database: database.id, bookmark: wanted })
    const { bookmark: now, previous } = moved
    return succeed({
      bookmark: now,
      previous_bookmark: previous,
      message: `The database is as it was at bookmark ${wanted}. To undo that, restore to ${previous}.`,
    })
  }

  /** Makes the database what it was. Nothing else is done to it meanwhile. */
  async function replace(asked: Database, wanted: string): Promise<Moved> {
    const database = store.get(asked.account, asked.id)
    const next = await store.reserveNext(database)
    try {
      const previous = await newestOf(database)
      await files.restore(wanted, next)
      await store.become(database, next)
      return { bookmark: await files.bookmark(next), previous }
    } catch (error) {
      return notThere(error)
    } finally {
      store.release(next)
    }
  }

  /** Of a file that does not open because it is damaged, what its history has: that is the way out of it. */
  async function newestOf({ file }: Database): Promise<string> {
    try {
      return await files.bookmark(file)
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.reason !== 'damaged') throw error
      return files.bookmarkAt(file, clock.now())
    }
  }

  async function bookmarkOf(database: Database, url: URL, mayBeNow: boolean): Promise<string> {
    const asked = url.searchParams.get('bookmark')
    const timestamp = url.searchParams.get('timestamp')
    if (asked !== null && !mayBeNow) {
      const read = bookmark.safeParse(asked)
      if (!read.success) throw errors.propertyInvalid('bookmark', 'Invalid bookmark')
      return read.data
    }
    if (timestamp === null && mayBeNow) return files.bookmark(database.file).catch(notAnswered)
    const read = time.safeParse(timestamp)
    if (!read.success) throw errors.propertyInvalid('timestamp', 'Invalid datetime')
    return files.bookmarkAt(database.file, Date.parse(read.data)).catch(notThere)
  }
}

/** Who may be restored again: so many times in a while. */
class Turns {
  readonly #clock: Clock
  /** When databases were restored last. */
  readonly #restored = new Map<DatabaseId, readonly number[]>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes one, or throws. */
  take(id: DatabaseId): void {
    const since = this.#clock.now() - restoreWindowMs
    for (const [known, times] of this.#restored) {
      if (times.every((at) => at <= since)) this.#restored.delete(known)
    }
    const recent = (this.#restored.get(id) ?? []).filter((at) => at > since)
    if (recent.length >= restoresAtOnce) {
      throw errors.tooManyRestores(restoresAtOnce, restoreWindowMs / 60_000)
    }
    this.#restored.set(id, [...recent, this.#clock.now()])
  }
}

/** Throws what a client is told of a moment that there is no way back to. */
function notThere(error: unknown): never {
  if (error instanceof HistoryError) throw errors.historyMissing(error.message)
  return notAnswered(error)
}
