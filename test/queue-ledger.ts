import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { z } from 'zod'
import { call, deploy, placeOf } from '#test/deployer.ts'
import { consume, makeQueue } from '#test/queue-consumer.ts'
import type { TestServer } from '#test/server.ts'

/** What a consumer does with a message at each attempt; when there is no more of it, it acks. */
export type Plan = readonly ('ack' | 'retry' | 'throw' | 'hang')[]

/** Deliveries after which a message is dead. */
export const mostAttempts = 4

const producer = `export default {
  async fetch(request, env) {
    const bodies = await request.json()
    await env.JOBS.sendBatch(bodies.map((body) => ({ body })))
    return new Response('sent')
  },
}`

/** Says what it was given before it does anything, and hears whether it is still to hang. */
const consumer = `
let me
export default {
  async queue(batch, env) {
    me ??= crypto.randomUUID()
    const begun = batch.messages.map(({ id, attempts, body: { n } }) => ({ id, attempts, n, by: me }))
    const said = await fetch(env.LEDGER, { method: 'POST', body: JSON.stringify(begun) })
    const { isOver } = await said.json()
    const whats = new Set()
    for (const message of batch.messages) {
      const what = message.body.plan[message.attempts - 1] ?? 'ack'
      whats.add(what)
      if (what === 'ack') message.ack()
      if (what === 'retry') message.retry()
    }
    if (whats.has('hang') && !isOver) await scheduler.wait(600_000)
    if (whats.has('hang') || whats.has('throw')) throw new Error('told to')
  },
}`

const begun = z.object({
  id: z.string(),
  attempts: z.number(),
  n: z.number(),
  /** Which process it was. */
  by: z.string(),
})
type Begun = z.output<typeof begun>

/**
 * All that becomes of messages, as seen from outside of the server: by who sends them, by who is given
 * them, and by who reads the database.
 */
export class QueueLedger implements AsyncDisposable {
  /** What was sent, by its number: `true` if that was acknowledged. */
  readonly sent = new Map<number, { readonly plan: Plan; isAcknowledged: boolean }>()
  /** What ought not to have happened. */
  readonly wrong: string[] = []
  /** Consumers no longer hang, but throw. */
  isOver = false
  kills = 0
  readonly #listener = createServer()
  readonly #begun = new Map<string, Begun[]>()
  readonly #finished = new Set<string>()
  #queue = ''

