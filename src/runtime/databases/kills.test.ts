import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { suite, test } from 'node:test'
import { DatabaseError, type DatabaseFile } from '#contract/ports/databases.ts'
import { noJail } from '#test/jails.ts'
import { numbersFrom, seed } from '#test/random.ts'
import {
  all,
  ask,
  type DatabasesFixture,
  failsWith,
  fileOf,
  insertOf,
  rows,
  startDatabases,
  table,
} from './fixture.ts'

const mebibyte = 1024 * 1024
const file = fileOf('one')
const neighbour = fileOf('neighbour')
const elsewhere = fileOf('elsewhere', 1)

/** A query that counts to a number, one of some millions a second. */
function counting(to: number | undefined): string {
  const end = to === undefined ? '' : ` WHERE n < ${to}`
  return `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c${end}) SELECT count(*) FROM c`
}

async function timed<Result>(run: Promise<Result>): Promise<readonly [Result, number]> {
  const began = performance.now()
  const result = await run
  return [result, performance.now() - began]
}

async function tablesIn(fixture: DatabasesFixture, ...files: DatabaseFile[]): Promise<void> {
  for (const each of files) await rows(fixture, each, table)
}

/** How far it counts in two seconds, here and now. */
async function twoSeconds(fixture: DatabasesFixture): Promise<number> {
  const [, ms] = await timed(rows(fixture, elsewhere, counting(1_000_000)))
  return Math.ceil((2_000 / ms) * 1_000_000)
}

suite('a query that goes on and on', () => {
  test('is set apart, and ended when its time is up; its neighbours hardly notice', async () => {
    await using fixture = await startDatabases({ limits: { callMs: 2_000, crowdedMs: 500 } })
    await tablesIn(fixture, file, neighbour, elsewhere)
    const apart = await fixture.pidsOf(elsewhere)
    const began = performance.now()
    const runaway = timed(
      assert.rejects(ask(fixture, file, counting(undefined)), failsWith('timeout', false)),
    )
    const inserts = await Promise.all(
      [...Array(10).keys()].map((n) => timed(rows(fixture, neighbour, insertOf(n)))),
    )
    const worst = Math.max(...inserts.map(([, ms]) => ms))
    assert.ok(worst < 1_500, `${worst} ms`)
    assert.deepEqual(await all(fixture, neighbour), [...Array(10).keys()])
    // In the cell beside it nobody has noticed, and now nobody in its own does.
    while (performance.now() - began < 1_800) {
      for (const each of [elsewhere, neighbour]) {
        const [, ms] = await timed(rows(fixture, each, 'SELECT 1'))
        assert.ok(ms < 500, `${ms} ms`)
      }
    }
    assert.deepEqual(await fixture.pidsOf(elsewhere), apart)
    const [, lasted] = await runaway
    assert.ok(lasted > 2_000 && lasted < 5_000, `${lasted} ms`)
    // It is as any other then, and its second offence is nobody's concern.
    await rows(fixture, file, insertOf(1))
    const pids = await fixture.pidsOf(neighbour)
    const again = assert.rejects(
      ask(fixture, file, counting(undefined)),
      failsWith('timeout', false),
    )
    const behind = rows(fixture, file, insertOf(2))
    const isOver = Promise.all([again, behind]).then(() => true)
    while (!((await Promise.race([isOver, rows(fixture, neighbour, 'SELECT 1')])) === true));
    await again
    await behind
    assert.deepEqual(await fixture.pidsOf(neighbour), pids)
    assert.deepEqual(await all(fixture, file), [1, 2])
    for (const each of [file, neighbour]) assert.equal(await fixture.files.verify(each), undefined)
  })

  test('but has an end succeeds, whoever waits for it', async () => {
    await using fixture = await startDatabases({ limits: { crowdedMs: 500 } })
    await tablesIn(fixture, file, neighbour, elsewhere)
    const to = await twoSeconds(fixture)
    const slow = rows(fixture, file, counting(to))
    const [, ms] = await timed(rows(fixture, neighbour, insertOf(1)))
    assert.ok(ms < 1_500, `${ms} ms`)
    assert.deepEqual(await slow, [[to]])
    assert.ok(fixture.log.some(({ message }) => /set apart/.test(message)))
  })

  test('is left alone by itself', async () => {
    await using fixture = await startDatabases({ limits: { crowdedMs: 100 } })
    await tablesIn(fixture, file, elsewhere)
    const to = await twoSeconds(fixture)
    assert.deepEqual(await rows(fixture, file, counting(to)), [[to]])
    assert.deepEqual(fixture.log, [])
  })

  test('keeps no innocent call of its own file from being made', async () => {
    await using fixture = await startDatabases({ limits: { callMs: 1_000 } })
    await tablesIn(fixture, file)
    const calls = [...Array(20).keys()].map((n) =>
      n === 7
        ? assert.rejects(
            ask(fixture, file, insertOf(`(${counting(undefined)})`)),
            failsWith('timeout'),
          )
        : rows(fixture, file, insertOf(n)),
    )
    await Promise.all(calls)
    assert.deepEqual(
      await all(fixture, file),
      [...Array(20).keys()].filter((n) => n !== 7),
    )
  })
})

