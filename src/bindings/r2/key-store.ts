import { z } from 'zod'
import { type AccountId, accountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { integerColumn, type Row, sql, textColumn, textColumnOrNull } from '#contract/ports/sql.ts'
import { accessKeyNotFound, tooManyAccessKeys } from './errors.ts'
import { accessKeyLimit } from './limits.ts'

/** What a key may do, in Cloudflare's words: `admin` is buckets and their settings as well. */
export const permission = z.enum([
  'admin-read-write',
  'admin-read-only',
  'object-read-write',
  'object-read-only',
])
export type Permission = z.output<typeof permission>

export type AccessKey = {
  readonly id: string
  readonly account: AccountId
  readonly name: string
  readonly permission: Permission
  /** Names of buckets; all if absent. */
  readonly buckets: readonly string[] | undefined
  readonly createdAt: number
}

/** Who signs, and what with. */
export type Credentials = Omit<AccessKey, 'name' | 'createdAt'> & {
  readonly secret: string
  /** Keys of objects that begin so, or are these, if only some may be touched. */
  readonly prefixes?: readonly string[]
  readonly objects?: readonly string[]
}

export type NewAccessKey = Pick<AccessKey, 'account' | 'name' | 'permission' | 'buckets'>

const context = 'r2 access key'
/** Opened secrets that are kept in memory. */
const mostOpened = 1_000

/** Access keys of the S3 API. Does not own the ports. */
export class AccessKeys {
  readonly #ports: Ports
  readonly #opened = new Map<string, Credentials>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Makes a key. Its secret is shown here and never again. */
  async create(made: NewAccessKey): Promise<{ readonly key: AccessKey; readonly secret: string }> {
    const { sql: database, random, clock, vault } = this.#ports
    const { account, name, buckets } = made
    if ((await this.list(account)).length >= accessKeyLimit) throw tooManyAccessKeys(accessKeyLimit)
    const key = { ...made, id: random.hex(16), createdAt: clock.now() }
    const secret = random.hex(32)
    const sealed = await vault.seal(account, secret, `${context} ${key.id}`)
    await database.write([
      sql`INSERT INTO access_key (id, account, name, permission, buckets, secret, created_at)
          VALUES (${key.id}, ${account}, ${name}, ${made.permission},
            ${buckets ? JSON.stringify(buckets) : null}, ${sealed}, ${key.createdAt})`,
    ])
    return { key, secret }
  }

  /** Oldest first. */
  async list(account: AccountId): Promise<readonly AccessKey[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT * FROM access_key WHERE account = ${account} ORDER BY created_at, id`,
    )
    return rows.map(keyOf)
  }

  async delete(account: AccountId, id: string): Promise<void> {
    const [deleted] = await this.#ports.sql.write([
      sql`DELETE FROM access_key WHERE id = ${id} AND account = ${account}`,
    ])
    this.#opened.delete(id)
    if (deleted?.changes !== 1) throw accessKeyNotFound(id)
  }

  async find(id: string): Promise<Credentials | undefined> {
    const known = this.#opened.get(id)
    if (known) return known
    const { sql: database, vault } = this.#ports
    const [row] = await database.read(sql`SELECT * FROM access_key WHERE id = ${id}`)
    if (!row) return undefined
    const key = keyOf(row)
    const secret = await vault.open(key.account, textColumn(row, 'secret'), `${context} ${id}`)
    const credentials = { ...key, secret }
    // It may have been deleted while it was opened.
    const [still] = await database.read(sql`SELECT 1 FROM access_key WHERE id = ${id}`)
    if (!still) return undefined
    const [oldest] = this.#opened.keys()
    if (oldest !== undefined && this.#opened.size >= mostOpened) this.#opened.delete(oldest)
    this.#opened.set(id, credentials)
    return credentials
  }
}

function keyOf(row: Row): AccessKey {
  const buckets = textColumnOrNull(row, 'buckets')
  return {
    id: textColumn(row, 'id'),
    account: accountId.parse(textColumn(row, 'account')),
    name: textColumn(row, 'name'),
    permission: permission.parse(textColumn(row, 'permission')),
    buckets: buckets === null ? undefined : z.array(z.string()).parse(JSON.parse(buckets)),
    createdAt: integerColumn(row, 'created_at'),
  }
}