  /** The address at which consumers tell it. */
  async listen(): Promise<string> {
    this.#listener.on('request', (request, response) => {
      void text(request).then((body) => response.end(this.#answer(body)))
    })
    this.#listener.listen(0, '127.0.0.1')
    await once(this.#listener, 'listening')
    return `127.0.0.1:${this.#port}`
  }

  async deploy(server: TestServer): Promise<void> {
    const place = placeOf(server)
    this.#queue = await makeQueue(place, 'jobs')
    const binding = { type: 'queue', name: 'JOBS', queue_name: 'jobs' }
    await deploy(place, 'producer', { code: producer, bindings: [binding] })
    const address = { type: 'plain_text', name: 'LEDGER', text: `http://127.0.0.1:${this.#port}/` }
    await deploy(place, 'consumer', { code: consumer, bindings: [address] })
    const settings = { batch_size: 10, max_retries: mostAttempts - 1 }
    const to = { queue: this.#queue, worker: 'consumer' }
    await consume(place, to, { settings, dead_letter_queue: 'dead' })
  }

  /** Sends messages, and notes whether that was acknowledged. */
  async send(server: TestServer, plans: readonly Plan[]): Promise<void> {
    const bodies = plans.map((plan) => {
      const n = this.sent.size
      this.sent.set(n, { plan, isAcknowledged: false })
      return { n, plan }
    })
    const body = JSON.stringify(bodies)
    const response = await server.visit('producer', '/', { method: 'POST', body })
    if (response.status !== 200) throw new Error(String(response.status))
    for (const { n } of bodies) {
      const known = this.sent.get(n)
      if (known) known.isAcknowledged = true
    }
  }

  get acknowledged(): number {
    return [...this.sent.values()].filter(({ isAcknowledged }) => isAcknowledged).length
  }

  /** Whether nothing is left to deliver, and how many dead letters there are. */
  async left(server: TestServer): Promise<number> {
    const metrics = await call(placeOf(server), 'GET', `~/queues/${this.#queue}/metrics`)
    return z.object({ backlog_count: z.number() }).parse(metrics).backlog_count
  }

  /**
   * Reads the database, of a server that runs or does not. A message that has been there and is not any
   * more is finished, on disk: it must not be begun again.
   */
  look(server: TestServer): void {
    const present = new Set(idsIn(server, 'jobs'))
    for (const id of this.#begun.keys()) if (!present.has(id)) this.#finished.add(id)
  }

  /** Holds what has become of every message against its plan. Nothing is left to deliver by then. */
  check(server: TestServer): { readonly dead: number; readonly again: number } {
    assert.deepEqual(idsIn(server, 'jobs'), [])
    const letters = idsIn(server, 'dead')
    const dead = new Set(letters)
    assert.equal(dead.size, letters.length, 'a dead letter is there twice')
    const ids = new Map([...this.#begun].map(([id, [first]]) => [first?.n, id]))
    assert.equal(ids.size, this.#begun.size, 'a message was stored twice')
    const lost = [...this.sent].filter(([n, { isAcknowledged }]) => isAcknowledged && !ids.has(n))
    // One that was leased four times and never begun is dead, for which there is a kill each.
    const unseen = letters.filter((id) => !this.#begun.has(id)).length
    assert.ok(lost.length <= unseen, `never delivered: ${lost.map(([n]) => n).join(', ')}`)
    assert.ok(
      unseen === 0 || this.kills >= mostAttempts,
      `${unseen} of the dead were not delivered`,
    )
    for (const [id, all] of this.#begun) this.#checkOne(id, all, dead.has(id))
    assert.deepEqual(this.wrong, [])
    const again = [...this.#begun.values()].filter((all) => all.length > 1).length
    return { dead: dead.size, again }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.closeAllConnections()
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  get #port(): number {
    const address = this.#listener.address()
    return typeof address === 'object' && address ? address.port : assert.fail('it does not listen')
  }

  #answer(body: string): string {
    for (const each of z.array(begun).parse(JSON.parse(body))) this.#begin(each)
    return JSON.stringify({ isOver: this.isOver })
  }

  #begin(each: Begun): void {
    const { id, attempts, by } = each
    const all = this.#begun.get(id) ?? []
    this.#begun.set(id, [...all, each])
    const last = all.at(-1)
    const note = (what: string): void => void this.wrong.push(`${what}: ${shown([...all, each])}`)
    if (this.#finished.has(id)) note('begun again after it was finished on disk')
    if (attempts > mostAttempts) note('begun too often')
    if (attempts > 1 && !last && this.kills === 0) note('not begun for the first time')
    if (!last) return
    if (attempts <= last.attempts) note('attempts were forgotten')
    if (last.by !== by) return
    // The process lives, so nothing that it did was lost.
    if (attempts !== last.attempts + 1) note('an attempt was left out')
    if (this.#what(last) === 'ack') note('begun again after an ack')
  }

  #checkOne(id: string, all: readonly Begun[], isDead: boolean): void {
    const last = all.at(-1) ?? assert.fail()
    const isAcked = this.#what(last) === 'ack'
    if (!isDead) {
      if (!isAcked) this.wrong.push(`${id} is gone without an ack: ${shown(all)}`)
      return
    }
    // Each attempt has failed, or a kill has taken what became of it.
    const failed = all.filter((each) => this.#what(each) !== 'ack').length
    if (mostAttempts - failed > this.kills) this.wrong.push(`${id} is dead too soon: ${shown(all)}`)
    if (this.kills === 0 && isAcked) this.wrong.push(`${id} is dead after an ack: ${shown(all)}`)
  }

  #what({ n, attempts }: Begun): Plan[number] {
    return this.sent.get(n)?.plan[attempts - 1] ?? 'ack'
  }
}

function shown(all: readonly Begun[]): string {
  return JSON.stringify(all)
}

/** The ids of the messages of a queue, as the disk has them. */
function idsIn({ dataDirectory }: TestServer, queue: string): readonly string[] {
  using database = new DatabaseSync(join(dataDirectory, 'queue.db'), { readOnly: true })
  return database
    .prepare(
      `SELECT message.id FROM queue JOIN line ON line.queue = queue.id
       JOIN delivery ON delivery.line = line.id JOIN message ON message.seq = delivery.seq
       WHERE queue.name = ?`,
    )
    .all(queue)
    .map(({ id }) => String(id))
}
