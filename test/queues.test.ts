import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { killCells } from '#test/cells.ts'
import { ask, call, deploy, type Place, placeOf } from '#test/deployer.ts'
import {
  backlogOf,
  consume,
  deployConsumer,
  type Given,
  givenTo,
  makeQueue,
  sendTo,
} from '#test/queue-consumer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// From `env.QUEUE.send` in one cell to `queue()` in another, through the whole of the server.

let server: TestServer
let place: Place
before(async () => {
  server = await startTestServer()
  place = placeOf(server)
  await deployConsumer(server, 'taker')
})
after(() => server[Symbol.asyncDispose]())

/** Deploys a Worker that does one thing with its binding `Q` when it is visited. */
async function deployProducer(name: string, queue: string, run: string): Promise<void> {
  await deploy(place, name, {
    code: `export default { async fetch(request, { Q }) { return Response.json(await (${run})(Q) ?? null) } }`,
    bindings: [{ type: 'queue', name: 'Q', queue_name: queue }],
  })
}

async function visit(worker: string): Promise<unknown> {
  const response = await server.visit(worker)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}

/** Waits until a consumer was given so many messages of a queue; a moment more shows one too many. */
async function given(queue: string, count: number, worker = 'taker'): Promise<readonly Given[]> {
  await eventually(async () => (await givenTo(server, worker, queue)).length >= count)
  const all = await givenTo(server, worker, queue)
  assert.equal(all.length, count, JSON.stringify(all))
  return all
}

const emptied = (queue: string): Promise<true> =>
  eventually(async () => (await backlogOf(place, queue)) === 0)

test('bodies of all formats come as they were sent, with what belongs to them', async () => {
  const queue = await makeQueue(place, 'formats')
  const begun = Date.now()
  await deployProducer(
    'sender',
    'formats',
    `async (q) => [
      await q.send({ a: [1, null, 'ü'] }),
      await q.sendBatch([
        { body: 'grüße', contentType: 'text' },
        { body: Uint8Array.of(0, 255), contentType: 'bytes' },
        { body: new Map([['k', 1]]), contentType: 'v8' },
        { body: new Date(7), contentType: 'v8' },
      ]),
      await q.metrics(),
    ]`,
  )
  const [, , metrics] = z.tuple([z.any(), z.any(), z.any()]).parse(await visit('sender'))
  assert.deepEqual([metrics.backlogCount, metrics.backlogBytes > 20], [5, true])
  await consume(place, { queue, worker: 'taker' }, { settings: { batch_size: 5 } })
  const all = await given('formats', 5)
  assert.deepEqual(
    all.map(({ body }) => body),
    [{ a: [1, null, 'ü'] }, 'grüße', ['Uint8Array', 0, 255], ['Map', ['k', 1]], ['Date', 7]],
  )
  assert.deepEqual(
    new Set(all.map(({ size, attempts }) => `${size}/${attempts}`)),
    new Set(['5/1']),
  )
  assert.equal(new Set(all.map(({ id }) => id)).size, 5)
  assert.equal(all[0]?.metrics.backlogCount, 5)
  for (const { sentAt, at } of all) assert.ok(begun <= sentAt && sentAt <= at)
  await emptied(queue)
})

test('a delay is waited for: of a message, a batch, or the queue', async () => {
  const queue = await makeQueue(place, 'delays', { delivery_delay: 1 })
  await consume(place, { queue, worker: 'taker' })
  await deployProducer(
    'delayer',
    'delays',
    `async (q) => {
      await q.send('own', { delaySeconds: 2 })
      await q.sendBatch([{ body: 'none', delaySeconds: 0 }, { body: 'batch' }], { delaySeconds: 3 })
      await q.send('queue')
    }`,
  )
  await visit('delayer')
  const all = await given('delays', 4)
  assert.deepEqual(
    all.map(({ body, at, sentAt }) => [body, Math.floor((at - sentAt) / 1000)]),
    [
      ['none', 0],
      ['queue', 1],
      ['own', 2],
      ['batch', 3],
    ],
  )
})

