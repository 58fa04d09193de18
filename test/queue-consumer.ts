import assert from 'node:assert/strict'
import { z } from 'zod'
import { call, deploy, type Place, placeOf } from '#test/deployer.ts'
import type { TestServer } from '#test/server.ts'

/**
 * A consumer that does with each message what its body says, `{ name, do, delay }`, and shows visitors
 * what it was given. Its entrypoint `Named` is the same.
 */
const code = `
import { WorkerEntrypoint } from 'cloudflare:workers'
const seen = []
const shown = (body) => {
  if (body instanceof Map) return ['Map', ...body]
  if (body instanceof Date) return ['Date', body.getTime()]
  if (ArrayBuffer.isView(body)) return [body.constructor.name, ...body]
  return body
}
const told = { ack: (m) => m.ack(), retry: (m) => m.retry(), later: (m) => m.retry({ delaySeconds: m.body.delay }) }
const ofBatch = { ackAll: (b) => b.ackAll(), retryAll: (b) => b.retryAll() }
async function queue(batch, to) {
  const { queue, metadata: { metrics } } = batch
  for (const { id, timestamp, attempts, body } of batch.messages) {
    seen.push({ queue, to, id, sentAt: timestamp.getTime(), at: Date.now(), attempts, body: shown(body), metrics, size: batch.messages.length })
  }
  const isFirst = batch.messages.some((m) => m.attempts === 1)
  for (const message of batch.messages) {
    const { do: what, first } = message.body ?? {}
    if (first && !isFirst) continue
    told[what]?.(message)
    ofBatch[what]?.(batch)
  }
  const hang = batch.messages.find((m) => m.body?.do === 'hang')
  if (hang) await scheduler.wait(hang.body.delay * 1000)
  if (batch.messages.some(({ body }) => body?.do === 'throw' && (isFirst || !body.first))) throw new Error('told to')
}
export default {
  fetch: () => Response.json(seen),
  queue: (batch) => queue(batch, 'default'),
}
export class Named extends WorkerEntrypoint {
  queue(batch) { return queue(batch, 'Named') }
}`

/** What the consumer was given, one message at a time. Times are in ms since 1970. */
const given = z.object({
  queue: z.string(),
  to: z.enum(['default', 'Named']),
  id: z.string(),
  sentAt: z.number(),
  at: z.number(),
  attempts: z.number(),
  body: z.unknown(),
  metrics: z.object({ backlogCount: z.number(), backlogBytes: z.number() }),
  /** Messages of the batch. */
  size: z.number(),
})
export type Given = z.output<typeof given>

export async function deployConsumer(server: TestServer, name: string): Promise<void> {
  await deploy(placeOf(server), name, { code })
}

/** What a consumer was given from one queue, in the order in which it was. */
export async function givenTo(
  server: TestServer,
  consumer: string,
  queue: string,
): Promise<readonly Given[]> {
  const response = await server.visit(consumer)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return z
    .array(given)
    .parse(JSON.parse(text))
    .filter((each) => each.queue === queue)
}

/** Makes a queue; gives its id. */
export async function makeQueue(place: Place, name: string, settings = {}): Promise<string> {
  const made = await call(place, 'POST', '~/queues', { queue_name: name, settings })
  return z.object({ queue_id: z.string() }).parse(made).queue_id
}

export type ConsumerOptions = {
  /** What is not given: each message is delivered at once. */
  readonly settings?: object
  readonly dead_letter_queue?: string
  readonly entrypoint?: string
}

/** Has a Worker consume a queue; gives the consumer's id. */
export async function consume(
  place: Place,
  { queue, worker }: { readonly queue: string; readonly worker: string },
  { settings = {}, ...more }: ConsumerOptions = {},
): Promise<string> {
  const added = await call(place, 'POST', `~/queues/${queue}/consumers`, {
    type: 'worker',
    script_name: worker,
    settings: { batch_size: 1, max_wait_time_ms: 0, ...settings },
    ...more,
  })
  return z.object({ consumer_id: z.string() }).parse(added).consumer_id
}

/** Sends JSON values to a queue. */
export async function sendTo(place: Place, queue: string, ...bodies: unknown[]): Promise<void> {
  const messages = bodies.map((body) => ({ body }))
  await call(place, 'POST', `~/queues/${queue}/messages/batch`, { messages })
}

/** How many messages a queue has. */
export async function backlogOf(place: Place, queue: string): Promise<number> {
  const metrics = await call(place, 'GET', `~/queues/${queue}/metrics`)
  return z.object({ backlog_count: z.number() }).parse(metrics).backlog_count
}
