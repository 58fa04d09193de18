import { DurableObject } from 'cloudflare:workers'

// The engine of D1 (`contract/engine.ts`): an object per database, which runs what its users wrote in
// workerd's SQLite. A call is a letter that says its form, and JSON:
//
//   q   as the native client's `/query`: a statement, or an array of them; answered with columns and rows
//   e   as its `/execute`: the same, answered with row objects
//
// Statements that are empty, or only comments, are passed over.
//
// A stream is a letter, and what it is of:
//
//   i   the text of an SQL file
//
// Each call, and each stream, is a transaction by itself; of the calls that came together, all that
// succeeded are in one commit. Replies are what the native client takes.

declare global {
  interface SqlStorage {
    /** Runs the whole statements in a text, and gives back what follows the last of them. */
    ingest(text: string): {
      readonly remainder: string
      readonly rowsRead: number
      readonly rowsWritten: number
      readonly statementCount: number
    }
  }
}

type Value = string | number | null | ArrayBuffer
type Statement = { readonly sql: string; readonly params: readonly Value[] }
type Form = 'q' | 'e'

/** So long may a body of calls take before those after it are left for another turn. */
const turnMs = 20
/** A file that has no more than this of what it may have needs no transaction to be undone by. */
const roomyShare = 0.75
/** Of rows of one call, roughly, as JSON: the Workers platform's limit of what RPC carries. */
const replyBytes = 32 * 1024 * 1024
const lengthBytes = 4
/** What may follow the last whole statement of a file: a statement has 100 000 bytes at most, and comments. */
const longestRest = 1024 * 1024
/** What may throw away a transaction that others share: at once, or when it is committed. */
const throwsAway = /rollback|defer/i
/** The same in a schema, where `defer_foreign_keys` is not. */
const alwaysThrowsAway = /rollback|deferrable/i
/** What does or leaves something else outside of a transaction: settings, and what was done before it failed. */
const needsTransaction = /\b(?:pragma|fail)\b/i
const changesSchema = /\b(?:create|alter)\b/i
const foreignKeyViolation =
  'FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)'
