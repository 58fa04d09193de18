import { type AccountId, accountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { integerColumn, type Row, sql, SqlError, textColumn } from '#contract/ports/sql.ts'
import {
  bucketExists,
  bucketNameInvalid,
  bucketNotEmpty,
  bucketNotFound,
  tooManyBuckets,
} from './errors.ts'
import { bucketLimit, uploadAgeMs } from './limits.ts'
import { type Bucket, type StorageClass, storageClass } from './records.ts'
import { bucketName, type Jurisdiction, jurisdiction } from './schema.ts'
import { bucketSettings, type BucketSettings, type LifecycleRule } from './settings.ts'

export type NewBucket = {
  readonly account: AccountId
  readonly jurisdiction: Jurisdiction
  readonly name: string
  readonly storageClass?: StorageClass | undefined
  readonly location?: string | undefined
}

/** How much a bucket has of a storage class. */
export type Tally = {
  readonly storageClass: StorageClass
  readonly objects: number
  readonly bytes: number
  readonly metadataBytes: number
}

/** What a bucket begins with: developers.cloudflare.com/r2/buckets/object-lifecycles. */
const defaultLifecycle: LifecycleRule = {
  id: 'Default Multipart Abort Rule',
  enabled: true,
  conditions: { prefix: '' },
  abortMultipartUploadsTransition: { condition: { type: 'Age', maxAge: uploadAgeMs / 1000 } },
}

export async function openBuckets(ports: Ports): Promise<BucketStore> {
  const rows = await ports.sql.read(
    sql`SELECT id, account, jurisdiction, name, created_at, settings FROM bucket`,
  )
  return new BucketStore(ports, rows.map(bucketOf))
}

/** Buckets and their settings: all in memory, because every call asks for one. */
export class BucketStore {
  readonly #ports: Ports
  readonly #buckets: Map<string, Bucket>
  readonly #publics = new Map<string, string>()
  /** Custom domains, whether or not they are enabled. */
  readonly #domains = new Map<string, string>()
  /** Changes of settings are made one by one: they are read, changed and written. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(ports: Ports, buckets: readonly Bucket[]) {
    this.#ports = ports
    this.#buckets = new Map(buckets.map((bucket) => [idOf(bucket), bucket]))
    for (const bucket of buckets) {
      this.#publics.set(bucket.settings.publicId, idOf(bucket))
      for (const { domain } of bucket.settings.domains) this.#domains.set(domain, idOf(bucket))
    }
  }

  get all(): Iterable<Bucket> {
    return this.#buckets.values()
  }

  /** In the order of their names. */
  of(account: AccountId, where: string): readonly Bucket[] {
    const own = [...this.#buckets.values()].filter(
      (bucket) => bucket.account === account && bucket.jurisdiction === where,
    )
    return own.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  find(account: AccountId, where: string, name: string): Bucket | undefined {
    return this.#buckets.get(idOf({ account, jurisdiction: where, name }))
  }

  /** The bucket as it is now. Throws if it is gone. */
  get(account: AccountId, where: string, name: string): Bucket {
    const bucket = this.find(account, where, name)
    if (!bucket) throw bucketNotFound()
    return bucket
  }

  /** The bucket of a public address, whether or not that answers. */
  findPublic(publicId: string): Bucket | undefined {
    const id = this.#publics.get(publicId)
    return id === undefined ? undefined : this.#buckets.get(id)
  }

  /** The bucket of a custom domain, whether or not that is enabled. */
  findDomain(domain: string): Bucket | undefined {
    const id = this.#domains.get(domain)
    return id === undefined ? undefined : this.#buckets.get(id)
  }

  async create(made: NewBucket): Promise<Bucket> {
    if (!bucketName.safeParse(made.name).success) throw bucketNameInvalid()
    const { account, jurisdiction: where, name } = made
    if (this.find(account, where, name)) throw bucketExists()
    if (this.of(account, where).length >= bucketLimit) throw tooManyBuckets()
    const createdAt = this.#ports.clock.now()
    const settings: BucketSettings = {
      storageClass: made.storageClass ?? 'Standard',
      ...(made.location !== undefined && { location: made.location }),
      publicId: this.#ports.random.hex(16),
      isPublic: false,
      cors: [],
      lifecycle: [defaultLifecycle],
      locks: [],
      notifications: {},
      domains: [],
    }
    const [inserted] = await this.#ports.sql
      .write([
        sql`INSERT INTO bucket (account, jurisdiction, name, created_at, settings)
            VALUES (${account}, ${where}, ${name}, ${createdAt}, ${JSON.stringify(settings)})
            RETURNING id`,
      ])
      .catch((error: unknown) => {
        throw error instanceof SqlError && error.constraint ? bucketExists() : error
      })
    const id = integerColumn(inserted?.rows[0] ?? {}, 'id')
    const bucket = { id, account, jurisdiction: where, name, createdAt, settings }
    this.#buckets.set(idOf(bucket), bucket)
    this.#publics.set(settings.publicId, idOf(bucket))
    return bucket
  }

  /** Removes an empty bucket, and the uploads that nobody completed. */
  async delete({ id, settings, ...bucket }: Bucket): Promise<void> {
    const results = await this.#ports.sql.write([
      sql`DELETE FROM part WHERE upload IN (SELECT id FROM upload WHERE bucket = ${id} AND state = 'open')
          AND NOT EXISTS (SELECT 1 FROM object WHERE bucket = ${id})`,
      sql`DELETE FROM upload WHERE bucket = ${id}
          AND NOT EXISTS (SELECT 1 FROM object WHERE bucket = ${id})`,
      sql`DELETE FROM tally WHERE bucket = ${id}
          AND NOT EXISTS (SELECT 1 FROM object WHERE bucket = ${id})`,
      sql`DELETE FROM bucket WHERE id = ${id}
          AND NOT EXISTS (SELECT 1 FROM object WHERE bucket = ${id})`,
    ])
    if (results[3]?.changes === 1) {
      this.#buckets.delete(idOf(bucket))
      this.#publics.delete(settings.publicId)
      for (const { domain } of settings.domains) this.#domains.delete(domain)
      return
    }
    throw this.find(bucket.account, bucket.jurisdiction, bucket.name)
      ? bucketNotEmpty()
      : bucketNotFound()
  }

  /** Changes settings, given those that are; resolves when it is on disk. */
  async change(
    bucket: Bucket,
    change: (settings: BucketSettings) => BucketSettings,
  ): Promise<Bucket> {
    const changed = this.#changeAfter(this.#turn, bucket, change)
    this.#turn = changed.catch(() => undefined)
    return changed
  }

  async #changeAfter(
    turn: Promise<unknown>,
    bucket: Bucket,
    change: (settings: BucketSettings) => BucketSettings,
  ): Promise<Bucket> {
    await turn
    const now = this.#buckets.get(idOf(bucket))
    if (now?.id !== bucket.id) throw bucketNotFound()
    const settings = bucketSettings.parse(change(now.settings))
    const [updated] = await this.#ports.sql.write([
      sql`UPDATE bucket SET settings = ${JSON.stringify(settings)} WHERE id = ${now.id}`,
    ])
    if (updated?.changes !== 1) throw bucketNotFound()
    const next = { ...now, settings }
    this.#buckets.set(idOf(next), next)
    for (const { domain } of now.settings.domains) this.#domains.delete(domain)
    for (const { domain } of settings.domains) this.#domains.set(domain, idOf(next))
    return next
  }

  async tallies({ id }: Bucket): Promise<readonly Tally[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT storage_class, objects, bytes, metadata_bytes FROM tally WHERE bucket = ${id}`,
    )
    return rows.map((row) => ({
      storageClass: storageClass.parse(textColumn(row, 'storage_class')),
      objects: integerColumn(row, 'objects'),
      bytes: integerColumn(row, 'bytes'),
      metadataBytes: integerColumn(row, 'metadata_bytes'),
    }))
  }
}

function idOf(bucket: Pick<Bucket, 'account' | 'jurisdiction' | 'name'>): string {
  return `${bucket.account}/${bucket.jurisdiction}/${bucket.name}`
}

function bucketOf(row: Row): Bucket {
  return {
    id: integerColumn(row, 'id'),
    account: accountId.parse(textColumn(row, 'account')),
    jurisdiction: jurisdiction.parse(textColumn(row, 'jurisdiction')),
    name: textColumn(row, 'name'),
    createdAt: integerColumn(row, 'created_at'),
    settings: bucketSettings.parse(JSON.parse(textColumn(row, 'settings'))),
  }
}
