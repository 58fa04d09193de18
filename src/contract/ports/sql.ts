/**
 * The `Sql` port: one database of ours (control state, one per binding). SQLite on one machine,
 * Postgres on several; statements are written so that both take them.
 *
 * Reads see every write that was acknowledged before they began. A write resolves when it is on
 * disk and not before; concurrent writes share one transaction and one fsync ("group commit"), but
 * each `write` is atomic by itself: when one fails, the others of its group still go through.
 */
export interface Sql extends AsyncDisposable {
  /** Runs one query that changes nothing. */
  read(statement: Statement): Promise<readonly Row[]>

  /**
   * Runs statements in order, all or none, and resolves once they are durable.
   * Rejects with `SqlExpectationError` when a statement's `expect` was not met, with `SqlError`
   * for a constraint or an engine's failure. A rejected write has stored nothing.
   */
  write(statements: readonly Statement[]): Promise<readonly WriteResult[]>

  /** Waits for writes that are on their way, then closes. Later calls reject. */
  [Symbol.asyncDispose](): Promise<void>
}

export type SqlValue = string | number | bigint | null | Uint8Array

/** Integers that do not fit a double are not read back: no column of ours holds one. */
export type Row = Readonly<Record<string, string | number | null | Uint8Array>>

export type Statement = {
  /** The pieces of text around the values. The same array each time, so drivers can cache by it. */
  readonly strings: readonly string[]
  readonly values: readonly SqlValue[]
  /** The whole write is undone unless this statement changed exactly so many rows. */
  readonly expect?: number
}

export type WriteResult = {
  /** Rows inserted, updated or deleted by this statement. */
  readonly changes: number
  /** Rows of a `RETURNING` clause. */
  readonly rows: readonly Row[]
}

/** A statement with values in their places: sql`select name from worker where account = ${id}`. */
export function sql(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Statement {
  return { strings, values }
}

/** The statement, with the promise that it changes exactly `rows` rows. */
export function expecting(rows: number, statement: Statement): Statement {
  return { ...statement, expect: rows }
}

/** A failed constraint or an engine's failure. `constraint` tells the first apart. */
export class SqlError extends Error {
  readonly constraint: boolean
  constructor(message: string, constraint: boolean) {
    super(message)
    this.name = 'SqlError'
    this.constraint = constraint
  }
}

/** A statement changed another number of rows than it was `expecting`. */
export class SqlExpectationError extends Error {
  /** The index of the statement within its write. */
  readonly index: number
  constructor(index: number) {
    super(`statement ${index} changed an unexpected number of rows`)
    this.name = 'SqlExpectationError'
    this.index = index
  }
}

// Readers of columns: a row comes from outside, so its types are checked where it enters.

export function textColumn(row: Row, name: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw columnError(name, 'text', value)
  return value
}

export function textColumnOrNull(row: Row, name: string): string | null {
  return row[name] === null ? null : textColumn(row, name)
}

export function integerColumn(row: Row, name: string): number {
  const value = row[name]
  if (typeof value !== 'number') throw columnError(name, 'a number', value)
  return value
}

export function integerColumnOrNull(row: Row, name: string): number | null {
  return row[name] === null ? null : integerColumn(row, name)
}

export function bytesColumn(row: Row, name: string): Uint8Array {
  const value = row[name]
  if (!(value instanceof Uint8Array)) throw columnError(name, 'bytes', value)
  return value
}

export function bytesColumnOrNull(row: Row, name: string): Uint8Array | null {
  return row[name] === null ? null : bytesColumn(row, name)
}

function columnError(name: string, wanted: string, value: unknown): Error {
  return new Error(`column "${name}" should be ${wanted}, but is ${typeof value}`)
}
