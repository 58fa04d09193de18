import { messageOf } from '#contract/errors.ts'
import { type AccountId, accountId, type BlobKey, blobKey } from '#contract/ids.ts'
import { compareBytes, endOfPrefix, successor } from '#contract/key-range.ts'
import type { Ports } from '#contract/ports.ts'
import type { BlobReader } from '#contract/ports/blob.ts'
import {
  bytesColumn,
  bytesColumnOrNull,
  integerColumn,
  integerColumnOrNull,
  type Row,
  sql,
  SqlError,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import { namespaceExists, namespaceNotFound, tooManyNamespaces } from './errors.ts'
import { listLimit, listScanRows, namespaceLimit, valueLimit } from './limits.ts'
import { type ListRange, type NamespaceId, namespaceId } from './schema.ts'

export type Namespace = { readonly id: NamespaceId; readonly title: string }

/** A value that is there. Whoever got a `BlobReader` reads it to the end or disposes of it. */
export type Found = {
  readonly value: Uint8Array | BlobReader
  readonly size: number
  /** JSON text. */
  readonly metadata: string | null
  /** UNIX seconds. */
  readonly expiresAt: number | null
}

export type NewEntry = {
  /** Bytes that fit a row, or a stream that becomes a blob and fails beyond `valueLimit`. */
  readonly value: Uint8Array | AsyncIterable<Uint8Array>
  readonly metadata: string | null
  readonly expiresAt: number | null
}

export type ListedKey = {
  readonly key: Uint8Array
  readonly metadata: string | null
  readonly expiresAt: number | null
}

/** `next` is the key after which the list goes on; absent at its end. */
export type Page = { readonly keys: readonly ListedKey[]; readonly next?: Uint8Array }

export type NamespaceQuery = {
  readonly order: 'id' | 'title'
  readonly descending: boolean
  readonly offset: number
  readonly limit: number
}

// Between tidying and tidying; between steps when there is more to do.
const tidyMs = 10_000
const stepMs = 20
const stepRows = 500
const stepBlobs = 100
/** A blob that vanished under a reader was replaced: so often in a row, that something is wrong. */
const readAttempts = 5

export async function openStore(ports: Ports): Promise<KvStore> {
  const rows = await ports.sql.read(sql`SELECT id, account FROM namespace WHERE deleted_at IS NULL`)
  const owners = rows.map((row): [NamespaceId, AccountId] => [
    namespaceId.parse(textColumn(row, 'id')),
    accountId.parse(textColumn(row, 'account')),
  ])
  return new KvStore(ports, new Map(owners))
}

/**
 * Namespaces and their entries. A blob is written before its row and removed after it: rows let go
 * of blobs by trigger (`discarded_blob`), which is worked off behind; what a crash left between
 * blob and row is found by one pass over all blobs after the start.
 */
export class KvStore implements AsyncDisposable {
  readonly #ports: Ports
  /** Every live namespace: a call asks memory, not the database, whether its own still is. */
  readonly #owners: Map<NamespaceId, AccountId>
  /** Blobs that are written and have no row yet. */
  readonly #unnamed = new Set<BlobKey>()
  readonly #unchecked: AsyncIterator<{ readonly key: BlobKey }>
  #isChecked = false
  #timer: Disposable
  #tidying: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(ports: Ports, owners: Map<NamespaceId, AccountId>) {
    this.#ports = ports
    this.#owners = owners
    this.#unchecked = ports.blob.list()[Symbol.asyncIterator]()
    this.#timer = this.#tidyAfter(stepMs)
  }

  ownerOf(namespace: NamespaceId): AccountId | undefined {
    return this.#owners.get(namespace)
  }

  async namespace(id: NamespaceId): Promise<Namespace> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, title FROM namespace WHERE id = ${id} AND deleted_at IS NULL`,
    )
    if (!row) throw namespaceNotFound()
    return namespaceOf(row)
  }

  /** A page of an account's namespaces, and how many there are. */
  async namespaces(
    account: AccountId,
    { order, descending, offset, limit }: NamespaceQuery,
  ): Promise<{ readonly page: readonly Namespace[]; readonly total: number }> {
    // An account has at most `namespaceLimit`: sorting them here keeps the statement one.
    const rows = await this.#ports.sql.read(
      sql`SELECT id, title FROM namespace WHERE account = ${account} AND deleted_at IS NULL`,
    )
    const sign = descending ? -1 : 1
    const all = rows.map(namespaceOf).toSorted((a, b) => (a[order] < b[order] ? -sign : sign))
    return { page: all.slice(offset, offset + limit), total: all.length }
  }

  async createNamespace(account: AccountId, title: string): Promise<Namespace> {
    const id = namespaceId.parse(this.#ports.random.hex(16))
    const [inserted] = await this.#ports.sql
      .write([
        sql`INSERT INTO namespace (id, account, title) SELECT ${id}, ${account}, ${title}
            WHERE (SELECT count(*) FROM namespace WHERE account = ${account} AND deleted_at IS NULL)
              < ${namespaceLimit}`,
      ])
      .catch(titleTaken)
    if (inserted?.changes !== 1) throw tooManyNamespaces(namespaceLimit)
    this.#owners.set(id, account)
    return { id, title }
  }

  async renameNamespace(id: NamespaceId, title: string): Promise<Namespace> {
    const [updated] = await this.#ports.sql
      .write([sql`UPDATE namespace SET title = ${title} WHERE id = ${id} AND deleted_at IS NULL`])
      .catch(titleTaken)
    if (updated?.changes !== 1) throw namespaceNotFound()
    return { id, title }
  }

  /** Gone at once; its keys are removed behind that. */
  async deleteNamespace(id: NamespaceId): Promise<void> {
    const now = this.#ports.clock.now()
    const [updated] = await this.#ports.sql.write([
      sql`UPDATE namespace SET deleted_at = ${now} WHERE id = ${id} AND deleted_at IS NULL`,
    ])
    this.#owners.delete(id)
    if (updated?.changes !== 1) throw namespaceNotFound()
  }

  async get(namespace: NamespaceId, key: Uint8Array): Promise<Found | undefined> {
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const [row] = await this.#ports.sql.read(
        sql`SELECT expires_at, metadata, size, blob, value FROM entry
            WHERE namespace = ${namespace} AND key = ${key}`,
      )
      if (!row) return undefined
      const expiresAt = integerColumnOrNull(row, 'expires_at')
      if (expiresAt !== null && expiresAt <= this.#nowSeconds()) return undefined
      const blob = textColumnOrNull(row, 'blob')
      const value =
        blob === null ? bytesColumn(row, 'value') : await this.#ports.blob.get(blobKey.parse(blob))
      if (value) {
        const metadata = textColumnOrNull(row, 'metadata')
        return { value, size: integerColumn(row, 'size'), metadata, expiresAt }
      }
    }
    throw new Error('a value is missing from the blob store')
  }

  /** Resolves when the entry is on disk. The last of several writers wins. */
  async put(namespace: NamespaceId, key: Uint8Array, entry: NewEntry): Promise<void> {
    const { value } = entry
    if (value instanceof Uint8Array) {
      return this.#name(namespace, key, { ...entry, value, blob: null, size: value.byteLength })
    }
    const blob = blobKey.parse(this.#ports.random.hex(16))
    this.#unnamed.add(blob)
    try {
      const size = await this.#ports.blob.put(blob, value, valueLimit)
      await this.#name(namespace, key, { ...entry, value: null, blob, size })
    } catch (error) {
      // If this fails too, the pass after the next start finds it.
      await this.#removeUnlessNamed(blob).catch(() => undefined)
      throw error
    } finally {
      this.#unnamed.delete(blob)
    }
  }

  async delete(namespace: NamespaceId, key: Uint8Array): Promise<void> {
    await this.#ports.sql.write([
      sql`DELETE FROM entry WHERE namespace = ${namespace} AND key = ${key}`,
    ])
  }

  /** Live keys in the order of their bytes. A page may be short, or empty, before the end. */
  async list(namespace: NamespaceId, { limit, prefix, after }: ListRange): Promise<Page> {
    const end = endOfPrefix(prefix)
    const now = this.#nowSeconds()
    const keys: ListedKey[] = []
    let from = after && compareBytes(after, prefix) >= 0 ? successor(after) : prefix
    for (let scanned = 0; scanned < listScanRows; scanned += listLimit) {
      const batch = limit - keys.length + 1
      const rows = await this.#ports.sql.read(
        sql`SELECT key, expires_at, metadata FROM entry
            WHERE namespace = ${namespace} AND key >= ${from} AND key < ${end}
            ORDER BY key LIMIT ${batch}`,
      )
      for (const listed of rows.map(listedKeyOf)) {
        const isLive = listed.expiresAt === null || listed.expiresAt > now
        if (isLive && keys.length === limit) return { keys, next: keys.at(-1)?.key ?? prefix }
        from = successor(listed.key)
        if (isLive) keys.push(listed)
      }
      if (rows.length < batch) return { keys }
    }
    return { keys, next: from.slice(0, -1) }
  }

  /** Ends the work behind the scenes; the ports stay open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer[Symbol.dispose]()
    await this.#tidying
    await this.#unchecked.return?.()
  }

  /** Makes an entry visible: the only place that writes a row. */
  async #name(
    namespace: NamespaceId,
    key: Uint8Array,
    row: Omit<NewEntry, 'value'> & { value: Uint8Array | null; blob: string | null; size: number },
  ): Promise<void> {
    const { expiresAt, metadata, size, blob, value } = row
    try {
      await this.#ports.sql.write([
        sql`INSERT INTO entry (namespace, key, expires_at, metadata, size, blob, value)
            VALUES (${namespace}, ${key}, ${expiresAt}, ${metadata}, ${size}, ${blob}, ${value})
            ON CONFLICT (namespace, key) DO UPDATE SET expires_at = excluded.expires_at,
              metadata = excluded.metadata, size = excluded.size, blob = excluded.blob,
              value = excluded.value`,
      ])
    } catch (error) {
      // The foreign key: the namespace was deleted, and its last key removed, meanwhile.
      if (error instanceof SqlError && error.constraint) throw namespaceNotFound()
      throw error
    }
  }

  #nowSeconds(): number {
    return Math.floor(this.#ports.clock.now() / 1000)
  }

  #tidyAfter(milliseconds: number): Disposable {
    return this.#ports.clock.after(milliseconds, () => {
      this.#tidying = this.#tidy()
    })
  }

  /** One bounded step of everything that is done behind the scenes. */
  async #tidy(): Promise<void> {
    let hasMore = false
    try {
      const steps = [
        await this.#removeExpired(),
        await this.#removeDeletedNamespace(),
        await this.#removeDiscarded(),
        await this.#checkBlobs(),
      ]
      hasMore = steps.includes(true)
    } catch (error) {
      this.#ports.log.error('KV could not tidy up', { error: messageOf(error) })
    }
    if (!this.#isClosed) this.#timer = this.#tidyAfter(hasMore ? stepMs : tidyMs)
  }

  async #removeExpired(): Promise<boolean> {
    const [first] = await this.#ports.sql.read(
      sql`SELECT id FROM entry WHERE expires_at <= ${this.#nowSeconds()} LIMIT 1`,
    )
    if (!first) return false
    const [deleted] = await this.#ports.sql.write([
      sql`DELETE FROM entry WHERE id IN (SELECT id FROM entry
          WHERE expires_at <= ${this.#nowSeconds()} ORDER BY expires_at LIMIT ${stepRows})`,
    ])
    return deleted?.changes === stepRows
  }

  async #removeDeletedNamespace(): Promise<boolean> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id FROM namespace WHERE deleted_at IS NOT NULL LIMIT 1`,
    )
    if (!row) return false
    const id = textColumn(row, 'id')
    const [deleted] = await this.#ports.sql.write([
      sql`DELETE FROM entry WHERE id IN
          (SELECT id FROM entry WHERE namespace = ${id} LIMIT ${stepRows})`,
      sql`DELETE FROM namespace WHERE id = ${id}
          AND NOT EXISTS (SELECT 1 FROM entry WHERE namespace = ${id})`,
    ])
    return deleted !== undefined
  }

  async #removeDiscarded(): Promise<boolean> {
    const rows = await this.#ports.sql.read(sql`SELECT blob FROM discarded_blob LIMIT ${stepBlobs}`)
    const blobs = rows.map((row) => textColumn(row, 'blob'))
    for (const blob of blobs) await this.#ports.blob.delete(blobKey.parse(blob))
    if (blobs.length > 0) {
      await this.#ports.sql.write(
        blobs.map((blob) => sql`DELETE FROM discarded_blob WHERE blob = ${blob}`),
      )
    }
    return blobs.length === stepBlobs
  }

  /** The one pass over what a crash may have left. */
  async #checkBlobs(): Promise<boolean> {
    for (let n = 0; n < stepBlobs && !this.#isChecked; n++) {
      const { done, value } = await this.#unchecked.next()
      if (done) this.#isChecked = true
      else if (!this.#unnamed.has(value.key)) await this.#removeUnlessNamed(value.key)
    }
    return !this.#isChecked
  }

  /** A blob in the making is named first and leaves `#unnamed` after: so `#checkBlobs` looks there first. */
  async #removeUnlessNamed(blob: BlobKey): Promise<void> {
    const [row] = await this.#ports.sql.read(sql`SELECT id FROM entry WHERE blob = ${blob}`)
    if (!row) await this.#ports.blob.delete(blob)
  }
}

function titleTaken(error: unknown): never {
  if (error instanceof SqlError && error.constraint) throw namespaceExists()
  throw error
}

function namespaceOf(row: Row): Namespace {
  return { id: namespaceId.parse(textColumn(row, 'id')), title: textColumn(row, 'title') }
}

function listedKeyOf(row: Row): ListedKey {
  return {
    key: bytesColumnOrNull(row, 'key') ?? new Uint8Array(),
    metadata: textColumnOrNull(row, 'metadata'),
    expiresAt: integerColumnOrNull(row, 'expires_at'),
  }
}
