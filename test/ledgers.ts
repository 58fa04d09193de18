import assert from 'node:assert/strict'
import { z } from 'zod'
import { deploy, placeOf } from '#test/deployer.ts'
import type { TestServer } from '#test/server.ts'
import { openSocket, type VisitorSocket } from '#test/sockets.ts'
import { eventually } from '#test/temporary.ts'

/** A Durable Object that keeps what it is told in every kind of storage, and its Worker. */
const code = `
import { DurableObject } from 'cloudflare:workers'

export class Ledger extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    const { sql } = ctx.storage
    sql.exec('CREATE TABLE IF NOT EXISTS entries (n INTEGER PRIMARY KEY, id TEXT NOT NULL)')
    sql.exec('CREATE TABLE IF NOT EXISTS fired (n INTEGER PRIMARY KEY, id TEXT NOT NULL, lateMs INTEGER NOT NULL)')
  }

  /** A row and two keys, by three roads and without an await: all or nothing. */
  write(id) {
    const { sql, kv } = this.ctx.storage
    const n = (kv.get('n') ?? 0) + 1
    kv.put('n', n)
    sql.exec('INSERT INTO entries VALUES (?, ?)', n, id)
    this.ctx.storage.put('last', id)
    return n
  }

  async arm(id, milliseconds) {
    this.ctx.storage.kv.put('armed', { id, at: Date.now() + milliseconds })
    await this.ctx.storage.setAlarm(Date.now() + milliseconds)
  }

  alarm() {
    const { id, at } = this.ctx.storage.kv.get('armed')
    this.ctx.storage.sql.exec('INSERT INTO fired (id, lateMs) VALUES (?, ?)', id, Date.now() - at)
  }

  async state(after) {
    const { sql, kv } = this.ctx.storage
    return {
      n: kv.get('n') ?? 0,
      last: (await this.ctx.storage.get('last')) ?? null,
      ...sql.exec('SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM entries').one(),
      entries: sql.exec('SELECT n, id FROM entries WHERE n > ? ORDER BY n', after).toArray(),
      fired: sql.exec('SELECT id, lateMs FROM fired ORDER BY n DESC LIMIT 100').toArray(),
    }
  }

  async fetch(request) {
    if (request.headers.get('upgrade') !== 'websocket') {
      return new Response(this.write(await request.text()))
    }
    const [client, server] = Object.values(new WebSocketPair())
    this.ctx.acceptWebSocket(server)
    return new Response(null, { status: 101, webSocket: client })
  }

  webSocketMessage(socket, id) {
    socket.send(this.write(id))
  }
}

/** Has a ledger as a facet: a database of its own, beside this object's. */
export class Owner extends DurableObject {
  get #facet() {
    return this.ctx.facets.get('ledger', () => ({ class: this.ctx.exports.Ledger }))
  }
  fetch(request) { return this.#facet.fetch(request) }
  write(id) { return this.#facet.write(id) }
  state(after) { return this.#facet.state(after) }
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url)
    const [, name, verb] = pathname.split('/')
    const ledger = (name.startsWith('facet') ? env.OWNERS : env.LEDGERS).getByName(name)
    if (verb === 'fetch') return ledger.fetch(request)
    if (verb === 'rpc') return new Response(await ledger.write(await request.text()))
    if (verb === 'arm') {
      await ledger.arm(await request.text(), Number(searchParams.get('ms')))
      return new Response('armed')
    }
    return Response.json(await ledger.state(Number(searchParams.get('after'))))
  },
}`

const state = z.object({
  n: z.number(),
  last: z.string().nullable(),
  rows: z.number(),
  ids: z.number(),
  entries: z.array(z.object({ n: z.number(), id: z.string() })),
  /** The newest first. */
  fired: z.array(z.object({ id: z.string(), lateMs: z.number() })),
})

/** Deploys it; with another `release` it is new code for the same objects. */
export async function deployLedgers(server: TestServer, release = 0): Promise<void> {
  const migrations = { new_tag: 'v1', steps: [{ new_sqlite_classes: ['Ledger', 'Owner'] }] }
  await deploy(placeOf(server), 'ledgers', {
    code: `${code}\n// release ${release}`,
    bindings: [
      { type: 'durable_object_namespace', name: 'LEDGERS', class_name: 'Ledger' },
      { type: 'durable_object_namespace', name: 'OWNERS', class_name: 'Owner' },
    ],
    metadata: release === 0 ? { migrations } : {},
  })
}

/**
 * One object as seen from outside: what it has acknowledged, and what it is held against. One whose
 * name begins with `facet` is a facet of an object of that name; it can set no alarms.
 */
