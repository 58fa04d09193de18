import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import type { EventPort, QueueBatch, QueueOutcome } from '#contract/events.ts'
import type { AccountId } from '#contract/ids.ts'
import { type Sql, sql } from '#contract/ports/sql.ts'
import { apiOf, json } from '#test/api.ts'
import { account, caller, otherAccount, nowhere } from '#test/backend.ts'
import { openPorts } from '#test/ports.ts'
import { ended } from '#test/queue-result.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { queue as binding } from './binding.ts'
import { queuesPerAccount } from './limits.ts'
import { openQueues } from './queues.ts'

// What is delivered when, and what is written down of it. Workers are functions here: what real ones
// do is in `test/queues.test.ts`.

const folder = await temporaryFolder()
const migrations = binding.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'queue'), migrations })
// Of the other account: as many as it may have but one.
await ports.sql.write([
  sql`INSERT INTO queue
        (id, account, name, created_at, modified_at, delivery_delay, retention, is_paused)
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${queuesPerAccount - 1})
      SELECT printf('%032x', i), ${otherAccount}, 'filler-' || i, 0, 0, 0, 3600, 0 FROM n`,
])
const live = await openQueues(ports)
const other = { ...caller, account: otherAccount }
const { ask } = apiOf(live)

type Handler = (batch: QueueBatch) => QueueOutcome | Promise<QueueOutcome>