suite('what the handler says of messages a and b of a batch', () => {
  let queue: string
  before(async () => {
    queue = await makeQueue(place, 'outcomes')
    const settings = { batch_size: 2, max_wait_time_ms: 5_000 }
    await consume(place, { queue, worker: 'taker' }, { settings })
  })
  /** What each is told to do when both come for the first time, and whether it comes again. */
  const cases: readonly (readonly [a: string, b: string, again: readonly string[]])[] = [
    ['', '', []],
    ['ack', 'ack', []],
    ['retry', '', ['a']],
    ['ack', 'retry', ['b']],
    ['ackAll', '', []],
    ['retryAll', '', ['a', 'b']],
    ['throw', '', ['a', 'b']],
    ['throw', 'ack', ['a']],
    ['throw', 'ackAll', []],
    ['retry', 'ackAll', ['a']],
    ['ack', 'retryAll', ['b']],
  ]
  for (const [a, b, again] of cases) {
    test(`${a || '-'} and ${b || '-'}: ${again.join(' and ') || 'none'} again`, async () => {
      const known = (await givenTo(server, 'taker', 'outcomes')).length
      const bodies = Object.entries({ a, b }).map(([name, what]) => ({
        name,
        do: what,
        first: true,
      }))
      await sendTo(place, queue, ...bodies)
      await emptied(queue)
      const all = (await givenTo(server, 'taker', 'outcomes')).slice(known)
      const shown = all.map(({ body, attempts }) => {
        const { name } = z.object({ name: z.string() }).parse(body)
        return `${name}${attempts}`
      })
      assert.deepEqual(
        shown.toSorted(),
        ['a1', 'b1', ...again.map((name) => `${name}2`)].toSorted(),
      )
    })
  }
})

test('one that fails each time goes to the dead letter queue, which is made for it', async () => {
  const queue = await makeQueue(place, 'failing')
  const options = { settings: { max_retries: 3 }, dead_letter_queue: 'dead' }
  await consume(place, { queue, worker: 'taker' }, options)
  await sendTo(place, queue, { do: 'throw' })
  const tries = await given('failing', 4)
  assert.deepEqual(
    tries.map(({ attempts }) => attempts),
    [1, 2, 3, 4],
  )
  await emptied(queue)
  const found = z
    .array(z.object({ queue_id: z.string() }))
    .parse(await call(place, 'GET', '~/queues?name=dead'))
  const dead = found[0]?.queue_id ?? assert.fail('it was not made')
  assert.equal(await backlogOf(place, dead), 1)
  await call(place, 'PUT', `~/queues/${dead}`, { queue_name: 'dead' })
  await consume(place, { queue: dead, worker: 'taker' }, { settings: { max_retries: 0 } })
  const [letter] = await given('dead', 1)
  const same = ({ id, sentAt, body }: Given) => ({ id, sentAt, body })
  assert.deepEqual(letter && same(letter), tries[0] && same(tries[0]))
  assert.equal(letter?.attempts, 1)
  // It throws there as well, and there is nowhere else.
  await emptied(dead)
})

test('a retry waits its delay', async () => {
  const queue = await makeQueue(place, 'later')
  await consume(place, { queue, worker: 'taker' }, { settings: { max_retries: 1 } })
  await sendTo(place, queue, { do: 'later', delay: 2 })
  const [first, second] = await given('later', 2)
  const waited = (second?.at ?? 0) - (first?.at ?? 0)
  assert.ok(waited >= 2_000 && waited < 3_500, `${waited} ms`)
})

test('a named entrypoint is given batches', async () => {
  const queue = await makeQueue(place, 'named')
  await consume(place, { queue, worker: 'taker' }, { entrypoint: 'Named' })
  await sendTo(place, queue, 'n')
  const [only] = await given('named', 1)
  assert.deepEqual([only?.to, only?.body], ['Named', 'n'])
})

test('a paused queue delivers nothing, and takes messages; resumed it does', async () => {
  const queue = await makeQueue(place, 'paused', { delivery_paused: true })
  await consume(place, { queue, worker: 'taker' })
  await sendTo(place, queue, 'p')
  await new Promise((resolve) => void setTimeout(resolve, 300))
  await given('paused', 0)
  assert.equal(await backlogOf(place, queue), 1)
  await call(place, 'PATCH', `~/queues/${queue}`, { settings: { delivery_paused: false } })
  await given('paused', 1)
})

test('a purge removes what waits', async () => {
  const queue = await makeQueue(place, 'purged', { delivery_paused: true })
  await consume(place, { queue, worker: 'taker' })
  await sendTo(place, queue, 'p', 'q')
  await call(place, 'POST', `~/queues/${queue}/purge`, { delete_messages_permanently: true })
  assert.equal(await backlogOf(place, queue), 0)
  await call(place, 'PATCH', `~/queues/${queue}`, { settings: { delivery_paused: false } })
  await sendTo(place, queue, 'r')
  const [only] = await given('purged', 1)
  assert.equal(only?.body, 'r')
})

