import { type AccountId, accountId, type BlobKey, blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import type { DatabaseFile } from '#contract/ports/databases.ts'
import {
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
import { databaseExists, databaseNotFound, tooManyDatabases } from './errors.ts'
import { databaseLimit } from './limits.ts'
import { type DatabaseId, databaseId } from './schema.ts'

export type Database = {
  readonly id: DatabaseId
  readonly account: AccountId
  readonly name: string
  /** Milliseconds since the UNIX epoch. */
  readonly createdAt: number
  readonly jurisdiction: string | null
  readonly location: string | null
  readonly replication: string
  /** The file that it is now. */
  readonly file: DatabaseFile
}

export type NewDatabase = Pick<
  Database,
  'account' | 'name' | 'jurisdiction' | 'location' | 'replication'
>

/** A file as the port knows a database: its UUID without hyphens. */
export function fileOf(
  { id, account }: Pick<Database, 'id' | 'account'>,
  generation: number,
): DatabaseFile {
  return { account, database: id.replaceAll('-', ''), generation }
}

/**
 * From here on are the numbers of copies: they come after every generation that a database will have, so
 * that a time in the past never leads to a copy.
 */
const firstCopy = 0xf000_0000

export async function openStore(ports: Ports): Promise<DatabaseStore> {
  const rows = await ports.sql.read(
    sql`SELECT id, account, name, created_at, jurisdiction, location, replication, generation FROM database`,
  )
  return new DatabaseStore(ports, rows.map(databaseOf))
}

/** Databases: all in memory, because every call asks for one. Which of their files is which, too. */
export class DatabaseStore {
  readonly #ports: Ports
  readonly #databases: Map<DatabaseId, Database>
  /** Files that somebody works at: discarded, as long as they have not become a database. */
  readonly #making = new Set<string>()

  constructor(ports: Ports, databases: readonly Database[]) {
    this.#ports = ports
    this.#databases = new Map(databases.map((database) => [database.id, database]))
  }

  find(account: AccountId, id: DatabaseId): Database | undefined {
    const database = this.#databases.get(id)
    return database?.account === account ? database : undefined
  }

  /** The database as it is now. Throws if it is gone. */
  get(account: AccountId, id: DatabaseId): Database {
    const database = this.find(account, id)
    if (!database) throw databaseNotFound(id)
    return database
  }

  /** By its UUID, or by its name. Throws if there is none. */
  lookUp(account: AccountId, idOrName: string): Database {
    const id = databaseId.safeParse(idOrName)
    const byId = id.success ? this.find(account, id.data) : undefined
    const found = byId ?? this.of(account).find(({ name }) => name === idOrName)
    if (!found) throw databaseNotFound(idOrName)
    return found
  }

  /** The newest first. */
  of(account: AccountId): readonly Database[] {
    const own = [...this.#databases.values()].filter((database) => database.account === account)
    return own.toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1))
  }

  /** The files that databases are. */
  get files(): readonly DatabaseFile[] {
    return [...this.#databases.values()].map(({ file }) => file)
  }

  async create(made: NewDatabase): Promise<Database> {
    const { account, name, jurisdiction, location, replication } = made
    const id = databaseId.parse(this.#ports.random.uuid())
    const createdAt = this.#ports.clock.now()
    const [inserted] = await this.#ports.sql
      .write([
        sql`INSERT INTO database (id, account, name, created_at, jurisdiction, location, replication, generation, newest, copies)
            SELECT ${id}, ${account}, ${name}, ${createdAt}, ${jurisdiction}, ${location}, ${replication}, 1, 1, 0
            WHERE (SELECT count(*) FROM database WHERE account = ${account}) < ${databaseLimit}`,
      ])
      .catch((error: unknown) => {
        throw error instanceof SqlError && error.constraint ? databaseExists(name) : error
      })
    if (inserted?.changes !== 1) throw tooManyDatabases(databaseLimit)
    const database = { ...made, id, createdAt, file: fileOf({ id, account }, 1) }
    this.#databases.set(id, database)
    return database
  }

  async setReplication(database: Database, replication: string): Promise<Database> {
    const [updated] = await this.#ports.sql.write([
      sql`UPDATE database SET replication = ${replication} WHERE id = ${database.id}`,
    ])
    if (updated?.changes !== 1) throw databaseNotFound(database.id)
    return this.#change(database, { replication })
  }

  /** Gone at once. Its files are the caller's to remove. Resolves with blobs that nobody names any more. */
  async delete({ id }: Database): Promise<readonly BlobKey[]> {
    const results = await this.#ports.sql.write([
      sql`DELETE FROM upload WHERE database = ${id} RETURNING blob`,
      sql`DELETE FROM export WHERE database = ${id} RETURNING blob`,
      sql`DELETE FROM import WHERE database = ${id}`,
      sql`DELETE FROM database WHERE id = ${id}`,
    ])
    this.#databases.delete(id)
    if (results[3]?.changes !== 1) throw databaseNotFound(id)
    return results.flatMap(({ rows }) => rows.map((row) => blobKey.parse(row['blob'])))
  }

  /**
   * A file that is to become the database, later than any before. Until then it is discarded; nobody
   * removes it until it is released.
   */
  async reserveNext(database: Database): Promise<DatabaseFile> {
    const { id } = database
    return this.#reserve(
      database,
      sql`UPDATE database SET newest = newest + 1 WHERE id = ${id} RETURNING newest AS number`,
      0,
    )
  }

  /** The same for a copy, which never becomes the database. */
  async reserveCopy(database: Database): Promise<DatabaseFile> {
    const { id } = database
    return this.#reserve(
      database,
      sql`UPDATE database SET copies = copies + 1 WHERE id = ${id} RETURNING copies AS number`,
      firstCopy,
    )
  }

  /** Nobody works at a file any more. */
  release(file: DatabaseFile): void {
    this.#making.delete(nameOf(file))
  }

  /** From now on a file that was reserved is the database, and the one before is discarded. */
  async become({ id, account, file }: Database, next: DatabaseFile): Promise<Database> {
    await this.#ports.sql
      .write([
        expecting(
          1,
          sql`UPDATE database SET generation = ${next.generation}
              WHERE id = ${id} AND generation = ${file.generation}`,
        ),
        sql`DELETE FROM discarded_file WHERE database = ${id} AND generation = ${next.generation}`,
        discarding({ id, account }, file.generation),
      ])
      .catch((error: unknown) => {
        throw error instanceof SqlExpectationError ? databaseNotFound(id) : error
      })
    return this.#change(this.get(account, id), { file: next })
  }

  /** A few files that are not the database, whose they are, and whether there are more. */
  async discarded(limit: number): Promise<{
    readonly found: readonly { readonly id: DatabaseId; readonly file: DatabaseFile }[]
    readonly hasMore: boolean
  }> {
    const most = limit + this.#making.size + 1
    const rows = await this.#ports.sql.read(
      sql`SELECT account, database, generation FROM discarded_file LIMIT ${most}`,
    )
    const all = rows.map((row) => {
      const id = databaseId.parse(textColumn(row, 'database'))
      const account = accountId.parse(textColumn(row, 'account'))
      return { id, file: fileOf({ id, account }, integerColumn(row, 'generation')) }
    })
    const free = all.filter(({ file }) => !this.#making.has(nameOf(file)))
    return { found: free.slice(0, limit), hasMore: free.length > limit }
  }

  /** A discarded file is gone. */
  async forgetDiscarded(id: DatabaseId, { generation }: DatabaseFile): Promise<void> {
    await this.#ports.sql.write([
      sql`DELETE FROM discarded_file WHERE database = ${id} AND generation = ${generation}`,
    ])
  }

  async #reserve(
    { id, account }: Database,
    count: Statement,
    first: number,
  ): Promise<DatabaseFile> {
    const [counted] = await this.#ports.sql.write([count])
    const [row] = counted?.rows ?? []
    if (!row) throw databaseNotFound(id)
    const file = fileOf({ id, account }, first + integerColumn(row, 'number'))
    this.#making.add(nameOf(file))
    await this.#ports.sql.write([discarding({ id, account }, file.generation)])
    return file
  }

  #change(database: Database, change: Partial<Database>): Database {
    const changed = { ...database, ...change }
    // It may have been deleted meanwhile.
    if (this.#databases.has(database.id)) this.#databases.set(database.id, changed)
    return changed
  }
}

function discarding(
  { id, account }: Pick<Database, 'id' | 'account'>,
  generation: number,
): Statement {
  return sql`INSERT INTO discarded_file (account, database, generation)
             VALUES (${account}, ${id}, ${generation}) ON CONFLICT DO NOTHING`
}

function nameOf({ database, generation }: DatabaseFile): string {
  return `${database}/${generation}`
}

function databaseOf(row: Row): Database {
  const id = databaseId.parse(textColumn(row, 'id'))
  const account = accountId.parse(textColumn(row, 'account'))
  return {
    id,
    account,
    name: textColumn(row, 'name'),
    createdAt: integerColumn(row, 'created_at'),
    jurisdiction: textColumnOrNull(row, 'jurisdiction'),
    location: textColumnOrNull(row, 'location'),
    replication: textColumn(row, 'replication'),
    file: fileOf({ id, account }, integerColumn(row, 'generation')),
  }
}
