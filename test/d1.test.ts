import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { type Asked, ask, database, deployAsker, resultOf, rowsOf } from '#test/d1-worker.ts'
import { call, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// D1 in a whole server, as user code has it: contracts/d1.md §1 to §3.

let server: TestServer
const worker = 'asker'
before(async () => {
  server = await startTestServer()
  const place = placeOf(server)
  await deployAsker(place, worker, await database(place, 'main'))
  await result({
    operation: 'batch',
    statements: [
      {
        sql: 'CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER CHECK (age > 0))',
      },
      { sql: 'CREATE UNIQUE INDEX by_name ON person (name)' },
      {
        sql: 'CREATE TABLE pet (owner INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE, name TEXT)',
      },
      { sql: `INSERT INTO person VALUES (1, 'Ann', 40), (2, 'Bob', NULL)` },
      { sql: 'CREATE TABLE empty (a, b)' },
    ],
  })
})
after(() => server[Symbol.asyncDispose]())

const result = (asked: Asked): Promise<unknown> => resultOf(server, worker, asked)

const meta = z.strictObject({
  served_by: z.string(),
  served_by_region: z.string().optional(),
  served_by_colo: z.string().optional(),
  served_by_primary: z.boolean(),
  timings: z.strictObject({ sql_duration_ms: z.number() }),
  duration: z.number(),
  changes: z.number(),
  last_row_id: z.number(),
  changed_db: z.boolean(),
  size_after: z.number(),
  rows_read: z.number(),
  rows_written: z.number(),
  total_attempts: z.number(),
})
const whole = z.strictObject({ success: z.literal(true), meta, results: z.array(z.unknown()) })

suite('what user code is answered', () => {
  const select = 'SELECT id, name, age FROM person WHERE id = ?'
  const answers: Readonly<Record<string, readonly [Asked, unknown]>> = {
    'first row': [
      { operation: 'first', sql: select, params: [1] },
      { id: 1, name: 'Ann', age: 40 },
    ],
    'first of a column': [{ operation: 'first', sql: select, params: [1], column: 'name' }, 'Ann'],
    'first of nothing': [{ operation: 'first', sql: select, params: [9] }, null],
    'first of a column of nothing': [
      { operation: 'first', sql: select, params: [9], column: 'name' },
      null,
    ],
    raw: [{ operation: 'raw', sql: select, params: [2] }, [[2, 'Bob', null]]],
    'raw with names': [
      { operation: 'raw', sql: select, params: [2], columnNames: true },
      [
        ['id', 'name', 'age'],
        [2, 'Bob', null],
      ],
    ],
    'raw with names of nothing': [
      { operation: 'raw', sql: 'SELECT * FROM empty', columnNames: true },
      [['a', 'b']],
    ],
    'raw keeps columns of one name': [
      { operation: 'raw', sql: 'SELECT 1 AS a, 2 AS a', columnNames: true },
      [
        ['a', 'a'],
        [1, 2],
      ],
    ],
    'a bound statement is another one': [
      { operation: 'twice', sql: 'SELECT ?' },
      [[[1]], [[2]], [[1]]],
    ],
    'numbered parameters': [
      { operation: 'raw', sql: 'SELECT ?2, ?1', params: [1, 'two'] },
      [['two', 1]],
    ],
    'a parameter twice': [{ operation: 'raw', sql: 'SELECT ?1 + ?1', params: [21] }, [[42]]],
  }
  for (const [name, [asked, expected]] of Object.entries(answers)) {
    test(name, async () => assert.deepEqual(await result(asked), expected))
  }

  test('all: the last of columns of one name', async () => {
    const { results } = whole.parse(
      await result({ operation: 'all', sql: 'SELECT 1 AS a, 2 AS a' }),
    )
    assert.deepEqual(results, [{ a: 2 }])
  })

  const values: readonly (readonly [value: unknown, type: string, back: unknown])[] = [
    ['tëxt \u0000 😀', 'text', 'tëxt \u0000 😀'],
    ['', 'text', ''],
    // Every number is a double on its way into SQLite; a column may make an integer of it.
    [1, 'real', 1],
    [1.5, 'real', 1.5],
    [9007199254740991, 'real', 9007199254740991],
    [true, 'real', 1],
    [false, 'real', 0],
    [null, 'null', null],
    [{ number: 'NaN' }, 'null', null],
    [{ number: 'Infinity' }, 'null', null],
    [{ buffer: [0, 1, 255] }, 'blob', [0, 1, 255]],
    [{ bytes: [0, 1, 255] }, 'blob', [0, 1, 255]],
    [{ part: [0, 1, 255] }, 'blob', [1, 255]],
    [[1, 2, 3], 'blob', [1, 2, 3]],
    [[], 'blob', []],
  ]
  for (const [value, type, back] of values) {
    test(`bind ${JSON.stringify(value)}`, async () => {
      const asked = { operation: 'raw', sql: 'SELECT typeof(?1), ?1', params: [value] }
      assert.deepEqual(await result(asked), [[type, back]])
    })
  }

  test('meta counts what a statement did', async () => {
    const steps: readonly (readonly [sql: string, Partial<z.output<typeof meta>>])[] = [
      ['CREATE TABLE counted (id INTEGER PRIMARY KEY, a)', { changed_db: true, changes: 0 }],
      [
        'INSERT INTO counted (a) VALUES (1), (2), (3)',
        { changes: 3, last_row_id: 3, changed_db: true, rows_written: 3 },
      ],
      [
        'SELECT * FROM counted',
        { changes: 0, last_row_id: 3, changed_db: false, rows_read: 3, rows_written: 0 },
      ],
      ['UPDATE counted SET a = 0 WHERE id > 1', { changes: 2, changed_db: true, rows_written: 2 }],
      ['DELETE FROM counted', { changes: 3, changed_db: true }],
    ]
    for (const [sql, expected] of steps) {
      for (const operation of sql.startsWith('SELECT') ? ['all', 'run'] : ['run']) {
        const { meta: told } = whole.parse(await result({ operation, sql }))
        assert.deepEqual({ ...told, ...expected }, told, sql)
        assert.equal(told.served_by_primary, true)
        assert.equal(told.total_attempts, 1)
        assert.ok(told.size_after > 0 && told.size_after % 4096 === 0)
      }
    }
  })

  test('a cascade counts', async () => {
    await result({
      operation: 'exec',
      sql: `INSERT INTO person VALUES (50, 'Cat', 1)\nINSERT INTO pet VALUES (50, 'a'), (50, 'b')`,
    })
    const { meta: told } = whole.parse(
      await result({ operation: 'run', sql: 'DELETE FROM person WHERE id = 50' }),
    )
    assert.equal(told.changes, 3)
    assert.deepEqual(await rowsOf(server, worker, 'SELECT * FROM pet'), [])
  })

  test('run of a query gives rows', async () => {
    const asked = { operation: 'run', sql: 'SELECT name FROM person ORDER BY id' }
    assert.deepEqual(whole.parse(await result(asked)).results, [{ name: 'Ann' }, { name: 'Bob' }])
  })

  test('batch: results in order, in one transaction', async () => {
    const statements = [
      { sql: 'INSERT INTO empty VALUES (?, ?)', params: [1, 2] },
      { sql: 'SELECT * FROM empty' },
      { sql: 'DELETE FROM empty' },
    ]
    const all = z.array(whole).parse(await result({ operation: 'batch', statements }))
    assert.deepEqual(
      all.map(({ results }) => results),
      [[], [{ a: 1, b: 2 }], []],
    )
  })

  test('exec: lines, of which some are empty or comments', async () => {
    const sql = `  CREATE TABLE lines (a);\n\nINSERT INTO lines VALUES (1); INSERT INTO lines VALUES (2)\n-- nothing\nSELECT 1  `
    const counted = z.strictObject({ count: z.number(), duration: z.number() })
    const { count } = counted.parse(await result({ operation: 'exec', sql }))
    assert.ok(count >= 3, `${count}`)
    assert.deepEqual(await rowsOf(server, worker, 'SELECT a FROM lines'), [{ a: 1 }, { a: 2 }])
  })

  test('large values and results', async () => {
    const text = 'x'.repeat(1_900_000)
    await result({ operation: 'run', sql: 'CREATE TABLE large (a)' })
    await result({ operation: 'run', sql: 'INSERT INTO large VALUES (?)', params: [text] })
    assert.deepEqual(await result({ operation: 'raw', sql: 'SELECT a FROM large' }), [[text]])
    const bytes = Array.from({ length: 500_000 }, (_, at) => at % 256)
    assert.deepEqual(await result({ operation: 'raw', sql: 'SELECT ?', params: [bytes] }), [
      [bytes],
    ])
    const many = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT i FROM n`
    const rows = await rowsOf(server, worker, many)
    assert.equal(rows.length, 10_000)
  })
})

suite('what user code is told is wrong', () => {
  const transaction =
    /^D1_ERROR: To execute a transaction, please use the state\.storage\.transaction\(\) or state\.storage\.transactionSync\(\) APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements\./
  const wide = Array.from({ length: 101 }, (_, at) => `c${at}`).join(',')
  const compound = Array.from({ length: 6 }, () => 'SELECT 1').join(' UNION ALL ')
  const questions = Array.from({ length: 101 }, () => '?').join(',')
  const d1Error = (text: string): string => `D1_ERROR: ${text}`
  const cases: readonly (readonly [Asked | string, string | RegExp])[] = [
    [
      `INSERT INTO person VALUES (1, 'Zoe', 1)`,
      d1Error(
        'UNIQUE constraint failed: person.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)',
      ),
    ],
    [
      `INSERT INTO person VALUES (3, 'Ann', 1)`,
      d1Error(
        'UNIQUE constraint failed: person.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)',
      ),
    ],
    [
      `INSERT INTO person VALUES (3, NULL, 1)`,
      d1Error(
        'NOT NULL constraint failed: person.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_NOTNULL)',
      ),
    ],
    [
      `INSERT INTO person VALUES (3, 'Zoe', 0)`,
      d1Error(
        'CHECK constraint failed: age > 0: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_CHECK)',
      ),
    ],
    [
      `INSERT INTO pet VALUES (99, 'x')`,
      d1Error(
        'FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)',
      ),
    ],
    ['SELECT * FROM nope', d1Error('no such table: nope: SQLITE_ERROR')],
    ['SELECT nope FROM person', d1Error('no such column: nope at offset 7: SQLITE_ERROR')],
    ['SELEC 1', d1Error('near "SELEC": syntax error at offset 0: SQLITE_ERROR')],
    ['SELECT', d1Error('incomplete input: SQLITE_ERROR')],
    [
      { operation: 'all', sql: 'SELECT ?', params: [] },
      d1Error('Wrong number of parameter bindings for SQL query.'),
    ],
    [
      { operation: 'all', sql: 'SELECT ?', params: [1, 2] },
      d1Error('Wrong number of parameter bindings for SQL query.'),
    ],
    [`SELECT ${questions}`, /^D1_ERROR: too many SQL variables at offset \d+: SQLITE_ERROR$/],
    ['', d1Error('No SQL statements detected.')],
    ['-- nothing', d1Error('No SQL statements detected.')],
    [
      { operation: 'all', sql: 'SELECT ?; SELECT ?', params: [1, 2] },
      d1Error(
        'When executing multiple SQL statements in a single call, only the last statement can have parameters.',
      ),
    ],
    ['BEGIN', transaction],
    ['COMMIT', transaction],
    ['SAVEPOINT a', transaction],
    [
      'SELECT sqlite_version()',
      d1Error('not authorized to use function: sqlite_version at offset 7: SQLITE_ERROR'),
    ],
    ['VACUUM', d1Error('cannot VACUUM from within a transaction: SQLITE_ERROR')],
    [
      `SELECT 'a' LIKE '${'%'.repeat(51)}'`,
      d1Error('LIKE or GLOB pattern too complex: SQLITE_ERROR'),
    ],
    [`CREATE TABLE wide (${wide})`, d1Error('too many columns on wide: SQLITE_ERROR')],
    [`SELECT '${'x'.repeat(100_001)}'`, d1Error('statement too long: SQLITE_TOOBIG')],
    [compound, d1Error('too many terms in compound SELECT: SQLITE_ERROR')],
    [{ operation: 'batch', statements: [] }, d1Error('No SQL statements detected.')],
    [
      { operation: 'first', sql: 'SELECT 1 AS a', column: 'zz' },
      'D1_COLUMN_NOTFOUND: Column not found (zz)',
    ],
    [{ operation: 'dump' }, 'D1_DUMP_ERROR: Status + 400'],
    [
      { operation: 'exec', sql: 'SELECT * FROM nope' },
      'D1_EXEC_ERROR: Error in line 1: SELECT * FROM nope: no such table: nope: SQLITE_ERROR',
    ],
    [
      { operation: 'all', sql: 'SELECT 1', session: '0000' },
      d1Error('D1_SESSION_ERROR: invalid bookmark or constraint'),
    ],
  ]
  for (const [given, expected] of cases) {
    const asked = typeof given === 'string' ? { operation: 'all', sql: given } : given
    test(`${asked.operation} ${(asked.sql ?? '').slice(0, 60)} ${asked.params?.length ?? ''}`, async () => {
      const answer = await ask(server, worker, asked)
      assert.ok('error' in answer, JSON.stringify(answer))
      if (typeof expected === 'string') assert.equal(answer.error, expected)
      else assert.match(answer.error, expected)
    })
  }

  for (const [kind, value, text] of [
    ['undefined', true, "Type 'undefined' not supported for value 'undefined'"],
    ['object', { a: 1 }, "Type 'object' not supported for value '[object Object]'"],
    ['bigint', '1', "Type 'bigint' not supported for value '1'"],
  ] as const) {
    test(`bind ${kind}`, async () => {
      const answer = await ask(server, worker, {
        operation: 'all',
        sql: 'SELECT ?',
        params: [{ [kind]: value }],
      })
      assert.ok('error' in answer)
      assert.equal(answer.error, `D1_TYPE_ERROR: ${text}`)
    })
  }

  test('an error has its text as its cause', async () => {
    const answer = await ask(server, worker, { operation: 'all', sql: 'SELECT * FROM nope' })
    assert.deepEqual(answer, {
      error: 'D1_ERROR: no such table: nope: SQLITE_ERROR',
      cause: 'no such table: nope: SQLITE_ERROR',
    })
  })

  test('a batch or exec that fails leaves nothing, wherever it fails', async () => {
    await result({ operation: 'run', sql: 'CREATE TABLE undone (a)' })
    const good = { sql: 'INSERT INTO undone VALUES (1)' }
    const bad = { sql: 'INSERT INTO nope VALUES (1)' }
    for (const statements of [
      [good, bad],
      [good, good, bad, good],
      [bad, good],
    ]) {
      const answer = await ask(server, worker, { operation: 'batch', statements })
      assert.ok('error' in answer)
      const sql = statements.map((each) => each.sql).join('\n')
      assert.ok('error' in (await ask(server, worker, { operation: 'exec', sql })))
    }
    assert.ok(
      'error' in (await ask(server, worker, { operation: 'all', sql: `${good.sql}; ${bad.sql}` })),
    )
    assert.deepEqual(await rowsOf(server, worker, 'SELECT * FROM undone'), [])
  })

  test('of calls at once, the one that fails is alone', async () => {
    await result({ operation: 'run', sql: 'CREATE TABLE beside (a UNIQUE)' })
    const insert = (value: number) => ({
      sql: 'INSERT INTO beside VALUES (?) RETURNING a',
      params: [value],
    })
    const told = await result({
      operation: 'both',
      statements: [insert(1), insert(2), insert(1), insert(3)],
    })
    assert.deepEqual(told, [
      [{ a: 1 }],
      [{ a: 2 }],
      'D1_ERROR: UNIQUE constraint failed: beside.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)',
      [{ a: 3 }],
    ])
    assert.equal((await rowsOf(server, worker, 'SELECT * FROM beside')).length, 3)
  })
})

suite('sessions', () => {
  const bookmarked = async (asked: Asked): Promise<string> => {
    const answer = await ask(server, worker, asked)
    assert.ok('result' in answer, JSON.stringify(answer))
    assert.match(answer.bookmark ?? '', /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/)
    return answer.bookmark ?? ''
  }

  test('bookmarks increase, also over a restart and a restore, and reads see them', async () => {
    const insert = 'INSERT INTO seen VALUES (1)'
    await result({ operation: 'run', sql: 'CREATE TABLE seen (a)' })
    let last = await bookmarked({ operation: 'run', sql: insert, session: null })
    for (const session of ['first-primary', 'first-unconstrained', last]) {
      const next = await bookmarked({ operation: 'run', sql: insert, session })
      assert.ok(next > last, `${next} after ${last}`)
      last = next
    }
    assert.ok((await bookmarked({ operation: 'all', sql: 'SELECT 1', session: last })) >= last)
    await server.restart()
    const reached = await bookmarked({ operation: 'all', sql: 'SELECT * FROM seen', session: last })
    assert.ok(reached >= last, `${reached} after ${last}`)
    assert.equal((await rowsOf(server, worker, 'SELECT * FROM seen')).length, 4)
    const next = await bookmarked({ operation: 'run', sql: insert, session: last })
    assert.ok(next > last)
  })

  test('a call that fails leaves a session where it was', async () => {
    const answer = await ask(server, worker, {
      operation: 'all',
      sql: 'SELECT * FROM nope',
      session: 'first-primary',
    })
    assert.ok('error' in answer)
  })
})

test('a database that is deleted is gone for the Worker that is bound to it', async () => {
  const place = placeOf(server)
  const id = await database(place, 'short-lived')
  await deployAsker(place, 'widow', id)
  assert.deepEqual(await rowsOf(server, 'widow', 'SELECT 1 AS a'), [{ a: 1 }])
  await call(place, 'DELETE', `~/d1/database/${id}`)
  assert.deepEqual(await ask(server, 'widow', { operation: 'all', sql: 'SELECT 1' }), {
    error: `D1_ERROR: The database ${id} could not be found`,
    cause: `The database ${id} could not be found`,
  })
})