/** What is deployed: handlers by the names of their Workers; `undefined` of one without. */
const deployed = new Map<string, Handler | undefined>()
const listeners = new Set<(account: AccountId) => void>()
const events: EventPort = {
  async queue({ worker }, batch) {
    return (await deployed.get(worker)?.(batch)) ?? { type: 'unhandled' }
  },
  scheduled: () => assert.fail('there are no schedules'),
  handles: ({ worker }) => (deployed.has(worker) ? deployed.get(worker) !== undefined : undefined),
  onDeployed(listener) {
    listeners.add(listener)
    return { [Symbol.dispose]: () => void listeners.delete(listener) }
  },
}
const house = { ...nowhere, events, bindings: () => [], queues: live.queues }
const started = live.start?.(house)
after(async () => {
  await started?.[Symbol.asyncDispose]()
  await live[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

function deploy(worker: string, handler: Handler | undefined, of = account): void {
  deployed.set(worker, handler)
  for (const listener of listeners) listener(of)
}

/** A queue and its consumer, a Worker of the same name. */
async function consumed(name: string, consumer: object, as = caller): Promise<string> {
  const { result } = await ask('POST', '', { ...json({ queue_name: name }), as })
  const all = { type: 'worker', script_name: name, ...consumer }
  const added = await ask('POST', `/${result.queue_id}/consumers`, { ...json(all), as })
  assert.equal(added.code, 0, added.message)
  return result.queue_id
}

const send = (id: string, bodies: readonly string[], as = caller) =>
  ask('POST', `/${id}/messages/batch`, {
    ...json({ messages: bodies.map((body) => ({ body })) }),
    as,
  })

const backlog = async (id: string, as = caller): Promise<number> =>
  (await ask('GET', `/${id}/metrics`, { as })).result.backlog_count

suite('a consumer that takes nothing', () => {
  test('is given what waits as soon as something else is deployed', async () => {
    deploy('late', undefined)
    const id = await consumed('late', { settings: { max_wait_time_ms: 0 } })
    await send(id, ['m'])
    // Each look at it pauses for twice as long as the last.
    await new Promise((resolve) => void setTimeout(resolve, 1_000))
    assert.equal(await backlog(id), 1)
    const got: number[] = []
    const handler: Handler = ({ messages }) => {
      got.push(...messages.map(({ attempts }) => attempts))
      return ended()
    }
    deployed.set('late', handler)
    // Other accounts' deploys are no reason to look.
    deploy('other', handler, otherAccount)
    const before = performance.now()
    deploy('late', handler)
    await eventually(async () => (await backlog(id)) === 0)
    assert.ok(performance.now() - before < 200, 'it was not looked at at once')
    assert.deepEqual(got, [1])
  })
})

suite('a consumer whose process dies', () => {
  test('is left alone for a moment, twice as long each time, whatever else was under way', async () => {
    const at: number[] = []
    const isOver = Promise.withResolvers<void>()
    deploy('dying', async () => {
      at.push(performance.now())
      if (at.length === 4) isOver.resolve()
      // Well again after the second pause.
      if (performance.now() - (at[4] ?? Infinity) > 300) return ended()
      await isOver.promise
      return { type: 'lost', reason: 'crash' }
    })
    const settings = { batch_size: 1, max_wait_time_ms: 0, max_concurrency: 4 }
    const id = await consumed('dying', { settings })
    await send(id, ['1', '2', '3', '4'])
    await eventually(async () => (await backlog(id)) === 0)
    const gaps = at.slice(1).map((time, n) => time - (at[n] ?? 0))
    const [first = 0, second = 0, ...others] = gaps.filter((gap) => gap > 200)
    assert.deepEqual(others, [])
    assert.ok(first > 240 && first < 900 && second > 490, gaps.join(', '))
  })
})

test('what is leased while everything stops is delivered before that', async () => {
  const path = join(folder.path, 'stopping')
  await using own = await openPorts({ path, migrations })
  let stopping: Promise<void> | undefined
  const stopAtLease: Sql = {
    read: (statement) => own.sql.read(statement),
    async write(statements) {
      const results = await own.sql.write(statements)
      const isLease = statements[0]?.strings.join('?').includes('attempts = attempts + 1') === true
      if (isLease) stopping = Promise.resolve(running?.[Symbol.asyncDispose]())
      return results
    },
    [Symbol.asyncDispose]: () => own.sql[Symbol.asyncDispose](),
  }
  await using stopped = await openQueues({ ...own, sql: stopAtLease })
  const running = stopped.start?.({ ...house, queues: stopped.queues })
  let isOver = false
  deploy('stopping', async () => {
    await new Promise((resolve) => void setTimeout(resolve, 100))
    isOver = true
    return ended()
  })
  const api = apiOf(stopped)
  const { result } = await api.ask('POST', '', json({ queue_name: 'stopping' }))
  const consumer = { type: 'worker', script_name: 'stopping', settings: { max_wait_time_ms: 0 } }
  await api.ask('POST', `/${result.queue_id}/consumers`, json(consumer))
  await api.ask('POST', `/${result.queue_id}/messages`, json({ body: 1 }))
  await eventually(() => stopping !== undefined)
  await stopping
  assert.ok(isOver)
  const metrics = await api.ask('GET', `/${result.queue_id}/metrics`)
  assert.equal(metrics.result.backlog_count, 0)
})

suite('what is written down', () => {
  test('of acked and retried messages, also while there is no place for the dead', async () => {
    const outcomes: Handler = ({ messages }) => {
      const of = (text: string) =>
        messages.filter(({ body }) => String.fromCharCode(...body) === JSON.stringify(text))
      return ended({
        outcome: 'exception',
        acked: new Set(of('ack').map(({ id }) => id)),
        undecodable: new Set(of('dead').map(({ id }) => id)),
      })
    }
    deploy('nowhere', outcomes)
    const settings = { batch_size: 3, max_retries: 9, retry_delay: 60 }
    // With this one the account has as many queues as it may.
    const id = await consumed('nowhere', { dead_letter_queue: 'one-more', settings }, other)
    await send(id, ['ack', 'again', 'dead'], other)
    await eventually(async () => (await backlog(id, other)) === 2)
    const { result } = await ask('POST', `/${id}/messages/peek`, { as: other })
    const waiting = result.messages.map(({ body }: { body: string }) => atob(body))
    assert.deepEqual(waiting.toSorted(), ['"again"', '"dead"'])
  })
})
