import assert from 'node:assert/strict'
import { cp, mkdir, open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { after, before, suite, test } from 'node:test'
import { contentOf, openWriter } from '#contract/ports/history.suite.ts'
import { HistoryError } from '#contract/ports/history.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { HandClock, openIn, owner } from './fixture.ts'

// What is on disk after a crash, and with some of it changed: it is opened again, and either is
// exactly what it was, or says that it is not.

type Moment = { readonly bookmark: string; readonly content: string }
type Scene = { readonly name: string; readonly folder: string; readonly moments: readonly Moment[] }

/** About as many in each place of each scene; more of them in `npm run soak`. */
const flipsOfEach = Number(process.env['BINDERY_TEST_FLIPS'] ?? 10)

const root = await temporaryFolder()
const random = numbersFrom(seed)
const clock = new HandClock()
const scenes: Scene[] = []
let copies = 0
after(() => root[Symbol.asyncDispose]())

const file = (folder: string) => ({ ...owner, generation: 1, path: join(folder, 'db.sqlite') })
const below = (limit: number): number => Math.floor(random() * limit)

/** Some transactions, each of which the history is told of: the next may begin the WAL anew. */
async function change(
  writer: DatabaseSync,
  bytes: number,
  catchUp: () => string | Promise<string>,
): Promise<string> {
  const n = below(1000)
  writer
    .prepare('INSERT INTO t VALUES (?, ?)')
    .run(n, String.fromCharCode(97 + below(26)).repeat(below(bytes)))
  await catchUp()
  if (n % 4 === 0) writer.prepare('DELETE FROM t WHERE rowid % 7 = ?').run(below(7))
  await catchUp()
  if (n % 5 === 0) writer.prepare('UPDATE t SET a = a + 1 WHERE rowid % 5 = ?').run(below(5))
  return catchUp()
}

/** Makes a scene: `crash` copies what is on disk while all is open, `close` closes all before. */
async function makeScene(
  name: string,
  {
    commits,
    bytes,
    end,
  }: { readonly commits: number; readonly bytes: number; readonly end: 'crash' | 'close' },
): Promise<void> {
  const folder = join(root.path, `${name.replaceAll(' ', '-')}-made`)
  await mkdir(folder)
  const opened = await openIn(folder, clock)
  const writer = openWriter(file(folder).path)
  const moments: Moment[] = []
  const timeline = await opened.history.open(file(folder))
  writer.exec('CREATE TABLE t (a, b)')
  for (let n = 0; n < commits; n++) {
    const bookmark = await change(writer, bytes, () => timeline.catchUp())
    clock.pass(400)
    moments.push({ bookmark, content: contentOf(file(folder).path) })
  }
  if (end === 'close') {
    await timeline.sync()
    writer.close()
    await opened[Symbol.asyncDispose]()
  }
  // Journals before the last become segments behind its back.
  await eventually(async () => (await filesOf(folder, /\.journal$/)).length <= 1, 60_000)
  await cp(folder, join(root.path, name), { recursive: true })
  if (end === 'crash') {
    writer.close()
    await opened[Symbol.asyncDispose]()
  }
  assert.deepEqual(opened.errors, [])
  await rm(folder, { recursive: true })
  scenes.push({ name, folder: join(root.path, name), moments })
}

async function copyOf({ folder }: Scene): Promise<AsyncDisposable & { readonly path: string }> {
  const path = join(root.path, `copy-${copies++}`)
  await cp(folder, path, { recursive: true })
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

/** Opens what is in a folder: everything is exact, or an error says that it is damaged. Tells which. */
async function examine(scene: Scene, folder: string, restores = 1): Promise<'exact' | 'damaged'> {
  await using opened = await openIn(folder, clock)
  const last = scene.moments.at(-1)
  let result: 'exact' | 'damaged' = 'exact'
  const damagedOr = async (run: () => Promise<void>): Promise<void> => {
    try {
      await run()
    } catch (error) {
      // If its beginning is lost, what was before is as if it were too old.
      if (!(error instanceof HistoryError) || !/damaged|too-old/.test(error.reason)) throw error
      result = 'damaged'
    }
  }
  await damagedOr(async () => {
    await using timeline = await opened.history.open(file(folder))
    const bookmark = await timeline.catchUp()
    assert.ok(bookmark >= (last?.bookmark ?? ''), 'no commit is missing')
    if ((await timeline.verify()) !== undefined) result = 'damaged'
  })
  if (result === 'exact') assert.equal(contentOf(file(folder).path), last?.content)
  for (let n = 0; n < restores; n++) {
    const moment = scene.moments[below(scene.moments.length)]
    await damagedOr(async () => {
      const path = join(folder, `restored-${n}`)
      await rm(path, { force: true })
      await opened.history.restore(owner, moment?.bookmark ?? '', { generation: 100 + n, path })
      assert.equal(contentOf(path), moment?.content)
    })
  }
  return result
}

async function filesOf(folder: string, pattern: RegExp): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => pattern.test(name)).map((name) => join(folder, name))
}

