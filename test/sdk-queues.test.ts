import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import Cloudflare, { APIError } from 'cloudflare'
import { startTestServer, type TestServer } from '#test/server.ts'

// Queues by the official SDK: what a program does that is no Worker.

let server: TestServer
let client: Cloudflare
let account_id: string
let own: { readonly account_id: string }

before(async () => {
  server = await startTestServer()
  account_id = server.environment['CLOUDFLARE_ACCOUNT_ID'] ?? ''
  own = { account_id }
  client = new Cloudflare({
    baseURL: server.environment['CLOUDFLARE_BASE_URL'] ?? '',
    apiToken: server.environment['CLOUDFLARE_API_TOKEN'] ?? '',
    maxRetries: 0,
  })
})
after(() => server[Symbol.asyncDispose]())

async function created(queue_name: string): Promise<string> {
  const { queue_id: id } = await client.queues.create({ ...own, queue_name })
  return id ?? assert.fail('it has no id')
}

/** A queue that is pulled from. */
async function pulled(name: string, settings = {}): Promise<string> {
  const id = await created(name)
  await client.queues.consumers.create(id, { ...own, type: 'http_pull', settings })
  return id
}

async function pull(queue: string, batch_size = 10) {
  const { messages = [] } = await client.queues.messages.pull(queue, { ...own, batch_size })
  return messages.map(({ lease_id: id = '', ...message }) => ({ ...message, lease_id: id }))
}

const refused =
  (status: number, code: number) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof APIError, String(error))
    assert.deepEqual([error.status, error.errors[0]?.code], [status, code])
    return true
  }

suite('queues', () => {
  test('are created, listed, changed, replaced and deleted', async () => {
    const id = await created('managed')
    const names = []
    for await (const { queue_name: name } of client.queues.list(own)) names.push(name)
    assert.deepEqual(names, ['managed'])
    await client.queues.edit(id, { ...own, settings: { delivery_delay: 3, delivery_paused: true } })
    const { settings } = await client.queues.get(id, own)
    assert.deepEqual(settings, {
      delivery_delay: 3,
      delivery_paused: true,
      message_retention_period: 345_600,
    })
    const renamed = await client.queues.update(id, { ...own, queue_name: 'renamed' })
    assert.deepEqual([renamed.queue_name, renamed.settings?.delivery_delay], ['renamed', 0])
    await client.queues.delete(id, own)
    await assert.rejects(client.queues.get(id, own), refused(404, 10_104))
  })

  test('have consumers', async () => {
    const id = await pulled('consumers', { batch_size: 7 })
    const all = await Array.fromAsync(client.queues.consumers.list(id, own))
    assert.equal(all.length, 1)
    const consumer = all[0]?.consumer_id ?? ''
    assert.partialDeepStrictEqual(
      await client.queues.consumers.get(consumer, { ...own, queue_id: id }),
      {
        type: 'http_pull',
        settings: { batch_size: 7 },
      },
    )
    const settings = { batch_size: 8 }
    await client.queues.consumers.update(consumer, {
      ...own,
      queue_id: id,
      type: 'http_pull',
      settings,
    })
    await client.queues.consumers.delete(consumer, { ...own, queue_id: id })
    await assert.rejects(client.queues.messages.pull(id, own), refused(405, 11_010))
  })
})

