import assert from 'node:assert/strict'
import { readdir, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import { workerdPath } from '#runtime/binary.ts'
import { firstUid, noJail } from '#test/jails.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import {
  all,
  ask,
  bookmarkOf,
  failsWith,
  fileOf,
  type FixtureOptions,
  insertOf,
  rows,
  startDatabases,
  table,
} from './fixture.ts'

const file = fileOf('one')

/** Both ways in which cells run. */
function inEach(name: string, run: (options: FixtureOptions) => Promise<void>): void {
  test(`${name}, not jailed`, () => run({ isJailed: false }))
  test(`${name}, jailed`, { skip: noJail() }, () => run({ isJailed: true }))
}

suite('calls of one file', () => {
  inEach('are made in their order, and together share a commit', async (options) => {
    await using fixture = await startDatabases(options)
    await rows(fixture, file, table)
    const numbers = [...Array(32).keys()]
    const inserted = await Promise.all(numbers.map((n) => ask(fixture, file, insertOf(n))))
    assert.deepEqual(await all(fixture, file), numbers)
    const bookmarks = inserted.map(bookmarkOf)
    assert.deepEqual(bookmarks, bookmarks.toSorted())
    const commits = new Set(bookmarks).size
    assert.ok(commits <= 8, `${commits} commits`)
    assert.equal(await fixture.files.verify(file), undefined)
  })

  test('fail by themselves', async () => {
    await using fixture = await startDatabases()
    await rows(fixture, file, table)
    const told = ['1', '2', '1', '3', 'nope', '4']
    const answers = await Promise.all(told.map((a) => ask(fixture, file, insertOf(a))))
    assert.deepEqual(
      answers.map((answer) => 'error' in answer),
      [false, false, true, false, true, false],
    )
    assert.deepEqual(await all(fixture, file), [1, 2, 3, 4])
  })

  const again = "INSERT INTO t (a) VALUES ('x')"
  const trigger =
    "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.a = 'x' BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
  const spoilers: Readonly<Record<string, readonly [setUp: string, ...spoiler: string[]]>> = {
    'INSERT OR ROLLBACK': ['SELECT 1', "INSERT OR ROLLBACK INTO t (a) VALUES ('x')"],
    'INSERT OR ROLLBACK, in a batch': [
      'SELECT 1',
      insertOf("'y'"),
      "INSERT OR ROLLBACK INTO t (a) VALUES ('x')",
      insertOf("'z'"),
    ],
    'ON CONFLICT ROLLBACK of a column': [
      "CREATE TABLE u (a UNIQUE ON CONFLICT ROLLBACK); INSERT INTO u VALUES ('x')",
      "INSERT INTO u VALUES ('x')",
    ],
    'RAISE(ROLLBACK) of a trigger': [trigger, again],
    'RAISE(ROLLBACK) of a trigger, in a batch': [trigger, insertOf("'y'"), again, insertOf("'z'")],
  }
  for (const [name, [setUp, ...spoiler]] of Object.entries(spoilers)) {
    test(`lose nothing by one that throws away its transaction: ${name}`, async () => {
      await using fixture = await startDatabases()
      const neighbour = fileOf('neighbour')
      for (const each of [file, neighbour]) await rows(fixture, each, table, again)
      await rows(fixture, file, setUp)
      const numbers = [...Array(20).keys()]
      const isSpoiler = (n: number): boolean => n % 7 === 3
      await Promise.all(
        numbers.flatMap((n) => [
          isSpoiler(n)
            ? assert.rejects(ask(fixture, file, ...spoiler), failsWith('lost', false))
            : rows(fixture, file, insertOf(n)),
          rows(fixture, neighbour, insertOf(n)),
        ]),
      )
      assert.deepEqual(await all(fixture, file), ['x', ...numbers.filter((n) => !isSpoiler(n))])
      assert.deepEqual(await all(fixture, neighbour), ['x', ...numbers])
      assert.equal(await fixture.files.verify(file), undefined)
    })
  }
})

const slow = (n: number): string =>
  `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ${n}) SELECT count(*) FROM c`