export class Ledger {
  /** Writes that were acknowledged. */
  written = 0
  /** HTTP requests to write that were not answered 200: none, unless something crashed. */
  readonly refused: string[] = []
  /** What was acknowledged and should not have been. */
  readonly wrong: string[] = []
  readonly name: string
  readonly #server: TestServer
  readonly #acknowledged = new Map<string, number>()
  #highest = 0
  #checked = 0
  #sent = 0
  /** An alarm that was acknowledged, and has not been seen to fire. */
  #armed: string | undefined

  constructor(server: TestServer, name: string) {
    this.#server = server
    this.name = name
  }

  /** Writes by every road at once, and sets alarms, until told to stop; whatever fails is tried again. */
  async run(until: AbortSignal): Promise<void> {
    const viaSocket = new SocketRoad(this.#server, `/${this.name}/fetch`)
    await Promise.all([
      this.#writeBy((id) => this.#post('fetch', id), until),
      this.#writeBy((id) => this.#post('rpc', id), until),
      this.#writeBy((id) => viaSocket.write(id), until),
      ...(this.name.startsWith('facet') ? [] : [this.#armAgain(until)]),
    ])
    viaSocket.close()
  }

  /** Sets an alarm, which is known by its id. */
  async arm(id: string, milliseconds: number): Promise<void> {
    await this.#post(`arm?ms=${milliseconds}`, id)
    this.#armed = id
  }

  /** Compares what it has with what it acknowledged since the last time. */
  async check(): Promise<void> {
    const { n, last, rows, ids, entries } = await this.state(this.#checked)
    const where = `${this.name}, after ${this.#checked}`
    assert.deepEqual([rows, ids], [n, n], `${where}: rows and counter are one`)
    assert.equal(entries.at(-1)?.id ?? last, last, `${where}: both storages have the same`)
    assert.ok(n >= this.#highest, `${where}: ${n}, but ${this.#highest} was acknowledged`)
    const stored = new Map(entries.map((entry) => [entry.id, entry.n]))
    const lost = [...this.#acknowledged].filter(([id, at]) => stored.get(id) !== at)
    assert.deepEqual(lost, [], `${where}: acknowledged writes are missing`)
    assert.deepEqual(this.wrong, [], where)
    this.#checked = n
    this.#acknowledged.clear()
    await this.#checkAlarm()
  }

  async state(after = 0): Promise<z.output<typeof state>> {
    const response = await this.#server.visit('ledgers', `/${this.name}/state?after=${after}`)
    const text = await response.text()
    assert.equal(response.status, 200, text)
    return state.parse(JSON.parse(text))
  }

  async #checkAlarm(): Promise<void> {
    const armed = this.#armed
    if (armed === undefined) return
    const fired = async (): Promise<boolean> =>
      (await this.state(this.#checked)).fired.some(({ id }) => id === armed)
    await eventually(fired).catch(() => assert.fail(`${this.name}: ${armed} did not fire`))
    this.#armed = undefined
  }

  async #writeBy(write: (id: string) => Promise<number>, until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      const id = `${this.name}.${this.#sent++}`
      const floor = this.#highest
      try {
        const n = await write(id)
        if (n <= floor) this.wrong.push(`${id} is ${n}, after ${floor} was acknowledged`)
        this.#acknowledged.set(id, n)
        this.#highest = Math.max(this.#highest, n)
        this.written++
      } catch {
        await pause(5)
      }
    }
  }

  async #armAgain(until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      if (this.#armed === undefined) {
        await this.arm(`${this.name}.${this.#sent++}`, 100).catch(() => undefined)
      }
      await pause(20)
    }
  }

  async #post(verb: string, body: string): Promise<number> {
    const path = `/${this.name}/${verb}`
    try {
      const response = await this.#server.visit('ledgers', path, { method: 'POST', body })
      const text = await response.text()
      if (response.status !== 200) throw new Error(`${response.status} ${text.slice(0, 200)}`)
      return Number(text)
    } catch (error) {
      this.refused.push(`${path}: ${String(error)}`)
      throw error
    }
  }
}

/** Writes over one WebSocket, which is opened again when it broke. */
class SocketRoad {
  readonly #server: TestServer
  readonly #path: string
  #socket: VisitorSocket | undefined

  constructor(server: TestServer, path: string) {
    this.#server = server
    this.#path = path
  }

  async write(id: string): Promise<number> {
    try {
      this.#socket ??= await openSocket(this.#server, 'ledgers', { path: this.#path })
      this.#socket.send(id)
      return Number(await this.#socket.next())
    } catch (error) {
      this.close()
      throw error
    }
  }

  close(): void {
    this.#socket?.[Symbol.dispose]()
    this.#socket = undefined
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}
