import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { z } from 'zod'
import { bindery } from '#test/command.ts'
import { database } from '#test/d1-worker.ts'
import { call, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer } from '#test/server.ts'

// A database that is far larger than what may be held of it goes in and out.

const megabytes = Number(process.env['BINDERY_TEST_D1_MEGABYTES'] ?? 64)
const rowBytes = 20_000
/** What a server may hold more than it did before. */
const heldMegabytes = 150

const answer = z.object({
  status: z.string().optional(),
  at_bookmark: z.string().optional(),
  upload_url: z.string().optional(),
  error: z.string().optional(),
  result: z
    .object({ num_queries: z.number().optional(), signed_url: z.string().optional() })
    .optional(),
})

/** SQL whose lines differ. */
async function* lines(): AsyncGenerator<string> {
  yield 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);\n'
  for (let n = 0; n * rowBytes < megabytes * 1e6; n++) {
    yield `INSERT INTO "t" ("id","a") VALUES(${n},'${`${n};`.padEnd(rowBytes, 'x')}');\n`
  }
}

async function md5Of(path: string): Promise<string> {
  const hash = createHash('md5')
  for await (const piece of createReadStream(path)) hash.update(piece)
  return hash.digest('hex')
}

/** Asks until it is over. */
async function poll(
  place: Place,
  path: string,
  asked: { readonly first: object; readonly again: object },
) {
  let told = answer.parse(await call(place, 'POST', path, asked.first))
  while (told.status === 'active') {
    const current = { current_bookmark: told.at_bookmark }
    told = answer.parse(await call(place, 'POST', path, { ...asked.again, ...current }))
  }
  assert.equal(told.status, 'complete', told.error)
  return told.result ?? {}
}

test(`a file of ${megabytes} MB is imported, exported and the same, and never held`, async () => {
  await using server = await startTestServer()
  const place = placeOf(server)
  const id = await database(place, 'large')
  const [sent, fetched] = ['in.sql', 'out.sql'].map((name) => join(server.folder, name))
  assert.ok(sent && fetched)
  await pipeline(Readable.from(lines()), createWriteStream(sent))
  const etag = await md5Of(sent)
  const peak = async (): Promise<number> => {
    const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1_000
  }
  const before = await peak()

  const path = `~/d1/database/${id}`
  const init = answer.parse(await call(place, 'POST', `${path}/import`, { action: 'init', etag }))
  const body = Readable.toWeb(createReadStream(sent))
  const put = await fetch(init.upload_url ?? '', { method: 'PUT', body, duplex: 'half' })
  assert.equal(put.status, 200, await put.text())
  const ingest = { action: 'ingest', etag, filename: '' }
  const imported = await poll(place, `${path}/import`, { first: ingest, again: { action: 'poll' } })
  assert.equal(imported.num_queries, 1 + Math.ceil((megabytes * 1e6) / rowBytes))

  const polling = { output_format: 'polling' }
  const exported = await poll(place, `${path}/export`, { first: polling, again: polling })
  const download = await fetch(exported.signed_url ?? '')
  assert.ok(download.body)
  await pipeline(Readable.fromWeb(download.body), createWriteStream(fetched))
  const head = 'PRAGMA defer_foreign_keys=TRUE;\n'
  const hash = createHash('md5')
  for await (const piece of createReadStream(fetched, { start: head.length })) hash.update(piece)
  assert.equal(hash.digest('hex'), etag)
  const held = (await peak()) - before
  assert.ok(held < heldMegabytes, `${held.toFixed(0)} MB were held`)

  const { stdout } = await bindery(['d1', 'verify', 'large', '--data', server.dataDirectory])
  assert.match(stdout, /^large is what its archive makes of it, at [0-9a-f-]{59} \(\d/)
})
