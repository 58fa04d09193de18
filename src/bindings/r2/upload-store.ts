import { blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import {
  bytesColumn,
  expecting,
  integerColumn,
  type Row,
  sql,
  SqlError,
  SqlExpectationError,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import type { Conditions } from './conditions.ts'
import type { Content, ContentStore } from './content-store.ts'
import { type Checksums, etagOfParts } from './digests.ts'
import {
  argumentInvalid,
  bucketNotFound,
  internal,
  partNotFound,
  partTooSmall,
  tooLarge,
  uploadInvalid,
  uploadNotFound,
} from './errors.ts'
import { objectLimit, partLimit, smallestPart, writeAttempts } from './limits.ts'
import { checkKeyOf, type ObjectStore } from './object-store.ts'
import {
  type Bucket,
  checksums,
  customFields,
  httpFields,
  type Metadata,
  type Part,
  ssec,
  storageClass,
  type StoredObject,
  textOf,
  type Upload,
  uploadChecksum,
  type UploadChecksum,
  utf8,
} from './records.ts'
import { md5OfKey } from './sealing.ts'

export type NewUpload = Metadata & {
  readonly key: string
  readonly ssecKey?: Uint8Array | undefined
  readonly checksum?: UploadChecksum | undefined
}

export type NewPart = {
  readonly key: string
  readonly id: string
  readonly number: number
  readonly content: Content
}

/** A part that an object is to be made of. */
export type ChosenPart = { readonly number: number; readonly etag: string }

export type Completion = {
  readonly key: string
  readonly id: string
  readonly parts: readonly ChosenPart[]
  readonly conditions?: Conditions | undefined
  /** What is kept of checksums, given the parts. Throws if it is not as the caller said. */
  readonly checksumsOf?: (parts: readonly Part[], upload: Upload) => Checksums
}

/** Uploads in parts. A part is a blob with a row; to complete is to have an object name them. */
export class UploadStore {
  readonly #ports: Ports
  readonly #content: ContentStore
  readonly #objects: ObjectStore

  constructor(options: {
    readonly ports: Ports
    readonly content: ContentStore
    readonly objects: ObjectStore
  }) {
    this.#ports = options.ports
    this.#content = options.content
    this.#objects = options.objects
  }

  async create({ id: bucket }: Bucket, made: NewUpload): Promise<string> {
    const id = this.#ports.random.hex(32)
    const sealed = made.ssecKey && JSON.stringify({ keyMd5: md5OfKey(made.ssecKey) })
    await this.#ports.sql
      .write([
        sql`INSERT INTO upload (id, bucket, key, state, created_at, revision, storage_class, http,
              custom, ssec, checksums)
            VALUES (${id}, ${bucket}, ${utf8(made.key)}, 'open', ${this.#ports.clock.now()}, 0,
              ${made.storageClass}, ${JSON.stringify(made.http)}, ${JSON.stringify(made.custom)},
              ${sealed ?? null}, ${made.checksum ? JSON.stringify(made.checksum) : null})`,
      ])
      .catch((error: unknown) => {
        throw error instanceof SqlError && error.constraint ? bucketNotFound() : error
      })
    return id
  }

  /** The upload of this id and key, whatever its state. */
  async find({ id: bucket }: Bucket, key: string, id: string): Promise<Upload | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, key, state, created_at, revision, storage_class, http, custom, ssec, checksums
          FROM upload WHERE id = ${id} AND bucket = ${bucket} AND key = ${utf8(key)}`,
    )
    return row && uploadOf(row)
  }

  /** An upload that parts can be added to. */
  async open(bucket: Bucket, key: string, id: string): Promise<Upload> {
    const upload = await this.find(bucket, key, id)
    if (upload?.state !== 'open') throw uploadNotFound()
    return upload
  }

  /** Stores a part in place of the one that had its number. */
  async putPart(bucket: Bucket, { key, id, number, content }: NewPart): Promise<Part> {
    if (!Number.isInteger(number) || number < 1 || number > partLimit) {
      throw argumentInvalid(`Part number must be an integer between 1 and ${partLimit}, inclusive.`)
    }
    const upload = await this.open(bucket, key, id)
    checkKeyOf(upload, content.key)
    const ownKey = upload.keyMd5 === undefined ? undefined : content.key
    return this.#content.write({ ...content, mayInline: false, key: ownKey }, async (written) => {
      if (written.place.type !== 'blob') throw internal()
      const { md5: etag, ...sums } = written.checksums
      const uploadedAt = this.#ports.clock.now()
      const { blob } = written.place
      try {
        await this.#ports.sql.write([
          expecting(
            1,
            sql`UPDATE upload SET revision = revision + 1 WHERE id = ${id} AND state = 'open'`,
          ),
          sql`INSERT INTO part (upload, number, size, etag, uploaded_at, checksums, blob)
              VALUES (${id}, ${number}, ${written.size}, ${etag}, ${uploadedAt},
                ${JSON.stringify(sums)}, ${blob})
              ON CONFLICT (upload, number) DO UPDATE SET size = excluded.size,
                etag = excluded.etag, uploaded_at = excluded.uploaded_at,
                checksums = excluded.checksums, blob = excluded.blob`,
        ])
      } catch (error) {
        throw error instanceof SqlExpectationError ? uploadNotFound() : error
      }
      return { number, size: written.size, etag, uploadedAt, checksums: sums, blob }
    })
  }

  /** The parts of an upload whose numbers are greater than `after`, by their numbers. */
  async parts(id: string, after = 0, limit = partLimit): Promise<readonly Part[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT number, size, etag, uploaded_at, checksums, blob FROM part
          WHERE upload = ${id} AND number > ${after} ORDER BY number LIMIT ${limit}`,
    )
    return rows.map(partOf)
  }

  /** Makes an object of parts, and drops the others. */
  async complete(bucket: Bucket, completion: Completion): Promise<StoredObject> {
    const { key, id, conditions } = completion
    for (let attempt = 0; attempt < writeAttempts; attempt++) {
      const upload = await this.find(bucket, key, id)
      if (!upload) throw internal()
      if (upload.state !== 'open') throw uploadNotFound()
      const all = await this.parts(id)
      const parts = chosenOf(all, completion.parts)
      const sums = completion.checksumsOf?.(parts, upload) ?? {}
      const used = new Set(parts)
      const unused = all.filter((part) => !used.has(part))
      try {
        return await this.#objects.finish(bucket, {
          storageClass: upload.storageClass,
          http: upload.http,
          custom: upload.custom,
          key,
          size: parts.reduce((size, part) => size + part.size, 0),
          etag: etagOfParts(parts.map(({ etag }) => etag)),
          checksums: sums,
          keyMd5: upload.keyMd5,
          place: { type: 'parts', upload: id },
          conditions,
          action: 'CompleteMultipartUpload',
          along: [
            expecting(
              1,
              sql`UPDATE upload SET state = 'completed', ended_at = ${this.#ports.clock.now()}
                  WHERE id = ${id} AND state = 'open' AND revision = ${upload.revision}`,
            ),
            ...unused.map(
              ({ number }) => sql`DELETE FROM part WHERE upload = ${id} AND number = ${number}`,
            ),
          ],
        })
      } catch (error) {
        // A part came, or somebody else completed it, meanwhile.
        if (!(error instanceof SqlExpectationError)) throw error
      }
    }
    throw internal()
  }

  /** Drops an upload and its parts; one that has ended already is fine. */
  async abort(bucket: Bucket, key: string, id: string): Promise<void> {
    const upload = await this.find(bucket, key, id)
    if (!upload) throw internal()
    if (upload.state === 'open') await this.drop(id)
  }

  async drop(id: string): Promise<void> {
    await this.#ports.sql.write([
      sql`DELETE FROM part WHERE upload = (SELECT id FROM upload WHERE id = ${id} AND state = 'open')`,
      sql`UPDATE upload SET state = 'aborted', ended_at = ${this.#ports.clock.now()}
          WHERE id = ${id} AND state = 'open'`,
    ])
  }

  /** Open uploads of a bucket behind a key and an id, in their order. */
  async list(
    { id: bucket }: Bucket,
    after: { readonly key: string; readonly id: string },
    limit: number,
  ): Promise<readonly Upload[]> {
    const key = utf8(after.key)
    const rows = await this.#ports.sql.read(
      sql`SELECT id, key, state, created_at, revision, storage_class, http, custom, ssec, checksums
          FROM upload WHERE bucket = ${bucket} AND state = 'open'
            AND (key > ${key} OR (key = ${key} AND id > ${after.id}))
          ORDER BY key, id LIMIT ${limit}`,
    )
    return rows.map(uploadOf)
  }

  /** Forgets uploads that ended before a time. Says whether there may be more. */
  async forgetEnded(before: number, limit: number): Promise<boolean> {
    const [first] = await this.#ports.sql.read(
      sql`SELECT id FROM upload WHERE ended_at < ${before} LIMIT 1`,
    )
    if (!first) return false
    const [deleted] = await this.#ports.sql.write([
      sql`DELETE FROM upload WHERE id IN
            (SELECT id FROM upload WHERE ended_at < ${before} LIMIT ${limit})`,
    ])
    return deleted?.changes === limit
  }
}

