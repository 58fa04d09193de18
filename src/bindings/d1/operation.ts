import type { z } from 'zod'
import type { Caller } from '#contract/binding.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { DatabaseFiles } from '#contract/ports/databases.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Calls } from './calls.ts'
import type { Exports } from './exports.ts'
import type { Imports } from './imports.ts'
import type { Insights } from './insights.ts'
import type { Links } from './links.ts'
import type { Database, DatabaseStore } from './store.ts'
import type { TransferStore } from './transfer-store.ts'

/** All that keeps state. */
export type Parts = {
  readonly store: DatabaseStore
  readonly files: DatabaseFiles
  readonly calls: Calls
  readonly insights: Insights
  readonly transfers: TransferStore
  readonly imports: Imports
  readonly exports: Exports
  readonly links: Links
  readonly clock: Clock
  readonly log: Log
}

/** A call of the REST API. */
export type Operation = {
  readonly request: Request
  readonly url: URL
  readonly caller: Caller
  /** The JSON body, read by a schema. Throws an `ApiError`. */
  readonly body: <Schema extends z.ZodType>(
    schema: Schema,
    limit?: number,
  ) => Promise<z.output<Schema>>
}

/** The same of one database, which is the caller's. */
export type DatabaseOperation = Operation & { readonly database: Database }

export type Route<Of> = readonly [
  method: string,
  path: string,
  run: (operation: Of) => Promise<Response>,
]
