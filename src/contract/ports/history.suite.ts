import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import { accountId } from '#contract/ids.ts'
import { type History, HistoryError, type HistoryFile } from './history.ts'

/** What the suite needs. */
export type HistoryMaterial = {
  /** An empty store of histories; `reopen` opens what is there again, once it was disposed of. */
  readonly open: () => Promise<{
    readonly history: History
    readonly reopen: () => Promise<History>
  }>
  /** A new folder for databases. */
  readonly folder: () => Promise<string>
  /** Moves the clock of every history, and tells the time. */
  readonly pass: (milliseconds: number) => number
}

const account = accountId.parse('c'.repeat(32))
const database = 'd'.repeat(32)
const owner = { account, database }

/** Opens a database as workerd does. */
export function openWriter(path: string): DatabaseSync {
  const writer = new DatabaseSync(path)
  writer.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  return writer
}

/** Bytes are many, so a digest stands for them. */
function inWords(value: unknown): string {
  if (!(value instanceof Uint8Array)) return String(value)
  return createHash('sha256').update(value).digest('hex')
}

/** Everything that is in a database, in words. */
export function contentOf(path: string): string {
  const reader = new DatabaseSync(path)
  try {
    const [check] = reader.prepare('PRAGMA integrity_check').all()
    assert.equal(check?.['integrity_check'], 'ok')
    const tables = reader.prepare(`SELECT name, sql FROM sqlite_schema ORDER BY name`).all()
    return JSON.stringify(
      tables.map(({ name, sql }) => [
        name,
        sql,
        String(sql).startsWith('CREATE TABLE')
          ? reader
              .prepare(`SELECT * FROM "${String(name)}"`)
              .all()
              .map((row) => Object.values(row).map(inWords))
          : [],
      ]),
    )
  } finally {
    reader.close()
  }
}

