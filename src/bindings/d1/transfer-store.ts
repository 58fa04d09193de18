import { type BlobKey, blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import type { BlobReader } from '#contract/ports/blob.ts'
import {
  expecting,
  integerColumn,
  sql,
  SqlExpectationError,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import { databaseNotFound } from './errors.ts'
import { exportMs, importBytes, keptUploadMs, rememberedMs } from './limits.ts'
import type { DatabaseId } from './schema.ts'

/** A file of SQL that is there to be imported. */
export type Upload = { readonly blob: BlobKey; readonly size: number }

/** How an import ended, as JSON; `null` while it is under way. */
export type StoredImport = { readonly outcome: string | null }

const stepRows = 100

/**
 * What comes and goes as files: uploads, exports, and what became of imports. A blob is written before
 * the row that names it, and removed after it; what a crash left is found by one pass after the start.
 */
export class TransferStore {
  readonly #ports: Ports
  /** Blobs that are written and have no row yet. */
  readonly #unnamed = new Set<BlobKey>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Stores an upload, whose MD5 `check` looks at once all is there. In the place of an older one. */
  async addUpload(
    database: DatabaseId,
    upload: {
      readonly etag: string
      readonly source: AsyncIterable<Uint8Array>
      readonly check: () => void
    },
  ): Promise<void> {
    const { etag } = upload
    const expiresAt = this.#ports.clock.now() + keptUploadMs
    await this.#add(database, upload.source, async (blob, size) => {
      upload.check()
      const [removed] = await this.#ports.sql.write([
        sql`DELETE FROM upload WHERE database = ${database} AND etag = ${etag} RETURNING blob`,
        expecting(
          1,
          sql`INSERT INTO upload (database, etag, blob, size, expires_at)
              SELECT id, ${etag}, ${blob}, ${size}, ${expiresAt} FROM database WHERE id = ${database}`,
        ),
      ])
      await this.remove(removed?.rows.map((row) => blobKey.parse(row['blob'])) ?? [])
    })
  }

  async upload(database: DatabaseId, etag: string): Promise<Upload | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT blob, size FROM upload WHERE database = ${database} AND etag = ${etag}`,
    )
    if (!row) return undefined
    return { blob: blobKey.parse(textColumn(row, 'blob')), size: integerColumn(row, 'size') }
  }

  /** Whoever opened it reads it to the end or disposes of it. */
  async open(blob: BlobKey): Promise<BlobReader | undefined> {
    return this.#ports.blob.get(blob)
  }

  async dropUpload(database: DatabaseId, etag: string): Promise<void> {
    const [removed] = await this.#ports.sql.write([
      sql`DELETE FROM upload WHERE database = ${database} AND etag = ${etag} RETURNING blob`,
    ])
    await this.remove(removed?.rows.map((row) => blobKey.parse(row['blob'])) ?? [])
  }

  /** An import begins. */
  async beginImport(database: DatabaseId, bookmark: string): Promise<void> {
    await this.#ports.sql.write([
      sql`INSERT INTO import (database, bookmark, outcome, expires_at)
          VALUES (${database}, ${bookmark}, NULL, ${this.#ports.clock.now() + rememberedMs})
          ON CONFLICT (database, bookmark) DO UPDATE SET outcome = NULL, expires_at = excluded.expires_at`,
    ])
  }

  async endImport(database: DatabaseId, bookmark: string, outcome: string): Promise<void> {
    await this.#ports.sql.write([
      sql`UPDATE import SET outcome = ${outcome} WHERE database = ${database} AND bookmark = ${bookmark}`,
    ])
  }

  async import(database: DatabaseId, bookmark: string): Promise<StoredImport | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT outcome FROM import WHERE database = ${database} AND bookmark = ${bookmark}`,
    )
    return row && { outcome: textColumnOrNull(row, 'outcome') }
  }

  /** Stores an export. Resolves with its key, once it is on disk. */
  async addExport(database: DatabaseId, source: AsyncIterable<Uint8Array>): Promise<BlobKey> {
    return this.#add(database, source, async (blob) => {
      const expiresAt = this.#ports.clock.now() + exportMs
      await this.#ports.sql.write([
        expecting(
          1,
          sql`INSERT INTO export (blob, database, expires_at)
              SELECT ${blob}, id, ${expiresAt} FROM database WHERE id = ${database}`,
        ),
      ])
    })
  }

  async remove(blobs: readonly BlobKey[]): Promise<void> {
    for (const blob of blobs) await this.#ports.blob.delete(blob)
  }

  /** Removes a page of what is not kept any more. Says whether there is more. */
  async removeExpired(): Promise<boolean> {
    const now = this.#ports.clock.now()
    const results = await this.#ports.sql.write([
      sql`DELETE FROM upload WHERE blob IN
          (SELECT blob FROM upload WHERE expires_at <= ${now} LIMIT ${stepRows}) RETURNING blob`,
      sql`DELETE FROM export WHERE blob IN
          (SELECT blob FROM export WHERE expires_at <= ${now} LIMIT ${stepRows}) RETURNING blob`,
      sql`DELETE FROM import WHERE expires_at <= ${now}`,
    ])
    await this.remove(
      results.flatMap(({ rows }) => rows.map((row) => blobKey.parse(row['blob'] ?? ''))),
    )
    return results.some(({ changes }) => changes === stepRows)
  }

  /** Whether anything is there that `removeExpired` would remove. */
  async hasExpired(): Promise<boolean> {
    const now = this.#ports.clock.now()
    const [row] = await this.#ports.sql.read(
      sql`SELECT EXISTS (SELECT 1 FROM upload WHERE expires_at <= ${now})
            OR EXISTS (SELECT 1 FROM export WHERE expires_at <= ${now})
            OR EXISTS (SELECT 1 FROM import WHERE expires_at <= ${now}) AS found`,
    )
    return row?.['found'] === 1
  }

  /** The one pass over what a crash may have left. */
  async removeUnnamed(): Promise<void> {
    for await (const { key } of this.#ports.blob.list()) {
      if (this.#unnamed.has(key)) continue
      const [row] = await this.#ports.sql.read(
        sql`SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM upload WHERE blob = ${key})
              OR EXISTS (SELECT 1 FROM export WHERE blob = ${key})`,
      )
      if (!row) await this.#ports.blob.delete(key)
    }
  }

  async #add(
    database: DatabaseId,
    source: AsyncIterable<Uint8Array>,
    name: (blob: BlobKey, size: number) => Promise<void>,
  ): Promise<BlobKey> {
    const blob = blobKey.parse(this.#ports.random.hex(16))
    this.#unnamed.add(blob)
    try {
      await name(blob, await this.#ports.blob.put(blob, source, importBytes))
      return blob
    } catch (error) {
      // If this fails too, the pass after the next start finds it.
      await this.#ports.blob.delete(blob).catch(() => undefined)
      throw error instanceof SqlExpectationError ? databaseNotFound(database) : error
    } finally {
      this.#unnamed.delete(blob)
    }
  }
}
