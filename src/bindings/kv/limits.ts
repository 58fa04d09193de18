// Limits of Workers KV. Unless said otherwise: developers.cloudflare.com/kv/platform/limits.

/** Bytes of a key, as UTF-8. */
export const keyLimit = 512
/** Bytes of a value: 25 MiB. */
export const valueLimit = 25 * 1024 * 1024
/** Bytes of metadata, as JSON text. */
export const metadataLimit = 1024
/** Seconds. */
export const minimumTtl = 60
/** Seconds. Workers KV changelog, January 2026; 60 before that. */
export const minimumCacheTtl = 30
/** Keys of one page of a list. */
export const listLimit = 1000
/** Keys of one bulk read. */
export const bulkReadKeys = 100
/** Namespaces of one account. */
export const namespaceLimit = 1000
/** Keys of one bulk write or delete: developers.cloudflare.com/api, "Write multiple key-value pairs". */
export const bulkWriteKeys = 10_000
/** Bytes of the body of a bulk write: the same page. */
export const bulkWriteBytes = 100 * 1024 * 1024
/** Bytes of a namespace's title: the API reference of "Create a namespace". */
export const titleLimit = 512

// Ours.

/** Bytes up to which a value is a column; beyond, a file reads and writes faster than SQLite. */
export const inlineBytes = 64 * 1024
/** Bytes of a too large value that are read and dropped so that the caller hears why. */
export const drainBytes = 100 * 1024 * 1024
/** Bytes of the body of a bulk read: 100 keys of 512 bytes, all escaped, and some air. */
export const bulkReadBytes = 1024 * 1024
/** Bytes of metadata, names and boundaries around the value of a multipart body. */
export const multipartBytes = 64 * 1024
/** Rows that one request for a list looks at: it may have expired ones to skip. */
export const listScanRows = 10_000
