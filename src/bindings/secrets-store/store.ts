import { z } from 'zod'
import type { AccountId } from '#contract/ids.ts'
import { parseJson } from '#contract/json-text.ts'
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
} from '#contract/ports/sql.ts'
import { type DataKey, DataKeys, openSealed } from './data-keys.ts'
import * as errors from './errors.ts'
import { secretsPerAccount, storesPerAccount } from './limits.ts'
import {
  type NewSecret,
  scope,
  type Scope,
  type SecretId,
  secretId,
  type StoreId,
  storeId,
} from './schema.ts'

export type Store = {
  readonly id: StoreId
  readonly account: AccountId
  readonly name: string
  /** Milliseconds. */
  readonly createdAt: number
}

/** What may be told of a secret: all but its value. */
export type Secret = {
  readonly id: SecretId
  readonly store: StoreId
  readonly name: string
  readonly comment: string
  readonly scopes: readonly Scope[]
  /** Milliseconds. */
  readonly createdAt: number
  readonly modifiedAt: number
}

export type SecretChange = {
  readonly value?: Uint8Array | undefined
  readonly scopes?: readonly Scope[] | undefined
  readonly comment?: string | undefined
}

/** A secret that a Worker has asked for, by the name of its store and its own. */
export type Bound = { readonly store: string; readonly secret: string }

/** What a secret must have in its scopes to be bound to a Worker. */
const bindable: Scope = 'workers'
const scopeList = z.array(scope)

/** Destroys what a crash kept the one before from: resolves when the keys of all deleted stores are gone. */
export async function openStore(ports: Ports): Promise<SecretsStore> {
  const store = new SecretsStore(ports)
  await store.destroyDiscarded()
  return store
}

/**
 * Stores of secrets. Whatever it is asked for names the account: what is another's is not there. Writes
 * are on disk when they resolve; values are sealed before they get to the database, and nothing that was
 * read is kept, so that a read sees what was acknowledged before it. Does not own the ports.
 */
export class SecretsStore {
  readonly #ports: Ports
  readonly #keys: DataKeys

  constructor(ports: Ports) {
    this.#ports = ports
    this.#keys = new DataKeys(ports)
  }

  // ---- stores

