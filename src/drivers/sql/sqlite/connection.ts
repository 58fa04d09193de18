import { DatabaseSync } from 'node:sqlite'

/**
 * Opens a connection as all of ours are: a write-ahead log, every commit synced before it is
 * acknowledged, foreign keys held, and the file format safe from SQL.
 */
export function openConnection(path: string, mode: 'read' | 'write'): DatabaseSync {
  const database = new DatabaseSync(path, {
    readOnly: mode === 'read',
    enableForeignKeyConstraints: true,
    timeout: 5_000,
    defensive: true,
  })
  if (mode === 'write') {
    // The first pragma that must be on disk: it is kept in the file.
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = FULL')
    database.exec('PRAGMA journal_size_limit = 67108864')
  }
  database.exec('PRAGMA cache_size = -16384')
  return database
}
