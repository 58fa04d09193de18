import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { messageOf, OperatorError } from '#contract/errors.ts'
import type { Log } from '#contract/ports/log.ts'
import {
  type Row,
  type Sql,
  SqlError,
  SqlExpectationError,
  type SqlValue,
  type Statement,
  type WriteResult,
} from '#contract/ports/sql.ts'
import { openConnection } from './connection.ts'
import type { GroupMessage, ReplyMessage, StatementMessage, WriteMessage } from './messages.ts'

export type Migration = {
  /** Sorts in the order of application: `0001`. */
  readonly id: string
  readonly text: string
}

export type SqliteOptions = {
  readonly path: string
  readonly migrations: readonly Migration[]
  readonly log: Log
}

/** Writes that may wait for the disk. Beyond, a write is refused at once rather than queued. */
const waitingWrites = 20_000
const waitingBytes = 256 * 1024 * 1024

/** Prepared reads that are kept: a program has a fixed number, unless it makes up statements. */
const preparedStatements = 1_000

/** Writes of one transaction. More make a sync no cheaper and the wait for it longer. */
const groupWrites = 4_096
const groupBytes = 16 * 1024 * 1024

/**
 * Opens (and makes, and migrates) a database of this process alone. Throws an `OperatorError` if a
 * newer server has written it.
 *
 * Reads run at once, here: a point read costs less than a message to a thread would. Writes go to a
 * thread, because their sync to disk blocks; everything that queued up during one sync shares the
 * next. Measured on two cores, 32 callers: 25 000 durable one-row writes a second at 7 µs of this
 * thread each, and 160 000 point reads.
 */
export async function openSqlite(options: SqliteOptions): Promise<Sql> {
  migrate(options)
  return new SqliteDatabase(options)
}

type PlainValue = Exclude<SQLOutputValue, bigint>

type Waiting = {
  readonly statements: readonly Statement[]
  readonly bytes: number
  readonly resolve: (results: readonly WriteResult[]) => void
  readonly reject: (error: Error) => void
}

class SqliteDatabase implements Sql {
  readonly #path: string
  readonly #log: Log
  readonly #reader: DatabaseSync
  readonly #prepared = new Map<readonly string[], StatementSync>()
  /** Ids of the statements that the writer knows. */
  readonly #textIds = new Map<readonly string[], number>()
  #writer: Worker | undefined
  #waiting: Waiting[] = []
  #waitingBytes = 0
  /** The group that the writer has: answered all at once. */
  #inFlight: readonly Waiting[] | undefined
  #isScheduled = false
  #isClosed = false
  #idle: (() => void) | undefined

  constructor({ path, log }: SqliteOptions) {
    this.#path = path
    this.#log = log
    this.#reader = openConnection(path, 'read')
  }