test('several consumers, some of which pull, are each given every message', async () => {
  const queue = await makeQueue(place, 'several')
  await deployConsumer(server, 'second')
  await consume(place, { queue, worker: 'taker' })
  await consume(place, { queue, worker: 'second' }, { settings: { max_retries: 1 } })
  await call(place, 'POST', `~/queues/${queue}/consumers`, { type: 'http_pull' })
  await sendTo(place, queue, { name: 'x' }, { name: 'y' })
  for (const worker of ['taker', 'second']) {
    const all = await given('several', 2, worker)
    assert.deepEqual(new Set(all.map(({ attempts }) => attempts)), new Set([1]))
  }
  assert.equal(await backlogOf(place, queue), 2)
  const pull = async () => {
    const pulled = await call(place, 'POST', `~/queues/${queue}/messages/pull`, {})
    const { messages } = z
      .object({ messages: z.array(z.object({ lease_id: z.string(), body: z.string() })) })
      .parse(pulled)
    return messages
  }
  const messages = await pull()
  assert.deepEqual(
    messages.map(({ body }) => atob(body)),
    ['{"name":"x"}', '{"name":"y"}'],
  )
  assert.deepEqual(await pull(), [])
  const acked = await call(place, 'POST', `~/queues/${queue}/messages/ack`, { acks: messages })
  assert.deepEqual(acked, { ackCount: 2, retryCount: 0, warnings: {} })
  assert.equal(await backlogOf(place, queue), 0)
})

test('a Worker that is deleted consumes nothing any more; its queue keeps what comes', async () => {
  const queue = await makeQueue(place, 'left')
  await deployConsumer(server, 'leaving')
  await consume(place, { queue, worker: 'leaving' })
  await sendTo(place, queue, 'before')
  await given('left', 1, 'leaving')
  await call(place, 'DELETE', '~/workers/scripts/leaving')
  assert.deepEqual(await call(place, 'GET', `~/queues/${queue}/consumers`), [])
  await sendTo(place, queue, 'after')
  const again = await ask(place, 'POST', `~/queues/${queue}/consumers`, {
    type: 'worker',
    script_name: 'leaving',
  })
  assert.deepEqual([again.status, again.errors[0]?.code], [404, 10_007])
  await consume(place, { queue, worker: 'taker' })
  const [only] = await given('left', 1)
  assert.equal(only?.body, 'after')
})

test('a consumer without a handler burns no attempts, and is asked when it is mended', async () => {
  const queue = await makeQueue(place, 'deaf')
  await deploy(place, 'mended', { code: `export default { fetch: () => new Response('') }` })
  await consume(place, { queue, worker: 'mended' })
  await sendTo(place, queue, 'm')
  // By then it is left alone for seconds.
  await new Promise((resolve) => void setTimeout(resolve, 2_000))
  assert.equal(await backlogOf(place, queue), 1)
  const deployedAt = performance.now()
  await deployConsumer(server, 'mended')
  const [only] = await given('deaf', 1, 'mended')
  assert.equal(only?.attempts, 1)
  assert.ok(performance.now() - deployedAt < 1_500)
})

test('a batch whose process dies is given again', async () => {
  const queue = await makeQueue(place, 'dying')
  await consume(place, { queue, worker: 'taker' })
  await sendTo(place, queue, { do: 'hang', delay: 1 })
  await given('dying', 1)
  await killCells(server)
  const [only] = await eventually(async () => {
    const all = await givenTo(server, 'taker', 'dying').catch(() => [])
    return all.length > 0 && all
  })
  assert.equal(only?.attempts, 2)
  // It hangs once more, for as long as it was told to.
  await emptied(queue)
})

test('a delayed message outlives the server, and wakes its consumer', async () => {
  const queue = await makeQueue(place, 'lasting')
  await consume(place, { queue, worker: 'taker' })
  await call(place, 'POST', `~/queues/${queue}/messages`, { body: 'late', delay_seconds: 4 })
  const sent = Date.now()
  await server.restart()
  place = placeOf(server)
  const cells = z
    .array(z.object({ state: z.string(), workers: z.array(z.string()) }))
    .parse(await call(place, 'GET', '~/cells'))
  assert.equal(cells.find(({ workers }) => workers.includes('taker'))?.state, 'asleep')
  await eventually(async () => (await backlogOf(place, queue)) === 0)
  assert.ok(Date.now() - sent >= 3_900, 'it came too early')
  const [only] = await given('lasting', 1)
  assert.equal(only?.attempts, 1)
})
