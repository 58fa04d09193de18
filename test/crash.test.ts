import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { killCells } from '#test/cells.ts'
import { deploy, namespace, placeOf } from '#test/deployer.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// `kill -9` at any moment loses nothing that was acknowledged.

const serverKills = Number(process.env['BINDERY_TEST_KILLS'] ?? 6)

/** Puts what it is told, a small value or one that becomes a file, and reads it back. */
const writer = `export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    const key = url.searchParams.get('key')
    if (url.pathname === '/get') return new Response(await env.KV.get(key))
    if (url.pathname === '/delete') await env.KV.delete(key)
    else {
      const size = Number(url.searchParams.get('size'))
      await env.KV.put(key, url.searchParams.get('value').padEnd(size, '.'), { metadata: { key } })
    }
    return new Response('done')
  },
}`

async function deployWriter(server: TestServer): Promise<void> {
  const place = placeOf(server)
  const id = await namespace(place, 'crash')
  const binding = { type: 'kv_namespace', name: 'KV', namespace_id: id }
  await deploy(place, 'writer', { code: writer, bindings: [binding] })
}

/** Writers on keys of their own, each of which knows what was acknowledged last. */
class Writers {
  /** `null`: a delete was acknowledged. Absent: the last write of the key was not answered. */
  readonly acknowledged = new Map<string, string | null>()
  /** What a write that got no answer may have left. */
  readonly possible = new Map<string, (string | null)[]>()
  readonly #random: () => number
  count = 0

  constructor(random: () => number) {
    this.#random = random
  }

  async run(server: TestServer, name: string, until: AbortSignal): Promise<void> {
    for (let n = 0; !until.aborted; n++) {
      const key = `${name}-${n % 5}`
      const isDelete = this.#random() < 0.1
      const value = isDelete ? null : `${name}.${this.count}.${n}`
      const size = this.#random() < 0.2 ? 70_000 : 20
      const path = isDelete ? `/delete?key=${key}` : `/put?key=${key}&value=${value}&size=${size}`
      const before = this.acknowledged.get(key)
      try {
        const response = await server.visit('writer', path)
        if (response.status !== 200) throw new Error(String(response.status))
        this.acknowledged.set(key, value)
        this.possible.delete(key)
        this.count++
      } catch {
        const known = this.possible.get(key) ?? (before === undefined ? [null] : [before])
        this.possible.set(key, [...known, value])
        this.acknowledged.delete(key)
        await new Promise((resolve) => void setTimeout(resolve, 5))
      }
    }
  }

  async check(server: TestServer): Promise<void> {
    const keys = new Set([...this.acknowledged.keys(), ...this.possible.keys()])
    for (const key of keys) {
      const answer = await server.visit('writer', `/get?key=${key}`)
      const text = (await answer.text()).replace(/\.+$/, '')
      const allowed = this.acknowledged.has(key)
        ? [this.acknowledged.get(key)]
        : (this.possible.get(key) ?? [])
      assert.ok(
        allowed.map((value) => value ?? '').includes(text),
        `seed ${seed}: ${key} is "${text}", but one of ${JSON.stringify(allowed)} was written`,
      )
    }
  }
}

suite(`kill -9 (seed ${seed})`, () => {
  test('of the server: every acknowledged write is there, every Worker comes back', async () => {
    await using server = await startTestServer()
    await deployWriter(server)
    const random = numbersFrom(seed)
    const writers = new Writers(random)
    for (let round = 0; round < serverKills; round++) {
      const over = new AbortController()
      const running = Array.from({ length: 8 }, (_, n) => writers.run(server, `k${n}`, over.signal))
      await new Promise((resolve) => void setTimeout(resolve, 150 + random() * 250))
      await server.kill()
      over.abort()
      await Promise.all(running)
      await server.restart()
      await writers.check(server)
    }
    assert.ok(writers.count > serverKills * 10, `${writers.count} writes`)
  })

  test('of a cell: the same, and visitors are answered again soon', async () => {
    await using server = await startTestServer()
    await deployWriter(server)
    const random = numbersFrom(seed + 1)
    const writers = new Writers(random)
    const over = new AbortController()
    const running = Array.from({ length: 8 }, (_, n) => writers.run(server, `c${n}`, over.signal))
    let slowestMs = 0
    for (let round = 0; round < 5; round++) {
      await new Promise((resolve) => void setTimeout(resolve, 200 + random() * 200))
      await killCells(server)
      const killed = performance.now()
      await eventually(async () => (await server.visit('writer', '/get?key=none')).status === 200)
      slowestMs = Math.max(slowestMs, performance.now() - killed)
    }
    over.abort()
    await Promise.all(running)
    await writers.check(server)
    assert.ok(writers.count > 50, `${writers.count} writes`)
    assert.ok(slowestMs < 5_000, `${slowestMs} ms until the cell answered again`)
  })
})
