import { DatabaseSync } from 'node:sqlite'
import { parentPort } from 'node:worker_threads'
import type { AlarmMessage, AnswerMessage, TaskMessage } from './messages.ts'

// Work on databases, in a thread of its own because a large one takes a while. They hold schemas
// that users wrote: their expressions are not evaluated here (no checks, no triggers, no views).

parentPort?.on('message', (task: TaskMessage) => {
  parentPort?.postMessage(answer(task))
})

function answer(task: TaskMessage): AnswerMessage {
  try {
    return { ok: true, alarms: run(task) }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}

function run(task: TaskMessage): readonly AlarmMessage[] {
  switch (task.type) {
    case 'settle':
      return settle(task.path)
    case 'readAlarms':
      return readAlarms(task.path)
    case 'writeAlarms':
      writeAlarms(task.path, task.alarms)
      return []
  }
}

function settle(path: string): readonly AlarmMessage[] {
  using database = open(path)
  // It is synced as a file when all is done, if it is to last.
  database.exec('PRAGMA synchronous = OFF; PRAGMA wal_checkpoint(TRUNCATE)')
  database.exec('PRAGMA journal_mode = DELETE')
  const [first] = database.prepare('PRAGMA quick_check(1)').all()
  if (first?.['quick_check'] !== 'ok') throw new Error(String(first?.['quick_check']))
  if (!hasTable(database, '_cf_METADATA')) return []
  // Row 1 is the alarm (`sqlite-metadata.c++` in workerd).
  const alarms = database.prepare('SELECT value FROM _cf_METADATA WHERE key = 1')
  alarms.setReadBigInts(true)
  const at = alarms.get()?.['value']
  return typeof at === 'bigint' ? [{ object: '', at, name: undefined }] : []
}

function readAlarms(path: string): readonly AlarmMessage[] {
  using database = open(path)
  if (!hasTable(database, '_cf_ALARM')) return []
  const rows = database.prepare('SELECT actor_id, scheduled_time, actor_name FROM _cf_ALARM')
  rows.setReadBigInts(true)
  return rows.all().flatMap(({ actor_id: object, scheduled_time: at, actor_name: name }) => {
    if (typeof object !== 'string' || typeof at !== 'bigint') return []
    return [{ object, at, name: typeof name === 'string' ? name : undefined }]
  })
}

function writeAlarms(path: string, alarms: readonly AlarmMessage[]): void {
  using database = open(path)
  // Where no alarm was ever set, the table is made as workerd makes it (`alarm-scheduler.c++`).
  database.exec(`PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS _cf_ALARM (
      actor_id TEXT PRIMARY KEY,
      scheduled_time INTEGER,
      actor_name TEXT
    ) WITHOUT ROWID`)
  const remove = database.prepare('DELETE FROM _cf_ALARM WHERE actor_id = ?')
  const set = database.prepare(`INSERT INTO _cf_ALARM (actor_id, scheduled_time, actor_name)
    VALUES (?, ?, ?) ON CONFLICT (actor_id) DO UPDATE SET
    scheduled_time = excluded.scheduled_time,
    actor_name = coalesce(excluded.actor_name, actor_name)`)
  for (const { object, at, name } of alarms) {
    if (at === undefined) remove.run(object)
    else set.run(object, at, name ?? null)
  }
  database.exec('COMMIT')
}

function open(path: string): DatabaseSync & Disposable {
  const database = new DatabaseSync(path, { defensive: true })
  database.exec('PRAGMA trusted_schema = OFF; PRAGMA ignore_check_constraints = ON')
  return database
}

function hasTable(database: DatabaseSync, name: string): boolean {
  const found = database.prepare(
    `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`,
  )
  return found.get(name) !== undefined
}