suite('a line', () => {
  test('has an end', async () => {
    await using fixture = await startDatabases({ limits: { queuedCalls: 10 } })
    await rows(fixture, file, table)
    const slowOne = ask(fixture, file, slow(1_000_000))
    // What is next in the engine's turn has left the line.
    const answers = await Promise.allSettled(
      Array.from({ length: 300 }, (_, n) => ask(fixture, file, insertOf(n))),
    )
    const refused = answers.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
    assert.ok(refused.length >= 280, `${refused.length}`)
    for (const reason of refused) failsWith('queue-full', true)(reason)
    await slowOne
    assert.equal((await all(fixture, file)).length, 300 - refused.length)
  })

  test('is left by those who have waited for too long, whatever is before them', async () => {
    await using fixture = await startDatabases({ limits: { queueMs: 3_000 } })
    await rows(fixture, file, table)
    const { promise, resolve } = Promise.withResolvers<void>()
    const stream = fixture.files.stream(file, piecesOf([insertOf(1), '; '], promise))
    const waiting = [ask(fixture, file, insertOf(2)), fixture.files.bookmark(file)]
    await Promise.all(
      waiting.map((each) => assert.rejects(each, failsWith('queued-too-long', true))),
    )
    resolve()
    assert.ok('count' in (await streamed(stream)))
    assert.deepEqual(await all(fixture, file), [1])
  })
})

/** The pieces of a file, of which the last comes when it may. */
async function* piecesOf(
  pieces: readonly string[],
  last: Promise<void> = Promise.resolve(),
): AsyncGenerator<Uint8Array> {
  yield Buffer.from('i')
  for (const piece of pieces.slice(0, -1)) yield Buffer.from(piece)
  await last
  yield Buffer.from(pieces.at(-1) ?? '')
}

async function streamed(stream: Promise<{ readonly reply: Uint8Array }>): Promise<object> {
  return JSON.parse(new TextDecoder().decode((await stream).reply))
}

suite('a stream', () => {
  test('goes on beside calls of other files, and is one commit', async () => {
    await using fixture = await startDatabases()
    const neighbour = fileOf('neighbour')
    for (const each of [file, neighbour]) await rows(fixture, each, table)
    const { promise, resolve } = Promise.withResolvers<void>()
    const many = Array.from({ length: 2_000 }, (_, n) => `${insertOf(n)};`)
    const stream = fixture.files.stream(file, piecesOf([...many, insertOf(-1)], promise))
    for (let n = 0; n < 20; n++) await rows(fixture, neighbour, insertOf(n))
    resolve()
    assert.ok('count' in (await streamed(stream)))
    assert.equal((await all(fixture, file)).length, 2_001)
    assert.equal((await all(fixture, neighbour)).length, 20)
    assert.equal(await fixture.files.verify(file), undefined)
  })

  const bad: Readonly<
    Record<string, (fixture: { readonly kill: () => Promise<void> }) => Promise<void>>
  > = {
    'its source fails': () => Promise.reject(new Error('no more')),
    'its source stalls': () => new Promise(() => undefined),
    'its process is killed': ({ kill }) => kill().then(() => new Promise(() => undefined)),
  }
  for (const [name, last] of Object.entries(bad)) {
    test(`leaves nothing if ${name}`, async () => {
      await using fixture = await startDatabases({ limits: { callMs: 4_000 } })
      const neighbour = fileOf('neighbour')
      for (const each of [file, neighbour]) await rows(fixture, each, table)
      const kill = (): Promise<void> => fixture.kill(file)
      const begun = Promise.withResolvers<void>()
      async function* source(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('i')
        for (let n = 0; n < 2_000; n++) yield Buffer.from(`${insertOf(n)};`)
        begun.resolve()
        await last({ kill })
      }
      const stream = fixture.files.stream(file, source())
      const failed = assert.rejects(stream, failsWith(name.includes('stalls') ? 'timeout' : 'lost'))
      await begun.promise
      const meanwhile = rows(fixture, neighbour, insertOf(1))
      await failed
      await meanwhile
      assert.deepEqual(await all(fixture, file), [])
      assert.deepEqual(await all(fixture, neighbour), [1])
      assert.equal(await fixture.files.verify(file), undefined)
    })
  }
})