const noStatement = 'SQL code did not contain a statement.'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class Database extends DurableObject {
  readonly #sql: SqlStorage
  readonly #storage: DurableObjectStorage
  #totalChanges = 0
  #lastRowId = 0
  readonly #fileBytes: number
  #size = 0
  /** Whether something in the schema may throw a transaction away: calls share none then. */
  #isAlone = false
  /** Whether something in the schema may fail half-way and leave that. */
  #isHalfWay = false
  /** Virtual tables write when a transaction ends: that counts for no statement. */
  #hasVirtualTable = false

  constructor(ctx: DurableObjectState, env: Cloudflare.Env & Bound) {
    super(ctx, env)
    this.#fileBytes = env.FILE_BYTES
    this.#storage = ctx.storage
    this.#sql = ctx.storage.sql
    this.#lookAtSchema()
  }

  #lookAtSchema(): void {
    const found = this.#sql.exec('SELECT sql FROM sqlite_master WHERE sql IS NOT NULL')
    for (const [sql] of found.raw<[string]>()) this.#lookAt(sql)
    this.#size = this.#sql.databaseSize
  }

  /** What was written, or is in the schema. */
  #lookAt(sql: string): void {
    this.#isAlone ||= alwaysThrowsAway.test(sql)
    this.#isHalfWay ||= needsTransaction.test(sql)
    this.#hasVirtualTable ||= /\bvirtual\b/i.test(sql)
  }

  override async fetch(request: Request): Promise<Response> {
    if (request.url.endsWith('/stream')) return new Response(await this.#takeStream(request))
    return new Response(this.#takeAll(new Uint8Array(await request.arrayBuffer())))
  }

  #takeAll(calls: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const view = new DataView(calls.buffer)
    const began = performance.now()
    const replies: Uint8Array[] = []
    let at = 0
    while (at < calls.byteLength) {
      const start = at + lengthBytes
      at = start + view.getUint32(at)
      const text = decoder.decode(calls.subarray(start, at))
      const isAlone = this.#isAlone || throwsAway.test(text)
      if (isAlone && replies.length > 0) break
      replies.push(encoder.encode(this.#take(text)))
      if (isAlone || performance.now() - began > turnMs) break
    }
    return framesOf(replies)
  }

  #take(text: string): string {
    const form = text[0] === 'e' ? 'e' : 'q'
    try {
      const statements = statementsOf(text)
      const results = this.#inTransaction(statements, form)
      for (const { sql } of statements) if (changesSchema.test(sql)) this.#lookAt(sql)
      return `[${results.join(',')}]`
    } catch (error) {
      return this.#undone(error)
    }
  }

  #inTransaction(statements: readonly Statement[], form: Form): readonly string[] {
    const [only] = statements
    if (!only) throw new Error(noStatement)
    const sizeBefore = this.#sql.databaseSize
    const isRoomy = sizeBefore < this.#fileBytes * roomyShare
    const isSingle = statements.length === 1 && this.#isTransaction(only.sql)
    if (isRoomy && isSingle) return [this.#run(only, form)]
    return this.#storage.transactionSync(() => {
      let size = 0
      return statements.map((statement) => {
        const result = this.#run(statement, form)
        size += result.length
        if (size > replyBytes) throw tooLarge()
        this.#checkSize(sizeBefore)
        return result
      })
    })
  }

  /** A file that is too large may become smaller. Throws, in a transaction, if it grew instead. */
  #checkSize(sizeBefore: number): void {
    const size = this.#sql.databaseSize
    if (size > this.#fileBytes && size > sizeBefore) throw new Error('Exceeded maximum DB size')
  }

  /** Whether a text leaves all or nothing behind by itself. */
  #isTransaction(sql: string): boolean {
    if (!isOne(sql)) return false
    return onlyReads(sql) || !(this.#isHalfWay || needsTransaction.test(sql))
  }

  #run({ sql, params }: Statement, form: Form): string {
    if (this.#hasVirtualTable) this.#changes()
    const began = performance.now()
    const cursor = this.#sql.exec(sql, ...params)
    const { columnNames } = cursor
    const rows = form === 'q' ? rowsOf(cursor) : objectsOf(cursor, columnNames)
    const durationMs = performance.now() - began
    const results =
      form === 'q' ? `{"columns":${JSON.stringify(columnNames)},"rows":${rows}}` : rows
    const changes = cursor.rowsWritten > 0 || !onlyReads(sql) ? this.#changes() : 0
    const meta = this.#meta(cursor, changes, durationMs)
    return `{"success":true,"results":${results},"meta":${meta}}`
  }

  #meta(
    used: { readonly rowsRead: number; readonly rowsWritten: number },
    changes: number,
    durationMs: number,
  ): string {
    const { rowsRead, rowsWritten } = used
    const size = this.#sql.databaseSize
    const hasChanged = rowsWritten > 0 || changes > 0 || size !== this.#size
    this.#size = size
    const duration = Math.round(durationMs * 1e4) / 1e4
    return (
      `{"served_by":"bindery","served_by_region":"LOCAL","served_by_primary":true,` +
      `"timings":{"sql_duration_ms":${duration}},"duration":${duration},"changes":${changes},` +
      `"last_row_id":${this.#lastRowId},"changed_db":${hasChanged},"size_after":${size},` +
      `"rows_read":${rowsRead},"rows_written":${rowsWritten},"total_attempts":1}`
    )
  }

  /** Rows that were inserted, updated or deleted since it was last asked, by triggers too. */
  #changes(): number {
    const found = this.#sql.exec('SELECT total_changes(), last_insert_rowid()')
    for (const [total, lastRowId] of found.raw<[number, number]>()) {
      const changes = total - this.#totalChanges
      this.#totalChanges = total
      this.#lastRowId = lastRowId
      return changes
    }
    return 0
  }

  /** What is answered of what failed: what was undone does not count for the next. */
  #undone(error: unknown): string {
    this.#changes()
    this.#size = this.#sql.databaseSize
    return failure(error)
  }

  async #takeStream(request: Request): Promise<string> {
    const began = performance.now()
    const pieces = request.body?.getReader()
    try {
      const file = await this.#storage.transaction(() => this.#ingest(textOf(pieces)))
      if (file.statements === 0) throw new Error(noStatement)
      const meta = this.#meta(file, this.#changes(), performance.now() - began)
      this.#lookAtSchema()
      return `{"success":true,"count":${file.statements},"meta":${meta}}`
    } catch (error) {
      // Who is answered while still sending may find the connection closed, and not the answer.
      for await (const text of textOf(pieces)) void text
      return this.#undone(error)
    }
  }

  async #ingest(texts: AsyncIterable<string>) {
    const sum = { rowsRead: 0, rowsWritten: 0, statements: 0 }
    const sizeBefore = this.#sql.databaseSize
    let rest = ''
    let mayViolate = this.#isAlone
    for await (const text of texts) {
      rest += text
      mayViolate ||= throwsAway.test(rest)
      if (text.includes(';')) {
        const took = this.#sql.ingest(rest)
        sum.rowsRead += took.rowsRead
        sum.rowsWritten += took.rowsWritten
        sum.statements += took.statementCount
        rest = took.remainder
        this.#checkSize(sizeBefore)
      }
      if (rest.length > longestRest) throw new Error('statement too long: SQLITE_TOOBIG')
    }
    const last = this.#runRest(rest)
    sum.rowsRead += last.rowsRead
    sum.rowsWritten += last.rowsWritten
    sum.statements += last.statements
    if (mayViolate) this.#checkForeignKeys()
    return sum
  }

  /** What is violated when a stream ends is told before its commit: of why that fails workerd tells nothing. */
  #checkForeignKeys(): void {
    const violated = this.#sql.exec('PRAGMA foreign_key_check').raw().next()
    if (!violated.done) throw new Error(foreignKeyViolation)
  }

  /** What follows the last semicolon: a statement, or nothing to speak of. */
  #runRest(rest: string) {
    try {
      const cursor = this.#sql.exec(rest)
      for (const row of cursor.raw()) void row
      return { rowsRead: cursor.rowsRead, rowsWritten: cursor.rowsWritten, statements: 1 }
    } catch (error) {
      if (messageOf(error) !== noStatement) throw error
      return { rowsRead: 0, rowsWritten: 0, statements: 0 }
    }
  }
}

