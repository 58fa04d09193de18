import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  bytesColumn,
  expecting,
  integerColumn,
  type Sql,
  sql,
  SqlError,
  SqlExpectationError,
  textColumn,
} from './sql.ts'

/** What every driver of the `Sql` port does. `open` gives an empty database with the table below. */
export const sqlSuiteMigration =
  'CREATE TABLE item (key BLOB PRIMARY KEY, value TEXT NOT NULL, size INTEGER)'

export function sqlSuite(name: string, open: () => Promise<Sql>): void {
  suite(`${name}: the Sql port`, () => {
    test('values come back as they were', async () => {
      await using database = await open()
      const texts = ['', 'é漢😀', 'a\u0000b', "'; DROP TABLE item; --", 'x'.repeat(100_000)]
      for (const [index, text] of texts.entries()) await database.write([put(String(index), text)])
      const rows = await database.read(sql`SELECT key, value FROM item ORDER BY key`)
      assert.deepEqual(
        rows.map((row) => textColumn(row, 'value')),
        texts,
      )
      assert.deepEqual(bytesColumn(rows[0] ?? {}, 'key'), bytes('0'))
    })

    test('a read after the acknowledgement sees the write', async () => {
      await using database = await open()
      for (let n = 1; n <= 50; n++) {
        await database.write([put(String(n), 'v')])
        assert.equal(await count(database), n)
      }
    })

    test('a write is all or nothing', async () => {
      await using database = await open()
      await database.write([put('a', '1')])
      await assert.rejects(
        database.write([put('b', '2'), put('a', 'again')]),
        (error) => error instanceof SqlError && error.constraint,
      )
      assert.equal(await count(database), 1)
    })

    test('one that fails does not take its neighbours along', async () => {
      await using database = await open()
      const writes = Array.from({ length: 100 }, (_, n) =>
        database.write(
          n % 2 === 0
            ? [put(`k${n}`, 'v'), put(`l${n}`, 'v')]
            : [put('same', 'v'), put('same', 'v')],
        ),
      )
      const settled = await Promise.allSettled(writes)
      assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 50)
      assert.equal(await count(database), 100)
    })

    test('an expectation that is not met undoes the write', async () => {
      await using database = await open()
      const update = sql`UPDATE item SET value = ${'x'} WHERE key = ${bytes('none')}`
      await assert.rejects(
        database.write([put('a', '1'), expecting(1, update)]),
        (error) => error instanceof SqlExpectationError && error.index === 1,
      )
      assert.equal(await count(database), 0)
      await database.write([expecting(1, put('a', '1'))])
      await database.write([put('none', '1'), expecting(1, update)])
    })

    test('changes and returned rows', async () => {
      await using database = await open()
      await database.write([put('a', '1'), put('b', '2')])
      const [updated, returned] = await database.write([
        sql`UPDATE item SET size = ${7}`,
        sql`DELETE FROM item WHERE size = ${7} RETURNING value`,
      ])
      assert.equal(updated?.changes, 2)
      assert.equal(returned?.changes, 2)
      assert.deepEqual(returned?.rows.map((row) => textColumn(row, 'value')).toSorted(), ['1', '2'])
    })

    test('a statement that is not SQL is an engine’s error, and the next one works', async () => {
      await using database = await open()
      await assert.rejects(database.write([sql`NONSENSE`]), SqlError)
      await assert.rejects(database.read(sql`NONSENSE`))
      await database.write([put('a', '1')])
      assert.equal(await count(database), 1)
    })

    test('closing waits for what was written', async () => {
      const database = await open()
      const writes = Array.from({ length: 200 }, (_, n) => database.write([put(String(n), 'v')]))
      await database[Symbol.asyncDispose]()
      assert.equal(
        (await Promise.allSettled(writes)).filter(({ status }) => status === 'rejected').length,
        0,
      )
      await assert.rejects(database.write([put('late', 'v')]))
    })
  })
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

const put = (key: string, value: string) =>
  sql`INSERT INTO item (key, value) VALUES (${bytes(key)}, ${value})`
const count = async (database: Sql): Promise<number> => {
  const [row] = await database.read(sql`SELECT count(*) AS n FROM item`)
  return row ? integerColumn(row, 'n') : -1
}
