import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type {
  MessageFormat,
  QueueBatch,
  QueueMessage,
  QueueOutcome,
  QueueResult,
} from '#contract/events.ts'
import { objectNamespaceId, workerName } from '#contract/ids.ts'
import { account, bytes } from '#test/backend.ts'
import { ended } from '#test/queue-result.ts'
import { eventually } from '#test/temporary.ts'
import { type Fixture, pidsOf, type Source, startFixture } from './fixture.ts'

// What comes to Workers that is no request, through real cells.

const message = (id: string, format: MessageFormat, body: string | Uint8Array): QueueMessage => ({
  id,
  timestampMs: 1_700_000_000_123,
  attempts: 2,
  format,
  body: typeof body === 'string' ? bytes(body) : body,
})

const batch = (...messages: QueueMessage[]): QueueBatch => ({
  queue: 'jobs',
  messages,
  metrics: { backlogCount: 3, backlogBytes: 100, oldestMessageTimestampMs: 1_700_000_000_000 },
})

const one = batch(message('m1', 'json', '{"a":1}'))

/** A Worker that keeps what it was given, and shows it to visitors. */
const keeper = (queue: string, more = ''): Source => ({
  code: `
    const seen = []
    export default {
      async queue(batch, env, ctx) { ${queue} },
      async scheduled(controller, env, ctx) {
        const { cron, scheduledTime } = controller
        seen.push({ cron, scheduledTime, env: env.V })
        if (cron === 'throw') throw new Error('no')
        if (cron === 'never') controller.noRetry()
      },
      fetch: () => Response.json(seen),
    }
    ${more}`,
  bindings: { V: { type: 'text', text: 'v' } },
})

const to = (worker: string, entrypoint?: string) => ({
  account,
  worker: workerName.parse(worker),
  ...(entrypoint !== undefined && { entrypoint }),
})

const deliver = (fixture: Fixture, worker: string, what = one): Promise<QueueOutcome> =>
  fixture.host.events.queue(to(worker), what)

