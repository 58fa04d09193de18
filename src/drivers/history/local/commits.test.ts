import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, suite, test } from 'node:test'
import { contentOf, openWriter } from '#contract/ports/history.suite.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { HandClock, openIn, owner } from './fixture.ts'

// Histories of databases that are written to at random, with WALs that begin anew and are deleted,
// and servers that are gone in the middle: each commit is there, exactly.

const root = await temporaryFolder()
after(() => root[Symbol.asyncDispose]())
let folders = 0

async function newFolder(): Promise<string> {
  const path = join(root.path, `${folders++}`)
  await mkdir(path)
  return path
}

type Moment = { readonly bookmark: string; readonly content: string }

async function newestJournal(
  folder: string,
): Promise<{ readonly name: string; readonly size: number }> {
  const names = await readdir(folder, { recursive: true })
  const name =
    names
      .filter((each) => each.endsWith('.journal'))
      .toSorted()
      .at(-1) ?? ''
  return { name, size: (await stat(join(folder, name))).size }
}

/** Some statements of one transaction. */
function statements(random: () => number): string {
  const below = (limit: number): number => Math.floor(random() * limit)
  const table = `t${below(4)}`
  const filled = `(randomblob(${below(2_000)}), ${below(1e6)})`
  const kinds = [
    `CREATE TABLE IF NOT EXISTS ${table} (a, b)`,
    `DROP TABLE IF EXISTS ${table}`,
    `CREATE INDEX IF NOT EXISTS ${table}b ON ${table} (b)`,
    `INSERT INTO ${table} VALUES ${Array(1 + below(40))
      .fill(filled)
      .join(', ')}`,
    `INSERT INTO ${table} VALUES ${Array(1 + below(4))
      .fill(filled)
      .join(', ')}`,
    `UPDATE ${table} SET b = b + 1 WHERE rowid % ${1 + below(9)} = 0`,
    `DELETE FROM ${table} WHERE rowid % ${1 + below(4)} = 0`,
    `DELETE FROM ${table}; PRAGMA incremental_vacuum(${below(50)})`,
  ]
  const drawn = kinds[below(kinds.length)] ?? ''
  return /^(CREATE TABLE|DROP)/.test(drawn)
    ? drawn
    : `CREATE TABLE IF NOT EXISTS ${table} (a, b); ${drawn}`
}

