import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { type AccountId, accountId } from '#contract/ids.ts'
import { objectIdOf } from '#runtime/databases/paths.ts'
import { database } from '#test/d1-worker.ts'
import { ask, call, deploy, placeOf } from '#test/deployer.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// Bytes that are not what was written: a database is exactly what it was, or says that it is not.

const rounds = Number(process.env['BINDERY_TEST_DAMAGES'] ?? 30)
const random = numbersFrom(seed)
const below = (limit: number): number => Math.floor(random() * limit)

const code = `export default {
  async fetch(request, env) {
    try {
      const [, name] = new URL(request.url).pathname.split('/')
      return Response.json(await env[name].prepare('SELECT id, a FROM t ORDER BY id').raw())
    } catch (error) {
      return new Response(error.message, { status: 500 })
    }
  },
}`

type Kept = {
  readonly name: string
  readonly id: string
  readonly account: AccountId
  content: string
  /** A moment of it, and what it was then. */
  early: { readonly bookmark: string; readonly content: string }
  /** What was done to it. */
  readonly damage: string[]
}

const repaired = /a database is made anew from its history/
const known =
  /^D1_ERROR: (Internal error in D1 DB storage caused object to be reset|Cannot resolve D1 DB due to transient issue on remote node)\.$/

suite(`damage on disk (seed ${seed})`, () => {
  test(`${rounds} databases: each is what it was, or says that it is not`, async (t) => {
    await using server = await startTestServer()
    const kept = await databasesOf(server)
    for (const each of kept) await write(server, each, 60)
    // What is closed well has its history in segments; what comes after is in logs and journals.
    await server.restart()
    for (const each of kept) await note(server, each)
    for (const each of kept) await write(server, each, 3)
    await server.kill()
    for (const each of kept) await damage(server, each)
    const segments = await damageSegments(server)
    await server.restart()
    const outcomes = { exact: 0, refused: 0 }
    for (const each of kept) outcomes[await judged(server, each)]++
    const repairs = server.log.match(new RegExp(repaired, 'g'))?.length ?? 0
    t.diagnostic(`${JSON.stringify(outcomes)}, ${repairs} made anew, ${segments} segments damaged`)
    assert.ok(repairs > 0 && outcomes.exact > rounds / 2, server.log)
    // Whatever was said, it is said again: nothing becomes right by being asked twice.
    await server.restart()
    const back = { back: 0, lost: 0 }
    for (const each of kept) {
      if ((await judged(server, each)) === 'refused') back[await broughtBack(server, each)]++
    }
    t.diagnostic(`of those that were refused: ${JSON.stringify(back)}`)
  })
})

async function databasesOf(server: TestServer): Promise<readonly Kept[]> {
  const place = placeOf(server)
  const kept: Kept[] = []
  const early = { bookmark: '', content: '' }
  for (let n = 0; n < rounds; n++) {
    const name = `DB${n}`
    const id = await database(place, name)
    kept.push({ name, id, account: accountId.parse(place.account), content: '', early, damage: [] })
  }
  const bindings = kept.map(({ name, id }) => ({ type: 'd1', name, id }))
  await deploy(place, 'reader', { code, bindings })
  return kept
}

async function write(server: TestServer, each: Kept, count: number): Promise<void> {
  const path = `~/d1/database/${each.id}/query`
  const sql = [
    'CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a TEXT);',
    ...Array.from(
      { length: count },
      () => `INSERT INTO t (a) VALUES (hex(randomblob(${below(4_000)})));`,
    ),
    `UPDATE t SET a = a || 'x' WHERE id % 7 = ${below(7)}; DELETE FROM t WHERE id % 31 = ${below(31)}`,
  ].join('\n')
  await call(placeOf(server), 'POST', path, { sql })
  each.content = await contentOf(server, each)
}

async function note(server: TestServer, each: Kept): Promise<void> {
  const path = `~/d1/database/${each.id}/time_travel/bookmark`
  const { bookmark } = z
    .object({ bookmark: z.string() })
    .parse(await call(placeOf(server), 'GET', path))
  each.early = { bookmark, content: each.content }
}

