import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { ObjectNamespace } from '#contract/cell.ts'
import { objectNamespaceId } from '#contract/ids.ts'
import { contentOf } from '#contract/ports/history.suite.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { type Fixture, startFixture } from '#runtime/fixture.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { openIn, owner } from './fixture.ts'

// The history of a database that a real workerd writes to: its WAL begins anew, and is removed.

const namespace = objectNamespaceId.parse('0'.repeat(31) + '1')
const objects: ObjectNamespace = { id: namespace, className: 'Notes', storage: 'sqlite' }
const code = `
import { DurableObject } from 'cloudflare:workers'
export class Notes extends DurableObject {
  add(bytes) {
    const { sql } = this.ctx.storage
    sql.exec('CREATE TABLE IF NOT EXISTS note (n INTEGER PRIMARY KEY, filler BLOB)')
    sql.exec('INSERT INTO note (filler) VALUES (randomblob(?))', bytes)
    sql.exec('DELETE FROM note WHERE n < (SELECT max(n) FROM note) - 60')
  }
}
export default { async fetch(request, env) {
  await env.NOTES.getByName('a').add(Number(new URL(request.url).searchParams.get('bytes')))
  return new Response('added')
} }`

async function start(): Promise<Fixture> {
  const fixture = await startFixture()
  const bindings = { NOTES: { type: 'objects', namespace } } as const
  await fixture.apply([await fixture.ready('w', { code, bindings, objects: [objects] })])
  return fixture
}

async function add(fixture: Fixture, bytes: number): Promise<void> {
  assert.deepEqual(await fixture.visit('w', `/?bytes=${bytes}`), { status: 200, body: 'added' })
}

async function databaseOf(fixture: Fixture): Promise<string> {
  const names = await readdir(fixture.runDirectory, { recursive: true })
  // The name of an object's file is its id; workerd has another for alarms.
  const name = names.find((each) => /[0-9a-f]{64}\.sqlite$/.test(each)) ?? ''
  return join(fixture.runDirectory, name)
}

suite('local: the history of what workerd writes', { timeout: 120_000 }, () => {
  test('each commit, over WALs that begin anew and are removed, and after a kill', async () => {
    await using folder = await temporaryFolder()
    await using fixture = await start()
    await add(fixture, 10)
    const path = await databaseOf(fixture)
    const file = { ...owner, generation: 1, path }
    await using opened = await openIn(folder.path, systemClock)
    const timeline = await opened.history.open(file)
    let bookmark = await timeline.catchUp()
    let checkpoints = 0
    const catchUp = async (): Promise<void> => {
      const answer = timeline.catchUp()
      if (typeof answer !== 'string') checkpoints++
      const next = await answer
      assert.equal(next.slice(0, 17) > bookmark.slice(0, 17), true)
      bookmark = next
    }
    for (let n = 0; n < 240; n++) {
      await add(fixture, (n * 997) % 60_000)
      await catchUp()
      if (n % 80 === 79) assert.equal(await timeline.verify(), undefined)
    }
    assert.ok(checkpoints > 1, 'the WAL began anew')
    await eventually(() => !existsSync(`${path}-wal`), 40_000)
    assert.equal(await timeline.catchUp(), bookmark)
    assert.equal(await timeline.verify(), undefined)
    await add(fixture, 100)
    await catchUp()
    await timeline[Symbol.asyncDispose]()
    // Two that the history was not told of, as they are on disk if workerd is killed.
    await add(fixture, 200)
    await add(fixture, 300)
    const copy = join(folder.path, 'copy.sqlite')
    for (const suffix of ['', '-wal']) await cp(`${path}${suffix}`, `${copy}${suffix}`)
    await using again = await opened.history.open({ ...file, path: copy })
    const sequence = (text: string): number => Number.parseInt(text.slice(9, 17), 16)
    assert.equal(sequence(await again.catchUp()), sequence(bookmark) + 2)
    assert.equal(await again.verify(), undefined)
    assert.deepEqual(opened.errors, [])
  })

  test('is restored into what workerd goes on with', async () => {
    await using folder = await temporaryFolder()
    await using fixture = await start()
    await using opened = await openIn(folder.path, systemClock)
    await add(fixture, 10)
    const file = { ...owner, generation: 1, path: await databaseOf(fixture) }
    await using timeline = await opened.history.open(file)
    const moments: { readonly bookmark: string; readonly notes: number }[] = []
    for (let n = 1; n <= 20; n++) {
      moments.push({ bookmark: await timeline.catchUp(), notes: n })
      await add(fixture, n * 500)
    }
    for (const [index, { bookmark, notes }] of moments.entries()) {
      const path = join(folder.path, `restored-${index}`)
      await opened.history.restore(owner, bookmark, { generation: index + 2, path })
      const tables: unknown = JSON.parse(contentOf(path))
      const rows = Array.isArray(tables) ? tables.find(([name]) => name === 'note')?.[2] : undefined
      assert.equal(rows.length, notes)
    }
    assert.deepEqual(opened.errors, [])
  })
})
