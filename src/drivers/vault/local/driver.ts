import { OperatorError } from '#contract/errors.ts'
import type { AccountId } from '#contract/ids.ts'
import { integerColumn, type Sql, sql, textColumn } from '#contract/ports/sql.ts'
import type { Vault } from '#contract/ports/vault.ts'
import { decrypt, encrypt, newKey } from './cipher.ts'
import { createMasterKey, parseMasterKey, readMasterKey } from './master-key.ts'

/** The folder of migrations that the vault's database needs. */
export const vaultMigrations = new URL('./migrations/', import.meta.url)

export type VaultOptions = {
  /** 32 bytes as hex or Base64. If absent, `masterKeyPath` is read. */
  readonly masterKey?: string | undefined
  /** A file with the key: made, for the owner alone, when the vault is new. */
  readonly masterKeyPath: string
  /** A database of the vault's own, with `vaultMigrations` applied. Stays the caller's to close. */
  readonly sql: Sql
}

const checkText = 'bindery'
const checkContext = 'master key'
/** Data keys in memory. Beyond, they are read again. */
const cachedKeys = 10_000

/**
 * A vault whose keys are in a database, and whose master key is not. Throws an `OperatorError` if
 * the master key is missing, malformed or another than the one the vault was made with.
 */
export async function openVault(options: VaultOptions): Promise<Vault> {
  const master = await masterKeyOf(options)
  await checkMasterKey(options.sql, master)
  return new LocalVault(options.sql, master)
}

type DataKey = { readonly generation: number; readonly key: Uint8Array }

class LocalVault implements Vault {
  readonly #sql: Sql
  readonly #master: Uint8Array
  readonly #newest = new Map<AccountId, Promise<DataKey>>()
  readonly #known = new Map<string, Promise<DataKey | undefined>>()

  constructor(database: Sql, master: Uint8Array) {
    this.#sql = database
    this.#master = master
  }

  async seal(account: AccountId, text: string, context: string): Promise<string> {
    const { generation, key } = await remember(this.#newest, account, () =>
      this.#newestKey(account),
    )
    const bound = boundTo(account, generation, context)
    return `v1.${generation}.${encrypt(key, new TextEncoder().encode(text), bound)}`
  }

  async open(account: AccountId, sealed: string, context: string): Promise<string> {
    const [, digits, box] = /^v1\.([1-9][0-9]{0,8})\.([\w-]+)$/.exec(sealed) ?? []
    if (digits === undefined || box === undefined) throw new Error('this is not a sealed text')
    const generation = Number(digits)
    const known = await remember(this.#known, `${account}/${generation}`, () =>
      this.#readKey(account, generation),
    )
    if (!known) throw new Error('the key of this sealed text is not here')
    const text = decrypt(known.key, box, boundTo(account, generation, context))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text)
  }

  /** The account's newest key, made if there is none. Of two makers at once, both use the first's. */
  async #newestKey(account: AccountId): Promise<DataKey> {
    const known = await this.#readKey(account)
    if (known) return known
    const wrapped = encrypt(this.#master, newKey(), keyContext(account, 1))
    await this.#sql.write([
      sql`INSERT INTO data_key (account, generation, wrapped) VALUES (${account}, 1, ${wrapped})
          ON CONFLICT DO NOTHING`,
    ])
    const made = await this.#readKey(account)
    if (!made) throw new Error('a data key was stored and is not there')
    return made
  }

  async #readKey(account: AccountId, generation?: number): Promise<DataKey | undefined> {
    const [row] = await this.#sql.read(
      sql`SELECT generation, wrapped FROM data_key WHERE account = ${account}
          AND generation = coalesce(${generation ?? null}, generation)
          ORDER BY generation DESC LIMIT 1`,
    )
    if (!row) return undefined
    const found = integerColumn(row, 'generation')
    const key = decrypt(this.#master, textColumn(row, 'wrapped'), keyContext(account, found))
    return { generation: found, key }
  }
}

/** Keeps what was found; what failed or was not there is looked for again. */
function remember<Key, Value>(
  cache: Map<Key, Promise<Value>>,
  key: Key,
  find: () => Promise<Value>,
): Promise<Value> {
  const known = cache.get(key)
  if (known) return known
  if (cache.size >= cachedKeys) cache.clear()
  const found = find()
  cache.set(key, found)
  const forget = (): void => {
    cache.delete(key)
  }
  found.then((value) => value === undefined && forget(), forget)
  return found
}

function boundTo(account: AccountId, generation: number, context: string): string {
  return JSON.stringify(['sealed', account, generation, context])
}

function keyContext(account: AccountId, generation: number): string {
  return JSON.stringify(['data key', account, generation])
}

async function masterKeyOf({
  masterKey,
  masterKeyPath,
  sql: database,
}: VaultOptions): Promise<Uint8Array> {
  if (masterKey !== undefined) return parseMasterKey(masterKey, 'BINDERY_MASTER_KEY')
  const stored = await readMasterKey(masterKeyPath)
  if (stored) return stored
  // A new key would open nothing of what an old one sealed.
  const isUsed = (await database.read(sql`SELECT id FROM master_check`)).length > 0
  if (isUsed) {
    throw new OperatorError(
      `${masterKeyPath} is missing: without it, the stored secrets can't be read. ` +
        'Restore it from a backup, or set BINDERY_MASTER_KEY.',
    )
  }
  return createMasterKey(masterKeyPath)
}

async function checkMasterKey(database: Sql, master: Uint8Array): Promise<void> {
  const wrapped = encrypt(master, new TextEncoder().encode(checkText), checkContext)
  await database.write([
    sql`INSERT INTO master_check (id, wrapped) VALUES (1, ${wrapped}) ON CONFLICT DO NOTHING`,
  ])
  const [row] = await database.read(sql`SELECT wrapped FROM master_check`)
  try {
    decrypt(master, row ? textColumn(row, 'wrapped') : '', checkContext)
  } catch (error) {
    throw new OperatorError(
      'The master key is not the one that the stored secrets were sealed with.',
      {
        cause: error,
      },
    )
  }
}