  async stores(account: AccountId): Promise<readonly Store[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT id, name, created_at FROM store WHERE account = ${account} ORDER BY created_at, id`,
    )
    return rows.map((row) => storeOf(row, account))
  }

  /** Throws `store_not_found`. */
  async store(account: AccountId, id: string): Promise<Store> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, name, created_at FROM store WHERE id = ${id} AND account = ${account}`,
    )
    if (!row) throw errors.storeNotFound()
    return storeOf(row, account)
  }

  /** Makes all of them or none. */
  async createStores(account: AccountId, names: readonly string[]): Promise<readonly Store[]> {
    const { sql: database, random, clock } = this.#ports
    const createdAt = clock.now()
    const made = names.map((name) => ({
      id: storeId.parse(random.hex(16)),
      account,
      name,
      createdAt,
    }))
    try {
      // The file, then the row: a store always has its key. One that a crash left without a row has
      // sealed nothing.
      for (const { id } of made) await this.#keys.create(account, id)
      await database.write(
        made.map(({ id, name }) =>
          expecting(
            1,
            sql`INSERT INTO store (id, account, name, created_at)
                SELECT ${id}, ${account}, ${name}, ${createdAt}
                WHERE (SELECT count(*) FROM store WHERE account = ${account}) < ${storesPerAccount}`,
          ),
        ),
      )
      return made
    } catch (error) {
      const isTaken = error instanceof SqlError && error.constraint
      // Of any other failure nobody knows whether the rows are there: then keys stay.
      if (!isTaken && !(error instanceof SqlExpectationError)) throw error
      for (const { id } of made) await this.#keys.destroy(id)
      throw isTaken ? errors.storeNameTaken() : errors.tooManyStores()
    }
  }

  /** `isForced`: with all that is in it. Its data key is destroyed when this resolves. */
  async deleteStore(account: AccountId, id: string, isForced: boolean): Promise<void> {
    const { id: store } = await this.store(account, id)
    const empty = sql`DELETE FROM secret WHERE store = ${store}`
    try {
      await this.#ports.sql.write([
        ...(isForced ? [empty] : []),
        expecting(1, sql`DELETE FROM store WHERE id = ${store}`),
        sql`INSERT INTO discarded_key (store) VALUES (${store})`,
      ])
    } catch (error) {
      if (error instanceof SqlExpectationError) throw errors.storeNotFound()
      // The foreign key: there are secrets.
      if (error instanceof SqlError && error.constraint) throw errors.storeNotEmpty()
      throw error
    }
    await this.#destroy(store)
  }

  /** Destroys the keys of deleted stores that are still there. */
  async destroyDiscarded(): Promise<void> {
    const rows = await this.#ports.sql.read(sql`SELECT store FROM discarded_key`)
    for (const row of rows) await this.#destroy(storeId.parse(textColumn(row, 'store')))
  }

  /** How many secrets an account has in all its stores. */
  async count(account: AccountId): Promise<number> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT count(*) AS n FROM secret JOIN store ON store.id = secret.store
          WHERE store.account = ${account}`,
    )
    return row ? integerColumn(row, 'n') : 0
  }

  // ---- secrets

  async secrets({ id }: Store): Promise<readonly Secret[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT id, store, name, comment, scopes, created_at, modified_at FROM secret
          WHERE store = ${id}`,
    )
    return rows.map(secretOf)
  }

  /** Throws `secret_not_found`. */
  async secret(store: Store, id: string): Promise<Secret> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, store, name, comment, scopes, created_at, modified_at FROM secret
          WHERE id = ${id} AND store = ${store.id}`,
    )
    if (!row) throw errors.secretNotFound()
    return secretOf(row)
  }

  /** Makes all of them or none. */
  async createSecrets(store: Store, given: readonly NewSecret[]): Promise<readonly Secret[]> {
    const { sql: database, random, clock } = this.#ports
    const key = await this.#keyOf(store)
    const now = clock.now()
    const made = given.map(({ value, ...rest }) => {
      const id = secretId.parse(random.hex(16))
      const secret = { ...rest, id, store: store.id, createdAt: now, modifiedAt: now }
      return { secret, sealed: this.#keys.seal(key, value, secret) }
    })
    try {
      await database.write(
        made.map(({ secret: { id, name, comment, scopes }, sealed }) =>
          expecting(
            1,
            sql`INSERT INTO secret
                  (id, store, name, comment, scopes, created_at, modified_at, sealed)
                SELECT ${id}, ${store.id}, ${name}, ${comment}, ${JSON.stringify(scopes)},
                  ${now}, ${now}, ${sealed}
                WHERE (SELECT count(*) FROM secret JOIN store ON store.id = secret.store
                    WHERE store.account = ${store.account}) < ${secretsPerAccount}`,
          ),
        ),
      )
    } catch (error) {
      if (error instanceof SqlExpectationError) throw errors.tooManySecrets()
      if (!(error instanceof SqlError && error.constraint)) throw error
      // The foreign key, if the store was deleted meanwhile.
      await this.store(store.account, store.id)
      throw errors.secretNameTaken()
    }
    return made.map(({ secret }) => secret)
  }

  /** Throws `secret_not_found`. */
  async updateSecret(store: Store, id: string, change: SecretChange): Promise<Secret> {
    const { sql: database, clock } = this.#ports
    const before = await this.secret(store, id)
    const { value, scopes, comment } = change
    const sealed = value && this.#keys.seal(await this.#keyOf(store), value, before)
    const [updated] = await database.write([
      sql`UPDATE secret SET sealed = coalesce(${sealed ?? null}, sealed),
            scopes = coalesce(${scopes ? JSON.stringify(scopes) : null}, scopes),
            comment = coalesce(${comment ?? null}, comment),
            modified_at = ${clock.now()}
          WHERE id = ${before.id} AND store = ${store.id}
          RETURNING id, store, name, comment, scopes, created_at, modified_at`,
    ])
    const row = updated?.rows[0]
    if (!row) throw errors.secretNotFound()
    return secretOf(row)
  }

  /** A secret with another name and the same value, which nobody is shown. */
  async duplicateSecret(
    store: Store,
    id: string,
    as: Omit<NewSecret, 'value'>,
  ): Promise<readonly Secret[]> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, name, sealed FROM secret WHERE id = ${id} AND store = ${store.id}`,
    )
    if (!row) throw errors.secretNotFound()
    const value = openSealed(await this.#keyOf(store), bytesColumn(row, 'sealed'), {
      store: store.id,
      id: textColumn(row, 'id'),
      name: textColumn(row, 'name'),
    })
    return this.createSecrets(store, [{ ...as, value }])
  }

  /** Deletes all of them or none. Throws `secret_not_found`. */
  async deleteSecrets(store: Store, ids: readonly string[]): Promise<void> {
    try {
      await this.#ports.sql.write(
        [...new Set(ids)].map((id) =>
          expecting(1, sql`DELETE FROM secret WHERE id = ${id} AND store = ${store.id}`),
        ),
      )
    } catch (error) {
      if (error instanceof SqlExpectationError) throw errors.secretNotFound()
      throw error
    }
  }

  // ---- what Workers ask

  /** Whether an account has such a secret, and a Worker may be bound to it. */
  async isBindable(account: AccountId, { store, secret }: Bound): Promise<boolean> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT scopes FROM secret JOIN store ON store.id = secret.store
          WHERE store.id = ${store} AND store.account = ${account} AND secret.name = ${secret}`,
    )
    return row !== undefined && scopesOf(row).includes(bindable)
  }

  /** The value as of now; `undefined` if there is no such secret, or no Worker may have it. */
  async read(
    account: AccountId,
    { store, secret }: Bound & { readonly store: StoreId },
  ): Promise<{ readonly id: SecretId; readonly value: Uint8Array } | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT secret.id, scopes, sealed FROM secret JOIN store ON store.id = secret.store
          WHERE store.id = ${store} AND store.account = ${account} AND secret.name = ${secret}`,
    )
    if (!row || !scopesOf(row).includes(bindable)) return undefined
    const id = secretId.parse(textColumn(row, 'id'))
    const key = await this.#keys.of(account, store)
    if (!key) {
      // Deleted between the two, or damaged.
      if (await this.isBindable(account, { store, secret })) throw keyMissing(store)
      return undefined
    }
    return { id, value: openSealed(key, bytesColumn(row, 'sealed'), { store, id, name: secret }) }
  }

  async #destroy(store: StoreId): Promise<void> {
    await this.#keys.destroy(store)
    await this.#ports.sql.write([sql`DELETE FROM discarded_key WHERE store = ${store}`])
  }

  async #keyOf({ account, id }: Store): Promise<DataKey> {
    const key = await this.#keys.of(account, id)
    if (key) return key
    // Deleted meanwhile, or damaged.
    await this.store(account, id)
    throw keyMissing(id)
  }
}

function keyMissing(store: StoreId): Error {
  return new Error(`the data key of secrets store ${store} is missing`)
}

function storeOf(row: Row, account: AccountId): Store {
  return {
    id: storeId.parse(textColumn(row, 'id')),
    account,
    name: textColumn(row, 'name'),
    createdAt: integerColumn(row, 'created_at'),
  }
}

function secretOf(row: Row): Secret {
  return {
    id: secretId.parse(textColumn(row, 'id')),
    store: storeId.parse(textColumn(row, 'store')),
    name: textColumn(row, 'name'),
    comment: textColumn(row, 'comment'),
    scopes: scopesOf(row),
    createdAt: integerColumn(row, 'created_at'),
    modifiedAt: integerColumn(row, 'modified_at'),
  }
}

function scopesOf(row: Row): readonly Scope[] {
  return scopeList.parse(parseJson(textColumn(row, 'scopes')))
}
