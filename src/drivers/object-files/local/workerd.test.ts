import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import type { ObjectNamespace } from '#contract/cell.ts'
import { type ObjectId, objectId, objectNamespaceId } from '#contract/ids.ts'
import { ObjectBusyError, type ObjectFiles } from '#contract/ports/object-files.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { type Fixture, pidsOf, startFixture } from '#runtime/fixture.ts'
import { account } from '#test/backend.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { openObjectFiles } from './driver.ts'

// Copies of objects that a real workerd has open and writes to.

const namespace = objectNamespaceId.parse('0'.repeat(31) + '1')
const place = { account, namespace }
const objects: ObjectNamespace = { id: namespace, className: 'Pairs', storage: 'sqlite' }

// Each transaction writes two rows of the same number: a copy with an odd number of them is torn.
const code = `
import { DurableObject } from 'cloudflare:workers'
export class Part extends DurableObject {
  add() { this.ctx.storage.kv.put('n', (this.ctx.storage.kv.get('n') ?? 0) + 1) }
}
export class Pairs extends DurableObject {
  #make() { this.ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS pair (n INTEGER, filler BLOB)') }
  add(bytes) {
    const { sql } = this.ctx.storage
    this.#make()
    const n = sql.exec('SELECT coalesce(max(n), 0) + 1 AS n FROM pair').one().n
    this.ctx.storage.transactionSync(() => {
      sql.exec('INSERT INTO pair VALUES (?, randomblob(?))', n, bytes)
      sql.exec('INSERT INTO pair VALUES (?, randomblob(?))', n, bytes)
      sql.exec('DELETE FROM pair WHERE n < ?', n - 400)
    })
    return n
  }
  async part() {
    await this.ctx.facets.get('part', async () => ({ class: this.ctx.exports.Part })).add()
  }
  async cycle() {
    for (let n = 0; n < 5; n++) this.add(20000)
    await this.ctx.storage.deleteAll()
    return this.add(20000)
  }
  own() { return this.ctx.id.toString() }
}
export default { async fetch(request, env) {
  const url = new URL(request.url)
  const object = env.PAIRS.getByName(url.searchParams.get('name') ?? 'a')
  const bytes = Number(url.searchParams.get('bytes') ?? 100)
  try {
    return new Response(String((await object[url.pathname.slice(1)](bytes)) ?? ''))
  } catch (error) {
    return new Response(error.stack, { status: 500 })
  }
} }`

async function start(): Promise<Fixture> {
  const fixture = await startFixture()
  const bindings = { PAIRS: { type: 'objects', namespace } } as const
  await fixture.apply([await fixture.ready('w', { code, bindings, objects: [objects] })])
  return fixture
}

function filesOf(fixture: Fixture): Promise<ObjectFiles> {
  return openObjectFiles({ path: `${fixture.runDirectory}/objects`, clock: systemClock })
}

async function call(fixture: Fixture, path: string): Promise<string> {
  const { status, body } = await fixture.visit('w', path)
  assert.equal(status, 200, body)
  return body
}

/** Clients that write until they are told to stop. */
function writers(fixture: Fixture, path: string, count: number) {
  const over = new AbortController()
  let acknowledged = 0
  const running = Promise.all(
    Array.from({ length: count }, async () => {
      while (!over.signal.aborted) {
        acknowledged = Math.max(acknowledged, Number(await call(fixture, path)))
      }
    }),
  )
  return {
    get acknowledged() {
      return acknowledged
    },
    async [Symbol.asyncDispose](): Promise<void> {
      over.abort()
      await running
    },
  }
}

