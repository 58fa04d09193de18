import type { CallStatement, Cell } from './call.ts'
import { exportOfVirtualTables } from './errors.ts'
import { pageRows, pageWeight, schemaRows } from './limits.ts'
import type { DumpOptions } from './schema.ts'

// A database as SQL, in the words of SQLite's shell. The engine writes every value as a literal
// (`quote`), so nothing is rounded on the way; pages are as many rows as have a bounded weight.

/** Runs statements in one transaction, and gives the rows of each. */
export type Read = (
  statements: readonly CallStatement[],
) => Promise<readonly (readonly (readonly Cell[])[])[]>

/** Why a database is not exported, in a sentence for whoever wanted it. */
export class DumpError extends Error {}

/** An entry of the schema. */
type Item = {
  readonly type: string
  readonly name: string
  readonly table: string
  readonly sql: string
}

/** How the rows of a table are told apart, and in which columns they are stored. */
type Table = {
  readonly name: string
  readonly columns: readonly string[]
  /** What the row's number is called; absent where it has none, or where its names are taken. */
  readonly rowid: string | undefined
}

/** The lines of a database, which does not change meanwhile. Throws a `DumpError`. */
export async function* dumpOf(read: Read, options: DumpOptions): AsyncGenerator<string> {
  const isForShell = options.compatibility === 'sqlite3_cli_only'
  const items = await chosen(read, options)
  const tables = items.filter(({ type }) => type === 'table')
  if (!isForShell && tables.some(isVirtual)) throw new DumpError(exportOfVirtualTables)
  yield isForShell ? 'PRAGMA foreign_keys=OFF;' : 'PRAGMA defer_foreign_keys=TRUE;'
  if (isForShell) yield 'BEGIN TRANSACTION;'
  if (tables.some(isVirtual) && !options.no_schema) yield 'PRAGMA writable_schema=ON;'
  for (const table of tables) {
    if (!options.no_schema) yield isVirtual(table) ? schemaRowOf(table) : createOf(table)
    if (!options.no_data && !isVirtual(table)) yield* rowsOf(read, await tableOf(read, table.name))
  }
  if (!options.no_data) yield* sequencesOf(read, tables)
  if (!options.no_schema) {
    for (const item of items) if (item.type !== 'table') yield `${item.sql};`
  }
  if (tables.some(isVirtual) && !options.no_schema) yield 'PRAGMA writable_schema=OFF;'
  if (isForShell) yield 'COMMIT;'
}

/** What is to be exported: neither SQLite's own nor the platform's. */
async function chosen(read: Read, { tables }: DumpOptions): Promise<readonly Item[]> {
  const wanted = tables && tables.length > 0 ? new Set(tables) : undefined
  const items: Item[] = []
  let after = '0'
  for (;;) {
    const [rows = []] = await read([
      {
        sql: `SELECT type, name, tbl_name, sql, CAST(rowid AS TEXT) FROM sqlite_schema
              WHERE rowid > CAST(?1 AS INTEGER) AND sql IS NOT NULL ORDER BY rowid LIMIT ${schemaRows}`,
        params: [after],
      },
    ])
    for (const row of rows) {
      const [type = '', name = '', table = '', sql = '', rowid = ''] = row.map(String)
      after = rowid
      const isOwn = /^(?:sqlite_|_cf_)/i.test(name) || /^_cf_/i.test(table)
      if (!isOwn && (wanted?.has(table) ?? true)) items.push({ type, name, table, sql })
    }
    if (rows.length < schemaRows) return items
  }
}

function isVirtual({ sql }: Item): boolean {
  return /^CREATE\s+VIRTUAL\s/i.test(sql)
}

/** Shadow tables of a virtual one are made before it: their names are quoted so. */
function createOf({ sql }: Item): string {
  return `${sql.replace(/^CREATE TABLE (['"])/, 'CREATE TABLE IF NOT EXISTS $1')};`
}

function schemaRowOf({ name, sql }: Item): string {
  const values = ["'table'", literal(name), literal(name), '0', literal(sql)]
  return `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES(${values.join(',')});`
}

async function tableOf(read: Read, name: string): Promise<Table> {
  const [columnRows = [], listRows = []] = await read([
    { sql: `PRAGMA table_xinfo(${quoted(name)})` },
    { sql: `PRAGMA table_list(${quoted(name)})` },
  ])
  const all = columnRows.map((row) => ({ name: String(row[1]), isStored: Number(row[6]) === 0 }))
  const isWithoutRowid = listRows.some((row) => Number(row[4]) === 1)
  const taken = new Set(all.map((column) => column.name.toLowerCase()))
  return {
    name,
    columns: all.filter(({ isStored }) => isStored).map((column) => column.name),
    rowid: isWithoutRowid
      ? undefined
      : ['rowid', '_rowid_', 'oid'].find((alias) => !taken.has(alias)),
  }
}