suite('a batch of messages', () => {
  test('comes with what it is, each body in its format', async () => {
    await using fixture = await startFixture()
    const source = keeper(`
      for (const { id, timestamp, attempts, body } of batch.messages) {
        const shown = body instanceof Uint8Array ? [...body] : body
        seen.push({ id, timestamp: timestamp.toISOString(), attempts, shown, type: typeof body })
      }
      seen.push({ queue: batch.queue, metrics: batch.metadata.metrics, env: env.V })`)
    await fixture.apply([await fixture.ready('w', source)])
    const v8 = Uint8Array.from([0xff, 0x0f, 0x6f, 0x22, 0x01, 0x61, 0x49, 0x02, 0x7b, 0x01])
    const outcome = await deliver(
      fixture,
      'w',
      batch(
        message('json', 'json', '{"a":[1,null]}'),
        message('text', 'text', '\ufeffgrüße {'),
        message('bytes', 'bytes', Uint8Array.from([0, 255, 10])),
        message('v8', 'v8', v8),
        message('empty', 'bytes', ''),
        message('broken', 'json', 'undefined'),
      ),
    )
    assert.deepEqual(outcome, ended({ undecodable: new Set(['broken']) }))
    const known = { timestamp: '2023-11-14T22:13:20.123Z', attempts: 2 }
    assert.deepEqual(JSON.parse((await fixture.visit('w')).body), [
      { id: 'json', ...known, shown: { a: [1, null] }, type: 'object' },
      { id: 'text', ...known, shown: '\ufeffgrüße {', type: 'string' },
      { id: 'bytes', ...known, shown: [0, 255, 10], type: 'object' },
      { id: 'v8', ...known, shown: { a: 1 }, type: 'object' },
      { id: 'empty', ...known, shown: [], type: 'object' },
      {
        queue: 'jobs',
        metrics: {
          backlogCount: 3,
          backlogBytes: 100,
          oldestMessageTimestamp: '2023-11-14T22:13:20.000Z',
        },
        env: 'v',
      },
    ])
  })

  test('of which nothing can be read is given to nobody', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', keeper(`seen.push('called')`))])
    const outcome = await deliver(fixture, 'w', batch(message('m', 'json', '{')))
    assert.deepEqual(outcome, ended({ undecodable: new Set(['m']) }))
    assert.equal((await fixture.visit('w')).body, '[]')
  })

  test('has the outcome that the handler gave it', async () => {
    const cases: readonly (readonly [body: string, outcome: Partial<QueueResult>])[] = [
      ['', {}],
      ['batch.ackAll()', { ackAll: true }],
      ['batch.retryAll()', { retryAll: {} }],
      ['batch.retryAll({ delaySeconds: 7 })', { retryAll: { delaySeconds: 7 } }],
      ['batch.messages[0].ack()', { acked: new Set(['m1']) }],
      ['batch.messages[0].retry()', { retried: new Map([['m1', {}]]) }],
      [
        'batch.messages[0].retry({ delaySeconds: 0 })',
        { retried: new Map([['m1', { delaySeconds: 0 }]]) },
      ],
      [
        'batch.messages[0].ack(); batch.messages[0].retry(); batch.retryAll()',
        { acked: new Set(['m1']), retryAll: {} },
      ],
      ['throw new Error("no")', { outcome: 'exception' }],
      [
        'batch.messages[0].ack(); throw new Error("no")',
        { outcome: 'exception', acked: new Set(['m1']) },
      ],
      ['ctx.waitUntil(Promise.reject(new Error("no")))', { outcome: 'exception' }],
    ]
    await using fixture = await startFixture()
    const workers = await Promise.all(
      cases.map(([body], index) => fixture.ready(`w${index}`, keeper(body))),
    )
    await fixture.apply(...workers.map((worker) => [worker]))
    for (const [index, [body, outcome]] of cases.entries()) {
      assert.deepEqual(await deliver(fixture, `w${index}`), ended(outcome), body)
    }
  })

  test('is given to a named entrypoint, to a class, and to a service worker', async () => {
    await using fixture = await startFixture()
    const record = `globalThis.seen ??= []; seen.push`
    const named = await fixture.ready('named', {
      code: `
        import { WorkerEntrypoint } from 'cloudflare:workers'
        ${record}
        export class Jobs extends WorkerEntrypoint { queue(batch) { seen.push('Jobs ' + this.env.V) } }
        export class Deaf extends WorkerEntrypoint { fetch() {} }
        export const plain = { queue() { seen.push('plain') } }
        export default class extends WorkerEntrypoint {
          queue() { seen.push('class') }
          fetch() { return Response.json(seen) }
        }`,
      bindings: { V: { type: 'text', text: 'v' } },
    })
    const script = await fixture.ready('script', {
      format: 'service-worker',
      code: `
        const seen = []
        addEventListener('queue', (event) => seen.push(event.queue))
        addEventListener('scheduled', (event) => seen.push(event.cron))
        addEventListener('fetch', (event) => event.respondWith(Response.json(seen)))`,
      date: '2024-01-01',
    })
    await fixture.apply([named], [script])
    const { events } = fixture.host
    for (const entrypoint of ['Jobs', 'plain', undefined]) {
      assert.deepEqual(await events.queue(to('named', entrypoint), one), ended(), entrypoint)
    }
    assert.deepEqual(await events.queue(to('named', 'Deaf'), one), { type: 'unhandled' })
    assert.deepEqual(await events.queue(to('named', 'Nobody'), one), { type: 'unknown' })
    assert.equal((await fixture.visit('named')).body, '["Jobs v","plain","class"]')
    assert.deepEqual(await deliver(fixture, 'script'), ended())
    const tick = { cron: '* * * * *', scheduledTime: 60_000 }
    assert.equal((await events.scheduled(to('script'), tick)).type, 'ended')
    assert.equal((await fixture.visit('script')).body, '["jobs","* * * * *"]')
    const asked = [
      events.handles(to('named'), 'queue'),
      events.handles(to('named'), 'scheduled'),
      events.handles(to('named', 'Jobs'), 'queue'),
      events.handles(to('nobody'), 'queue'),
    ]
    assert.deepEqual(asked, [true, false, true, undefined])
  })

  test('of nobody is told apart from one that can not be handled', async () => {
    await using fixture = await startFixture()
    await fixture.apply([
      await fixture.ready('deaf', { code: `export default { fetch: () => new Response('') }` }),
    ])
    assert.deepEqual(await deliver(fixture, 'nobody'), { type: 'unknown' })
    assert.deepEqual(await deliver(fixture, 'deaf'), { type: 'unhandled' })
  })

  test('is not ended before waitUntil work is', async () => {
    await using fixture = await startFixture()
    const source = keeper(`ctx.waitUntil(scheduler.wait(300).then(() => seen.push('late')))`)
    await fixture.apply([await fixture.ready('w', source)])
    assert.deepEqual(await deliver(fixture, 'w'), ended())
    assert.equal((await fixture.visit('w')).body, '["late"]')
  })
})