type Bound = { readonly DATABASES: DurableObjectNamespace; readonly FILE_BYTES: number }

export default {
  async fetch(request: Request, env: Bound): Promise<Response> {
    const id = new URL(request.url).pathname.split('/')[1] ?? ''
    if (id === '') return new Response('[]')
    try {
      return await env.DATABASES.get(env.DATABASES.idFromString(id)).fetch(request)
    } catch (error) {
      // What workerd says of an object whose commit was refused. Whatever may do that is alone in its commit.
      if (!messageOf(error).includes(`constraints were violated: ${foreignKeyViolation}`))
        throw error
      return new Response(framesOf([encoder.encode(failure(new Error(foreignKeyViolation)))]))
    }
  },
}

/**
 * Reads the JSON of a call: those of its statements that say something. Its shape was checked before it
 * came here, but for what is user code's doing.
 */
function statementsOf(text: string): readonly Statement[] {
  const json: unknown = JSON.parse(text.slice(1))
  const items: readonly unknown[] = Array.isArray(json) ? json : [json]
  return items.map(statementOf).filter(({ sql }) => sql !== '')
}

function statementOf(item: unknown): Statement {
  if (typeof item !== 'object' || item === null || !('sql' in item)) throw malformed()
  const params: unknown = 'params' in item ? item.params : undefined
  if (typeof item.sql !== 'string') throw malformed()
  const sql = withoutEnd(item.sql)
  if (params === undefined || params === null) return { sql, params: [] }
  if (!Array.isArray(params)) throw malformed()
  return { sql, params: params.map(valueOf) }
}

/** What is one thing to SQLite: a comment, something quoted, white space and semicolons, or anything else. */
const token =
  /(?<nothing>--[^\n]*|\/\*[^]*?(?:\*\/|$)|[\s;]+)|'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)|[^'"`[\-/\s;]+|[^]/y
