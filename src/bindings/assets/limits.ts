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
/** Answers whose headers are kept ready. */
export const outcomes = 10_000
/** Characters of a path up to which its answer is kept. */
export const outcomePath = 512
/** Different `Accept-Encoding` headers whose meaning is kept. */
export const acceptedEncodings = 256
/** Characters of an `Accept-Encoding`, `If-None-Match` or `Range` that are looked at. */
export const conditionLength = 8192
/** Bytes below which compressing saves less than a packet. */
export const compressedFrom = 512
/** Files that are being compressed at a time: half of Node's threads. */
export const compressions = 2
/** A compressed file that is not this much smaller is not worth its place. */
export const compressionGain = 0.95
