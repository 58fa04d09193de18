import type { BlobKey } from '#contract/ids.ts'

/**
 * The `Blob` port: immutable bytes under keys that we choose, one store per use (`kv`, `code` ...).
 * No string of a user ever becomes a key.
 *
 * Crash rule for callers: write the blob, then the row that names it; delete the row, then the
 * blob. What a crash leaves behind is a blob without a row, which the owner's sweep finds by
 * `list`; never a row without its blob.
 */
export interface Blob {
  /**
   * Stores all of `source` and resolves when it is durable, with its size in bytes. Writing a key
   * that exists replaces it in one step. When `source` throws or exceeds `limit` bytes
   * (`BlobTooLargeError`), or there is no room (`BlobFullError`), nothing is stored.
   */
  put(key: BlobKey, source: BlobSource, limit?: number): Promise<number>

  /** Opens a blob, or `undefined` where there is none. Stays readable if deleted meanwhile. */
  get(key: BlobKey): Promise<BlobReader | undefined>

  /** Removes a blob; one that does not exist is fine. */
  delete(key: BlobKey): Promise<void>

  /** Every key, in no order, with the time it was written: for sweeps. */
  list(): AsyncIterable<{ readonly key: BlobKey; readonly writtenAt: number }>
}

export type BlobSource = Uint8Array | AsyncIterable<Uint8Array>

/** An open blob. Whoever opened it reads it to the end or disposes of it. */
export interface BlobReader extends AsyncDisposable {
  readonly size: number
  /** The bytes from `start` up to, not including, `end`; all by default. Call once. */
  stream(range?: { readonly start: number; readonly end: number }): AsyncIterable<Uint8Array>
  /** As `stream`, but pieces are lent: each is overwritten once the next is asked for. */
  lend(range?: { readonly start: number; readonly end: number }): AsyncIterable<Uint8Array>
  /** All bytes at once. Call once, and only where the size is known to be small. */
  bytes(): Promise<Uint8Array>
}

export class BlobTooLargeError extends Error {
  constructor(limit: number) {
    super(`more than ${limit} bytes`)
    this.name = 'BlobTooLargeError'
  }
}

/** There is no room for a blob: what was there is as it was, and reads go on. */
export class BlobFullError extends Error {
  constructor(cause: unknown) {
    super('no space left for a blob', { cause })
    this.name = 'BlobFullError'
  }
}