/** Where a page begins: behind a row, or behind so many. */
type Position = { readonly after: string | null; readonly count: number }

/** An `INSERT` for each row. */
async function* rowsOf(read: Read, table: Table): AsyncGenerator<string> {
  const { name, columns } = table
  if (columns.length === 0) return
  const head = `INSERT INTO ${quoted(name)} (${columns.map(quoted).join(',')}) VALUES(`
  let position: Position = { after: null, count: 0 }
  let most = fewRows
  for (;;) {
    const page = await nextPage(read, table, { from: position, most })
    if (page.count === 0) return
    // To weigh a row costs what reading it does: not many more are than will be taken.
    most = Math.max(fewRows, Math.min(page.count < most ? page.count * 2 : most * 4, pageRows))
    const [rows = []] = await read([selectOf(table, position, page)])
    for (const row of rows) yield `${head}${row.join(',')});`
    position = { after: page.after, count: position.count + page.count }
  }
}

const fewRows = 16

/** How far the next page goes: as many rows as weigh so much, one at the least and `most` at most. */
async function nextPage(
  read: Read,
  table: Table,
  { from, most }: { readonly from: Position; readonly most: number },
): Promise<Position> {
  const { rowid, columns } = table
  const weight = balanced(columns.map((column) => `ifnull(length(${quoted(column)}),0)`))
  const key = rowid ?? 'NULL'
  const [rows = []] = await read([
    {
      sql: `SELECT count(*), CAST(max(k) AS TEXT) FROM (
              SELECT k, sum(w) OVER (ROWS UNBOUNDED PRECEDING) - w AS before FROM (
                SELECT ${key} AS k, ${weight} AS w FROM ${quoted(table.name)} ${startOf(table, from)}))
            WHERE before <= ${pageWeight}`,
      params: paramsOf(table, from, most),
    },
  ])
  const [count, last] = rows[0] ?? []
  return { count: Number(count), after: typeof last === 'string' ? last : null }
}

function selectOf(table: Table, from: Position, page: Position): CallStatement {
  const values = table.columns.map(valueOf).join(', ')
  return {
    sql: `SELECT ${values} FROM ${quoted(table.name)} ${startOf(table, from)}`,
    params: paramsOf(table, from, page.count),
  }
}

/** Without a number there is no quick way to a row: what comes before is skipped. */
function startOf({ rowid }: Table, { after }: Position): string {
  if (rowid === undefined) return 'LIMIT ?1 OFFSET ?2'
  const behind = after === null ? '' : `WHERE ${rowid} > CAST(?2 AS INTEGER) `
  return `${behind}ORDER BY ${rowid} LIMIT ?1`
}

function paramsOf({ rowid }: Table, { after, count }: Position, limit: number): Cell[] {
  if (rowid === undefined) return [limit, count]
  return after === null ? [limit] : [limit, after]
}

/** A value as a literal. A text that holds NUL can be none: `quote` would end there. */
function valueOf(column: string): string {
  const name = quoted(column)
  return `CASE WHEN typeof(${name})='text' AND instr(${name},char(0)) THEN 'CAST(X'''||hex(${name})||''' AS TEXT)' ELSE quote(${name}) END`
}

/** A sum that nests as little as can be: SQLite bounds the depth of expressions. */
function balanced(terms: readonly string[]): string {
  if (terms.length <= 1) return terms[0] ?? '0'
  const middle = terms.length >> 1
  return `(${balanced(terms.slice(0, middle))}+${balanced(terms.slice(middle))})`
}

/** Where `AUTOINCREMENT` goes on. */
async function* sequencesOf(read: Read, tables: readonly Item[]): AsyncGenerator<string> {
  const [found = []] = await read([
    { sql: `SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'` },
  ])
  if (found.length === 0) return
  const names = new Set(tables.map(({ name }) => name))
  const [rows = []] = await read([
    { sql: 'SELECT name, quote(seq) FROM sqlite_sequence ORDER BY rowid' },
  ])
  const own = rows.filter(([name]) => names.has(String(name)))
  if (own.length > 0) yield 'DELETE FROM sqlite_sequence;'
  for (const [name, sequence] of own) {
    yield `INSERT INTO "sqlite_sequence" ("name","seq") VALUES(${literal(String(name))},${String(sequence)});`
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
