import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Asked, ask, database, deployAsker, resultOf, rowsOf } from '#test/d1-worker.ts'
import { placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// A call of D1 is a transaction, whatever it says: it leaves all or nothing, no setting, and no harm to others.

let server: TestServer
const worker = 'asker'
before(async () => {
  server = await startTestServer()
  const place = placeOf(server)
  await deployAsker(place, worker, await database(place, 'main'))
  await result({
    operation: 'batch',
    statements: [
      { sql: 'CREATE TABLE person (id INTEGER PRIMARY KEY)' },
      { sql: 'CREATE TABLE pet (owner INTEGER NOT NULL REFERENCES person (id))' },
      { sql: 'INSERT INTO person VALUES (1), (2)' },
    ],
  })
})
after(() => server[Symbol.asyncDispose]())

const result = (asked: Asked): Promise<unknown> => resultOf(server, worker, asked)

test('a statement that fails half-way leaves nothing, whatever it says', async () => {
  await result({ operation: 'run', sql: 'CREATE TABLE half (a UNIQUE)' })
  const strict = 'CREATE TABLE half_way (a UNIQUE ON CONFLICT FAIL)'
  await result({ operation: 'run', sql: strict })
  for (const sql of [
    'INSERT OR FAIL INTO half VALUES (1), (1)',
    'INSERT INTO half_way VALUES (1), (1)',
  ]) {
    assert.ok('error' in (await ask(server, worker, { operation: 'run', sql })))
  }
  assert.deepEqual(await rowsOf(server, worker, 'SELECT * FROM half'), [])
  assert.deepEqual(await rowsOf(server, worker, 'SELECT * FROM half_way'), [])
})

test('foreign keys hold, whoever turned them off', async () => {
  for (const sql of [
    'PRAGMA foreign_keys = OFF',
    'PRAGMA defer_foreign_keys = ON',
    'pragma/**/foreign_keys=0; SELECT 1',
  ]) {
    await result({ operation: 'run', sql })
    const orphan = { operation: 'run', sql: 'INSERT INTO pet (owner) VALUES (12345)' }
    const answer = await ask(server, worker, orphan)
    assert.ok('error' in answer, sql)
    assert.match(answer.error, /FOREIGN KEY constraint failed/)
  }
})

test('a foreign key that is violated when all is written is told, and harms nobody', async () => {
  const sql = '\nCREATE TABLE late (a REFERENCES person (id) DEFERRABLE INITIALLY DEFERRED)'
  await result({ operation: 'run', sql })
  const insert = (value: number) => ({
    sql: 'INSERT INTO late VALUES (?) RETURNING a',
    params: [value],
  })
  const statements = [insert(1), insert(12345), insert(2), insert(12346), insert(1)]
  const refused =
    'D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)'
  const told = await result({ operation: 'both', statements })
  assert.deepEqual(told, [[{ a: 1 }], refused, [{ a: 2 }], refused, [{ a: 1 }]])
  const rows = await rowsOf(server, worker, 'SELECT a FROM late ORDER BY a')
  assert.deepEqual(rows, [{ a: 1 }, { a: 1 }, { a: 2 }])
})
