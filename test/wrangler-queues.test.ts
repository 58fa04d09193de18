import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { call, deploy, type Place, placeOf } from '#test/deployer.ts'
import { makeQueue } from '#test/queue-consumer.ts'
import { eventually } from '#test/temporary.ts'

// Queues, with the unmodified wranglers that projects pin.

const settings = z.object({
  batch_size: z.number(),
  max_retries: z.number(),
  max_wait_time_ms: z.number().optional(),
  max_concurrency: z.number().nullish(),
  retry_delay: z.number(),
  visibility_timeout_ms: z.number().optional(),
})
const queues = z.array(
  z.object({
    queue_id: z.string(),
    queue_name: z.string(),
    producers: z.array(z.object({ type: z.string(), script: z.string() })),
    consumers: z.array(
      z.object({
        type: z.string(),
        script: z.string().optional(),
        dead_letter_queue: z.string(),
        settings,
      }),
    ),
    settings: z.object({
      delivery_delay: z.number(),
      delivery_paused: z.boolean(),
      message_retention_period: z.number(),
    }),
  }),
)

/** Sends what it is told, and shows what it was given. */
const worker = `
const seen = []
export default {
  async fetch(request, env) {
    const body = new URL(request.url).searchParams.get('send')
    if (body !== null) await env.JOBS.send(body)
    return Response.json(seen)
  },
  queue(batch) {
    for (const { body } of batch.messages) seen.push([batch.queue, body])
  },
}`