/** Looks into a copy: SQLite finds nothing wrong with it, and no transaction is there by half. */
async function lastPairOf(files: ObjectFiles, id: ObjectId, folder: string): Promise<number> {
  await using copy = await files.export(place, id)
  const [file] = copy?.files ?? []
  if (!file) return 0
  const path = join(folder, 'copy.sqlite')
  await writeFile(path, Buffer.concat(await Array.fromAsync(file.bytes)))
  using database = new DatabaseSync(path)
  assert.deepEqual(
    { ...database.prepare('PRAGMA integrity_check').get() },
    { integrity_check: 'ok' },
  )
  const made = database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'pair'`).get()
  if (!made) return 0
  const torn = 'SELECT n FROM pair GROUP BY n HAVING count(*) <> 2'
  assert.deepEqual(database.prepare(torn).all(), [])
  const { last, distinct } = {
    ...database
      .prepare('SELECT coalesce(max(n), 0) AS last, count(DISTINCT n) AS "distinct" FROM pair')
      .get(),
  }
  assert.equal(distinct, Math.min(Number(last), 401), 'none is missing before the last')
  return Number(last)
}

suite('local: objects that workerd writes to', { timeout: 180_000 }, () => {
  for (const [title, bytes] of [
    ['small transactions', 100],
    // 1000 pages are a checkpoint: about one in 60 of these.
    ['large ones, whose WAL begins anew all the time', 30_000],
  ] as const) {
    test(`50 copies, each whole and up to date: ${title}`, async () => {
      await using folder = await temporaryFolder()
      await using fixture = await start()
      await using files = await filesOf(fixture)
      const id = objectId.parse(await call(fixture, '/own'))
      const path = `/add?bytes=${bytes}`
      await call(fixture, path)
      await using load = writers(fixture, path, 8)
      const seen: number[] = []
      for (let n = 0; n < 50; n++) {
        const before = load.acknowledged
        seen.push(await lastPairOf(files, id, folder.path))
        assert.ok((seen.at(-1) ?? 0) >= before, 'what was acknowledged before is in it')
      }
      await load[Symbol.asyncDispose]()
      const written = load.acknowledged
      assert.equal(await call(fixture, path), `${written + 1}`, 'the writers lost nothing')
      assert.ok(new Set(seen).size > 10, `it was written to meanwhile: ${seen.join(' ')}`)
    })
  }

  test('an object that deletes everything again and again is not disturbed', async () => {
    await using folder = await temporaryFolder()
    await using fixture = await start()
    await using files = await filesOf(fixture)
    const id = objectId.parse(await call(fixture, '/own'))
    await call(fixture, '/cycle')
    await using load = writers(fixture, '/cycle', 4)
    for (let n = 0; n < 20; n++) {
      // The writers look at each answer of `cycle`: none may fail. A copy may.
      const last = lastPairOf(files, id, folder.path).catch((error: unknown) => {
        if (error instanceof ObjectBusyError) return 0
        throw error
      })
      assert.ok((await last) <= 6)
    }
    assert.equal(load.acknowledged, 1)
  })

  test('facets and their index come along; a killed process leaves all that it acknowledged', async () => {
    await using folder = await temporaryFolder()
    await using fixture = await start()
    await using files = await filesOf(fixture)
    const id = objectId.parse(await call(fixture, '/own'))
    for (let n = 1; n <= 20; n++) assert.equal(await call(fixture, '/add'), `${n}`)
    await call(fixture, '/part')
    const names = [`${id}.sqlite`, `${id}.1.sqlite`, `${id}.facets`]
    for (let n = 0; n < 2; n++) {
      await using copy = await files.export(place, id)
      assert.deepEqual(
        copy?.files.map((file) => file.name),
        names,
      )
      assert.equal(await lastPairOf(files, id, folder.path), 20)
      for (const pid of await pidsOf(fixture)) process.kill(pid, 'SIGKILL')
      await eventually(async () => (await pidsOf(fixture)).length === 0)
    }
    await eventually(async () => (await fixture.visit('w', '/add')).body === '21')
    const [stored] = await files.list(place, { limit: 2 })
    assert.ok(stored?.id === id && stored.hasStoredData && stored.sizeBytes > 8_192)
  })
})
