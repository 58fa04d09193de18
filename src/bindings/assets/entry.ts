import type { BlobKey } from '#contract/ids.ts'

/** One file of a version. */
export type AssetEntry = {
  /** 32 hex digits, computed by the client: the `ETag`. Same hash, same file. */
  readonly hash: string
  /** Where its bytes are. */
  readonly blob: BlobKey
  /** Bytes. */
  readonly size: number
  /** As it was uploaded; absent where the client knew none. */
  readonly contentType: string | undefined
}

/** The files of one version, in memory. */
export interface Manifest {
  /** The file at a decoded path that begins with a slash, as it was uploaded. */
  find(path: string): AssetEntry | undefined
}
