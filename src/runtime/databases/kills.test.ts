import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { accountId } from '#contract/ids.ts'
import { DatabaseError, type DatabaseFile, type DatabaseFiles } from '#contract/ports/databases.ts'
import { killDatabaseCells } from '#test/cells.ts'
import { openPorts } from '#test/ports.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { sharedCells } from './limits.ts'

// Who waits for whom in a database cell, and what a process takes with it when it dies. The engine is D1's,
// in real processes.

const engine = new URL('../../bindings/d1/engine.worker.ts', import.meta.url)
const migrations = new URL('../../bindings/d1/migrations/', import.meta.url)
const account = accountId.parse('b'.repeat(32))
const callMs = 2_500
const crowdedMs = 300

type Ports = Awaited<ReturnType<typeof openPorts>>
const folder = await temporaryFolder()
let ports: Ports
let files: DatabaseFiles
let count = 0

before(async () => {
  ports = await openPorts({
    path: folder.path,
    migrations,
    databaseLimits: { callMs, crowdedMs },
  })
  files = ports.databases.open({ name: 'd1', engine })
})
after(async () => {
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

/** A file whose home is one of the shared cells. */
function newFile(cell = 0): DatabaseFile {
  const database = `${cell.toString(16).padStart(8, '0')}${String(++count).padStart(24, '0')}`
  return { account, database, generation: 1 }
}

const reply = z.union([
  z.object({ success: z.literal(false), error: z.string() }),
  z.array(z.object({ results: z.object({ rows: z.array(z.array(z.json())) }) })),
])
const encoder = new TextEncoder()

/** The rows of the last statement, or the engine's error. */
async function run(file: DatabaseFile, ...texts: readonly string[]): Promise<unknown> {
  const json = JSON.stringify(texts.map((sql) => ({ sql })))
  const { reply: bytes } = await files.call(file, encoder.encode(`q${json}`))
  const told = reply.parse(JSON.parse(new TextDecoder().decode(bytes)))
  return Array.isArray(told) ? told.at(-1)?.results.rows : told.error
}

/** Counts up to a number, or for ever. */
const counting = (to?: number): string => `WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1
  FROM c ${to === undefined ? '' : `WHERE i < ${to}`}) SELECT count(*) FROM c`

const failsWith = (reason: DatabaseError['reason']) => (error: unknown) => {
  assert.ok(error instanceof DatabaseError, String(error))
  assert.equal(error.reason, reason)
  return true
}

async function timed<Result>(what: () => Promise<Result>): Promise<readonly [Result, number]> {
  const began = performance.now()
  return [await what(), performance.now() - began]
}

suite('a query that goes on', () => {
  test('keeps nobody waiting, and has a cell of its own', async () => {
    const [long, beside, elsewhere] = [newFile(0), newFile(0), newFile(sharedCells - 1)]
    for (const file of [long, beside, elsewhere]) await run(file, 'CREATE TABLE t (a)')
    const [ended, neighbour, other] = await Promise.all([
      timed(() => assert.rejects(run(long, counting()), failsWith('timeout'))),
      timed(() => run(beside, 'INSERT INTO t VALUES (1) RETURNING a')),
      timed(() => run(elsewhere, 'INSERT INTO t VALUES (2) RETURNING a')),
    ])
    assert.deepEqual([neighbour[0], other[0]], [[[1]], [[2]]])
    // Figures are those of a machine that has more to do: alone, they are 0.7 s and 0.02 s.
    assert.ok(neighbour[1] < callMs, `its neighbour waited ${neighbour[1]} ms`)
    assert.ok(other[1] < callMs, `another waited ${other[1]} ms`)
    assert.ok(ended[1] > callMs, `it had ${ended[1]} ms`)
    // Now nobody is in the same process: it may take its time.
    const [again, still] = await Promise.all([
      timed(() => assert.rejects(run(long, counting()), failsWith('timeout'))),
      timed(() => run(beside, 'SELECT count(*) FROM t')),
    ])
    assert.ok(again[1] >= callMs && still[1] < callMs, `${again[1]} and ${still[1]} ms`)
    assert.deepEqual(await run(long, 'SELECT count(*) FROM t'), [[0]])
  })

  test('within its time is answered, also if its process was ended for others', async () => {
    const [slow, beside] = [newFile(1), newFile(1)]
    for (const file of [slow, beside]) await run(file, 'CREATE TABLE t (a)')
    const [, perMillion] = await timed(() => run(beside, counting(1_000_000)))
    // Some 0.8 s here: longer than others wait for it.
    const to = Math.ceil((800 / perMillion) * 1_000_000)
    const [told, one] = await Promise.all([
      run(slow, 'INSERT INTO t VALUES (1)', counting(to)),
      run(beside, 'SELECT 1'),
    ])
    assert.deepEqual([told, one], [[[to]], [[1]]])
    assert.deepEqual(await run(slow, 'SELECT a FROM t'), [[1]])
  })
})

suite('a process that is killed', () => {
  test('takes nothing acknowledged with it, and does nothing twice', async () => {
    const file = newFile()
    await run(file, 'CREATE TABLE t (n INTEGER)')
    const acknowledged: number[] = []
    for (let round = 0; round < 8; round++) {
      const calls = Array.from({ length: 10 }, async (_, k) => {
        const n = round * 10 + k
        await run(file, `INSERT INTO t VALUES (${n})`, counting(20_000)).then(
          () => acknowledged.push(n),
          failsWith('lost'),
        )
      })
      await new Promise((resolve) => void setTimeout(resolve, 5 * round))
      killDatabaseCells(process)
      await Promise.all(calls)
    }
    const found = z.array(z.tuple([z.number()])).parse(await run(file, 'SELECT n FROM t'))
    const kept = found.map(([n]) => n)
    assert.equal(new Set(kept).size, kept.length, 'something was done twice')
    for (const n of acknowledged) assert.ok(kept.includes(n), `${n} is lost`)
    assert.ok(acknowledged.length > 20, `${acknowledged.length} of 80`)
    assert.equal(await files.verify(file), undefined)
  })

  test('in the middle of a stream leaves nothing of it', async () => {
    const file = newFile()
    await run(file, 'CREATE TABLE before (a)')
    async function* sql(): AsyncGenerator<Uint8Array> {
      yield encoder.encode('iCREATE TABLE t (a);')
      for (let n = 0; n < 50; n++) yield encoder.encode(`INSERT INTO t VALUES (${n});`.repeat(100))
      await eventually(() => killDatabaseCells(process) > 0)
      await new Promise(() => {})
    }
    await assert.rejects(files.stream(file, sql()), failsWith('lost'))
    assert.deepEqual(await run(file, 'SELECT name FROM sqlite_schema'), [['before']])
  })
})