suite('messages', () => {
  test('are sent one by one and in batches, pulled, and acknowledged', async () => {
    const id = await pulled('messages')
    await client.queues.messages.push(id, { ...own, body: 'töxt', content_type: 'text' })
    const { metadata } = await client.queues.messages.bulkPush(id, {
      ...own,
      messages: [
        { body: { a: [1] }, content_type: 'json' },
        { body: 'later', content_type: 'text', delay_seconds: 60 },
      ],
    })
    assert.deepEqual([metadata?.metrics?.backlog_count, metadata?.metrics?.backlog_bytes], [3, 19])
    const metrics = await client.queues.getMetrics(id, own)
    assert.equal(metrics.backlog_count, 3)
    assert.ok(Math.abs(metrics.oldest_message_timestamp_ms - Date.now()) < 60_000)
    const got = await pull(id)
    assert.deepEqual(
      got.map(({ body = '', attempts, metadata: of }) => [body, attempts, of]),
      [
        ['töxt', 1, { 'CF-sourceMessageSource': 'api', 'CF-Content-Type': 'text' }],
        [btoa('{"a":[1]}'), 1, { 'CF-sourceMessageSource': 'api', 'CF-Content-Type': 'json' }],
      ],
    )
    assert.deepEqual(await pull(id), [])
    const [text, json] = got.map(({ lease_id }) => ({ lease_id }))
    const retries = json && [{ ...json, delay_seconds: 0 }]
    const settled = await client.queues.messages.ack(id, {
      ...own,
      ...(text && { acks: [text, { lease_id: 'none' }] }),
      ...(retries && { retries }),
    })
    assert.deepEqual(settled, {
      ackCount: 1,
      retryCount: 1,
      warnings: { none: 'this is no lease_id' },
    })
    const [again] = await pull(id)
    assert.deepEqual([again?.id, again?.attempts], [got[1]?.id, 2])
    // What was given back is not theirs any more.
    const late = await client.queues.messages.ack(id, { ...own, ...(json && { acks: [json] }) })
    assert.equal(late.ackCount, 0)
    assert.deepEqual(Object.values(late.warnings ?? {}), ['the lease has ended'])
  })

  test('are looked at without taking them, and removed one by one or all', async () => {
    const id = await created('looked-at')
    const messages = ['1', '2', '3'].map((body) => ({ body, content_type: 'text' }) as const)
    await client.queues.messages.bulkPush(id, { ...own, messages })
    const peek = async () => (await client.queues.messages.peek(id, own)).messages ?? []
    const [first, ...others] = await peek()
    assert.deepEqual([first?.body, first?.attempts, others.length], ['1', 0, 2])
    const refs = [{ ref: first?.ref ?? '' }, { ref: '7-none' }]
    const purged = await client.queues.messages.purge(id, { ...own, refs })
    assert.deepEqual(purged.errors, [{ message: 'no message has the ref 7-none' }])
    assert.deepEqual(
      (await peek()).map(({ body }) => body),
      ['2', '3'],
    )
    await client.queues.purge.start(id, { ...own, delete_messages_permanently: true })
    assert.deepEqual(await peek(), [])
    assert.ok((await client.queues.purge.status(id, own)).started_at)
  })

  test('that are given back too often are dead letters', async () => {
    const id = await created('giving-up')
    const settings = { max_retries: 1 }
    const dead_letter_queue = 'given-up'
    const type = 'http_pull'
    await client.queues.consumers.create(id, { ...own, type, settings, dead_letter_queue })
    await client.queues.messages.push(id, { ...own, body: 'd', content_type: 'text' })
    for (const attempt of [1, 2]) {
      const [message] = await pull(id)
      assert.equal(message?.attempts, attempt)
      const retries = [{ lease_id: message.lease_id }]
      await client.queues.messages.ack(id, { ...own, retries })
    }
    assert.deepEqual(await pull(id), [])
    const dead = (await Array.fromAsync(client.queues.list(own))).find(
      ({ queue_name: name }) => name === dead_letter_queue,
    )
    const { messages = [] } = await client.queues.messages.peek(dead?.queue_id ?? '', own)
    assert.deepEqual(
      messages.map(({ body, attempts }) => [body, attempts]),
      [['d', 0]],
    )
  })

  test('of a paused queue are not given', async () => {
    const id = await pulled('paused')
    await client.queues.edit(id, { ...own, settings: { delivery_paused: true } })
    await client.queues.messages.push(id, { ...own, body: 1 })
    await assert.rejects(client.queues.messages.pull(id, own), refused(409, 10_252))
    await client.queues.edit(id, { ...own, settings: { delivery_paused: false } })
    assert.equal((await pull(id)).length, 1)
  })
})

test('subscriptions are created, listed, changed and deleted', async () => {
  const queue_id = await created('subscribed')
  const { subscriptions } = client.queues
  const destination = { queue_id, type: 'queues.queue' } as const
  const events = ['bucket.created']
  const made = await subscriptions.create({
    ...own,
    name: 's',
    enabled: true,
    source: { type: 'r2' },
    destination,
    events,
  })
  const changed = await subscriptions.update(made.id, { ...own, name: 't', enabled: false })
  assert.deepEqual([changed.name, changed.enabled, changed.events], ['t', false, events])
  assert.deepEqual(
    (await Array.fromAsync(subscriptions.list(own))).map(({ id }) => id),
    [made.id],
  )
  await subscriptions.delete(made.id, own)
  await assert.rejects(subscriptions.get(made.id, own), refused(404, 11_011))
})