/** Time Travel is the way out of what can't be opened, as far as its history is whole. */
async function broughtBack(server: TestServer, each: Kept): Promise<'back' | 'lost'> {
  const path = `~/d1/database/${each.id}/time_travel/restore?bookmark=${each.early.bookmark}`
  const { success, errors } = await ask(placeOf(server), 'POST', path)
  const where = `seed ${seed}, ${each.name}: ${each.damage.join(', ')}`
  if (success) assert.equal(await contentOf(server, each), each.early.content, where)
  else assert.match(JSON.stringify(errors), /damaged|missing|gone/, where)
  return success ? 'back' : 'lost'
}

async function contentOf(server: TestServer, { name }: Kept): Promise<string> {
  const response = await server.visit('reader', `/${name}`)
  const text = await response.text()
  return response.status === 200 ? createHash('sha256').update(text).digest('hex') : text
}

/** What a database, asked, turns out to be. */
async function judged(server: TestServer, each: Kept): Promise<'exact' | 'refused'> {
  const found = await contentOf(server, each)
  const where = `seed ${seed}, ${each.name}: ${each.damage.join(', ')}`
  if (found !== each.content) {
    assert.match(found, known, where)
    return 'refused'
  }
  const path = `~/d1/database/${each.id}`
  const { success, result } = await ask(placeOf(server), 'POST', `${path}/query`, {
    sql: 'PRAGMA quick_check',
  })
  assert.ok(success, where)
  assert.match(JSON.stringify(result), /"quick_check":"ok"/, where)
  return 'exact'
}

/** Changes something of one database. */
async function damage(server: TestServer, { id, account, damage: done }: Kept): Promise<void> {
  const name = id.replaceAll('-', '')
  const file = { account, database: name, generation: 1 }
  const path = join(
    server.dataDirectory,
    'databases',
    account,
    'd1',
    `${objectIdOf('d1', file)}.sqlite`,
  )
  const folder = join(server.dataDirectory, 'history/journals', account, name)
  const journals = (await readdir(folder)).map((entry) => join(folder, entry))
  const journal = journals[below(journals.length)] ?? assert.fail('no journal')
  assert.ok((await stat(`${path}-wal`)).size > 0, 'there is a log')
  const kinds: readonly (() => Promise<string>)[] = [
    () => flip(path),
    () => flip(path),
    () => flip(`${path}-wal`),
    () => flip(`${path}-wal`),
    () => flip(journal),
    () => cut(`${path}-wal`),
    () => cut(journal),
    () => rm(`${path}-wal`).then(() => 'its log is gone'),
    () => rm(path).then(() => 'it is gone'),
    async () => `${await flip(path)}, ${await flip(journal)}`,
    async () => `${await flip(`${path}-wal`)}, ${await flip(journal)}`,
  ]
  const kind = kinds[below(kinds.length)] ?? assert.fail('no kind')
  done.push(await kind())
}

async function damageSegments(server: TestServer): Promise<number> {
  const folder = join(server.dataDirectory, 'history/segments')
  const found = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  )
  const some = found.filter(() => random() < 0.2)
  for (const { parentPath, name } of some) await flip(join(parentPath, name))
  return some.length
}

async function flip(path: string): Promise<string> {
  await using file = await open(path, 'r+')
  const { size } = await file.stat()
  const at = Array.from({ length: 1 + below(3) }, () => below(size))
  for (const position of at) {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, position)
    byte[0] = (byte[0] ?? 0) ^ (1 + below(255))
    await file.write(byte, 0, 1, position)
  }
  return `${path.slice(path.lastIndexOf('/') + 1)} (${size} bytes) at ${at.join(', ')}`
}

async function cut(path: string): Promise<string> {
  const { size } = await stat(path)
  const to = below(size)
  await truncate(path, to)
  return `${path.slice(path.lastIndexOf('/') + 1)} is cut from ${size} to ${to}`
}