suite('a tick', () => {
  test('comes with its schedule, and has an outcome', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', keeper(''))])
    const tick = (cron: string) =>
      fixture.host.events.scheduled(to('w'), { cron, scheduledTime: 1_700_000_040_000 })
    assert.deepEqual(await tick('0 * * * *'), { type: 'ended', outcome: 'ok', noRetry: false })
    assert.deepEqual(await tick('throw'), { type: 'ended', outcome: 'exception', noRetry: false })
    assert.deepEqual(await tick('never'), { type: 'ended', outcome: 'ok', noRetry: true })
    assert.deepEqual(JSON.parse((await fixture.visit('w')).body)[0], {
      cron: '0 * * * *',
      scheduledTime: 1_700_000_040_000,
      env: 'v',
    })
  })
})

suite('an event and the process that it is for', () => {
  test('a cell that sleeps is woken, and does not fall asleep meanwhile', async () => {
    await using fixture = await startFixture({ sleepMs: 150, lingerMs: 0 })
    const source = keeper(`await scheduler.wait(900); seen.push('slept')`)
    await fixture.apply([await fixture.ready('w', source)])
    await eventually(async () => (await pidsOf(fixture)).length === 0)
    assert.deepEqual(await deliver(fixture, 'w'), ended())
    assert.equal((await fixture.visit('w')).body, '["slept"]')
    await eventually(async () => (await pidsOf(fixture)).length === 0)
  })

  test('one that dies meanwhile is lost, and the next finds the new process', async () => {
    await using fixture = await startFixture()
    const source = keeper(`seen.push('begun'); await scheduler.wait(10_000)`)
    await fixture.apply([await fixture.ready('w', source)])
    const lost = deliver(fixture, 'w')
    await eventually(async () => (await fixture.visit('w')).body !== '[]')
    for (const pid of await pidsOf(fixture)) process.kill(pid, 'SIGKILL')
    assert.deepEqual(await lost, { type: 'lost', reason: 'crash' })
    // Until its end is noticed, what is sent to the old process may be lost as well.
    await eventually(async () => (await fixture.visit('w')).body === '[]')
    const next = await fixture.host.events.scheduled(to('w'), { cron: 'x', scheduledTime: 1 })
    assert.deepEqual(next, { type: 'ended', outcome: 'ok', noRetry: false })
  })

  test('one that takes too long is ended, and does nothing after that', async () => {
    await using fixture = await startFixture({ eventMs: 300 })
    const source = keeper(`
      for (;;) { await scheduler.wait(20); seen.push(Date.now()) }`)
    await fixture.apply([await fixture.ready('w', source)])
    assert.deepEqual(await deliver(fixture, 'w'), { type: 'lost', reason: 'time' })
    await new Promise((resolve) => void setTimeout(resolve, 100))
    const first = (await fixture.visit('w')).body
    await new Promise((resolve) => void setTimeout(resolve, 200))
    assert.equal((await fixture.visit('w')).body, first)
  })

  test('one that is stopped is ended', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', keeper(`await scheduler.wait(10_000)`))])
    const stop = AbortSignal.timeout(200)
    assert.deepEqual(await fixture.host.events.queue(to('w'), one, stop), {
      type: 'lost',
      reason: 'cut',
    })
  })

  test('one that never resolves ends', async () => {
    await using fixture = await startFixture({ eventMs: 2_000 })
    await fixture.apply([await fixture.ready('w', keeper(`await new Promise(() => {})`))])
    const outcome = await deliver(fixture, 'w')
    assert.notDeepEqual(outcome, ended(), JSON.stringify(outcome))
  })

  test('what it may use up is limited', async () => {
    await using fixture = await startFixture({
      limits: { cpuMs: 500, memoryBytes: 64 * 1024 * 1024 },
    })
    const spin = await fixture.ready('spin', keeper('for (;;);'))
    const fills = `const held = []; for (;;) held.push({ a: [held.length], b: 'x' + held.length })`
    // How fast memory fills is the machine's business.
    const patient = { limits: { cpuMs: 60_000 } }
    const heap = await fixture.ready('heap', { ...keeper(fills), ...patient })
    await fixture.apply([spin], [heap])
    const outcomes = await Promise.all([deliver(fixture, 'spin'), deliver(fixture, 'heap')])
    assert.deepEqual(outcomes, [
      { type: 'lost', reason: 'cpu' },
      { type: 'lost', reason: 'memory' },
    ])
  })

  test('a release lets it finish, and has the next', async () => {
    await using fixture = await startFixture({ drainMs: 100 })
    const slow = (word: string) =>
      keeper(`await scheduler.wait(1_200); if ('${word}' === 'new') batch.ackAll()`)
    await fixture.apply([await fixture.ready('w', slow('old'))])
    const old = deliver(fixture, 'w')
    await new Promise((resolve) => void setTimeout(resolve, 100))
    await fixture.apply([await fixture.ready('w', slow('new'))])
    assert.deepEqual(await deliver(fixture, 'w'), ended({ ackAll: true }))
    assert.deepEqual(await old, ended())
  })

  test('where objects are handed over it ends as requests do, and the next waits', async () => {
    await using fixture = await startFixture({ holdMs: 300 })
    const objects: Source['objects'] = [
      { id: objectNamespaceId.parse('7'.repeat(32)), className: 'Counter', storage: 'sqlite' },
    ]
    const version = (word: string): Source => ({
      ...keeper(
        `if (batch.queue === 'slow') await scheduler.wait(10_000); ${word}`,
        `import { DurableObject } from 'cloudflare:workers'
         export class Counter extends DurableObject {}`,
      ),
      objects,
    })
    await fixture.apply([await fixture.ready('w', version(''))])
    const slow = fixture.host.events.queue(to('w'), { ...one, queue: 'slow' })
    await new Promise((resolve) => void setTimeout(resolve, 100))
    const next = await fixture.ready('w', version('batch.ackAll()'))
    const released = fixture.apply([next])
    await eventually(() => fixture.targets('w')[0]?.state === 'held')
    assert.deepEqual(await deliver(fixture, 'w'), ended({ ackAll: true }))
    assert.deepEqual(await slow, { type: 'lost', reason: 'cut' })
    await released
  })

  test('versions get batches by their shares', async () => {
    await using fixture = await startFixture()
    const version = async (word: string, id: string, percentage: number) => ({
      ...(await fixture.ready('w', keeper(word))),
      version: { id, tag: '', createdAt: `2026-11-24T00:00:0${percentage % 7}Z` },
      percentage,
    })
    await fixture.apply([
      await version('batch.ackAll()', '00000000-0000-4000-8000-000000000001', 50),
      await version('batch.retryAll()', '00000000-0000-4000-8000-000000000002', 50),
      await version('throw 1', '00000000-0000-4000-8000-000000000003', 0),
    ])
    const outcomes = await Promise.all(Array.from({ length: 60 }, () => deliver(fixture, 'w')))
    const acked = outcomes.filter((outcome) => outcome.type === 'ended' && outcome.ackAll)
    // Less than 1 in 10^8 of it being fewer than 8 or more than 52.
    assert.ok(acked.length >= 8 && acked.length <= 52, `${acked.length} of 60`)
    assert.ok(outcomes.every((outcome) => outcome.type === 'ended' && outcome.outcome === 'ok'))
  })
})

