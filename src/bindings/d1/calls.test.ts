import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { Ports } from '#contract/ports.ts'
import {
  DatabaseError,
  type DatabaseFailure,
  type DatabaseFile,
  type DatabaseFiles,
} from '#contract/ports/databases.ts'
import { account } from '#test/backend.ts'
import { type MovableClock, movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { d1 } from './binding.ts'
import { callOf } from './call.ts'
import { Calls } from './calls.ts'
import { Insights } from './insights.ts'
import { heldMs } from './limits.ts'
import { type Database, type DatabaseStore, openStore } from './store.ts'

// What becomes of calls that are not answered, and of those that have to wait: with files that fail when
// they are told to. What engines do is tried with engines (`test/d1.test.ts`).

const folder = await temporaryFolder()
let ports: Ports & AsyncDisposable
let store: DatabaseStore
let database: Database
let made = 0

before(async () => {
  const migrations = d1.migrations ?? assert.fail()
  ports = await openPorts({ path: join(folder.path, 'd1'), migrations })
  store = await openStore(ports)
})
after(async () => {
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const answer = new TextEncoder().encode(
  '[{"success":true,"results":[],"meta":{"total_attempts":1}}]',
)

type Files = DatabaseFiles & { readonly called: DatabaseFile[] }

/** Files of which each call fails as long as there are failures left. */
function failing(failures: (DatabaseError | Promise<void>)[]): Files {
  const called: DatabaseFile[] = []
  const never = (): never => assert.fail('nobody asks for it')
  return {
    called,
    async call(file) {
      called.push(file)
      const next = failures.shift()
      if (next instanceof DatabaseError) throw next
      await next
      return { reply: answer, bookmark: 'b' }
    },
    stream: never,
    bookmark: never,
    bookmarkAt: never,
    restore: never,
    verify: never,
    sizeOf: never,
    delete: never,
    sweep: never,
  }
}

async function callsOf(files: DatabaseFiles): Promise<{ calls: Calls; clock: MovableClock }> {
  const none = { jurisdiction: null, location: null, replication: 'disabled' }
  database = await store.create({ account, name: `d${made++}`, ...none })
  const clock = movableClock(0)
  return { calls: new Calls({ store, files, clock, insights: new Insights(clock) }), clock }
}

/** Lets time pass until something is settled. */
async function settled<Result>(clock: MovableClock, running: Promise<Result>): Promise<Result> {
  const over = new AbortController()
  running.catch(() => undefined).finally(() => over.abort())
  while (!over.signal.aborted) {
    await new Promise((resolve) => setImmediate(resolve))
    clock.moveBy(1_000)
  }
  return running
}

suite('calls that fail', () => {
  const read = 'SELECT 1'
  const write = 'DELETE FROM t'
  const cases: readonly (readonly [
    DatabaseFailure,
    isRetryable: boolean,
    sql: string,
    times: number,
  ])[] = [
    ['lost', false, read, 3],
    ['lost', false, write, 1],
    ['lost', true, write, 3],
    ['unavailable', true, write, 3],
    ['unavailable', false, `${read}; ${write}`, 1],
    ['timeout', false, read, 1],
    ['memory', false, read, 1],
    ['queue-full', true, read, 1],
    ['queued-too-long', true, read, 1],
    ['damaged', false, read, 1],
  ]
  for (const [reason, isRetryable, sql, times] of cases) {
    test(`${reason}${isRetryable ? ', nothing done' : ''}: ${sql} is tried ${times} times`, async () => {
      const files = failing([1, 2, 3, 4].map(() => new DatabaseError(reason, isRetryable)))
      const { calls, clock } = await callsOf(files)
      const running = calls.call(account, database.id, callOf('q', { sql }))
      await assert.rejects(settled(clock, running), new DatabaseError(reason, isRetryable))
      assert.equal(files.called.length, times)
    })
  }

  test('the answer says at which attempt it came', async () => {
    const { calls, clock } = await callsOf(failing([new DatabaseError('lost', false)]))
    const running = calls.call(account, database.id, callOf('q', [{ sql: read }]))
    const { reply } = await settled(clock, running)
    assert.match(new TextDecoder().decode(reply), /"total_attempts":2/)
  })
})

suite('calls that wait', () => {
  test('for those under way, then they go to the file that is there now', async () => {
    const { promise: first, resolve: finish } = Promise.withResolvers<void>()
    const files = failing([first])
    const { calls } = await callsOf(files)
    const call = callOf('q', { sql: 'SELECT 1' })
    const underWay = calls.call(account, database.id, call)
    let isHeld = false
    const held = calls.held(database.id, async () => {
      isHeld = true
      const next = await store.reserveNext(database)
      await store.become(database, next)
      store.release(next)
    })
    const later = calls.call(account, database.id, call)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(isHeld, false)
    assert.equal(files.called.length, 1)
    finish()
    await Promise.all([underWay, held, later])
    assert.deepEqual(
      files.called.map(({ generation }) => generation),
      [1, 2],
    )
  })

  test('not for ever', async () => {
    const files = failing([])
    const { calls, clock } = await callsOf(files)
    const { promise, resolve: release } = Promise.withResolvers<void>()
    const held = calls.held(database.id, () => promise)
    const running = calls.call(account, database.id, callOf('q', { sql: 'SELECT 1' }))
    running.catch(() => undefined)
    clock.moveBy(heldMs + 1)
    await assert.rejects(running, new DatabaseError('queued-too-long', true))
    assert.equal(files.called.length, 0)
    release()
    await held
  })

  test('one at a time may claim a database', async () => {
    const { calls } = await callsOf(failing([]))
    const { promise, resolve: release } = Promise.withResolvers<void>()
    const first = calls.claim(database.id, () => promise.then(() => 1))
    assert.equal(await calls.claim(database.id, async () => 2), undefined)
    release()
    assert.equal(await first, 1)
    assert.equal(await calls.claim(database.id, async () => 3), 3)
  })
})