async function flip(path: string, at: number): Promise<void> {
  await using handle = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ (1 << below(8))
  await handle.write(byte, 0, 1, at)
}

suite(`local: histories after a crash (seed ${seed})`, { timeout: 300_000 }, () => {
  before(async () => {
    await makeScene('short and open', { commits: 20, bytes: 1_000, end: 'crash' })
    await makeScene('short and closed', { commits: 20, bytes: 1_000, end: 'close' })
    await makeScene('long and open', { commits: 150, bytes: 60_000, end: 'crash' })
    await makeScene('long and closed', { commits: 150, bytes: 60_000, end: 'close' })
  })

  test('scenes are what they are meant to be, and whole', async () => {
    for (const scene of scenes) {
      await using copy = await copyOf(scene)
      const wal = await stat(`${file(copy.path).path}-wal`).catch(() => undefined)
      assert.equal(wal !== undefined, scene.name.endsWith('open'), scene.name)
      const blobs = await filesOf(join(copy.path, 'blobs'), /[0-9a-f]{64}$/)
      assert.equal(blobs.length > 0, scene.name.startsWith('long'), scene.name)
      assert.equal(await examine(scene, copy.path, 6), 'exact', scene.name)
    }
  })

  test('the end of a journal that was not synced comes back from the WAL', async () => {
    for (const scene of scenes.filter(({ name }) => name === 'short and open')) {
      const [journal = ''] = await filesOf(join(scene.folder, 'journals'), /\.journal$/)
      const { size } = await stat(journal)
      const cuts = [0, 1, 63, 64, 65, size - 1, ...Array.from({ length: 12 }, () => below(size))]
      for (const cut of cuts) {
        await using copy = await copyOf(scene)
        const [own = ''] = await filesOf(join(copy.path, 'journals'), /\.journal$/)
        await truncate(own, cut)
        assert.equal(await examine(scene, copy.path), 'exact', `${scene.name} cut at ${cut}`)
      }
    }
  })

  const places = [
    { what: 'the WAL', pattern: /db\.sqlite-wal$/, isExact: true },
    { what: 'the file', pattern: /db\.sqlite$/, isExact: true },
    { what: 'a journal', pattern: /\.journal$/, isExact: false },
    { what: 'page sums', pattern: /\.sums$/, isExact: true },
    { what: 'a segment', pattern: /[0-9a-f]{64}$/, isExact: false },
  ] as const
  for (const { what, pattern, isExact } of places) {
    test(`a byte of ${what} that changed`, async (t) => {
      const results = { exact: 0, damaged: 0 }
      for (const scene of scenes) {
        const share = scene.name.startsWith('short') ? 0.7 : 0.15
        const flips = Math.ceil(share * flipsOfEach)
        const count = (await filesOf(scene.folder, pattern)).length
        for (let n = 0; n < (count > 0 ? flips : 0); n++) {
          await using copy = await copyOf(scene)
          const path = (await filesOf(copy.path, pattern))[below(count)] ?? ''
          const { size } = await stat(path)
          // The first bytes are of heads, where a change means most.
          const at = n % 4 === 0 ? below(Math.min(size, 200)) : below(size)
          await flip(path, at)
          const restores = isExact && n % 5 > 0 ? 0 : 1
          const result = await examine(scene, copy.path, restores).catch((error: unknown) => {
            throw new Error(`${scene.name}, ${path}, byte ${at} of ${size}`, { cause: error })
          })
          results[result]++
          if (isExact) assert.equal(result, 'exact', `${scene.name}, byte ${at} of ${path}`)
        }
      }
      t.diagnostic(JSON.stringify(results))
      assert.ok(results.exact + results.damaged > 0)
    })
  }
})
