import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '#test/temporary.ts'
import { all, fileOf, insertOf, rows, startDatabases, table } from './fixture.ts'

const file = fileOf('one')
const sleepMs = 300

suite('a process of databases', () => {
  test('ends when nobody calls; the next call has another, and all that there was', async () => {
    await using fixture = await startDatabases({ sleepMs })
    await rows(fixture, file, table)
    for (const n of [1, 2, 3]) {
      await rows(fixture, file, insertOf(n))
      await eventually(async () => (await fixture.pidsOf(file)).length === 0, 60_000)
      assert.deepEqual(await all(fixture, file), [1, 2, 3].slice(0, n))
    }
    assert.equal(await fixture.files.verify(file), undefined)
    assert.deepEqual(fixture.log, [])
  })

  test('does not while it is at work, however long nobody else calls', async () => {
    await using fixture = await startDatabases({ sleepMs })
    const count = `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 4000000)
      SELECT count(*) FROM c`
    const began = performance.now()
    // Whoever ended it would have it fail.
    assert.deepEqual(await rows(fixture, file, count), [[4_000_000]])
    assert.ok(performance.now() - began > 2 * sleepMs, 'it took no time')
    assert.deepEqual(fixture.log, [])
  })
})
