import assert from 'node:assert/strict'
import { z } from 'zod'
import { database } from '#test/d1-worker.ts'
import { ask, call, deploy, placeOf } from '#test/deployer.ts'
import type { TestServer } from '#test/server.ts'

/** A Worker that writes to the database that it is told. */
const code = `
const insert = 'INSERT INTO entries (id, part) VALUES (?, ?)'
const count = 'UPDATE counts SET n = n + 1 RETURNING n'
const writes = {
  async row(db, id) {
    const { meta } = await db.prepare(insert).bind(id, 0).run()
    return meta.changes
  },
  async batch(db, id) {
    const parts = [1, 2, 3].map((part) => db.prepare(insert).bind(id, part))
    const results = await db.batch([...parts, db.prepare(count)])
    return results[3].results[0].n
  },
}
export default {
  async fetch(request, env) {
    const [, name, kind, id] = new URL(request.url).pathname.split('/')
    const session = env[name].withSession('first-primary')
    const n = await writes[kind](session, id)
    return Response.json({ n, bookmark: session.getBookmark() })
  },
}`

const answer = z.object({ n: z.number(), bookmark: z.string() })
const result = z.object({ results: z.array(z.record(z.string(), z.unknown())) })
const results = z.tuple([result], result)
const counts = z.tuple([z.object({ n: z.number() })])
const entries = z.array(z.object({ id: z.string(), parts: z.number() }))

/** A write that was acknowledged. Times are of one clock: a write began after all that had ended by then. */
type Write = {
  readonly id: string
  readonly parts: 1 | 3
  readonly beganAt: number
  readonly endedAt: number
  /** Where the database was after it, or later. */
  readonly bookmark?: string
}

/** Makes databases, and deploys the Worker that writes to them. */
export async function makeLedgers(server: TestServer, count: number): Promise<readonly D1Ledger[]> {
  const place = placeOf(server)
  const names = Array.from({ length: count }, (_, n) => `D${n}`)
  const ids = await Promise.all(names.map((name) => database(place, name)))
  const bindings = names.map((name, n) => ({ type: 'd1', name, id: ids[n] }))
  await deploy(place, 'ledger', { code, bindings })
  const ledgers = names.map((name, n) => new D1Ledger(server, { name, id: ids[n] ?? '' }))
  const schema = `CREATE TABLE entries (id TEXT, part INTEGER, PRIMARY KEY (id, part));
    CREATE TABLE counts (n INTEGER); INSERT INTO counts VALUES (0)`
  for (const ledger of ledgers) await ledger.query(schema)
  return ledgers
}

/** One database: what was written to it, and what must be there. */
export class D1Ledger {
  readonly #server: TestServer
  readonly #name: string
  readonly #id: string
  readonly #writes: Write[] = []
  #time = 0
  #next = 0
  #counted = 0
  #refused = 0

  constructor(server: TestServer, { name, id }: { readonly name: string; readonly id: string }) {
    this.#server = server
    this.#name = name
    this.#id = id
  }

  get written(): number {
    return this.#writes.length
  }

  /** Calls that were not acknowledged. */
  get refused(): number {
    return this.#refused
  }