/** The parts that were chosen, in the order of their numbers. Throws if no object can be made of them. */
function chosenOf(all: readonly Part[], chosen: readonly ChosenPart[]): readonly Part[] {
  if (chosen.length === 0) throw argumentInvalid('You must specify at least one part.')
  if (new Set(chosen.map(({ number }) => number)).size !== chosen.length) throw internal()
  const byNumber = new Map(all.map((part) => [part.number, part]))
  const parts = chosen
    .map(({ number, etag }) => {
      const part = byNumber.get(number)
      if (!part || part.etag !== etag) throw partNotFound()
      return part
    })
    .toSorted((a, b) => a.number - b.number)
  const others = parts.slice(0, -1)
  const [first] = others
  const last = parts.at(-1)
  if (others.some(({ size }) => size < smallestPart)) throw partTooSmall()
  if (first && others.some(({ size }) => size !== first.size)) throw uploadInvalid()
  if (first && last && last.size > first.size) throw uploadInvalid()
  if (parts.reduce((sum, { size }) => sum + size, 0) > objectLimit) throw tooLarge()
  return parts
}

function uploadOf(row: Row): Upload {
  const sealed = textColumnOrNull(row, 'ssec')
  const checksum = textColumnOrNull(row, 'checksums')
  const state = textColumn(row, 'state')
  return {
    id: textColumn(row, 'id'),
    key: textOf(bytesColumn(row, 'key')),
    state: state === 'completed' || state === 'aborted' ? state : 'open',
    createdAt: integerColumn(row, 'created_at'),
    revision: integerColumn(row, 'revision'),
    storageClass: storageClass.parse(textColumn(row, 'storage_class')),
    http: httpFields.parse(JSON.parse(textColumn(row, 'http'))),
    custom: customFields.parse(JSON.parse(textColumn(row, 'custom'))),
    keyMd5: sealed === null ? undefined : ssec.parse(JSON.parse(sealed)).keyMd5,
    checksum: checksum === null ? undefined : uploadChecksum.parse(JSON.parse(checksum)),
  }
}

function partOf(row: Row): Part {
  return {
    number: integerColumn(row, 'number'),
    size: integerColumn(row, 'size'),
    etag: textColumn(row, 'etag'),
    uploadedAt: integerColumn(row, 'uploaded_at'),
    checksums: checksums.parse(JSON.parse(textColumn(row, 'checksums'))),
    blob: blobKey.parse(textColumn(row, 'blob')),
  }
}
