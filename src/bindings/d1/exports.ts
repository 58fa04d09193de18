import { messageOf } from '#contract/errors.ts'
import type { AccountId, BlobKey } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { DatabaseError, type DatabaseFile, type DatabaseFiles } from '#contract/ports/databases.ts'
import type { Log } from '#contract/ports/log.ts'
import { callOf, type CallStatement, type Cell, isRefused, refusalOf, resultsOf } from './call.ts'
import { DumpError, dumpOf } from './dump.ts'
import * as errors from './errors.ts'
import type { Jobs } from './jobs.ts'
import { exportMs, pollMs, rememberedJobs } from './limits.ts'
import type { Links } from './links.ts'
import type { DumpOptions } from './schema.ts'
import type { Database, DatabaseStore } from './store.ts'
import type { TransferStore } from './transfer-store.ts'

type Outcome =
  | { readonly status: 'complete'; readonly blob: BlobKey; readonly filename: string }
  | { readonly status: 'error'; readonly error: string }

export type ExportsOptions = {
  readonly store: DatabaseStore
  readonly files: DatabaseFiles
  readonly transfers: TransferStore
  readonly links: Links
  readonly jobs: Jobs
  readonly clock: Clock
  readonly log: Log
}

/**
 * Exports: a copy of the database as of one moment is read, page by page, while the database itself goes
 * on. What became of an export is in memory: who asks for it after a restart begins another.
 */
export class Exports {
  readonly #options: ExportsOptions
  readonly #outcomes = new Map<string, { readonly outcome: Outcome; readonly expiresAt: number }>()

  constructor(options: ExportsOptions) {
    this.#options = options
  }

  /** Begins one, of the database as it is now. Resolves with where that is. */
  async begin(database: Database, options: DumpOptions): Promise<string> {
    const { files, store, jobs } = this.#options
    const at = await files.bookmark(database.file)
    const key = keyOf(database, at, options)
    await jobs.run(key, async () => {
      const copy = await store.reserveCopy(database)
      return async () => {
        const outcome = await this.#export(database, { at, copy, options })
        this.#remember(key, outcome)
      }
    })
    return at
  }

  /** How one goes on, as a client is told: waits for a moment, because clients do not. */
  async poll(
    database: Database,
    of: { readonly at: string; readonly options: DumpOptions },
    to: { readonly account: AccountId; readonly request: Request },
  ): Promise<object> {
    const { jobs, links } = this.#options
    const key = keyOf(database, of.at, of.options)
    const isUnderWay = await jobs.wait(key, pollMs)
    const base = { success: true, type: 'export', at_bookmark: of.at, messages: [] }
    if (isUnderWay) return { ...base, status: 'active' }
    const outcome = this.#outcomeOf(key)
    if (!outcome) return { success: false, error: errors.exportIdle }
    if (outcome.status === 'error') return { ...base, ...outcome }
    const { blob, filename } = outcome
    const signedUrl = await links.urlOf(
      { type: 'export', blob, filename },
      { ...to, forMs: exportMs },
    )
    const messages = [`Generating ${filename}`, 'Export complete']
    const result = { filename, signed_url: signedUrl }
    return { ...base, status: 'complete', messages, result }
  }

  async #export(
    database: Database,
    job: {
      readonly at: string
      readonly copy: DatabaseFile
      readonly options: DumpOptions
    },
  ): Promise<Outcome> {
    const { files, transfers, store, jobs, log } = this.#options
    const { at, copy, options } = job
    try {
      await files.restore(at, copy)
      const read = (statements: readonly CallStatement[]) => this.#read(copy, statements)
      const blob = await transfers.addExport(
        database.id,
        utf8Of(jobs.whileOpen(dumpOf(read, options))),
      )
      return { status: 'complete', blob, filename: `${database.id}.${at.slice(0, 17)}.sql` }
    } catch (error) {
      if (error instanceof DumpError) return { status: 'error', error: error.message }
      if (error instanceof DatabaseError) {
        return { status: 'error', error: errors.sentenceOf(error.reason) }
      }
      log.error('D1 could not export', { database: database.id, error: messageOf(error) })
      return { status: 'error', error: errors.sentenceOf('damaged') }
    } finally {
      // If this fails, upkeep does it.
      await files
        .delete(copy, 'copy')
        .then(() => store.forgetDiscarded(database.id, copy))
        .catch(() => undefined)
      store.release(copy)
    }
  }

  async #read(
    copy: DatabaseFile,
    statements: readonly CallStatement[],
  ): Promise<readonly (readonly (readonly Cell[])[])[]> {
    const { reply } = await this.#options.files.call(copy, callOf('q', statements))
    if (isRefused(reply)) throw new DumpError(refusalOf(reply))
    return resultsOf(reply).map(({ rows }) => rows)
  }

  #remember(key: string, outcome: Outcome): void {
    const now = this.#options.clock.now()
    for (const [known, { expiresAt }] of this.#outcomes) {
      if (this.#outcomes.size < rememberedJobs && expiresAt > now) break
      this.#outcomes.delete(known)
    }
    this.#outcomes.set(key, { outcome, expiresAt: now + exportMs })
  }

  #outcomeOf(key: string): Outcome | undefined {
    const known = this.#outcomes.get(key)
    return known && known.expiresAt > this.#options.clock.now() ? known.outcome : undefined
  }
}

function keyOf({ id }: Database, bookmark: string, options: DumpOptions): string {
  return `export ${id} ${bookmark} ${JSON.stringify(options)}`
}

/** Lines as bytes, in pieces that are worth a write. */
async function* utf8Of(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  let text = ''
  for await (const line of lines) {
    text += `${line}\n`
    if (text.length < pieceLength) continue
    yield encoder.encode(text)
    text = ''
  }
  if (text !== '') yield encoder.encode(text)
}

const pieceLength = 64 * 1024
