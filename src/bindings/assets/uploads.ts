import type { Owner } from '#contract/binding.ts'
import type { BlobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { type BlobSource, BlobTooLargeError } from '#contract/ports/blob.ts'
import * as errors from './errors.ts'
import {
  bucketBytes,
  bucketFiles,
  filesPerVersion,
  rememberedUploads,
  sessionMs,
} from './limits.ts'
import { type ManifestRow, StoredManifest, writeManifest } from './manifest.ts'
import type { Announced } from './schema.ts'
import type { AssetStore, Session } from './store.ts'
import { newToken, readToken } from './token.ts'

/** What a client is told when it has said which files there are to be. */
export type Opened = {
  readonly token: string
  /** The contents to send, in groups for requests that hold several. None: all are here. */
  readonly buckets: readonly (readonly string[])[]
}

/** A file as it is sent. */
export type SentFile = {
  readonly hash: string
  readonly contentType: string | undefined
  readonly content: BlobSource
}

/** What is left of an upload: a copy of what the store says, made again when it is not there. */
type Progress = { readonly sizes: ReadonlyMap<string, number>; readonly missing: Set<string> }

/**
 * Uploads of files. What is durable are files and what was announced; whether all are there is seen
 * by looking. So an upload goes on after a restart, and no order of requests can harm it.
 */
export class Uploads {
  readonly #ports: Pick<Ports, 'clock' | 'random'>
  readonly #store: AssetStore
  readonly #progress = new Map<string, Promise<Progress>>()

  constructor(ports: Pick<Ports, 'clock' | 'random'>, store: AssetStore) {
    this.#ports = ports
    this.#store = store
  }

  /** Begins an upload. Throws for too many files, or for a size that a known content does not have. */
  async open(owner: Owner, announced: Announced): Promise<Opened> {
    const count = Object.keys(announced).length
    if (count > filesPerVersion) throw errors.tooManyFiles(count)
    const sizes = sizesOf(announced)
    // Before there is an upload: one that is refused leaves none.
    const progress = await this.#look(owner, sizes)
    const expiresAt = this.#ports.clock.now() + sessionMs
    const secret = newToken(this.#ports.random, { account: owner.account, expiresAt })
    const session = await this.#store.addSession(owner, secret, { announced, expiresAt })
    this.#remember(session.id, Promise.resolve(progress))
    return { token: secret.token, buckets: bucketsOf(progress) }
  }

  /** The upload of a token, in the account of the URL. Throws `sessionUnauthenticated`. */
  async sessionOf(token: string | undefined, account: string): Promise<Session> {
    const secret = token === undefined ? undefined : readToken(token)
    const session = secret && (await this.#store.session(secret))
    if (!session || session.account !== account) throw errors.sessionUnauthenticated()
    return session
  }

  /**
   * Stores a file of an upload. Resolves when it is durable, with whether that was the last that was
   * missing. Throws for a file that was not announced, or not so; nothing of it stays then.
   */
  async receive(session: Session, file: SentFile): Promise<boolean> {
    const { sizes } = await this.#progressOf(session)
    const { hash, contentType, content } = file
    const size = sizes.get(hash)
    if (size === undefined) throw errors.notInManifest(hash)
    try {
      await this.#store.addFile(session.account, { hash, size, contentType }, content)
    } catch (error) {
      throw error instanceof BlobTooLargeError ? errors.fileTooLarge(hash) : error
    }
    // It may have been looked at again meanwhile, before this file was there.
    const { missing } = await this.#progressOf(session)
    missing.delete(hash)
    return missing.size === 0
  }

  /**
   * The manifest of an upload that is complete, as a Worker's upload names it. Throws `tokenInvalid` or
   * `filesMissing`.
   */
  async complete(token: string, owner: Owner): Promise<BlobKey> {
    const secret = readToken(token)
    const session = secret && (await this.#store.session(secret))
    if (session?.account !== owner.account || session.worker !== owner.worker) {
      throw errors.tokenInvalid()
    }
    const rows = await this.#rowsOf(session)
    return this.#store.addManifest(writeManifest(rows))
  }

  /** Throws `filesLost` unless a manifest and all of its files are there, and will be for a while. */
  async claim(manifest: BlobKey, owner: Owner): Promise<void> {
    const bytes = await this.#store.manifest(manifest).catch(() => undefined)
    const contents = bytes && contentsOf(bytes)
    if (!contents) throw errors.filesLost('The manifest')
    const files = await this.#store.claim(owner.account, contents.keys())
    const lost = [...contents].filter(([hash, blob]) => files.get(hash)?.blob !== blob)
    if (lost.length > 0) throw errors.filesLost(`${lost.length} of the files`)
  }

  async #rowsOf(session: Session): Promise<readonly ManifestRow[]> {
    const announced = await this.#store.draft(session)
    const files = await this.#store.claim(session.account, sizesOf(announced).keys())
    let missing = 0
    const rows = Object.entries(announced).flatMap(([path, { hash, size }]): ManifestRow[] => {
      const file = files.get(hash)
      if (file?.size === size) return [{ ...file, path }]
      missing += 1
      return []
    })
    if (missing > 0) throw errors.filesMissing(missing)
    return rows
  }

  #progressOf(session: Session): Promise<Progress> {
    const known = this.#progress.get(session.id)
    if (known) return known
    const made = this.#store
      .draft(session)
      .then((announced) => this.#look(session, sizesOf(announced)))
    this.#remember(session.id, made)
    return made
  }

  async #look(owner: Owner, sizes: ReadonlyMap<string, number>): Promise<Progress> {
    const files = await this.#store.claim(owner.account, sizes.keys())
    for (const [hash, { size }] of files) {
      const expected = sizes.get(hash) ?? size
      if (size !== expected) throw errors.sizeMismatch(hash, size, expected)
    }
    const missing = new Set([...sizes.keys()].filter((hash) => !files.has(hash)))
    return { sizes, missing }
  }

  #remember(id: string, progress: Promise<Progress>): void {
    const [oldest] = this.#progress.keys()
    if (oldest !== undefined && this.#progress.size >= rememberedUploads) {
      this.#progress.delete(oldest)
    }
    this.#progress.set(id, progress)
    progress.catch(() => this.#progress.delete(id))
  }
}

function contentsOf(manifest: Uint8Array): ReadonlyMap<string, BlobKey> | undefined {
  try {
    return new StoredManifest(manifest).contents()
  } catch {
    return undefined
  }
}

/** How large each content was said to be. Throws if two files disagree. */
function sizesOf(announced: Announced): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>()
  for (const [path, { hash, size }] of Object.entries(announced)) {
    if ((sizes.get(hash) ?? size) !== size) {
      throw errors.manifestInvalid(
        `"${path.slice(0, 100)}" has another size than a file of the same hash`,
      )
    }
    sizes.set(hash, size)
  }
  return sizes
}

function bucketsOf({ sizes, missing }: Progress): readonly (readonly string[])[] {
  const buckets: string[][] = []
  let left = 0
  for (const hash of missing) {
    const size = sizes.get(hash) ?? 0
    const bucket = buckets.at(-1)
    if (bucket && bucket.length < bucketFiles && size <= left) {
      bucket.push(hash)
      left -= size
    } else {
      buckets.push([hash])
      left = bucketBytes - size
    }
  }
  return buckets
}
