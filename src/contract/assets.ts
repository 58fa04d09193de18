import type { Owner } from './binding.ts'
import type { AccountId, BlobKey } from './ids.ts'
import type { Json, JsonObject } from './json.ts'

// Static assets: the files that belong to a version of a Worker. They are answered before its code,
// by the server itself: a hit needs no process.

/** The files of one version and how they are served. Immutable, and small: the files are elsewhere. */
export type Site = {
  readonly account: AccountId
  /** Which files there are: the name of a manifest. */
  readonly manifest: BlobKey
  /** How they are served, as the binding's folder has read and checked it. */
  readonly config: JsonObject
  /** Whether there is a Worker that answers where no file does. */
  readonly hasWorker: boolean
}

/** A request that may be for a file. */
export type SiteRequest = {
  readonly method: string
  /** Path and query as they were sent. */
  readonly url: string
  /** The host in lower case, without a port. */
  readonly hostname: string
  readonly protocol: 'http' | 'https'
  /** The value of a header by its name in lower case; of several, all with commas between. */
  readonly header: (name: string) => string | undefined
}

/** An answer. `Content-Length` is among its headers wherever it is known. */
export type SiteReply = {
  readonly status: number
  /** Names and values in turn. The caller may change it. */
  readonly headers: string[]
  /** Absent: there is none, or the request was a HEAD. A stream's file is freed when it is left. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
}

/** What visitors and cells ask for the files of a version. Implemented by `bindings/assets`. */
export interface SiteServer {
  /**
   * Answers a visitor, or says that the Worker is to. At once where the answer is in memory; never
   * rejects for anything that a visitor may send.
   */
  route(site: Site, request: SiteRequest): SiteReply | 'worker' | Promise<SiteReply | 'worker'>
  /** Answers from the files alone: what `env.ASSETS.fetch` is. */
  answer(site: Site, request: SiteRequest): SiteReply | Promise<SiteReply>
}

/** The files that a version of a Worker is stored with: a `Site` without whose it is. */
export type SiteFiles = Pick<Site, 'manifest' | 'config'>

/** Whose upload it is, and what else it says that decides how files are served. */
export type SiteUpload = {
  readonly owner: Owner
  readonly compatibilityDate: string | undefined
  readonly compatibilityFlags: readonly string[]
}

/** All that the binding of static assets is to the house. */
export interface Sites extends SiteServer {
  /**
   * Reads `assets` of an upload's metadata: which files, by the token that ended their upload, and how
   * they are served. Throws an `ApiError` for files that are not all there or not this Worker's.
   */
  admit(assets: Json, of: SiteUpload): Promise<SiteFiles>
  /**
   * The same files for another version: what an upload with `keep_assets` says of them. Throws an
   * `ApiError` if there are none, or if they are not all there any more.
   */
  readmit(assets: Json, of: SiteUpload, kept: SiteFiles | undefined): Promise<SiteFiles>
  /**
   * Is told, once, how to learn which manifests stored versions name. Removes what none of them names
   * and nothing that is being made: now, and once a day. While one of them can't be read, nothing goes.
   */
  sweepBy(manifests: () => Promise<ReadonlySet<BlobKey>>): Promise<void>
}
