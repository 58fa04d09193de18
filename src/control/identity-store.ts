import type { AccountId } from '#contract/ids.ts'
import {
  bytesColumn,
  integerColumn,
  type Row,
  type Sql,
  sql,
  SqlError,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import { subdomainTaken } from './errors.ts'
import { type Account, accountRecord, type Token, tokenRecord } from './records.ts'

/** A page of a list. */
export type Page<Item> = { readonly items: readonly Item[]; readonly total: number }
export type PageRange = { readonly offset: number; readonly limit: number }

/** Accounts and tokens. Does not own `sql`. */
export class IdentityStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  async account(id: AccountId): Promise<Account | undefined> {
    const [row] = await this.#sql.read(sql`SELECT * FROM account WHERE id = ${id}`)
    return row && accountOf(row)
  }

  /** All accounts in the order of their making, or the one that a token is bound to. */
  async accounts(only: AccountId | null, range: PageRange): Promise<Page<Account>> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM account WHERE ${only} IS NULL OR id = ${only}
          ORDER BY position LIMIT ${range.limit} OFFSET ${range.offset}`,
    )
    const [counted] = await this.#sql.read(
      sql`SELECT count(*) AS n FROM account WHERE ${only} IS NULL OR id = ${only}`,
    )
    return { items: rows.map(accountOf), total: integerColumn(counted ?? {}, 'n') }
  }

  /** All accounts, so many at a time. */
  async *allAccounts(atOnce: number): AsyncIterable<readonly Account[]> {
    for (let offset = 0, total = 1; offset < total; offset += atOnce) {
      const page = await this.accounts(null, { offset, limit: atOnce })
      total = page.total
      yield page.items
    }
  }

  async firstAccount(): Promise<Account | undefined> {
    const [row] = await this.#sql.read(sql`SELECT * FROM account WHERE position = 1`)
    return row && accountOf(row)
  }

  /** Adds an account after all others. Throws `subdomainTaken`. */
  async addAccount(account: Omit<Account, 'isFirst'>): Promise<void> {
    const { id, name, subdomain, createdAt } = account
    await this.#unlessTaken(subdomain, [
      sql`INSERT INTO account (id, name, subdomain, position, created_at)
          SELECT ${id}, ${name}, ${subdomain}, coalesce(max(position), 0) + 1, ${createdAt}
          FROM account`,
    ])
  }

  /** Throws `subdomainTaken`. */
  async setSubdomain(id: AccountId, subdomain: string): Promise<void> {
    await this.#unlessTaken(subdomain, [
      sql`UPDATE account SET subdomain = ${subdomain} WHERE id = ${id}`,
    ])
  }

  async isSubdomainTaken(subdomain: string): Promise<boolean> {
    const rows = await this.#sql.read(sql`SELECT id FROM account WHERE subdomain = ${subdomain}`)
    return rows.length > 0
  }

  async token(id: string): Promise<Token | undefined> {
    const [row] = await this.#sql.read(sql`SELECT * FROM token WHERE id = ${id}`)
    return row && tokenOf(row)
  }

  async tokens(range: PageRange): Promise<Page<Token>> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM token ORDER BY created_at, id LIMIT ${range.limit} OFFSET ${range.offset}`,
    )
    const [counted] = await this.#sql.read(sql`SELECT count(*) AS n FROM token`)
    return { items: rows.map(tokenOf), total: integerColumn(counted ?? {}, 'n') }
  }

  async addToken(token: Token): Promise<void> {
    const { id, hash, account, permission, name, createdAt, expiresAt } = token
    await this.#sql.write([
      sql`INSERT INTO token (id, hash, account, permission, name, created_at, expires_at)
          VALUES (${id}, ${hash}, ${account}, ${permission}, ${name}, ${createdAt}, ${expiresAt})`,
    ])
  }

  async revokeToken(id: string, now: string): Promise<void> {
    await this.#sql.write([
      sql`UPDATE token SET revoked_at = ${now} WHERE id = ${id} AND revoked_at IS NULL`,
    ])
  }

  async touchToken(id: string, now: string): Promise<void> {
    await this.#sql.write([sql`UPDATE token SET last_used_at = ${now} WHERE id = ${id}`])
  }

  async #unlessTaken(subdomain: string, statements: Parameters<Sql['write']>[0]): Promise<void> {
    try {
      await this.#sql.write(statements)
    } catch (error) {
      if (error instanceof SqlError && error.constraint) throw subdomainTaken(subdomain)
      throw error
    }
  }
}

function accountOf(row: Row): Account {
  return accountRecord.parse({
    id: textColumn(row, 'id'),
    name: textColumn(row, 'name'),
    subdomain: textColumn(row, 'subdomain'),
    isFirst: integerColumn(row, 'position') === 1,
    createdAt: textColumn(row, 'created_at'),
  })
}

function tokenOf(row: Row): Token {
  return tokenRecord.parse({
    id: textColumn(row, 'id'),
    hash: bytesColumn(row, 'hash'),
    account: textColumnOrNull(row, 'account'),
    permission: textColumn(row, 'permission'),
    name: textColumn(row, 'name'),
    createdAt: textColumn(row, 'created_at'),
    expiresAt: textColumnOrNull(row, 'expires_at'),
    revokedAt: textColumnOrNull(row, 'revoked_at'),
    lastUsedAt: textColumnOrNull(row, 'last_used_at'),
  })
}