suite('files', () => {
  inEach("are whoever's the account is, after a repair and a restore", async (options) => {
    const isRoot = process.getuid?.() === 0
    await using fixture = await startDatabases(options)
    const { files } = fixture
    const at = bookmarkOf(await ask(fixture, file, table, insertOf(1)))
    await rows(fixture, file, insertOf(2))
    const next = { ...file, generation: 2 }
    await files.restore(at, next)
    assert.deepEqual(await all(fixture, next), [1])
    await rows(fixture, next, insertOf(3))
    await fixture.kill(file)
    await rows(fixture, fileOf('other'), table)
    // Its log is lost, and so it is made anew.
    await eventually(async () => (await fixture.pidsOf(file)).length === 0)
    await writeFile(`${fixture.pathOf(file)}-wal`, '')
    assert.deepEqual(await all(fixture, file), [1, 2])
    await rows(fixture, file, insertOf(4))
    const uid = options.isJailed === true && isRoot ? firstUid : (process.getuid?.() ?? 0)
    for (const each of [file, next]) {
      assert.equal((await stat(fixture.pathOf(each))).uid, uid)
      assert.equal(await files.verify(each), undefined)
    }
    await fixture.stop()
    await using later = await startDatabases({ ...options, path: fixture.path })
    assert.deepEqual(await all(later, file), [1, 2, 4])
    assert.deepEqual(await all(later, next), [1, 3])
  })

  test('are deleted, and swept', async () => {
    await using fixture = await startDatabases()
    const { files } = fixture
    const [kept, deleted, swept] = [fileOf('kept'), fileOf('deleted'), fileOf('swept')]
    for (const each of [kept, deleted, swept]) await rows(fixture, each, table)
    const at = await files.bookmark(deleted)
    await files.delete(deleted, 'file')
    assert.deepEqual(await files.sizeOf(deleted).then(({ fileBytes }) => fileBytes), 0)
    // Its history is kept, and leads back.
    const again = { ...deleted, generation: 2 }
    await files.restore(at, again)
    assert.deepEqual(await all(fixture, again), [])
    await files.delete(again, 'all')
    assert.deepEqual(await files.sizeOf(again), { fileBytes: 0, historyBytes: 0 })
    await fixture.stop()
    await writeFile(`${fixture.pathOf(again)}.restoring`, 'half of it')
    await writeFile(`${fixture.pathOf(kept)}.repair`, 'half of it')
    await using later = await startDatabases({ path: fixture.path })
    await later.files.sweep([kept])
    const left = await readdir(dirname(fixture.pathOf(kept)))
    const own = left.filter((name) => name !== 'metadata.sqlite').map((name) => name.slice(0, 64))
    assert.deepEqual([...new Set(own)], [fixture.pathOf(kept).slice(-71, -7)])
    assert.deepEqual(
      left.filter((name) => /repair|restoring/.test(name)),
      [],
    )
    assert.deepEqual(await all(later, kept), [])
  })
})

suite('a cell', () => {
  test('opens no more files than it may, and lets go of them all then', async () => {
    await using fixture = await startDatabases({ limits: { openFiles: 5 } })
    const names = Array.from({ length: 12 }, (_, n) => fileOf(`many ${n}`))
    for (const each of names) await rows(fixture, each, table, insertOf(1))
    const open = await Promise.all(names.map((of) => fixture.pidsOf(of)))
    assert.ok(open.filter((pids) => pids.length > 0).length <= 5)
    await Promise.all(names.map((of) => rows(fixture, of, insertOf(2))))
    for (const each of names) assert.deepEqual(await all(fixture, each), [1, 2])
  })

  test('that is disposed of finishes what is under way', async () => {
    await using fixture = await startDatabases()
    await rows(fixture, file, table)
    const inserts = [...Array(300).keys()].map((n) => rows(fixture, file, insertOf(n)))
    const stopped = fixture.stop()
    await assert.rejects(ask(fixture, file, 'SELECT 1'), failsWith('unavailable', true))
    await Promise.all(inserts)
    await stopped
    await using later = await startDatabases({ path: fixture.path })
    assert.deepEqual(await all(later, file), [...Array(300).keys()])
  })

  test('that dies at each start is said to be unavailable, and comes back', async () => {
    await using folder = await temporaryFolder()
    const workerd = join(folder.path, 'workerd')
    const become = async (text: string): Promise<void> => {
      await writeFile(`${workerd}.new`, `#!/bin/sh\n${text}\n`, { mode: 0o700 })
      await rename(`${workerd}.new`, workerd)
    }
    await become(`exec ${workerdPath} "$@"`)
    await using fixture = await startDatabases({ workerdPath: workerd })
    await rows(fixture, file, table)
    await become('exit 1')
    await fixture.kill(file)
    for (let n = 0; n < 3; n++) {
      await assert.rejects(ask(fixture, file, 'SELECT 1'), failsWith('unavailable'))
    }
    await become(`exec ${workerdPath} "$@"`)
    await rows(fixture, file, insertOf(1))
    assert.deepEqual(await all(fixture, file), [1])
  })
})