test('a Worker can send no events, and has no experimental feature', async () => {
  await using fixture = await startFixture()
  const probe = await fixture.ready('probe', {
    code: `
      export default {
        async fetch(request, env) {
          // Methods like any other: these are calls, and no events.
          const called = await env.OTHER.queue('q', [], {})
          const ticked = await env.OTHER.scheduled('x')
          const unsafe = await import('workerd:unsafe').then(() => 'there', () => 'not there')
          return Response.json({ called, ticked, unsafe, deleteBulk: typeof env.KV.deleteBulk })
        },
      }`,
    bindings: {
      OTHER: { type: 'worker', worker: workerName.parse('other') },
      KV: { type: 'backend', client: 'kvNamespace', resource: 'r' },
    },
  })
  const other = await fixture.ready('other', {
    code: `
      import { WorkerEntrypoint } from 'cloudflare:workers'
      export default class extends WorkerEntrypoint {
        queue(...given) { return JSON.stringify(given) }
        scheduled(...given) { return JSON.stringify(given) }
      }`,
  })
  await fixture.apply([probe, other])
  const { called, ticked, unsafe, deleteBulk } = JSON.parse((await fixture.visit('probe')).body)
  assert.equal(called, '["q",[],{}]')
  assert.equal(ticked, '["x"]')
  assert.equal(unsafe, 'not there')
  assert.equal(deleteBulk, 'undefined')
})