/** What every driver of the `History` port does. */
export function historySuite(name: string, { open, folder, pass }: HistoryMaterial): void {
  const fileIn = async (generation = 1): Promise<HistoryFile> => ({
    ...owner,
    generation,
    path: join(await folder(), 'database.sqlite'),
  })
  const restored = async (history: History, bookmark: string, generation = 2): Promise<string> => {
    const { path } = await fileIn()
    await history.restore(owner, bookmark, { generation, path })
    return path
  }
  const reason = (wanted: HistoryError['reason']) => (error: unknown) =>
    error instanceof HistoryError && error.reason === wanted

  suite(`${name}: the History port`, () => {
    test('a file that is not there yet begins with an empty database', async () => {
      await using history = (await open()).history
      const file = await fileIn()
      await using timeline = await history.open(file)
      const empty = timeline.bookmark
      assert.match(empty, /^00000001-00000000-[0-9a-f]{8}-d{32}$/)
      assert.equal(await timeline.catchUp(), empty)
      const writer = openWriter(file.path)
      writer.exec('CREATE TABLE t (a)')
      const first = await timeline.catchUp()
      assert.ok(first > empty)
      assert.equal(await timeline.catchUp(), first)
      assert.equal(timeline.bookmark, first)
      assert.equal(contentOf(await restored(history, empty)), '[]')
      assert.equal(contentOf(await restored(history, first, 3)), '[["t","CREATE TABLE t (a)",[]]]')
      assert.equal(await timeline.verify(), undefined)
      writer.close()
    })

    test('each commit can be restored, while the history is open and after', async () => {
      const { history, reopen } = await open()
      const file = await fileIn()
      const writer = openWriter(file.path)
      const moments: { readonly bookmark: string; readonly content: string }[] = []
      {
        await using timeline = await history.open(file)
        writer.exec('CREATE TABLE t (a, b)')
        for (let n = 0; n < 30; n++) {
          writer.prepare('INSERT INTO t VALUES (?, ?)').run(n, 'x'.repeat(n * 300))
          if (n % 5 === 4) writer.exec('DELETE FROM t WHERE a % 3 = 0')
          pass(700)
          moments.push({ bookmark: await timeline.catchUp(), content: contentOf(file.path) })
        }
        assert.deepEqual(
          moments.map(({ bookmark }) => bookmark),
          moments.map(({ bookmark }) => bookmark).toSorted(),
        )
        const some = moments[10]
        assert.equal(contentOf(await restored(history, some?.bookmark ?? '')), some?.content)
        await timeline.sync()
        writer.close()
        assert.equal(await timeline.catchUp(), moments.at(-1)?.bookmark)
      }
      await history[Symbol.asyncDispose]()
      await using again = await reopen()
      for (const [n, { bookmark, content }] of moments.entries()) {
        assert.equal(contentOf(await restored(again, bookmark, n + 3)), content)
      }
      const listed = await again.list()
      assert.ok(listed.length > 0)
      assert.ok(listed.every((each) => each.database === owner.database))
      assert.ok((await again.sizeOf(owner)) > 0)
    })

    test('a database that is there when its history begins is its first content', async () => {
      await using history = (await open()).history
      const file = await fileIn()
      const writer = openWriter(file.path)
      writer.exec('CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(2000000)), (1)')
      await using timeline = await history.open(file)
      const bookmark = await timeline.catchUp()
      writer.exec('DELETE FROM t')
      assert.ok((await timeline.catchUp()) > bookmark)
      const path = await restored(history, bookmark)
      assert.match(contentOf(path), /"1"/)
      writer.close()
    })

    test('what was restored goes on as a generation of its own', async () => {
      await using history = (await open()).history
      const file = await fileIn()
      const writer = openWriter(file.path)
      let early: string
      let late: string
      {
        await using timeline = await history.open(file)
        writer.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)')
        early = await timeline.catchUp()
        pass(5_000)
        writer.exec('INSERT INTO t VALUES (2)')
        late = await timeline.catchUp()
        writer.close()
      }
      pass(5_000)
      const path = await restored(history, early)
      await using timeline = await history.open({ ...owner, generation: 2, path })
      const begun = await timeline.catchUp()
      assert.match(begun, /^00000002-00000000-/)
      const second = openWriter(path)
      second.exec('INSERT INTO t VALUES (3)')
      pass(5_000)
      const on = await timeline.catchUp()
      assert.ok(on > begun && begun > late)
      second.close()
      assert.match(contentOf(await restored(history, on, 3)), /\[\["1"\],\["3"\]\]/)
      assert.match(contentOf(await restored(history, begun, 4)), /\[\["1"\]\]/)
      // Back before the restore, undone.
      assert.match(contentOf(await restored(history, late, 5)), /\[\["1"\],\["2"\]\]/)
    })

    test('bookmarks by time, over generations', async () => {
      await using history = (await open()).history
      const file = await fileIn()
      const before = pass(0)
      pass(1_000)
      const writer = openWriter(file.path)
      const moments: { readonly time: number; readonly bookmark: string }[] = []
      {
        await using timeline = await history.open(file)
        writer.exec('CREATE TABLE t (a)')
        for (let n = 0; n < 5; n++) {
          writer.prepare('INSERT INTO t VALUES (?)').run(n)
          moments.push({ bookmark: await timeline.catchUp(), time: pass(0) })
          pass(10_000)
          for (const { time, bookmark } of moments) {
            for (const later of [0, 1, 9_999]) {
              assert.equal(
                await history.bookmarkAt({ ...owner, generation: 1 }, time + later),
                bookmark,
              )
            }
          }
        }
        writer.close()
      }
      const path = await restored(history, moments[0]?.bookmark ?? '')
      const now = pass(0)
      for (const { time, bookmark } of moments) {
        assert.equal(await history.bookmarkAt({ ...owner, generation: 2 }, time + 5), bookmark)
      }
      assert.match(
        await history.bookmarkAt({ ...owner, generation: 2 }, now),
        /^00000002-00000000-/,
      )
      assert.equal(
        await history.bookmarkAt({ ...owner, generation: 1 }, now),
        moments.at(-1)?.bookmark,
      )
      await assert.rejects(
        history.bookmarkAt({ ...owner, generation: 2 }, before),
        reason('too-old'),
      )
      await assert.rejects(
        history.bookmarkAt({ ...owner, generation: 2 }, now + 1),
        reason('in-the-future'),
      )
      await rm(path)
    })

    test('refuses bookmarks that are not of this database, or of no commit', async () => {
      await using history = (await open()).history
      const file = await fileIn()
      const writer = openWriter(file.path)
      await using timeline = await history.open(file)
      writer.exec('CREATE TABLE t (a)')
      const bookmark = await timeline.catchUp()
      writer.close()
      const wrong = [
        '',
        'x',
        bookmark.toUpperCase(),
        `${bookmark} `,
        bookmark.replaceAll('d', 'e'),
        bookmark.replace('00000001-', '00000002-'),
        bookmark.replace(/^(.{9}).{8}/, '$100000009'),
      ]
      for (const text of wrong) {
        await assert.rejects(restored(history, text), reason('unknown-bookmark'), text)
      }
      const { path } = await fileIn()
      await assert.rejects(
        history.restore({ account, database: 'e'.repeat(32) }, bookmark, { generation: 2, path }),
        reason('unknown-bookmark'),
      )
      await assert.rejects(readFile(path))
    })

    test('a file that is lost, with its WAL or without, is put back', async () => {
      for (const lost of [['', '-wal', '-shm'], ['']]) {
        const { history, reopen } = await open()
        const file = await fileIn()
        const writer = openWriter(file.path)
        let bookmark: string
        let content: string
        {
          await using timeline = await history.open(file)
          writer.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)')
          bookmark = await timeline.catchUp()
          content = contentOf(file.path)
        }
        await history[Symbol.asyncDispose]()
        for (const suffix of lost) await rm(`${file.path}${suffix}`)
        await using again = await reopen()
        await using timeline = await again.open(file)
        assert.equal(await timeline.catchUp(), bookmark)
        assert.equal(contentOf(file.path), content)
        assert.equal(await timeline.verify(), undefined)
        writer.close()
      }
    })

    test('forgets a generation', async () => {
      const { history } = await open()
      await using _ = history
      const file = await fileIn()
      const writer = openWriter(file.path)
      writer.exec('CREATE TABLE t (a)')
      await using timeline = await history.open(file)
      const bookmark = await timeline.catchUp()
      const content = contentOf(file.path)
      await restored(history, bookmark, 7)
      assert.deepEqual(
        (await history.list()).map(({ generation }) => generation),
        [file.generation, 7],
      )
      const bytes = await history.sizeOf(owner)
      await history.forget({ ...owner, generation: 7 })
      assert.deepEqual(
        (await history.list()).map(({ generation }) => generation),
        [file.generation],
      )
      assert.ok((await history.sizeOf(owner)) < bytes)
      assert.equal(contentOf(await restored(history, bookmark, 7)), content)
      writer.close()
    })

    test('forgets a database', async () => {
      await using history = (await open()).history
      const file = await fileIn()
      const writer = openWriter(file.path)
      writer.exec('CREATE TABLE t (a)')
      let bookmark: string
      {
        await using timeline = await history.open(file)
        bookmark = await timeline.catchUp()
      }
      writer.close()
      await history.delete(owner)
      assert.deepEqual(await history.list(), [])
      assert.equal(await history.sizeOf(owner), 0)
      await assert.rejects(restored(history, bookmark), reason('unknown-bookmark'))
      await history.delete(owner)
    })
  })
}
