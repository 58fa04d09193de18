import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, suite, test } from 'node:test'
import { z } from 'zod'
import { OperatorError } from '#contract/errors.ts'
import { sqlSuite, sqlSuiteMigration } from '#contract/ports/sql.suite.ts'
import { integerColumn, sql } from '#contract/ports/sql.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { openSqlite } from './driver.ts'

const folder = await temporaryFolder()
after(() => folder[Symbol.asyncDispose]())
let files = 0
const migrations = [{ id: '0001', text: sqlSuiteMigration }]
const log = jsonLog({ write: (line) => process.stderr.write(line), level: 'warn', now: Date.now })
const newPath = (): string => join(folder.path, `${files++}.db`)

sqlSuite('sqlite', () => openSqlite({ path: newPath(), migrations, log }))

suite('sqlite: migrations', () => {
  test('are applied once, in order', async () => {
    const path = newPath()
    await (await openSqlite({ path, migrations, log }))[Symbol.asyncDispose]()
    const more = [...migrations, { id: '0002', text: 'ALTER TABLE item ADD COLUMN more TEXT' }]
    for (let n = 0; n < 2; n++)
      await (await openSqlite({ path, migrations: more, log }))[Symbol.asyncDispose]()
    await assert.rejects(openSqlite({ path, migrations, log }), OperatorError)
  })

  test('one that fails leaves nothing behind', async () => {
    const path = newPath()
    const broken = [{ id: '0001', text: 'CREATE TABLE a (x); NONSENSE' }]
    await assert.rejects(openSqlite({ path, migrations: broken, log }))
    await using database = await openSqlite({
      path,
      migrations: [{ id: '0001', text: 'CREATE TABLE a (x)' }],
      log,
    })
    assert.deepEqual(await database.read(sql`SELECT * FROM a`), [])
  })
})

test('sqlite: a database that can’t be written says so and goes on reading', async () => {
  const path = newPath()
  await using database = await openSqlite({ path, migrations, log })
  await database.write([sql`INSERT INTO item (key, value) VALUES (${new Uint8Array([1])}, ${'v'})`])
  const blocker = new DatabaseSync(path)
  blocker.exec('BEGIN IMMEDIATE')
  const blocked = assert.rejects(
    database.write([sql`INSERT INTO item (key, value) VALUES (${new Uint8Array([2])}, ${'v'})`]),
    /locked/,
  )
  assert.equal((await database.read(sql`SELECT 1 AS one FROM item`)).length, 1)
  await blocked
  blocker.exec('ROLLBACK')
  blocker.close()
  await database.write([sql`INSERT INTO item (key, value) VALUES (${new Uint8Array([2])}, ${'v'})`])
})

test('sqlite: beyond its queue it refuses, and what it took is written', async () => {
  await using database = await openSqlite({ path: newPath(), migrations, log })
  const value = sql`INSERT INTO item (key, value) VALUES (randomblob(16), ${'v'})`
  const few = Array.from({ length: 20_010 }, () => database.write([value]))
  const settled = await Promise.allSettled(few)
  const refused = settled.filter((each) => each.status === 'rejected')
  assert.equal(refused.length, 10)
  for (const { reason } of refused) assert.match(String(reason), /too many writes waiting/)
  const [row] = await database.read(sql`SELECT count(*) AS n FROM item`)
  assert.equal(integerColumn(row ?? {}, 'n'), 20_000)

  const large = new Uint8Array(64 * 1024 * 1024)
  const insert = sql`INSERT INTO item (key, value, size) SELECT ${1}, ${'v'}, length(${large})`
  const many = await Promise.allSettled(Array.from({ length: 5 }, () => database.write([insert])))
  assert.match(String(many[4]?.status === 'rejected' && many[4].reason), /too many writes waiting/)
})

test('sqlite: a full disk refuses, loses nothing, and reads go on', async () => {
  const path = newPath()
  // A limit on the size of files stands for the disk: the same error from the same call.
  const script = `
    const { openSqlite } = await import(${JSON.stringify(import.meta.resolve('./driver.ts'))})
    const { sql } = await import(${JSON.stringify(import.meta.resolve('#contract/ports/sql.ts'))})
    const options = { path: ${JSON.stringify(path)}, migrations: ${JSON.stringify(migrations)} }
    const database = await openSqlite({ ...options, log: console })
    const stored = []
    const refused = []
    const write = async (n) => {
      const value = sql\`INSERT INTO item (key, value, size) VALUES (randomblob(50000), 'v', \${n})\`
      await database.write([value]).then(() => stored.push(n), (error) => refused.push(error.name))
    }
    for (let n = 0; n < 60; n += 3) await Promise.all([write(n), write(n + 1), write(n + 2)])
    const rows = await database.read(sql\`SELECT size FROM item ORDER BY size\`)
    console.log(JSON.stringify({ stored, refused, read: rows.map(({ size }) => size) }))
    await database[Symbol.asyncDispose]()`
  const limited = 'trap "" XFSZ; ulimit -f 1000; exec "$0" --input-type=module -e "$1"'
  const child = spawn('bash', ['-c', limited, process.execPath, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => (output += data))
  await once(child, 'close')
  const { stored, refused, read } = z
    .object({
      stored: z.array(z.number()),
      refused: z.array(z.string()),
      read: z.array(z.number()),
    })
    .parse(JSON.parse(output))
  assert.ok(stored.length > 0 && refused.length > 0, output)
  assert.ok(refused.every((name) => name === 'SqlError'))
  assert.deepEqual(read, stored)
  await using database = await openSqlite({ path, migrations, log })
  const rows = await database.read(sql`SELECT size FROM item ORDER BY size`)
  assert.deepEqual(
    rows.map((row) => integerColumn(row, 'size')),
    stored,
  )
  await database.write([sql`DELETE FROM item`])
})

test('sqlite: kill -9 loses nothing that was acknowledged', async () => {
  const driver = new URL('./driver.ts', import.meta.url).href
  const contract = new URL('../../../contract/ports/sql.ts', import.meta.url).href
  const path = newPath()
  let next = 0
  const acknowledged: number[] = []
  for (let round = 0; round < 8; round++) {
    const script = `
      const { openSqlite } = await import(${JSON.stringify(driver)})
      const { sql } = await import(${JSON.stringify(contract)})
      const database = await openSqlite({ path: ${JSON.stringify(path)}, migrations: ${JSON.stringify(migrations)}, log: console })
      let n = ${next}
      const client = async () => {
        for (;;) {
          const mine = n++
          await database.write([sql\`INSERT INTO item (key, value, size) VALUES (\${new TextEncoder().encode(String(mine))}, \${'v'}, \${mine})\`])
          process.stdout.write(mine + '\\n')
        }
      }
      for (let c = 0; c < 16; c++) client()`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    await new Promise((resolve) => void setTimeout(resolve, 10 + Math.random() * 120))
    child.kill('SIGKILL')
    await once(child, 'close')
    acknowledged.push(...output.split('\n').slice(0, -1).map(Number))
    next += 1_000_000
  }
  assert.ok(acknowledged.length > 100, `only ${acknowledged.length} writes`)
  await using database = await openSqlite({ path, migrations, log })
  const rows = await database.read(sql`SELECT size FROM item`)
  const stored = new Set(rows.map((row) => integerColumn(row, 'size')))
  assert.deepEqual(
    acknowledged.filter((n) => !stored.has(n)),
    [],
  )
  await rm(path)
})
