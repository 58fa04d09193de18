import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { ask, call, deploy, type Place, placeOf } from '#test/deployer.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// `kill -9` of the server loses no write of Secrets Store that was acknowledged.

const kills = Number(process.env['BINDERY_TEST_KILLS'] ?? 2)
const mostStores = 20
const root = '~/secrets_store/stores'
const made = z.object({ id: z.string() })
const listed = z.array(made)
const secretNames = Array.from({ length: 6 }, (_, n) => `S${n}`)

const reader = `export default {
  async fetch(request, env) {
    const all = await Promise.all(Object.entries(env).map(async ([name, secret]) => [name, await secret.get()]))
    return Response.json(Object.fromEntries(all))
  },
}`

/** Changes one secret again and again; knows what it may be. */
class Writer {
  /** The value that was acknowledged last, and what was sent since and not answered. */
  possible: readonly string[] = ['first']
  count = 0
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async run(place: Place, until: AbortSignal): Promise<void> {
    for (; !until.aborted; this.count++) {
      const value = `${this.count}`.padEnd(this.count % 5 === 0 ? 30_000 : 5, '.')
      this.possible = [...this.possible, value]
      const answer = await ask(place, 'PATCH', this.#path, { value }).catch(() => undefined)
      if (!answer) return
      assert.ok(answer.success, JSON.stringify(answer.errors))
      this.possible = [value]
    }
  }
}

/** Makes stores with a secret each, and deletes most of them. */
class Maker {
  readonly there = new Set<string>()
  readonly gone = new Set<string>()
  /** A store that is not its own. */
  readonly others: string
  #count = 0

  constructor(others: string) {
    this.others = others
  }

  async run(place: Place, until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      try {
        const name = `n${this.#count++}`
        const { id } = made.parse(await call(place, 'POST', root, { name }))
        const body = [{ name: 'KEY', value: 'v', scopes: ['workers'] }]
        await call(place, 'POST', `${root}/${id}/secrets`, body)
        if (this.there.size < mostStores && this.#count % 8 === 0) {
          this.there.add(id)
          continue
        }
        await call(place, 'DELETE', `${root}/${id}?force=true`)
        this.gone.add(id)
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        return
      }
    }
  }
}

async function check(server: TestServer, writers: readonly Writer[], maker: Maker) {
  const response = await server.visit('reader')
  const text = await response.text()
  assert.equal(response.status, 200, text)
  const values = z.record(z.string(), z.string()).parse(JSON.parse(text))
  for (const [index, { possible }] of writers.entries()) {
    const value = values[`S${index}`] ?? ''
    assert.ok(possible.includes(value), `seed ${seed}: S${index} is ${value.slice(0, 10)}`)
  }
  const stores = listed.parse(await call(placeOf(server), 'GET', `${root}?per_page=100`))
  const ids = new Set(stores.map(({ id }) => id))
  for (const id of maker.gone) assert.ok(!ids.has(id), `seed ${seed}: ${id} is back`)
  for (const id of maker.there) {
    assert.ok(ids.has(id), `seed ${seed}: ${id} is gone`)
    const secrets = await call(placeOf(server), 'GET', `${root}/${id}/secrets`)
    assert.equal(listed.parse(secrets).length, 1, `seed ${seed}: ${id} is empty`)
  }
  for (const id of ids) {
    // Made, or to be deleted, by a call that got no answer.
    if (maker.there.has(id) || id === maker.others) continue
    await call(placeOf(server), 'DELETE', `${root}/${id}?force=true`)
    maker.gone.add(id)
    ids.delete(id)
  }
  const folder = join(server.dataDirectory, 'secrets_store_secret')
  const keys = globSync('??/*', { cwd: folder }).map((file) => file.slice(3))
  for (const id of ids) assert.ok(keys.includes(id), `seed ${seed}: ${id} has no key`)
  for (const id of maker.gone) assert.ok(!keys.includes(id), `seed ${seed}: ${id} has its key`)
}

suite(`kill -9 and Secrets Store (seed ${seed})`, () => {
  test('every acknowledged write is there, and no key of a deleted store', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const { id: store } = made.parse(await call(place, 'POST', root, { name: 'crash' }))
    const body = secretNames.map((name) => ({ name, value: 'first', scopes: ['workers'] }))
    const secrets = listed.parse(await call(place, 'POST', `${root}/${store}/secrets`, body))
    const bindings = secretNames.map((name) => {
      return { type: 'secrets_store_secret', name, store_id: store, secret_name: name }
    })
    await deploy(place, 'reader', { code: reader, bindings })
    const writers = secrets.map(({ id }) => new Writer(`${root}/${store}/secrets/${id}`))
    const maker = new Maker(store)
    const random = numbersFrom(seed)
    for (let round = 0; round < kills; round++) {
      const over = new AbortController()
      const at = placeOf(server)
      const running = [...writers, maker].map((each) => each.run(at, over.signal))
      await new Promise((resolve) => void setTimeout(resolve, 200 + random() * 300))
      await server.kill()
      over.abort()
      await Promise.all(running)
      await server.restart()
      await check(server, writers, maker)
    }
    const count = writers.reduce((sum, each) => sum + each.count, 0)
    assert.ok(count > kills && maker.gone.size > 0, `${count}, ${maker.gone.size} writes`)
  })
})
