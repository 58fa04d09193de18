// Limits of static assets. Unless said otherwise: developers.cloudflare.com/workers/platform/limits
// ("Static Assets") and /workers/static-assets/redirects.

/** Rules of `_redirects` without a placeholder or a splat. */
export const staticRedirects = 2000
/** Rules of `_redirects` with one, and those below the first of them. */
export const dynamicRedirects = 100
/** Rules of `_headers`: /workers/static-assets/headers. */
export const headerRules = 100
/** Characters of a line of `_redirects` or `_headers`. */
export const ruleLine = 2000
/** Rules of `run_worker_first`: /workers/static-assets/binding. */
export const workerFirstRules = 100
/** Characters of one. */
export const workerFirstRule = 100

// Ours.

/** Characters of `_redirects` or `_headers`: what all rules of the allowed length may need. */
export const ruleFile = 5 * 1024 * 1024
/** Duplicates of `run_worker_first` that a message names. */
export const namedDuplicates = 5
/** Bytes of files that are kept in memory, compressed ones included. */
export const memoryBytes = 64 * 1024 * 1024
/** Bytes up to which a file is kept in memory; larger ones are read for each visitor. */
export const memoryFileBytes = 1024 * 1024
/** Answers whose headers are kept ready: so many, of which one with long headers counts for more. */
export const outcomes = 10_000
/** Characters of `_headers` in an answer that count as one more: it has them in up to 16 forms. */
export const outcomeHeaders = 256
/** Characters of a path up to which its answer is kept. */
export const outcomePath = 512
/** Different `Accept-Encoding` headers whose meaning is kept. */
export const acceptedEncodings = 256
/**
 * Characters of a header of `_headers` once a visitor's path is filled in: as many as a header may
 * have. A rule that repeats `:splat` would otherwise make megabytes of a long path.
 */
export const headerValue = 16 * 1024
/** Characters of an `Accept-Encoding`, `If-None-Match` or `Range` that are looked at. */
export const conditionLength = 8192
/** Bytes below which compressing saves less than a packet. */
export const compressedFrom = 512
/** Files that are being compressed at a time: half of Node's threads. */
export const compressions = 2
/** A compressed file that is not this much smaller is not worth its place. */
export const compressionGain = 0.95

// Uploads.

/** Bytes of a file: developers.cloudflare.com/workers/platform/limits, "Individual file size". */
export const fileBytes = 25 * 1024 * 1024
/** Files of a version: same page, "Files per Worker version", paid plan. */
export const filesPerVersion = 100_000
/** Characters of a path: as long as a URL's may be, three for each byte that needs it. */
export const pathLength = 3 * 1024
/** Characters of a content type. */
export const contentTypeLength = 255
/** Bytes of the JSON that says which files there are to be. */
export const manifestJsonBytes = 48 * 1024 * 1024
/** How long an upload may take, in ms. wrangler asks for the end of it in its token. */
export const sessionMs = 3_600_000
/** Uploads of an account that are under way. */
export const sessionsPerAccount = 100
/** Uploads of which it is remembered what is missing: of others it is looked up. */
export const rememberedUploads = 16
/** What one request with several files is to hold, before Base64: 50 MiB are usual. */
export const bucketBytes = 40 * 1024 * 1024
export const bucketFiles = 500
/** Bytes of a request with several files in Base64. */
export const formBytes = 64 * 1024 * 1024
/** Requests of that size that are read side by side; more wait. */
export const formsAtOnce = 2
export const formsWaiting = 100
/** Uploads of single files that a client is told to make at once. */
export const uploadsAtOnce = 24
/** How long what nobody names is kept, in ms: something that is being made may name it. */
export const graceMs = 2 * sessionMs
/** How old the time may be at which a file was last asked for, before it is written again, in ms. */
export const touchMs = graceMs / 8
/** How often that is looked for, in ms. */
export const sweepEveryMs = 24 * 3_600_000
/** Rows that are read or written by one statement. */
export const stepRows = 500

/** Bytes of manifests in memory: some eleven sites of 100 000 files. */
export const manifestsBytes = 64 * 1024 * 1024