suite('a query that wants too much', () => {
  test('of an answer is told so', async () => {
    await using fixture = await startDatabases()
    await tablesIn(fixture, file, neighbour)
    const large = `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) SELECT n, hex(randomblob(${mebibyte / 2})) FROM c`
    const before = process.memoryUsage.rss()
    for (let n = 0; n < 3; n++) {
      const answer = await ask(fixture, file, large)
      assert.match('error' in answer ? answer.error : '', /larger than|too large/i)
    }
    assert.ok(process.memoryUsage.rss() - before < 200 * mebibyte)
    const [pid] = await fixture.pidsOf(file)
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    const [, peak] = /VmHWM:\s+(\d+)/.exec(status) ?? []
    assert.ok(Number(peak) < 768 * 1024, `${peak} kB`)
    await rows(fixture, neighbour, insertOf(1))
    assert.deepEqual(await all(fixture, neighbour), [1])
  })

  const rowsOf = (count: number): string =>
    `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ${count})`
  const hogs: Readonly<Record<string, string>> = {
    'rows to sort': `${rowsOf(1_000_000)} SELECT n, randomblob(1000) AS b FROM c ORDER BY b LIMIT 1 OFFSET 999999`,
    'a group_concat': `${rowsOf(2_000)} SELECT length(group_concat(hex(zeroblob(500000)))) FROM c`,
    'many groups': `${rowsOf(300_000)} SELECT count(*) FROM (SELECT group_concat(hex(randomblob(2000))) FROM c GROUP BY n % 100000)`,
    'an array of json': `${rowsOf(3_000_000)} SELECT json_group_array(hex(randomblob(500))) FROM c`,
  }
  for (const [name, sql] of Object.entries(hogs)) {
    test(`of memory is bounded: ${name}`, async () => {
      const processBytes = 300 * mebibyte
      await using fixture = await startDatabases({ limits: { processBytes, callMs: 3_000 } })
      await tablesIn(fixture, file, neighbour)
      await rows(fixture, file, insertOf(1))
      let most = 0
      const watching = setInterval(async () => {
        for (const pid of await fixture.pidsOf(file)) most = Math.max(most, await ownBytes(pid))
      }, 50)
      const outcome = await ask(fixture, file, sql).then(
        (answer) => ('error' in answer ? answer.error : `${answer.rows}`),
        (error: unknown) => (error instanceof DatabaseError ? error.reason : String(error)),
      )
      clearInterval(watching)
      assert.match(outcome, /^(memory|timeout|string or blob too big.*|out of memory.*)$/)
      assert.ok(most < 2 * processBytes, `${most} bytes`)
      assert.deepEqual(await all(fixture, file), [1])
      await rows(fixture, neighbour, insertOf(1))
    })
  }
})

suite('sorting', { skip: noJail() }, () => {
  test('has more room than a jail has memory, and leaves no file behind', async () => {
    await using fixture = await startDatabases({ isJailed: true })
    await rows(fixture, file, 'CREATE TABLE t (a)')
    const many = 'WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40000)'
    await rows(fixture, file, `INSERT INTO t ${many} SELECT randomblob(1000) FROM c`)
    await rows(fixture, file, 'CREATE INDEX by_a ON t (a)')
    const names = await readdir(dirname(fixture.pathOf(file)))
    assert.deepEqual(
      names.filter((name) => !name.includes('.sqlite')),
      [],
    )
    assert.deepEqual(await rows(fixture, file, 'SELECT count(DISTINCT substr(a, 2)) FROM t'), [
      [40_000],
    ])
  })
})

async function ownBytes(pid: number): Promise<number> {
  const words = await readFile(`/proc/${pid}/statm`, 'latin1').catch(() => '0 0 0')
  const [, resident, shared] = words.split(' ')
  return (Number(resident) - Number(shared)) * 4_096
}

suite(`kill -9 of a process (seed ${seed})`, () => {
  test('during selects: they are made again', async () => {
    await using fixture = await startDatabases()
    await tablesIn(fixture, file, elsewhere)
    await rows(fixture, file, insertOf(1))
    const to = await twoSeconds(fixture)
    const selects = [...Array(3).keys()].map(() => rows(fixture, file, counting(Math.ceil(to / 8))))
    await fixture.kill(file)
    assert.deepEqual(await Promise.all(selects), Array(3).fill([[Math.ceil(to / 8)]]))
  })

  test('during inserts: each is there once, or was said to be lost', async () => {
    await using fixture = await startDatabases()
    await tablesIn(fixture, file)
    await rows(fixture, file, 'CREATE TABLE log (a)')
    const random = numbersFrom(seed)
    const told = new Map<number, string>()
    let next = 0
    for (let round = 0; round < 12; round++) {
      const calls = Array.from({ length: 40 }, async () => {
        const n = next++
        // Every third is a batch, which is there as a whole or not at all.
        const sql =
          n % 3 === 0
            ? [`INSERT INTO log VALUES (${n}), (${n})`, `INSERT INTO log VALUES (${n})`]
            : [`INSERT INTO log VALUES (${n}), (${n}), (${n})`]
        const outcome = await ask(fixture, file, ...sql).then(
          () => 'done',
          (error: unknown) => (error instanceof DatabaseError ? error.reason : String(error)),
        )
        told.set(n, outcome)
      })
      await new Promise((resolve) => void setTimeout(resolve, random() * 8))
      await fixture.kill(file)
      await Promise.all(calls)
    }
    const found = new Map(
      (await rows(fixture, file, 'SELECT a, count(*) FROM log GROUP BY a')).map(([a, count]) => [
        Number(a),
        count,
      ]),
    )
    for (const [n, outcome] of told) {
      if (outcome === 'done') assert.equal(found.get(n), 3, `${n} was acknowledged`)
      else {
        assert.equal(outcome, 'lost')
        assert.ok(
          [undefined, 3].includes(Number(found.get(n)) || undefined),
          `${n} is there in part, or twice`,
        )
      }
    }
    assert.equal(await fixture.files.verify(file), undefined)
  })
})
