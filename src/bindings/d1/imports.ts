import { z } from 'zod'
import { messageOf } from '#contract/errors.ts'
import { DatabaseError } from '#contract/ports/databases.ts'
import type { DatabaseFiles } from '#contract/ports/databases.ts'
import type { Log } from '#contract/ports/log.ts'
import { callMeta, importReplyOf } from './call.ts'
import type { Calls } from './calls.ts'
import * as errors from './errors.ts'
import type { Jobs } from './jobs.ts'
import { pollMs } from './limits.ts'
import type { Database } from './store.ts'
import type { TransferStore, Upload } from './transfer-store.ts'

const outcome = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('complete'),
    finalBookmark: z.string(),
    count: z.number(),
    meta: callMeta,
  }),
  z.object({ status: z.literal('error'), error: z.string() }),
])
type Outcome = z.output<typeof outcome>

export type ImportsOptions = {
  readonly files: DatabaseFiles
  readonly calls: Calls
  readonly transfers: TransferStore
  readonly jobs: Jobs
  readonly log: Log
}

/**
 * Imports of files that were uploaded. How each ended is on disk before anybody is told; of one during
 * which the server ended, that it was done as a whole or not at all.
 */
export class Imports {
  readonly #options: ImportsOptions

  constructor(options: ImportsOptions) {
    this.#options = options
  }

  /** Begins one. What it resolves with is what a client is told, as is what `poll` does. */
  async begin(database: Database, etag: string): Promise<object> {
    const { files, transfers, jobs } = this.#options
    const upload = await transfers.upload(database.id, etag)
    if (!upload) return { success: false, error: errors.notUploaded }
    const at = await files.bookmark(database.file)
    const isBegun = await jobs.run(keyOf(database, at), async () => {
      await transfers.beginImport(database.id, at)
      return async () => {
        const ended = await this.#import(database, upload)
        await transfers.endImport(database.id, at, JSON.stringify(ended))
        if (ended.status === 'complete') await transfers.dropUpload(database.id, etag)
      }
    })
    if (!isBegun) return { success: false, error: errors.importBusy }
    return this.poll(database, at)
  }

  /** How the import that began at a bookmark goes on: waits for a moment, because clients do not. */
  async poll(database: Database, at: string): Promise<object> {
    const { transfers, jobs } = this.#options
    const isUnderWay = await jobs.wait(keyOf(database, at), pollMs)
    const known = await transfers.import(database.id, at)
    if (!known) return { success: false, error: errors.importIdle }
    const base = { success: true, type: 'import', at_bookmark: at }
    if (known.outcome === null) {
      if (isUnderWay) return { ...base, status: 'active', messages: [] }
      return { ...base, ...shown({ status: 'error', error: errors.importLost }) }
    }
    return { ...base, ...shown(outcome.parse(JSON.parse(known.outcome))) }
  }

  async #import(database: Database, upload: Upload): Promise<Outcome> {
    const { calls, jobs, log } = this.#options
    try {
      const ended = await calls.claim(database.id, () => this.#run(database, upload))
      return ended ?? { status: 'error', error: errors.importBusy }
    } catch (error) {
      if (jobs.closing.aborted) return { status: 'error', error: errors.importLost }
      if (error instanceof DatabaseError) {
        return { status: 'error', error: errors.sentenceOf(error.reason) }
      }
      log.error('D1 could not import', { database: database.id, error: messageOf(error) })
      return { status: 'error', error: errors.sentenceOf('damaged') }
    }
  }

  async #run(database: Database, { blob }: Upload): Promise<Outcome> {
    const { calls, jobs, transfers } = this.#options
    await using reader = await transfers.open(blob)
    if (!reader) return { status: 'error', error: errors.notUploaded }
    const { reply, bookmark: finalBookmark } = await calls.import(
      database,
      jobs.whileOpen(reader.stream()),
    )
    const told = importReplyOf(reply)
    if (!told.success) return { status: 'error', error: told.error }
    return { status: 'complete', finalBookmark, count: told.count, meta: told.meta }
  }
}

function keyOf({ id }: Database, bookmark: string): string {
  return `import ${id} ${bookmark}`
}

function shown(ended: Outcome): object {
  if (ended.status === 'error') {
    // wrangler shows `errors`, the SDK has `error`.
    return { status: 'error', messages: [], error: ended.error, errors: [ended.error] }
  }
  const { finalBookmark, count, meta } = ended
  return {
    status: 'complete',
    messages: [`Processed ${count} ${count === 1 ? 'query' : 'queries'}.`],
    result: { num_queries: count, final_bookmark: finalBookmark, meta },
  }
}
