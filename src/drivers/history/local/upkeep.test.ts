import assert from 'node:assert/strict'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { contentOf, openWriter } from '#contract/ports/history.suite.ts'
import { type History, HistoryError } from '#contract/ports/history.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { HandClock, openIn, owner } from './fixture.ts'

const root = await temporaryFolder()
after(() => root[Symbol.asyncDispose]())
let folders = 0
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

type Moment = { readonly bookmark: string; readonly content: string; readonly time: number }

/** A history, and what makes one: commits that are known. */
async function start(budgetBytes?: number) {
  const folder = join(root.path, `${folders++}`)
  await mkdir(folder)
  const clock = new HandClock()
  const opened = await openIn(folder, clock, budgetBytes)
  const path = join(folder, 'db.sqlite')
  const timeline = await opened.history.open({ ...owner, generation: 1, path })
  const writer = openWriter(path)
  writer.exec('CREATE TABLE t (a, b)')
  const random = numbersFrom(seed)
  let restored = 2
  return {
    clock,
    folder,
    timeline,
    writer,
    history: opened.history,
    errors: opened.errors,
    /** So many commits of so many bytes that do not compress, so long after each other. */
    async commit(count: number, bytes: number, everyMs: number): Promise<readonly Moment[]> {
      const moments: Moment[] = []
      for (let n = 0; n < count; n++) {
        writer
          .prepare('INSERT INTO t VALUES (?, randomblob(?))')
          .run(Math.floor(random() * 1e9), bytes)
        writer.exec('DELETE FROM t WHERE rowid < (SELECT max(rowid) - 2 FROM t)')
        const time = clock.pass(everyMs)
        moments.push({ bookmark: await timeline.catchUp(), content: contentOf(path), time })
      }
      return moments
    },
    async restore(bookmark: string): Promise<string> {
      const to = join(folder, 'restored')
      await opened.history.restore(owner, bookmark, { generation: restored++, path: to })
      const content = contentOf(to)
      await rm(to)
      return content
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await opened[Symbol.asyncDispose]()
      writer.close()
    },
  }
}

async function tidyAll(history: History): Promise<number> {
  let calls = 1
  while (await history.tidy()) assert.ok(calls++ < 1_000)
  return calls
}

function isTooOld(error: unknown): boolean {
  return error instanceof HistoryError && error.reason === 'too-old'
}