  async read({ strings, values }: Statement): Promise<readonly Row[]> {
    if (this.#isClosed) throw closedError()
    try {
      let prepared = this.#prepared.get(strings)
      if (!prepared) {
        prepared = this.#reader.prepare(strings.join('?'))
        if (this.#prepared.size >= preparedStatements) this.#prepared.clear()
        this.#prepared.set(strings, prepared)
      }
      return rowsOf(prepared.all(...values))
    } catch (error) {
      throw new SqlError(messageOf(error), false)
    }
  }

  write(statements: readonly Statement[]): Promise<readonly WriteResult[]> {
    if (this.#isClosed) return Promise.reject(closedError())
    const bytes = sizeOf(statements)
    if (this.#waiting.length >= waitingWrites || this.#waitingBytes + bytes > waitingBytes) {
      return Promise.reject(new SqlError('too many writes waiting', false))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ statements, bytes, resolve, reject })
      this.#waitingBytes += bytes
      if (this.#inFlight || this.#isScheduled) return
      // What else arrives in this turn of the event loop shares the sync.
      this.#isScheduled = true
      setImmediate(() => this.#send())
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#inFlight || this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    const writer = this.#writer
    if (writer) {
      const exited = new Promise((resolve) => writer.once('exit', resolve))
      writer.postMessage('close')
      await exited
    }
    this.#reader.close()
  }

  /** Hands what waits to the writer. */
  #send(): void {
    this.#isScheduled = false
    if (this.#inFlight) return
    if (this.#waiting.length === 0) return this.#idle?.()
    const group = this.#nextGroup()
    this.#inFlight = group
    const writer = this.#thread()
    const texts: [number, string][] = []
    const writes = group.map(({ statements }) =>
      statements.map((statement) => this.#message(statement, texts)),
    )
    writer.postMessage({ texts, writes } satisfies GroupMessage)
  }

  #nextGroup(): readonly Waiting[] {
    let length = 0
    let bytes = 0
    for (const write of this.#waiting) {
      if (length > 0 && (length >= groupWrites || bytes + write.bytes > groupBytes)) break
      length++
      bytes += write.bytes
    }
    this.#waitingBytes -= bytes
    return this.#waiting.splice(0, length)
  }

  #message({ strings, values, expect }: Statement, texts: [number, string][]): StatementMessage {
    let id = this.#textIds.get(strings)
    if (id === undefined) {
      id = this.#textIds.size
      this.#textIds.set(strings, id)
      texts.push([id, strings.join('?')])
    }
    const own = values.map(trimmed)
    return expect === undefined ? [id, own] : [id, own, expect]
  }

  /** The writer, started at the first write: many databases are only read. */
  #thread(): Worker {
    if (this.#writer) return this.#writer
    const writer = new Worker(new URL('./writer.ts', import.meta.url), {
      workerData: { path: this.#path },
      // Flags that were meant for the main script (`--eval`, `--test`) would stop a thread.
      execArgv: [],
    })
    writer.on('message', (replies: ReplyMessage) => this.#receive(replies))
    writer.on('error', (error) => this.#lose(writer, error))
    writer.on('exit', () => this.#lose(writer, new Error('its thread ended')))
    this.#writer = writer
    return writer
  }

  #receive(replies: ReplyMessage): void {
    const group = this.#inFlight ?? []
    this.#inFlight = undefined
    for (const [index, waiting] of group.entries()) settle(waiting, replies[index])
    this.#send()
  }

  /** What a lost writer was doing is refused; the next write gets another one. */
  #lose(writer: Worker, cause: Error): void {
    if (this.#writer !== writer) return
    this.#writer = undefined
    this.#textIds.clear()
    const group = this.#inFlight ?? []
    this.#inFlight = undefined
    if (group.length > 0)
      this.#log.error('database writer lost', { path: this.#path, error: cause.message })
    for (const { reject } of group) {
      reject(new SqlError(`the database can't be written: ${cause.message}`, false))
    }
    this.#send()
  }
}

function closedError(): SqlError {
  return new SqlError('the database is closed', false)
}

/**
 * A view is sent to a thread with all of the buffer below it, which may be the much larger pool of
 * a socket's chunks: such a one is copied out.
 */
function trimmed(value: SqlValue): SqlValue {
  const isPart = value instanceof Uint8Array && value.byteLength !== value.buffer.byteLength
  return isPart ? new Uint8Array(value) : value
}

function settle({ resolve, reject }: Waiting, reply: WriteMessage | undefined): void {
  if (!reply) reject(new SqlError('the writer gave no answer', false))
  else if (reply.ok) resolve(reply.results)
  else if (reply.type === 'expectation') reject(new SqlExpectationError(reply.index))
  else reject(new SqlError(reply.message, reply.type === 'constraint'))
}

function sizeOf(statements: readonly Statement[]): number {
  let bytes = 0
  for (const { values } of statements) {
    for (const value of values) {
      if (typeof value === 'string') bytes += value.length
      else if (value instanceof Uint8Array) bytes += value.byteLength
    }
  }
  return bytes
}

/** SQLite's rows as the port's: integers that would be a `bigint` were refused by the driver. */
function rowsOf(rows: readonly Record<string, SQLOutputValue>[]): readonly Row[] {
  return rows.every(isPlain) ? rows : []
}

function isPlain(row: Record<string, SQLOutputValue>): row is Record<string, PlainValue> {
  for (const name in row) {
    if (typeof row[name] === 'bigint') throw new Error(`column "${name}" is too large a number`)
  }
  return true
}

/** Applies what is missing, each migration in a transaction with the row that says it was. */
function migrate({ path, migrations }: SqliteOptions): void {
  using database = openConnection(path, 'write')
  database.exec('CREATE TABLE IF NOT EXISTS migration (id TEXT PRIMARY KEY) STRICT')
  const applied = new Set(
    database
      .prepare('SELECT id FROM migration')
      .all()
      .map((row) => row['id']),
  )
  const known = new Set<unknown>(migrations.map(({ id }) => id))
  for (const id of applied) {
    if (known.has(id)) continue
    throw new OperatorError(
      `${path} was written by a newer Bindery (migration ${String(id)}): use that version.`,
    )
  }
  for (const { id, text } of migrations) {
    if (applied.has(id)) continue
    database.exec('BEGIN IMMEDIATE')
    database.exec(text)
    database.prepare('INSERT INTO migration (id) VALUES (?)').run(id)
    database.exec('COMMIT')
  }
}
