import { blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import {
  bytesColumn,
  bytesColumnOrNull,
  expecting,
  integerColumn,
  type Row,
  sql,
  SqlError,
  SqlExpectationError,
  type Statement,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import type { Conditions } from './conditions.ts'
import { holds } from './conditions.ts'
import type { Content, ContentStore, Opened, Written } from './content-store.ts'
import type { Checksums } from './digests.ts'
import { namesOf } from './digests.ts'
import {
  accessDenied,
  bucketNotFound,
  internal,
  objectLocked,
  preconditionFailed,
  ssecKeyNeeded,
} from './errors.ts'
import { writeAttempts } from './limits.ts'
import { type ListQuery, listObjects, type Page, type Positioned } from './listing.ts'
import { noticesOf } from './notices-store.ts'
import type { Range } from './range.ts'
import {
  type Action,
  type Bucket,
  checksums,
  customFields,
  httpFields,
  type Metadata,
  type Place,
  ssec,
  storageClass,
  type StoredObject,
  textOf,
  utf8,
} from './records.ts'
import { isLocked, mayBeLocked } from './rules.ts'
import { md5OfKey } from './sealing.ts'

/** An object that is to be made of bytes. */
export type Draft = Metadata & {
  readonly key: string
  readonly content: Content
  readonly conditions?: Conditions | undefined
  readonly action?: Action
}

/** An object that is to be made of what is stored already. */
export type Finished = Metadata &
  Pick<StoredObject, 'key' | 'size' | 'etag' | 'checksums' | 'keyMd5'> & {
    readonly place: Place
    readonly conditions?: Conditions | undefined
    readonly action: Action
    /** Written in the same transaction, ahead of the object. */
    readonly along?: readonly Statement[]
  }

export type Deletion = {
  readonly action?: Action
  /** The versions that are meant, in the order of the keys; any if absent. */
  readonly versions?: readonly string[]
}

/** An object whose bytes vanished under a reader was replaced: so often in a row, something is wrong. */
const readAttempts = 5

/** Objects of buckets. Conditions, bytes and metadata become visible in one transaction. */
export class ObjectStore {
  readonly #ports: Ports
  readonly #content: ContentStore
  /** Told when queues have something to be told. */
  readonly #onNotice: () => void

  constructor(options: {
    readonly ports: Ports
    readonly content: ContentStore
    readonly onNotice: () => void
  }) {
    this.#ports = options.ports
    this.#content = options.content
    this.#onNotice = options.onNotice
  }

  async head({ id }: Bucket, key: string): Promise<StoredObject | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT key, version, size, etag, uploaded_at, storage_class, http, custom, checksums, ssec
          FROM object WHERE bucket = ${id} AND key = ${utf8(key)}`,
    )
    return row && objectOf(row)
  }

  /** An object, and its bytes as far as `wanted` says: none if it says nothing. */
  async get<Wanted extends { readonly range: Range | undefined }>(
    { id }: Bucket,
    key: string,
    {
      ssecKey,
      isLent,
      wanted,
    }: {
      readonly ssecKey: Uint8Array | undefined
      /** Whether pieces may be overwritten once the next is asked for. */
      readonly isLent?: boolean
      /** Decides, once the object is known. What it throws is passed on. */
      readonly wanted: (object: StoredObject) => Wanted
    },
  ): Promise<
    { readonly object: StoredObject; readonly wanted: Wanted; readonly opened: Opened } | undefined
  > {
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const [row] = await this.#ports.sql.read(
        sql`SELECT key, version, size, etag, uploaded_at, storage_class, http, custom, checksums, ssec,
              blob, upload, value FROM object WHERE bucket = ${id} AND key = ${utf8(key)}`,
      )
      if (!row) return undefined
      const object = objectOf(row)
      checkKeyOf(object, ssecKey)
      const decided = wanted(object)
      if (!decided.range) return { object, wanted: decided, opened: new Uint8Array() }
      const of = { place: placeOf(row), size: object.size }
      const opened = await this.#content.open(of, decided.range, {
        key: ssecKey,
        isLent,
      })
      if (opened) return { object, wanted: decided, opened }
    }
    throw new Error('the bytes of an object are missing')
  }

  /**
   * Stores an object; resolves when it is on disk. Where a condition does not hold, nothing has
   * changed and it throws `preconditionFailed`.
   */
  async put(bucket: Bucket, { content, ...draft }: Draft): Promise<StoredObject> {
    if (draft.conditions) await this.#check(bucket, draft)
    return this.#content.write(content, (written) =>
      this.finish(bucket, { action: 'PutObject', ...draft, ...finishedBy(written, content) }),
    )
  }

  /** Makes an object visible: the only place that does. */
  async finish(bucket: Bucket, made: Finished): Promise<StoredObject> {
    const { conditions, key } = made
    const isGuarded = conditions !== undefined || mayBeLocked(bucket.settings.locks, key)
    for (let attempt = 0; attempt < writeAttempts; attempt++) {
      const before = isGuarded ? await this.#check(bucket, made) : undefined
      const object: StoredObject = {
        ...metadataOf(made),
        key,
        version: this.#ports.random.hex(16),
        size: made.size,
        etag: made.etag,
        uploadedAt: this.#ports.clock.now(),
        checksums: made.checksums,
        keyMd5: made.keyMd5,
      }
      const write = { bucket, object, place: made.place }
      const statement = !isGuarded
        ? upsert(write)
        : expecting(1, before ? replace(write, before.version) : insert(write))
      const told = noticesOf(bucket, made.action, object)
      try {
        await this.#ports.sql.write([...(made.along ?? []), statement, ...told])
        if (told.length > 0) this.#onNotice()
        return object
      } catch (error) {
        // The foreign key: the bucket was deleted meanwhile.
        if (error instanceof SqlError && error.constraint) throw bucketNotFound()
        const isLost =
          error instanceof SqlExpectationError && error.index === (made.along ?? []).length
        if (!isLost || !isGuarded) throw error
      }
    }
    throw internal()
  }

  /**
   * Deletes objects, all at once; those that do not exist are fine. Throws `objectLocked`, and
   * deletes none, if one of them is.
   */
  async delete(
    bucket: Bucket,
    keys: readonly string[],
    { action = 'DeleteObject', versions = [] }: Deletion = {},
  ): Promise<void> {
    const unique = [...new Set(keys)]
    for (let attempt = 0; attempt < writeAttempts; attempt++) {
      const statements: Statement[] = []
      const isTold = await this.#deletion(bucket, unique, { action, versions, statements })
      try {
        if (statements.length > 0) await this.#ports.sql.write(statements)
        if (isTold) this.#onNotice()
        return
      } catch (error) {
        if (!(error instanceof SqlExpectationError)) throw error
      }
    }
    throw internal()
  }

  /** Another storage class for one version of an object. */
  async changeClass({ id }: Bucket, object: StoredObject, to: string): Promise<void> {
    await this.#ports.sql.write([
      sql`UPDATE object SET storage_class = ${to} WHERE bucket = ${id} AND key = ${utf8(object.key)}
          AND version = ${object.version}`,
    ])
  }

  list(bucket: Bucket, query: ListQuery<StoredObject>): Promise<Page<StoredObject>> {
    return listObjects(query, {
      range: (from, end, limit) => this.#range(bucket, { from, end, limit }),
      first: (from, end) => this.#first(bucket, from, end),
    })
  }

  async #first({ id }: Bucket, from: Uint8Array, end: Uint8Array): Promise<Uint8Array | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT key FROM object WHERE bucket = ${id} AND key >= ${from} AND key < ${end}
          ORDER BY key LIMIT 1`,
    )
    return row && bytesColumn(row, 'key')
  }

  async #range(
    { id }: Bucket,
    { from, end, limit }: { from: Uint8Array; end: Uint8Array; limit: number },
  ): Promise<readonly Positioned<StoredObject>[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT key, version, size, etag, uploaded_at, storage_class, http, custom, checksums, ssec
          FROM object WHERE bucket = ${id} AND key >= ${from} AND key < ${end}
          ORDER BY key LIMIT ${limit}`,
    )
    return rows.map((row) => ({ key: bytesColumn(row, 'key'), read: () => objectOf(row) }))
  }

  /** The object that is there now. Throws if it may not be replaced. */
  async #check(
    bucket: Bucket,
    {
      key,
      conditions = {},
    }: { readonly key: string; readonly conditions?: Conditions | undefined },
  ): Promise<StoredObject | undefined> {
    const before = await this.head(bucket, key)
    if (!holds(conditions, before)) throw preconditionFailed()
    if (before) this.#checkLock(bucket, before)
    return before
  }

  #checkLock({ settings }: Bucket, object: StoredObject): void {
    if (isLocked(settings.locks, object, this.#ports.clock.now())) throw objectLocked()
  }

  async #deletion(
    bucket: Bucket,
    keys: readonly string[],
    to: {
      readonly action: Action
      readonly versions: readonly string[]
      readonly statements: Statement[]
    },
  ): Promise<boolean> {
    let isTold = false
    for (const [index, key] of keys.entries()) {
      const bytes = utf8(key)
      const told = noticesOf(bucket, to.action, { key, uploadedAt: this.#ports.clock.now() })
      const isGuarded = mayBeLocked(bucket.settings.locks, key)
      const wanted = to.versions[index]
      if (told.length === 0 && !isGuarded && wanted === undefined) {
        to.statements.push(sql`DELETE FROM object WHERE bucket = ${bucket.id} AND key = ${bytes}`)
        continue
      }
      const before = await this.head(bucket, key)
      if (!before || (wanted !== undefined && wanted !== before.version)) continue
      this.#checkLock(bucket, before)
      const remove = sql`DELETE FROM object WHERE bucket = ${bucket.id} AND key = ${bytes}
        AND version = ${before.version}`
      to.statements.push(expecting(1, remove), ...told)
      isTold ||= told.length > 0
    }
    return isTold
  }
}

/** Throws unless `key` is the one that an object is encrypted under, if it is. */
export function checkKeyOf(
  { keyMd5 }: { readonly keyMd5: string | undefined },
  key: Uint8Array | undefined,
): void {
  if (keyMd5 === undefined) return
  if (!key) throw ssecKeyNeeded()
  if (md5OfKey(key) !== keyMd5) throw accessDenied()
}

function finishedBy(
  { place, size, checksums: all }: Written,
  { wanted = [], key, expected }: Content,
): Pick<Finished, 'place' | 'size' | 'etag' | 'checksums' | 'keyMd5'> {
  const kept: Checksums = Object.fromEntries(
    [...new Set([...namesOf(expected?.() ?? {}), ...wanted, 'md5' as const])].map((name) => [
      name,
      all[name],
    ]),
  )
  return { place, size, etag: all.md5, checksums: kept, keyMd5: key && md5OfKey(key) }
}

function metadataOf({ storageClass: kind, http, custom }: Metadata): Metadata {
  return { storageClass: kind, http, custom }
}

type Write = { readonly bucket: Bucket; readonly object: StoredObject; readonly place: Place }

function upsert(write: Write): Statement {
  const { bucket, object, place, columns } = columnsOf(write)
  return sql`INSERT INTO object (bucket, key, version, size, etag, uploaded_at, storage_class, http,
      custom, checksums, ssec, blob, upload, value)
    VALUES (${bucket.id}, ${columns.key}, ${object.version}, ${object.size}, ${object.etag},
      ${object.uploadedAt}, ${object.storageClass}, ${columns.http}, ${columns.custom},
      ${columns.checksums}, ${columns.ssec}, ${place.blob}, ${place.upload}, ${place.value})
    ON CONFLICT (bucket, key) DO UPDATE SET version = excluded.version, size = excluded.size,
      etag = excluded.etag, uploaded_at = excluded.uploaded_at,
      storage_class = excluded.storage_class, http = excluded.http, custom = excluded.custom,
      checksums = excluded.checksums, ssec = excluded.ssec, blob = excluded.blob,
      upload = excluded.upload, value = excluded.value`
}

function insert(write: Write): Statement {
  const { bucket, object, place, columns } = columnsOf(write)
  return sql`INSERT INTO object (bucket, key, version, size, etag, uploaded_at, storage_class, http,
      custom, checksums, ssec, blob, upload, value)
    VALUES (${bucket.id}, ${columns.key}, ${object.version}, ${object.size}, ${object.etag},
      ${object.uploadedAt}, ${object.storageClass}, ${columns.http}, ${columns.custom},
      ${columns.checksums}, ${columns.ssec}, ${place.blob}, ${place.upload}, ${place.value})
    ON CONFLICT (bucket, key) DO NOTHING`
}

function replace(write: Write, version: string): Statement {
  const { bucket, object, place, columns } = columnsOf(write)
  return sql`UPDATE object SET version = ${object.version}, size = ${object.size},
      etag = ${object.etag}, uploaded_at = ${object.uploadedAt},
      storage_class = ${object.storageClass}, http = ${columns.http}, custom = ${columns.custom},
      checksums = ${columns.checksums}, ssec = ${columns.ssec}, blob = ${place.blob},
      upload = ${place.upload}, value = ${place.value}
    WHERE bucket = ${bucket.id} AND key = ${columns.key} AND version = ${version}`
}

function columnsOf({ bucket, object, place }: Write) {
  const { http, custom, checksums: sums, keyMd5 } = object
  return {
    bucket,
    object,
    columns: {
      key: utf8(object.key),
      http: Object.keys(http).length === 0 ? null : JSON.stringify(http),
      custom: custom.length === 0 ? null : JSON.stringify(custom),
      checksums: JSON.stringify(sums),
      ssec: keyMd5 === undefined ? null : JSON.stringify({ keyMd5 }),
    },
    place: {
      blob: place.type === 'blob' ? place.blob : null,
      upload: place.type === 'parts' ? place.upload : null,
      value: place.type === 'inline' ? place.value : null,
    },
  }
}

function objectOf(row: Row): StoredObject {
  const http = textColumnOrNull(row, 'http')
  const custom = textColumnOrNull(row, 'custom')
  const sealed = textColumnOrNull(row, 'ssec')
  return {
    key: textOf(bytesColumn(row, 'key')),
    version: textColumn(row, 'version'),
    size: integerColumn(row, 'size'),
    etag: textColumn(row, 'etag'),
    uploadedAt: integerColumn(row, 'uploaded_at'),
    storageClass: storageClass.parse(textColumn(row, 'storage_class')),
    http: http === null ? {} : httpFields.parse(JSON.parse(http)),
    custom: custom === null ? [] : customFields.parse(JSON.parse(custom)),
    checksums: checksums.parse(JSON.parse(textColumn(row, 'checksums'))),
    keyMd5: sealed === null ? undefined : ssec.parse(JSON.parse(sealed)).keyMd5,
  }
}

function placeOf(row: Row): Place {
  const blob = textColumnOrNull(row, 'blob')
  if (blob !== null) return { type: 'blob', blob: blobKey.parse(blob) }
  const upload = textColumnOrNull(row, 'upload')
  if (upload !== null) return { type: 'parts', upload }
  return { type: 'inline', value: bytesColumnOrNull(row, 'value') ?? new Uint8Array() }
}