const mayEndInNothing = /[\s;]$|--|\/\*/

/** A text up to the end of its last statement: SQLite refuses comments after a semicolon, and D1 does not. */
function withoutEnd(sql: string): string {
  if (!mayEndInNothing.test(sql)) return sql
  let end = 0
  token.lastIndex = 0
  for (let found = token.exec(sql); found; found = token.exec(sql)) {
    if (found.groups?.['nothing'] === undefined) end = token.lastIndex
  }
  return sql.slice(0, end)
}

/** Whether a text can be seen to write nothing at a glance. */
function onlyReads(sql: string): boolean {
  return /^\s*select\b/i.test(sql) && isOne(sql)
}

function valueOf(param: unknown): Value {
  if (param === null || param === undefined) return null
  if (typeof param === 'string' || typeof param === 'number') return param
  if (typeof param === 'boolean') return param ? 1 : 0
  if (Array.isArray(param)) return Uint8Array.from(param).buffer
  throw malformed()
}

function malformed(): Error {
  return new Error('The request is malformed: it should have "sql" and "params".')
}

/** Whether a text has no more than one statement, as far as can be told at a glance. */
function isOne(sql: string): boolean {
  const at = sql.indexOf(';')
  return at === -1 || sql.slice(at + 1).trim() === ''
}

/** Rows as JSON: an array of arrays. */
function rowsOf(cursor: SqlStorageCursor<Record<string, SqlStorageValue>>): string {
  const rows: (readonly (JsonValue | SqlStorageValue)[])[] = []
  let size = 0
  for (const row of cursor.raw()) {
    let hasBytes = false
    for (const value of row) {
      size += sizeOf(value)
      hasBytes ||= typeof value === 'object' && value !== null
    }
    rows.push(hasBytes ? row.map(jsonOf) : row)
    if (size > replyBytes) throw tooLarge()
  }
  return JSON.stringify(rows)
}

/** Rows as JSON: an array of objects. Of columns with the same name the last counts. */
function objectsOf(
  cursor: SqlStorageCursor<Record<string, SqlStorageValue>>,
  columnNames: readonly string[],
): string {
  const rows: Record<string, JsonValue>[] = []
  let size = 0
  for (const row of cursor.raw()) {
    const entries = row.map((value, at): [string, JsonValue] => {
      const name = columnNames[at] ?? ''
      size += name.length + sizeOf(value)
      return [name, jsonOf(value)]
    })
    rows.push(Object.fromEntries(entries))
    if (size > replyBytes) throw tooLarge()
  }
  return JSON.stringify(rows)
}

type JsonValue = string | number | null | readonly number[]

function jsonOf(value: SqlStorageValue): JsonValue {
  return value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value
}

/** About as many characters as a value has in JSON. */
function sizeOf(value: SqlStorageValue): number {
  if (typeof value === 'string') return value.length + 3
  return value instanceof ArrayBuffer ? 4 * value.byteLength : 8
}

function tooLarge(): Error {
  return new Error(`The result is larger than ${replyBytes} bytes: ask for fewer rows at once.`)
}

function failure(error: unknown): string {
  const message = messageOf(error)
  const text = message === noStatement ? 'No SQL statements detected.' : message
  return JSON.stringify({ success: false, error: text })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function framesOf(frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(frames.reduce((sum, frame) => sum + lengthBytes + frame.byteLength, 0))
  const view = new DataView(all.buffer)
  let at = 0
  for (const frame of frames) {
    view.setUint32(at, frame.byteLength)
    all.set(frame, at + lengthBytes)
    at += lengthBytes + frame.byteLength
  }
  return all
}

/** The text of a stream, without its first character, which says its form. */
async function* textOf(
  pieces: ReadableStreamDefaultReader<Uint8Array> | undefined,
): AsyncIterable<string> {
  let isFirst = true
  const decoding = new TextDecoder()
  for (;;) {
    const read = await pieces?.read()
    if (!read || read.done) break
    const text = decoding.decode(read.value, { stream: true })
    yield isFirst ? text.slice(1) : text
    if (text !== '') isFirst = false
  }
  yield decoding.decode()
}
