// Limits of D1. Unless said otherwise: developers.cloudflare.com/d1/platform/limits. Those of SQL itself
// (parameters, columns, lengths) are workerd's, which runs it.

/** Databases of one account. */
export const databaseLimit = 50_000
/** Bytes of a file that is imported. */
export const importBytes = 5 * 1024 ** 3
/** Restores of one database within `restoreWindowMs`: developers.cloudflare.com/d1/reference/time-travel. */
export const restoresAtOnce = 10
export const restoreWindowMs = 600_000
/** How long the URL of an export is good for: wrangler says so to its users. */
export const exportMs = 3_600_000
/** How often a statement that only reads is tried: "automatically retried up to two more times", changelog, September 2025. */
export const attempts = 3

// Ours.

/** Characters of a database's name. */
export const nameLength = 64
/** Databases of one page of a list: the API reference of "List D1 Databases". */
export const pageLength = 10_000
export const usualPageLength = 1_000

/** Bytes of a call: a blob of 2 MB is 8 MB of JSON, and a batch may hold some. */
export const callBytes = 32 * 1024 * 1024
/** Bytes of a too large call that are read and dropped so that the caller hears why. */
export const drainBytes = 64 * 1024 * 1024
/** Bytes of the body of any other request. */
export const jsonBytes = 1024 * 1024
/** Of a query by REST: what a statement may have is for SQLite to say. */
export const restSqlBytes = callBytes
export const restParams = 10_000
export const restBatch = 10_000

/** Before another attempt. */
export const retryMs = 50
/** How long calls wait for a database that is being restored, and how many of them. */
export const heldMs = 30_000
export const heldCalls = 1_000

/** How long an upload's URL is good for, and how long a file that nobody imported stays. */
export const uploadMs = 3_600_000
export const keptUploadMs = 86_400_000
/** How long it is remembered how an import or export ended, and of how many. */
export const rememberedMs = 86_400_000
export const rememberedJobs = 1_000
/** How long a poll is held: clients ask again at once. */
export const pollMs = 1_000
/** Imports and exports that run at once, and that wait. */
export const jobsAtOnce = 4
export const jobsWaiting = 100

/** Of an export: rows of a page, and about how many characters and bytes it has. */
export const pageRows = 5_000
export const pageWeight = 256 * 1024
/** Objects of a schema that are read at once. */
export const schemaRows = 500

/** What is counted of queries: calls a second of a database that are counted one by one, and of those beyond, one in so many. */
export const countedCalls = 100
export const sampleEvery = 16
/** Texts per database whose numbers are kept, and databases of which texts are kept. */
export const countedTexts = 1_000
export const countedDatabases = 200
/** Characters of a text. */
export const textLength = 2_048
/** Hours that numbers are kept for: developers.cloudflare.com/d1/observability/metrics-analytics, 31 days. */
export const countedHours = 31 * 24
/** Bytes of a call and of a reply up to which they are looked at. */
export const countedBytes = 64 * 1024
