import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { z } from 'zod'
import { openConnection } from './connection.ts'
import type { GroupMessage, RowMessage, StatementMessage, WriteMessage } from './messages.ts'

// The one writer of a database, in a thread of its own: a sync to disk blocks this thread and no
// other. It takes a group of writes, runs them in one transaction, commits once, and only then
// answers.

const { path } = z.object({ path: z.string() }).parse(workerData)

type Prepared = { readonly statement: StatementSync; readonly returnsRows: boolean }

type Connection = {
  readonly database: DatabaseSync
  readonly prepared: Map<number, Prepared>
  readonly changes: StatementSync
}

let connection: Connection | undefined
const texts = new Map<number, string>()

parentPort?.on('message', (group: GroupMessage | 'close') => {
  if (group === 'close') {
    connection?.database.close()
    parentPort?.close()
    return
  }
  for (const [id, text] of group.texts) texts.set(id, text)
  parentPort?.postMessage(runGroup(group.writes))
})

function runGroup(writes: readonly (readonly StatementMessage[])[]): WriteMessage[] {
  try {
    const on = (connection ??= connect())
    on.database.exec('BEGIN IMMEDIATE')
    const results = writes.map((write) => runWrite(on, write))
    on.database.exec('COMMIT')
    return results
  } catch (error) {
    disconnect()
    const failed = failureOf(error)
    return writes.map(() => failed)
  }
}

/** One write: a statement is atomic by itself, several are by a savepoint. */
function runWrite(on: Connection, write: readonly StatementMessage[]): WriteMessage {
  const [first] = write
  const isSingle = write.length === 1 && first?.[2] === undefined
  if (!isSingle) on.database.exec('SAVEPOINT one')
  try {
    const results: { changes: number; rows: RowMessage[] }[] = []
    for (const [index, statement] of write.entries()) {
      const result = runStatement(on, statement)
      if (statement[2] !== undefined && statement[2] !== result.changes) {
        undo(on)
        return { ok: false, type: 'expectation', index }
      }
      results.push(result)
    }
    if (!isSingle) on.database.exec('RELEASE one')
    return { ok: true, results }
  } catch (error) {
    // Some errors (a full disk) end the whole transaction: then nobody of the group may be told
    // that it was stored.
    if (!on.database.isTransaction) throw error
    if (!isSingle) undo(on)
    return failureOf(error)
  }
}

function undo({ database }: Connection): void {
  database.exec('ROLLBACK TO one')
  database.exec('RELEASE one')
}

function runStatement(
  on: Connection,
  [id, values]: StatementMessage,
): { changes: number; rows: RowMessage[] } {
  const { statement, returnsRows } = prepare(on, id)
  if (!returnsRows) {
    const { changes } = statement.run(...values)
    return { changes: Number(changes), rows: [] }
  }
  const rows = statement.all(...values)
  return { changes: Number(on.changes.get()?.['changes']), rows: rows.map(plainRow) }
}

function prepare({ database, prepared }: Connection, id: number): Prepared {
  const known = prepared.get(id)
  if (known) return known
  const statement = database.prepare(texts.get(id) ?? '')
  const made = { statement, returnsRows: statement.columns().length > 0 }
  prepared.set(id, made)
  return made
}

/** What a thread may be sent: a row's prototype is SQLite's own. */
function plainRow(row: Record<string, SQLOutputValue>): RowMessage {
  const plain: RowMessage = {}
  for (const [name, value] of Object.entries(row)) {
    if (typeof value === 'bigint') throw new Error(`column "${name}" is too large a number`)
    plain[name] = value
  }
  return plain
}

function connect(): Connection {
  const database = openConnection(path, 'write')
  const changes = database.prepare('SELECT changes() AS changes')
  return { database, prepared: new Map(), changes }
}

/**
 * After a commit failed, what the kernel kept of it is unknown: a second sync on the same file
 * would report success. A fresh connection, made for the next group, reads the file as it is.
 */
function disconnect(): void {
  try {
    connection?.database.close()
  } catch {
    // It is given up either way.
  }
  connection = undefined
}

function failureOf(error: unknown): WriteMessage {
  const message = error instanceof Error ? error.message : String(error)
  // SQLITE_CONSTRAINT is 19; extended codes keep it in the low byte.
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return { ok: false, type: code === 19 ? 'constraint' : 'engine', message }
}
