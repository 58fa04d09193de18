import { defineError } from '#contract/errors.ts'
import type { DatabaseFailure } from '#contract/ports/databases.ts'

// To a Worker, an error is its sentence: workerd's client puts `D1_ERROR: ` before it. To a client of the
// REST API it has a code.

const queryFailed = 7500

export const propertyInvalid = defineError(
  7400,
  400,
  (property: string, why: string) => `Invalid property: ${property} => ${why}`,
)
export const bodyInvalid = defineError(7400, 400, (what: string) => what)
export const bodyTooLarge = defineError(
  7400,
  413,
  (limit: number) => `The body exceeds the limit of ${limit} bytes.`,
)
export const databaseNotFound = defineError(
  7404,
  404,
  (id: string) => `The database ${id} could not be found`,
)
export const tooManyDatabases = defineError(
  7406,
  400,
  (limit: number) => `An account can have no more than ${limit} databases.`,
)
export const queryError = defineError(queryFailed, 400, (what: string) => what)
/** The platform's fault and not the query's: worth another attempt. */
export const databaseUnavailable = defineError(queryFailed, 503, (what: string) => what)
export const databaseExists = defineError(
  7502,
  400,
  (name: string) => `A database with the name '${name}' already exists`,
)
export const tooManyRestores = defineError(
  7429,
  429,
  (count: number, minutes: number) =>
    `A database can be restored ${count} times within ${minutes} minutes. Please try again later.`,
)
export const historyMissing = defineError(7400, 400, (what: string) => what)
export const linkInvalid = defineError(
  7403,
  403,
  () => 'This URL is not valid, or not valid any more.',
)
export const etagMismatch = defineError(
  7400,
  400,
  () => 'The MD5 of what was uploaded is not what was announced.',
)
export const tooBusy = defineError(
  7429,
  429,
  () => 'Too many imports and exports are under way. Please try again later.',
)
export const routeNotFound = defineError(7003, 404, (path: string) => `Could not route to ${path}`)

/** A binding to a database that the account does not have. */
export const boundDatabaseNotFound = defineError(
  10_181,
  400,
  (name: string, id: string) =>
    `D1 binding '${name}' references database '${id}' which was not found. Verify the database exists in your account and that the database_id in your configuration is correct.`,
)

// Sentences of the engine's that are said before it is asked, and of what is around it.
// developers.cloudflare.com/d1/observability/debug-d1

export const noStatements = 'No SQL statements detected.'
export const tooLargeToRun = 'string or blob too big: SQLITE_TOOBIG'
export const sessionInvalid = 'D1_SESSION_ERROR: invalid bookmark or constraint'
export const dumpRefused = 'Dumps are for databases of the alpha. Export the database instead.'
export const importIdle = 'Not currently importing anything.'
export const exportIdle = 'Not currently exporting anything.'
export const notUploaded = 'The file was not uploaded, or is not kept any more. Please retry.'
export const importBusy = 'Another file is being imported into this database.'
export const importLost =
  'D1 reset before import completed: the file was imported as a whole, or not at all.'
export const exportOfVirtualTables =
  'D1 Export error: cannot export databases with Virtual Tables (fts5)'
export const overloaded = 'D1 DB is overloaded. Requests queued for too long.'

const sentences: Readonly<Record<DatabaseFailure, string>> = {
  'queue-full': 'D1 DB is overloaded. Too many requests queued.',
  'queued-too-long': overloaded,
  timeout: 'D1 DB exceeded its CPU time limit and was reset.',
  memory: "D1 DB's isolate exceeded its memory limit and was reset.",
  lost: 'Network connection lost.',
  unavailable: 'Cannot resolve D1 DB due to transient issue on remote node.',
  damaged: 'Internal error in D1 DB storage caused object to be reset.',
}

/** What users are told of a call that was not answered. */
export function sentenceOf(reason: DatabaseFailure): string {
  return sentences[reason]
}