  /** Writes by every road until it is over. What fails may have been done, or not. */
  async run(over: AbortSignal): Promise<void> {
    const roads = ['row', 'row', 'batch', 'batch', 'rest'] as const
    await Promise.all(roads.map((road) => this.#runRoad(road, over)))
  }

  /** What was acknowledged is there, a batch is whole or absent, and counts what it is. */
  async check(): Promise<void> {
    const found = await this.#entries()
    for (const { id, parts } of this.#writes)
      assert.equal(found.get(id), parts, `${this.#name}: ${id}`)
    await this.#checkWhole(found)
    const [{ n }] = counts.parse(await this.query('SELECT n FROM counts'))
    assert.ok(n >= this.#counted, `${this.#name} counts ${n}, and was at ${this.#counted}`)
    const check = await this.query('PRAGMA quick_check')
    assert.deepEqual(check, [{ quick_check: 'ok' }])
  }

  /** Whether its history makes the very database. */
  async verify(): Promise<void> {
    const told = await call(placeOf(this.#server), 'POST', `~/d1/database/${this.#id}/verify`)
    assert.equal(z.object({ difference: z.unknown() }).parse(told).difference, null)
  }

  /** Goes back to a bookmark that was told, looks, and comes back. `pick` chooses one of so many. */
  async travel(pick: (count: number) => number): Promise<void> {
    const known = this.#writes.filter(({ bookmark }) => bookmark !== undefined)
    const chosen = known[pick(known.length)] ?? assert.fail('nothing was written')
    const before = await this.#entries()
    const previous = await this.#restore(chosen.bookmark ?? '')
    const found = await this.#entries()
    for (const { id, parts, beganAt, endedAt } of this.#writes) {
      const why = `${this.#name}: ${id}, as of ${chosen.id} (${chosen.bookmark})`
      if (id === chosen.id || endedAt < chosen.beganAt) assert.equal(found.get(id), parts, why)
      if (beganAt > chosen.endedAt) assert.equal(found.get(id), undefined, why)
    }
    await this.#checkWhole(found)
    await this.#restore(previous)
    assert.deepEqual(await this.#entries(), before)
  }

  /** Statements by REST; gives the rows of the first. */
  async query(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const path = `~/d1/database/${this.#id}/query`
    return results.parse(await call(placeOf(this.#server), 'POST', path, { sql }))[0].results
  }

  async #runRoad(road: 'row' | 'batch' | 'rest', over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const id = `${road}-${this.#next++}`
      const beganAt = this.#time++
      try {
        const bookmark = road === 'rest' ? await this.#writeByRest(id) : await this.#write(road, id)
        const parts = road === 'batch' ? 3 : 1
        const write = { id, parts, beganAt, endedAt: this.#time++ } as const
        this.#writes.push(bookmark === undefined ? write : { ...write, bookmark })
      } catch {
        this.#refused += 1
        // Without a server, each call fails at once.
        await new Promise((resolve) => void setTimeout(resolve, 20))
      }
    }
  }

  async #write(road: 'row' | 'batch', id: string): Promise<string> {
    const path = `/${this.#name}/${road}/${id}`
    const response = await this.#server.visit('ledger', path, { method: 'POST' })
    if (response.status !== 200) throw new Error(`${response.status}`)
    const { n, bookmark } = answer.parse(await response.json())
    if (road === 'batch') this.#counted = Math.max(this.#counted, n)
    return bookmark
  }

  async #writeByRest(id: string): Promise<undefined> {
    const sql = 'INSERT INTO entries (id, part) VALUES (?, 0)'
    const path = `~/d1/database/${this.#id}/query`
    const { success } = await ask(placeOf(this.#server), 'POST', path, { sql, params: [id] })
    if (!success) throw new Error('refused')
  }

  async #restore(bookmark: string): Promise<string> {
    const path = `~/d1/database/${this.#id}/time_travel/restore?bookmark=${bookmark}`
    const moved = await call(placeOf(this.#server), 'POST', path)
    return z.object({ previous_bookmark: z.string() }).parse(moved).previous_bookmark
  }

  /** How many parts there are of each. */
  async #entries(): Promise<ReadonlyMap<string, number>> {
    const found = await this.query('SELECT id, count(*) AS parts FROM entries GROUP BY id')
    return new Map(entries.parse(found).map(({ id, parts }) => [id, parts]))
  }

  async #checkWhole(found: ReadonlyMap<string, number>): Promise<void> {
    const batches = [...found].filter(([id]) => id.startsWith('batch'))
    for (const [id, parts] of batches) assert.equal(parts, 3, `${this.#name}: ${id}`)
    assert.deepEqual(await this.query('SELECT n FROM counts'), [{ n: batches.length }])
  }
}
