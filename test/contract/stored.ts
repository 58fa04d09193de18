import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** All that a server keeps: each row of each database, and the name of each file. */
export function storedIn(dataDirectory: string): Readonly<Record<string, unknown>> {
  const names = readdirSync(dataDirectory)
  return {
    databases: Object.fromEntries(
      names
        .filter((name) => name.endsWith('.db'))
        .map((name) => [name, rowsOf(join(dataDirectory, name))]),
    ),
    files: ['code', 'kv_namespace'].flatMap((folder) =>
      names.includes(folder) ? filesIn(join(dataDirectory, folder)) : [],
    ),
  }
}

function filesIn(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .toSorted()
}

function rowsOf(path: string): Readonly<Record<string, unknown>> {
  using database = new DatabaseSync(path, { readOnly: true })
  const tables = database.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all()
  return Object.fromEntries(
    tables.map(({ name }) => [
      name,
      database
        .prepare(`SELECT * FROM "${String(name)}"`)
        .all()
        .map(lasting),
    ]),
  )
}

/** When a token was used last is written whatever comes of it. */
function lasting(row: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return { ...row, last_used_at: undefined }
}
