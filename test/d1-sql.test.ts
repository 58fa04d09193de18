import assert from 'node:assert/strict'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { type Param, programOf, type Statement, type Step } from '#test/d1-statements.ts'
import { type Asked, askAll, database, deployAsker, type Told } from '#test/d1-worker.ts'
import { placeOf } from '#test/deployer.ts'
import { seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// Statements by the thousand, made by chance, in D1 and in plain SQLite: what one says, the other says.

/** Of each program, and how many there are: a program has a database of its own. */
const programs = 6
const steps = 500
/** Steps of one request. */
const atOnce = 50

let server: TestServer
before(async () => {
  server = await startTestServer()
})
after(() => server[Symbol.asyncDispose]())

suite(`D1 says what SQLite says, seed ${seed}`, () => {
  for (let program = 0; program < programs; program++) {
    test(`${steps} steps of program ${program}`, async () => {
      const worker = `program-${program}`
      await deployAsker(placeOf(server), worker, await database(placeOf(server), worker))
      using plain = new DatabaseSync(':memory:')
      plain.exec('PRAGMA foreign_keys = ON')
      const all = programOf(seed + program, steps)
      const seen = { refused: 0, rows: 0, changes: 0 }
      for (let at = 0; at < all.length; at += atOnce) {
        const some = all.slice(at, at + atOnce)
        const told = await askAll(server, worker, some.map(askedOf))
        for (const [index, step] of some.entries()) {
          const answer = told[index]
          const expected = expectedOf(plain, step)
          const title = `step ${at + index}: ${JSON.stringify(step)}`
          assert.deepEqual(answer && outcomesOf(answer), expected, title)
          if (typeof expected === 'string') seen.refused++
          else {
            seen.rows += expected.reduce((sum, { rows }) => sum + rows.length, 0)
            seen.changes += expected.reduce((sum, { changes }) => sum + changes, 0)
          }
        }
      }
      const isTelling =
        seen.refused > steps / 20 &&
        seen.refused < steps / 2 &&
        seen.rows > steps &&
        seen.changes > steps / 2
      assert.ok(isTelling, JSON.stringify(seen))
    })
  }
})

type Outcome = {
  readonly rows: readonly (readonly unknown[])[]
  readonly changes: number
  readonly lastRowId: number
}

function askedOf(step: Step): Asked {
  return { operation: 'batch', statements: step }
}

const results = z.array(
  z.object({
    results: z.array(z.record(z.string(), z.unknown())),
    meta: z.object({ changes: z.number(), last_row_id: z.number() }),
  }),
)

/** What each statement gave, or what was wrong with one of them. */
function outcomesOf(answer: Told): readonly Outcome[] | string {
  if ('error' in answer) {
    const [, message] =
      /^D1_ERROR: (.*?)(?: at offset \d+)?: SQLITE_[A-Z]+/s.exec(answer.error) ?? []
    return message ?? assert.fail(answer.error)
  }
  return results.parse(answer.result).map(({ results: rows, meta }) => ({
    rows: rows.map((row) => Object.values(row)),
    changes: meta.changes,
    lastRowId: meta.last_row_id,
  }))
}

/** A step is a transaction: all of it, or none. */
function expectedOf(plain: DatabaseSync, step: Step): readonly Outcome[] | string {
  plain.exec('BEGIN')
  try {
    const outcomes = step.map((statement) => outcomeOf(plain, statement))
    plain.exec('COMMIT')
    return outcomes
  } catch (error) {
    if (plain.isTransaction) plain.exec('ROLLBACK')
    return error instanceof Error ? error.message : String(error)
  }
}

function outcomeOf(plain: DatabaseSync, { sql, params }: Statement): Outcome {
  const [changesBefore] = countersOf(plain)
  const statement = plain.prepare(sql)
  // In JavaScript's numbers some integers are none.
  statement.setReadBigInts(true)
  const rows = statement.all(...params.map(boundOf))
  const [changes, lastRowId] = countersOf(plain)
  return {
    rows: rows.map((row) => Object.values(row).map(shownOf)),
    changes: changes - changesBefore,
    lastRowId,
  }
}

const counters = z.object({ changes: z.number(), last: z.number() })

function countersOf(plain: DatabaseSync): readonly [changes: number, lastRowId: number] {
  const row = plain.prepare('SELECT total_changes() AS changes, last_insert_rowid() AS last').get()
  const { changes, last } = counters.parse(row)
  return [changes, last]
}

function boundOf(param: Param): string | number | null | Uint8Array {
  return typeof param === 'object' && param !== null ? Uint8Array.from(param) : param
}

/** A value as it is once it was JSON. */
function shownOf(value: SQLOutputValue): unknown {
  if (value instanceof Uint8Array) return [...value]
  const shown = typeof value === 'bigint' ? Number(value) : value
  if (typeof shown !== 'number') return shown
  return Number.isFinite(shown) ? shown + 0 : null
}
