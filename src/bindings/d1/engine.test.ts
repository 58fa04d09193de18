import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { accountId } from '#contract/ids.ts'
import type { DatabaseFile, DatabaseFiles } from '#contract/ports/databases.ts'
import { openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { callOf, importOf } from './call.ts'

// The engine, in a process of its own, without what stands before it.

const fileBytes = 400_000
const folder = await temporaryFolder()
let ports: Awaited<ReturnType<typeof openPorts>>
let files: DatabaseFiles
let count = 0

before(async () => {
  ports = await openPorts({
    path: folder.path,
    migrations: new URL('./migrations/', import.meta.url),
    databaseLimits: { fileBytes },
  })
  const engine = new URL('./engine.worker.ts', import.meta.url)
  files = ports.databases.open({ name: 'd1', engine })
})
after(async () => {
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const account = accountId.parse('a'.repeat(32))
const newFile = (): DatabaseFile => ({
  account,
  database: String(++count).padStart(32, '0'),
  generation: 1,
})

const answer = z.union([
  z.object({ success: z.literal(false), error: z.string() }),
  z.object({ success: z.literal(true), count: z.number() }),
  z.array(
    z.object({
      results: z.object({ columns: z.array(z.string()), rows: z.array(z.array(z.json())) }),
      meta: z.object({ changes: z.number(), size_after: z.number() }),
    }),
  ),
])

function read(reply: Uint8Array) {
  return answer.parse(JSON.parse(new TextDecoder().decode(reply)))
}

/** The rows of a call's last statement, or its error. */
async function run(file: DatabaseFile, ...texts: readonly string[]): Promise<unknown> {
  const call = callOf(
    'q',
    texts.map((sql) => ({ sql })),
  )
  const told = read((await files.call(file, call)).reply)
  if (!Array.isArray(told)) return 'error' in told ? told.error : told.count
  return told.at(-1)?.results.rows
}

const grow = (bytes: number): string => `INSERT INTO t VALUES (randomblob(${bytes}))`
const tooLarge = 'Exceeded maximum DB size'

suite('a file that may not grow any more', () => {
  test('a call that would make it is undone, and others are not', async () => {
    const file = newFile()
    await run(file, 'CREATE TABLE t (a)', grow(320_000))
    const told = await Promise.all([
      run(file, grow(10), 'SELECT count(*) FROM t'),
      run(file, grow(200_000)),
      run(file, grow(10), grow(200_000)),
      run(file, grow(10), 'SELECT count(*) FROM t'),
    ])
    assert.deepEqual(told, [[[2]], tooLarge, tooLarge, [[3]]])
    assert.deepEqual(await run(file, 'SELECT count(*) FROM t'), [[3]])
  })

  test('what it has can be deleted, and its place used again', async () => {
    const file = newFile()
    await run(file, 'CREATE TABLE t (a)', grow(380_000))
    assert.equal(await run(file, grow(100_000)), tooLarge)
    await run(file, 'DELETE FROM t')
    assert.deepEqual(await run(file, grow(300_000), 'SELECT count(*) FROM t'), [[1]])
  })

  test('an import that would make it is undone', async () => {
    const file = newFile()
    await run(file, 'CREATE TABLE kept (a)')
    async function* sql(): AsyncGenerator<Uint8Array> {
      yield new TextEncoder().encode('CREATE TABLE t (a);')
      for (let n = 0; n < 20; n++) yield new TextEncoder().encode(`${grow(50_000)};`)
    }
    const { reply } = await files.stream(file, importOf(sql()))
    assert.deepEqual(read(reply), { success: false, error: tooLarge })
    assert.equal(await run(file, 'SELECT * FROM t'), 'no such table: t: SQLITE_ERROR')
    // What was undone is not counted for what comes next.
    const insert = [{ sql: 'INSERT INTO kept VALUES (1)' }]
    const { reply: next } = await files.call(file, callOf('q', insert))
    const told = read(next)
    assert.ok(Array.isArray(told))
    assert.equal(told[0]?.meta.changes, 1)
  })
})

suite('calls that come together', () => {
  const triggered = `CREATE TRIGGER never BEFORE INSERT ON t WHEN NEW.a = 'never'
    BEGIN SELECT RAISE(ROLLBACK, 'never'); END`

  for (const [what, schema, text] of [
    ['a statement', 'CREATE TABLE other (a)', "INSERT OR ROLLBACK INTO t VALUES ('one')"],
    ['a trigger', triggered, "INSERT INTO t VALUES ('never')"],
  ] as const) {
    test(`${what} that rolls everything back takes nothing of others with it`, async () => {
      const file = newFile()
      await run(file, 'CREATE TABLE t (a UNIQUE)', "INSERT INTO t VALUES ('one')", schema)
      const names = Array.from({ length: 20 }, (_, n) => `name ${n}`)
      const told = await Promise.allSettled(
        names.map((name, n) => run(file, n === 10 ? text : `INSERT INTO t VALUES ('${name}')`)),
      )
      const kept = z.array(z.tuple([z.string()])).parse(await run(file, 'SELECT a FROM t'))
      const expected = names.filter((_, n) => n !== 10)
      assert.deepEqual(new Set(kept.flat()), new Set(['one', ...expected]))
      const failed = told.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []))
      assert.deepEqual(failed, [10])
    })
  }

  test('a result that is too large is refused, and the next call is answered', async () => {
    const file = newFile()
    const many = `WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
      SELECT hex(randomblob(50000)) FROM c`
    const [large, small] = await Promise.all([run(file, many), run(file, 'SELECT 1')])
    assert.match(String(large), /^The result is larger than 33554432 bytes/)
    assert.deepEqual(small, [[1]])
  })
})
