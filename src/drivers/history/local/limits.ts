// Every number of the history, with where it comes from.

const mebibyte = 1024 * 1024
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** workerd's, and SQLite's own choice: no other is written here. */
export const pageBytes = 4_096
/** SQLite checkpoints in the commit that makes a WAL so long (`wal_autocheckpoint`); the next may begin it anew. */
export const checkpointFrames = 1_000
/** Pages of one record. A larger commit is several: what reads or writes records holds one at a time. */
export const recordPages = 256

/** A commit is in the WAL, on disk, when it is taken in; workerd closes an idle object after 10 s, and the WAL is gone. */
export const syncAfterMs = 1_000
/** A journal so long becomes a segment. */
export const sealBytes = 4 * mebibyte
/** Or longer, for a large database: its page sums are written with it, and are to be no more than a quarter. */
export const sealSumsFactor = 4
/** What is shorter when a timeline is closed stays a journal: a segment costs a blob and a row. */
export const sealAtCloseBytes = 256 * 1_024
/** Records that are compressed together: much more is no smaller (measured), and all of it is in memory. */
export const chunkBytes = 2 * mebibyte
/** Measured on pages of text: 1 is a tenth larger and twice as fast, 6 is hardly smaller. */
export const compressionLevel = 3

/** A file up to this size is compared whole when it is opened (1 s per GB); of larger ones, the pages of late. */
export const comparedAtOpenBytes = 64 * mebibyte
/** Page sums of up to this size are written whenever a WAL may begin anew. */
export const sumsAtCheckpointBytes = mebibyte

/** https://developers.cloudflare.com/d1/reference/time-travel/ */
export const retentionMs = 30 * dayMs
/** For so long each commit is kept by itself. */
export const exactMs = dayMs
/** What is older keeps one moment of each minute, and where the budget is exceeded, of each hour. */
export const thinnedMs = minuteMs
export const coarseMs = hourMs
/** A base is taken when the commits after the last are larger than the database so many times, and than this. */
export const baseAfterSizes = 4
export const baseAfterBytes = 64 * mebibyte
/** Commits that are too old, before they are worth a base of a smaller database. */
export const expiredBytes = mebibyte
/** Bytes kept per database: the larger of the two. */
export const budgetBytes = 1_024 * mebibyte
export const budgetSizes = 5
/** Segments that are thinned in one step: they become one. */
export const thinnedTogetherBytes = 64 * mebibyte
/** Databases that one call of `tidy` looks at. */
export const tidiedPerCall = 20