suite(`local: every commit (seed ${seed})`, { timeout: 300_000 }, () => {
  for (let run = 0; run < 4; run++) {
    test(`of a random history: ${run}`, async () => {
      const random = numbersFrom(seed + run)
      const clock = new HandClock()
      const folder = await newFolder()
      const file = { ...owner, generation: 1, path: join(folder, 'db.sqlite') }
      const moments: Moment[] = []
      let opened = await openIn(folder, clock)
      let timeline = await opened.history.open(file)
      let writer = openWriter(file.path)
      // Before the first table, so that it takes.
      writer.exec('PRAGMA auto_vacuum = INCREMENTAL; VACUUM')
      for (let n = 0; n < 120; n++) {
        writer.exec(`BEGIN; ${statements(random)}; COMMIT`)
        clock.pass(Math.floor(random() * 800))
        moments.push({ bookmark: await timeline.catchUp(), content: contentOf(file.path) })
        const chance = random()
        if (chance < 0.03) {
          // workerd closes a database that nobody uses.
          await timeline.sync()
          writer.close()
          if (chance < 0.015) assert.equal(await timeline.catchUp(), moments.at(-1)?.bookmark)
          writer = openWriter(file.path)
        } else if (chance < 0.06) {
          await timeline[Symbol.asyncDispose]()
          writer.close()
          await opened[Symbol.asyncDispose]()
          opened = await openIn(folder, clock)
          timeline = await opened.history.open(file)
          writer = openWriter(file.path)
        } else if (chance < 0.08) {
          assert.equal(await timeline.verify(), undefined)
        }
      }
      assert.deepEqual(
        moments,
        moments.toSorted((one, other) => (one.bookmark < other.bookmark ? -1 : 1)),
      )
      for (const [n, { bookmark, content }] of moments.entries()) {
        if (n % 4 !== run) continue
        const path = join(folder, 'restored')
        await opened.history.restore(owner, bookmark, { generation: n + 2, path })
        assert.equal(contentOf(path), content, `run ${run}, commit ${n}`)
        await rm(path)
      }
      assert.equal(await timeline.verify(), undefined)
      assert.deepEqual(opened.errors, [])
      await opened[Symbol.asyncDispose]()
      writer.close()
    })
  }

  test('of a history whose WAL began anew, and whose unsynced end is lost', async () => {
    const random = numbersFrom(seed)
    const clock = new HandClock()
    const folder = await newFolder()
    const file = { ...owner, generation: 1, path: join(folder, 'db.sqlite') }
    const moments: Moment[] = []
    await using opened = await openIn(folder, clock)
    await using timeline = await opened.history.open(file)
    const writer = openWriter(file.path)
    writer.exec('CREATE TABLE t (a)')
    // The journal as it was on disk for sure, when the WAL was so long that it may begin anew.
    let synced = { name: '', size: 0 }
    for (let n = 0; n < 400; n++) {
      writer.prepare('INSERT INTO t VALUES (randomblob(?))').run(Math.floor(random() * 9_000))
      const answer = timeline.catchUp()
      moments.push({ bookmark: await answer, content: '' })
      if (typeof answer !== 'string') synced = await newestJournal(folder)
    }
    // Answers once nothing is being sealed.
    await opened.history.bookmarkAt(file, clock.now())
    assert.ok(synced.size > 0)
    const { name, size } = await newestJournal(folder)
    const least = name === synced.name ? synced.size : 0
    for (let n = 0; n < 12; n++) {
      const copy = join(root.path, `cut-${n}`)
      await cp(folder, copy, { recursive: true })
      await truncate(join(copy, name), least + Math.floor(random() * (size - least)))
      await using again = await openIn(copy, clock)
      await using own = await again.history.open({ ...file, path: join(copy, 'db.sqlite') })
      assert.equal((await own.catchUp()).slice(0, 17), moments.at(-1)?.bookmark.slice(0, 17))
      assert.equal(await own.verify(), undefined)
      assert.deepEqual(again.errors, [])
    }
    writer.close()
  })

  test('of a writer that is killed', async () => {
    const folder = await newFolder()
    const file = { ...owner, generation: 1, path: join(folder, 'db.sqlite') }
    const program = `
      import { DatabaseSync } from 'node:sqlite'
      const database = new DatabaseSync(${JSON.stringify(file.path)})
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS t (a)')
      const { n } = database.prepare('SELECT count(*) AS n FROM t').get()
      for (let i = n + 1; ; i++) {
        database.prepare('INSERT INTO t VALUES (?)').run('x'.repeat(i % 7000))
        console.log(i)
      }`
    const random = numbersFrom(seed)
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      let last = 0
      let left = 20 + Math.floor(random() * 300)
      for await (const line of createInterface({ input: child.stdout })) {
        last = Number(line)
        left--
        if (left === 0) break
      }
      child.kill('SIGKILL')
      await once(child, 'exit')
      await using opened = await openIn(folder, systemClock)
      await using timeline = await opened.history.open(file)
      const bookmark = await timeline.catchUp()
      assert.equal(await timeline.verify(), undefined)
      const path = join(folder, `restored-${round}`)
      await opened.history.restore(owner, bookmark, { generation: round + 2, path })
      const content = contentOf(path)
      assert.equal(content, contentOf(file.path))
      assert.ok(JSON.parse(content)[0][2].length >= last)
      assert.deepEqual(opened.errors, [])
    }
  })

  test('of 50 MB, in bounded memory', async (t) => {
    const folder = await newFolder()
    const file = { ...owner, generation: 1, path: join(folder, 'db.sqlite') }
    await using opened = await openIn(folder, systemClock)
    await using timeline = await opened.history.open(file)
    const writer = openWriter(file.path)
    writer.exec('CREATE TABLE t (a); BEGIN')
    const insert = writer.prepare('INSERT INTO t VALUES (?)')
    for (let n = 0; n < 500; n++) insert.run(new Uint8Array(100_000).fill(n))
    writer.exec('COMMIT')
    const before = process.memoryUsage().rss
    let peak = before
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
    const started = performance.now()
    const bookmark = await timeline.catchUp()
    const tookMs = performance.now() - started
    await timeline.sync()
    const path = join(folder, 'restored')
    const from = performance.now()
    await opened.history.restore(owner, bookmark, { generation: 2, path })
    const restoredMs = performance.now() - from
    clearInterval(watch)
    assert.equal(await timeline.verify(), undefined)
    t.diagnostic(
      `taken in in ${tookMs.toFixed()} ms, restored in ${restoredMs.toFixed()} ms, ${((peak - before) / 1e6).toFixed()} MB more`,
    )
    assert.ok(peak - before < 64e6, `${peak - before} bytes more`)
    using reader = openWriter(path)
    const [row] = reader.prepare('SELECT count(*) AS n, sum(length(a)) AS bytes FROM t').all()
    assert.deepEqual({ ...row }, { n: 500, bytes: 50_000_000 })
    writer.close()
  })

  test('catching up costs little', async (t) => {
    const folder = await newFolder()
    const file = { ...owner, generation: 1, path: join(folder, 'db.sqlite') }
    await using opened = await openIn(folder, systemClock)
    await using timeline = await opened.history.open(file)
    const writer = openWriter(file.path)
    writer.exec('CREATE TABLE t (a); PRAGMA synchronous = OFF')
    await timeline.catchUp()
    const idle = performance.now()
    for (let n = 0; n < 20_000; n++) assert.equal(typeof timeline.catchUp(), 'string')
    const idleUs = (performance.now() - idle) / 20
    const insert = writer.prepare('INSERT INTO t VALUES (?)')
    let commitUs = 0
    for (let n = 0; n < 400; n++) {
      insert.run('x'.repeat(100))
      const from = performance.now()
      assert.equal(typeof timeline.catchUp(), 'string')
      commitUs += (performance.now() - from) * 1000
    }
    t.diagnostic(
      `${idleUs.toFixed(1)} µs if there is nothing, ${(commitUs / 400).toFixed(1)} µs for a small commit`,
    )
    writer.close()
  })
})