withNewestAndOldest('queues', (wrangler) => {
  let place: Place
  before(() => {
    place = placeOf(wrangler.server)
  })

  /** What the API has of a queue. */
  async function queueOf(name: string) {
    const found = queues.parse(await call(place, 'GET', `~/queues?name=${name}`))
    return found[0] ?? assert.fail(`there is no ${name}`)
  }

  test('are created, listed, changed and deleted', async () => {
    await wrangler.ok(['queues', 'create', 'first', '--delivery-delay-secs', '5'])
    await wrangler.fails(['queues', 'create', 'first'], /already taken/)
    const change = ['--delivery-delay-secs', '7', '--message-retention-period-secs', '3600']
    await wrangler.ok(['queues', 'update', 'first', ...change])
    assert.match(await wrangler.ok(['queues', 'list']), /first/)
    assert.deepEqual((await queueOf('first')).settings, {
      delivery_delay: 7,
      delivery_paused: false,
      message_retention_period: 3600,
    })
    await wrangler.ok(['queues', 'delete', 'first'])
    await wrangler.fails(['queues', 'info', 'first'], /does not exist/)
  })

  wrangler.testAlike('are paused, resumed and purged', async () => {
    await makeQueue(place, 'holding')
    await wrangler.ok(['queues', 'pause-delivery', 'holding'])
    const { queue_id: id, settings: paused } = await queueOf('holding')
    assert.equal(paused.delivery_paused, true)
    await call(place, 'POST', `~/queues/${id}/messages`, { body: 1 })
    if (wrangler.lacks('queues purge') === false) {
      await wrangler.ok(['queues', 'purge', 'holding', '--force'])
      const metrics = z.object({ backlog_count: z.number() })
      const left = metrics.parse(await call(place, 'GET', `~/queues/${id}/metrics`))
      assert.equal(left.backlog_count, 0)
    }
    await wrangler.ok(['queues', 'resume-delivery', 'holding'])
    assert.equal((await queueOf('holding')).settings.delivery_paused, false)
  })

  suite('consumers', () => {
    test('Workers are added with what they are set to, and removed', async () => {
      await makeQueue(place, 'consumed')
      await makeQueue(place, 'dead')
      await deploy(place, 'taking', { code: worker })
      const sizes = ['--batch-size', '20', '--batch-timeout', '3', '--message-retries', '7']
      const rest = [
        '--max-concurrency',
        '2',
        '--retry-delay-secs',
        '9',
        '--dead-letter-queue',
        'dead',
      ]
      const add = ['queues', 'consumer', 'add', 'consumed', 'taking']
      await wrangler.ok([...add, ...sizes, ...rest])
      const [consumer] = (await queueOf('consumed')).consumers
      assert.deepEqual(consumer, {
        type: 'worker',
        script: 'taking',
        dead_letter_queue: 'dead',
        settings: {
          batch_size: 20,
          max_wait_time_ms: 3_000,
          max_retries: 7,
          max_concurrency: 2,
          retry_delay: 9,
        },
      })
      assert.match(await wrangler.ok(['queues', 'info', 'consumed']), /worker:taking/)
      await wrangler.fails(['queues', 'consumer', 'add', 'dead', 'nobody'], /not exist/)
      await wrangler.ok(['queues', 'consumer', 'remove', 'consumed', 'taking'])
      assert.deepEqual((await queueOf('consumed')).consumers, [])
    })

    test('that pull are added and removed', async () => {
      await makeQueue(place, 'pulled')
      const options = ['--batch-size', '50', '--visibility-timeout-secs', '120']
      await wrangler.ok(['queues', 'consumer', 'http', 'add', 'pulled', ...options])
      const [consumer] = (await queueOf('pulled')).consumers
      assert.equal(consumer?.type, 'http_pull')
      assert.partialDeepStrictEqual(consumer.settings, {
        batch_size: 50,
        visibility_timeout_ms: 120_000,
      })
      await wrangler.ok(['queues', 'consumer', 'http', 'remove', 'pulled'])
      assert.deepEqual((await queueOf('pulled')).consumers, [])
    })
  })

  test('a project deploys a Worker with producers and consumers', async () => {
    await makeQueue(place, 'jobs')
    const consumer = { queue: 'jobs', max_batch_size: 2, max_batch_timeout: 0, max_retries: 1 }
    const config = (more: object) => ({
      queues: {
        producers: [{ binding: 'JOBS', queue: 'jobs' }],
        consumers: [{ ...consumer, dead_letter_queue: 'jobs-dead', ...more }],
      },
    })
    await wrangler.project('working', config({}), { 'index.js': worker })
    const said = await wrangler.ok(['deploy'], { cwd: 'working' })
    assert.match(said, /Producer for jobs/)
    assert.match(said, /Consumer for jobs/)
    const { producers, consumers } = await queueOf('jobs')
    assert.deepEqual(producers, [{ type: 'worker', script: 'working' }])
    assert.partialDeepStrictEqual(consumers, [
      { script: 'working', settings: { batch_size: 2, max_wait_time_ms: 0, max_retries: 1 } },
    ])
    await wrangler.visit('working', '/?send=hello')
    await eventually(async () => (await wrangler.visit('working')) === '[["jobs","hello"]]')
    // Once more, with another setting: the same consumer.
    await wrangler.project('working', config({ max_batch_size: 3 }), { 'index.js': worker })
    await wrangler.ok(['deploy'], { cwd: 'working' })
    const [again, ...others] = (await queueOf('jobs')).consumers
    assert.deepEqual([again?.settings.batch_size, others], [3, []])
  })

  test('a producer whose queue is missing has it made, or is refused', async () => {
    const producers = [{ binding: 'JOBS', queue: 'missing' }]
    await wrangler.project('lost', { queues: { producers } }, { 'index.js': worker })
    if (wrangler.lacks('automatic provisioning') === false) {
      await wrangler.ok(['deploy'], { cwd: 'lost' })
      assert.deepEqual((await queueOf('missing')).producers, [{ type: 'worker', script: 'lost' }])
    } else {
      await wrangler.fails(['deploy'], /"missing" does not exist/, { cwd: 'lost' })
    }
  })

  test(
    'a producer without a name gets a queue of its own',
    { skip: wrangler.lacks('automatic provisioning') },
    async () => {
      const queue = { producers: [{ binding: 'JOBS' }] }
      await wrangler.project('provided', { queues: queue }, { 'index.js': worker })
      await wrangler.ok(['deploy'], { cwd: 'provided' })
      const { producers } = await queueOf('provided-jobs')
      assert.deepEqual(producers, [{ type: 'worker', script: 'provided' }])
    },
  )

  test(
    'subscriptions are created, listed, shown, changed and deleted',
    { skip: wrangler.lacks('queues subscription') },
    async () => {
      await makeQueue(place, 'events')
      const subscription = ['queues', 'subscription']
      const source = ['--source', 'r2', '--events', 'bucket.created,bucket.deleted']
      await wrangler.ok([...subscription, 'create', 'events', ...source, '--name', 'buckets'])
      const listed = z
        .array(z.object({ id: z.string(), name: z.string(), events: z.array(z.string()) }))
        .parse(await call(place, 'GET', '~/event_subscriptions/subscriptions'))
      const [{ id, ...rest } = assert.fail('it is not listed')] = listed
      assert.deepEqual(rest, { name: 'buckets', events: ['bucket.created', 'bucket.deleted'] })
      assert.match(await wrangler.ok([...subscription, 'list', 'events']), /buckets/)
      const one = ['--id', id]
      await wrangler.ok([...subscription, 'update', 'events', ...one, '--enabled', 'false'])
      const found = await call(place, 'GET', `~/event_subscriptions/subscriptions/${id}`)
      assert.partialDeepStrictEqual(found, {
        enabled: false,
        destination: { type: 'queues.queue' },
      })
      await wrangler.ok([...subscription, 'delete', 'events', ...one, '--force'])
      assert.deepEqual(await call(place, 'GET', '~/event_subscriptions/subscriptions'), [])
    },
  )
})