suite(`local: what is kept (seed ${seed})`, { timeout: 120_000 }, () => {
  test('every commit of a day; of what is older, the last of each minute', async () => {
    await using own = await start()
    const old = await own.commit(120, 40_000, 7_000)
    own.clock.pass(dayMs)
    // What is not sealed is not thinned: so there is more after it.
    const young = await own.commit(120, 40_000, 7_000)
    const before = await own.history.sizeOf(owner)
    await tidyAll(own.history)
    assert.ok((await own.history.sizeOf(owner)) < before - 1_000_000)
    assert.equal(await own.timeline.verify(), undefined)
    for (const { bookmark, content, time } of young.filter((_, n) => n % 10 === 0)) {
      assert.equal(await own.restore(bookmark), content)
      assert.equal(await own.history.bookmarkAt({ ...owner, generation: 1 }, time), bookmark)
    }
    let exact = 0
    for (const [n, { bookmark, time }] of old.entries()) {
      if (n % 5 > 0) continue
      const content = await own.restore(bookmark)
      const index = old.findLastIndex((moment) => moment.content === content)
      if (index === n) exact++
      // The newest kept moment at or before it: of its minute, of the one before, or the very beginning.
      assert.ok(index <= n, `commit ${n} leads to ${index}`)
      assert.ok(index === -1 ? n < 17 : time - (old[index]?.time ?? 0) < 2 * minuteMs)
      const found = await own.history.bookmarkAt({ ...owner, generation: 1 }, time)
      assert.equal(await own.restore(found), content)
    }
    assert.ok(exact < 20, `${exact}`)
    assert.deepEqual(own.errors, [])
  })

  test('nothing that no moment of the last 30 days needs', async () => {
    await using own = await start()
    const old = await own.commit(150, 60_000, 1_000)
    own.clock.pass(20 * dayMs)
    const middle = await own.commit(150, 60_000, 1_000)
    own.clock.pass(20 * dayMs)
    const young = await own.commit(5, 60_000, 1_000)
    await tidyAll(own.history)
    assert.equal(await own.timeline.verify(), undefined)
    await assert.rejects(own.restore(old[0]?.bookmark ?? ''), isTooOld)
    await assert.rejects(
      own.history.bookmarkAt({ ...owner, generation: 1 }, old[0]?.time ?? 0),
      isTooOld,
    )
    for (const { bookmark, content } of [middle.at(-1), ...young].filter(
      (each) => each !== undefined,
    )) {
      assert.equal(await own.restore(bookmark), content)
    }
    // What was so 30 days ago is known.
    const then = await own.history.bookmarkAt(
      { ...owner, generation: 1 },
      own.clock.now() - 29.9 * dayMs,
    )
    assert.notEqual(await own.restore(then), '')
    assert.deepEqual(own.errors, [])
  })

  test('no more than the budget: the oldest goes, the newest stays', async () => {
    const budgetBytes = 12_000_000
    await using own = await start(budgetBytes)
    const old = await own.commit(150, 100_000, 1_000)
    own.clock.pass(2 * dayMs)
    const young = await own.commit(150, 100_000, 1_000)
    const before = await own.history.sizeOf(owner)
    assert.ok(before > 2 * budgetBytes, `${before}`)
    await tidyAll(own.history)
    // A journal, which is not compressed, comes on top.
    assert.ok((await own.history.sizeOf(owner)) < budgetBytes + 5_000_000)
    assert.equal(await own.timeline.verify(), undefined)
    await assert.rejects(own.restore(old[0]?.bookmark ?? ''), isTooOld)
    const last = young.at(-1)
    assert.equal(await own.restore(last?.bookmark ?? ''), last?.content)
    assert.deepEqual(own.errors, [])
  })

  test('a base is taken when a restore would take long, and what a crash left is removed', async () => {
    await using own = await start()
    const blobs = join(own.folder, 'blobs')
    await mkdir(join(blobs, 'dd'), { recursive: true })
    const stray = 'd'.repeat(32) + '0'.repeat(32)
    await own.commit(1, 10, 1_000)
    await writeFile(join(blobs, 'dd', stray), 'x')
    // 70 MB in few commits.
    for (let n = 0; n < 70; n++) {
      own.writer.exec(`UPDATE t SET b = randomblob(1000000)`)
      await own.timeline.catchUp()
    }
    const last = await own.commit(1, 10, 1_000)
    await own.history.bookmarkAt({ ...owner, generation: 1 }, own.clock.now())
    const before = (await readdir(blobs, { recursive: true })).filter((name) => name.length > 60)
    assert.ok(before.some((name) => name.endsWith(stray)))
    await tidyAll(own.history)
    const left = (await readdir(blobs, { recursive: true })).filter((name) => name.length > 60)
    assert.ok(!left.some((name) => name.endsWith(stray)))
    assert.equal(left.length, before.length, 'one more, one less')
    assert.equal(await own.restore(last[0]?.bookmark ?? ''), last[0]?.content)
    assert.equal(await own.timeline.verify(), undefined)
    assert.deepEqual(own.errors, [])
  })

  test('a generation goes 30 days after the next began', async () => {
    await using own = await start()
    const moments = await own.commit(5, 1_000, 1_000)
    const { bookmark, content } = moments[2] ?? { bookmark: '', content: '' }
    await own.timeline[Symbol.asyncDispose]()
    assert.equal(await own.restore(bookmark), content)
    own.clock.pass(29 * dayMs)
    await tidyAll(own.history)
    assert.equal(await own.restore(bookmark), content)
    own.clock.pass(2 * dayMs)
    await tidyAll(own.history)
    await assert.rejects(own.restore(bookmark), HistoryError)
    const kept = await own.history.bookmarkAt({ ...owner, generation: 9 }, own.clock.now())
    assert.equal(await own.restore(kept), content)
  })
})
