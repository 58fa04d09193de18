import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import type { Ports } from '#contract/ports.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { type Sql, sql, type Statement } from '#contract/ports/sql.ts'
import { account, bytes } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { queue as binding } from './binding.ts'
import { doubtMs } from './clock-view.ts'
import { retention } from './limits.ts'
import { type MessageStore, openMessages } from './message-store.ts'
import { type ConsumerSettings, givenSettings } from './schema.ts'
import { openStore, type Queue, type QueueStore } from './store.ts'
import { Upkeep } from './upkeep.ts'

const start = 1_800_000_000_000
const second = 1_000
const day = 24 * 3_600 * second
const folder = await temporaryFolder()
const migrations = binding.migrations ?? assert.fail()
const clock = movableClock(start)
const ports = await openPorts({ path: join(folder.path, 'queue'), migrations, clock })
after(async () => {
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})
const store = await openStore(ports)
const messages = await openMessages(ports)
const settings = { deliveryDelay: 0, isPaused: false, retention: retention.usual }
const usual: ConsumerSettings = givenSettings.parse({})

let made = 0
async function newQueue(keptSeconds = retention.usual): Promise<{ queue: Queue; line: number }> {
  const queue = await store.create(account, `q${made++}`, { ...settings, retention: keptSeconds })
  return { queue, line: queue.lines[0] ?? assert.fail() }
}

const send = (queue: Queue, ...texts: readonly string[]): Promise<void> =>
  messages.send(
    queue.id,
    texts.map((text) => ({ format: 'text', body: bytes(text), visibleAt: clock.now() })),
    { now: clock.now(), source: 'worker' },
  )

const leaseOf = (line: number, count = 10, milliseconds = 60_000) => {
  const now = clock.now()
  return messages.lease(line, { count, bytes: 1_000_000, now, until: now + milliseconds })
}

/** What is in a line, whoever has it. */
async function textsIn(line: number): Promise<readonly string[]> {
  const all = await messages.peek(line, 1_000)
  return all.map(({ body }) => new TextDecoder().decode(body)).toSorted()
}

suite('a lease', () => {
  test('takes what fits, in order, and at least one message', async () => {
    const { queue, line } = await newQueue()
    await send(queue, 'a'.repeat(30), 'b'.repeat(30), 'c'.repeat(30))
    const lease = async (bytesOfBatch: number) => {
      const now = clock.now()
      const until = now + second
      const leased = await messages.lease(line, { count: 10, bytes: bytesOfBatch, now, until })
      return leased?.messages.map(({ body }) => String.fromCharCode(body[0] ?? 0)).join('')
    }
    assert.equal(await lease(70), 'ab')
    assert.equal(await lease(5), 'c')
    assert.equal(await lease(70), undefined)
    clock.moveBy(second)
    assert.equal(await lease(1_000), 'abc')
  })

  test('that has ended settles nothing that was leased again', async () => {
    const { queue, line } = await newQueue()
    await send(queue, 'm')
    const first = (await leaseOf(line, 1, second)) ?? assert.fail()
    clock.moveBy(second)
    const again = (await leaseOf(line)) ?? assert.fail()
    assert.deepEqual(
      [first, again].map(({ messages: [m] }) => m?.attempts),
      [1, 2],
    )
    const seq = again.messages[0]?.seq ?? 0
    for (const type of ['done', 'dead', 'release'] as const) {
      const rules = { line, lease: first.lease, now: clock.now(), grave: 'nowhere' } as const
      await messages.settle([{ seq, verdict: { type } }], rules)
      assert.deepEqual(await textsIn(line), ['m'], type)
    }
    const rules = { line, lease: again.lease, now: clock.now(), grave: 'nowhere' } as const
    await messages.settle([{ seq, verdict: { type: 'done' } }], rules)
    assert.deepEqual(await textsIn(line), [])
  })

  test('of a push consumer is void after a start; of one that pulls it is not', async () => {
    const { queue, line } = await newQueue()
    const target = { worker: 'w' as never }
    const push = { target, environment: '', deadLetterQueue: '', settings: usual }
    await store.addConsumer(queue.id, push)
    const pull = await store.addConsumer(queue.id, { ...push, target: undefined })
    await send(queue, 'm')
    for (const each of [line, pull.line]) assert.ok(await leaseOf(each))
    await messages.voidLeases(clock.now())
    const again = await leaseOf(line)
    assert.equal(again?.messages[0]?.attempts, 2)
    assert.equal(await leaseOf(pull.line), undefined)
  })
})

suite('dead letters', () => {
  async function dead(text: string, keptSeconds: number) {
    const from = await newQueue()
    const to = await newQueue(keptSeconds)
    await send(from.queue, text)
    clock.moveBy(2 * day)
    const {
      lease,
      messages: [message],
    } = (await leaseOf(from.line)) ?? assert.fail()
    const grave = { queue: to.queue.id, visibleAt: clock.now() }
    await messages.settle([{ seq: message?.seq ?? 0, verdict: { type: 'dead' } }], {
      line: from.line,
      lease,
      now: clock.now(),
      grave,
    })
    return { from, to, message }
  }

  test('keep id and time, and are kept from when they came', async () => {
    const kept = 3_600
    const { from, to, message } = await dead('d', kept)
    assert.deepEqual(await textsIn(from.line), [])
    const [moved] = await messages.peek(to.line, 10)
    assert.deepEqual([moved?.id, moved?.timestampMs], [message?.id, message?.timestampMs])
    assert.equal(moved?.attempts, 0)
    await messages.removeOld(to.line, clock.now() - kept * second)
    assert.deepEqual(await textsIn(to.line), ['d'])
    // What comes behind an old message goes when its own time has come, and not before.
    clock.moveBy(kept * second - 1)
    await send(to.queue, 'later')
    await messages.removeOld(to.line, clock.now() - kept * second)
    assert.deepEqual(await textsIn(to.line), ['d', 'later'])
    clock.moveBy(1)
    await messages.removeOld(to.line, clock.now() - kept * second)
    assert.deepEqual(await textsIn(to.line), ['later'])
  })

  test('without a queue that there ought to be wait, while the others are settled', async () => {
    const { queue, line } = await newQueue()
    await send(queue, 'done', 'again', 'dead')
    const { lease, messages: leased } = (await leaseOf(line)) ?? assert.fail()
    const verdicts = [
      { type: 'done' },
      { type: 'retry', delaySeconds: 1 },
      { type: 'dead' },
    ] as const
    const settlements = leased.map(({ seq }, n) => ({ seq, verdict: verdicts[n] ?? verdicts[0] }))
    await messages.settle(settlements, { line, lease, now: clock.now(), grave: 'unavailable' })
    assert.deepEqual(await textsIn(line), ['again', 'dead'])
    const waits = (await messages.head(line, 10)).map(({ visibleAt }) => visibleAt - clock.now())
    assert.deepEqual(waits, [second, 60 * second])
  })
})

suite('a clock that jumps', () => {
  const kept = 4 * 24 * 3_600

  type Watched = {
    readonly queue: Queue
    readonly line: number
    /** Has time pass, and what tidies up look as often as it does. */
    readonly pass: (milliseconds: number) => Promise<void>
  }

  /** A queue with an hour-old message and one of now, and what tidies up, looking on for a while. */
  async function watched(): Promise<AsyncDisposable & Watched> {
    const { queue, line } = await newQueue(kept)
    await send(queue, 'old')
    clock.moveBy(3_600 * second)
    await send(queue, 'new')
    let looked = Promise.withResolvers<void>()
    const own: Clock = {
      now: () => clock.now(),
      after(milliseconds, run) {
        looked.resolve()
        return clock.after(milliseconds, run)
      },
    }
    const upkeep = new Upkeep({ ...ports, clock: own, store, messages, onRewound: () => undefined })
    const pass = async (milliseconds: number): Promise<void> => {
      for (let passed = 0; passed < milliseconds; passed += 30 * second) {
        looked = Promise.withResolvers()
        clock.moveBy(30 * second)
        await looked.promise
      }
    }
    await pass(doubtMs + 60 * second)
    return { queue, line, pass, [Symbol.asyncDispose]: () => upkeep[Symbol.asyncDispose]() }
  }

  test('forward and is put right removes nothing', async () => {
    await using on = await watched()
    clock.jumpBy(30 * day)
    await on.pass(doubtMs - 60 * second)
    await send(on.queue, 'ahead')
    assert.deepEqual(await textsIn(on.line), ['ahead', 'new', 'old'])
    clock.jumpBy(-30 * day)
    await on.pass(doubtMs + 60 * second)
    assert.deepEqual(await textsIn(on.line), ['ahead', 'new', 'old'])
    // What was sent when it was ahead is not kept for 30 days more.
    clock.jumpBy(kept * second - 3_600 * second)
    await on.pass(doubtMs + 60 * second)
    assert.deepEqual(await textsIn(on.line), ['ahead', 'new'])
    clock.jumpBy(3_600 * second)
    await on.pass(doubtMs + 60 * second)
    assert.deepEqual(await textsIn(on.line), [])
  })

  test('forward and stays so removes what is that old, and no more', async () => {
    await using on = await watched()
    clock.jumpBy(kept * second - 40 * 60 * second)
    await on.pass(doubtMs + 60 * second)
    assert.deepEqual(await textsIn(on.line), ['new'])
  })

  test('back removes nothing before its time, and nothing after it', async () => {
    await using on = await watched()
    clock.jumpBy(-30 * day)
    await send(on.queue, 'behind')
    await on.pass(doubtMs + 60 * second)
    await send(on.queue, 'later')
    assert.deepEqual(await textsIn(on.line), ['behind', 'later', 'new', 'old'])
    clock.jumpBy(kept * second - 2 * doubtMs)
    await on.pass(doubtMs)
    assert.deepEqual(await textsIn(on.line), ['behind', 'later', 'new', 'old'])
    clock.jumpBy(doubtMs)
    await on.pass(doubtMs + 60 * second)
    assert.deepEqual(await textsIn(on.line), [])
  })

  test('back while the server was down is noticed at the start', async () => {
    const { queue, line } = await newQueue(kept)
    await send(queue, 'ahead')
    clock.jumpBy(-30 * day)
    const reopened = await openMessages(ports)
    assert.ok(reopened.newest >= clock.now() + 30 * day)
    const upkeep = new Upkeep({ ...ports, store, messages: reopened, onRewound: () => undefined })
    clock.moveBy(second)
    await upkeep[Symbol.asyncDispose]()
    await reopened.removeOld(line, clock.now() - 1)
    assert.deepEqual(await textsIn(line), ['ahead'])
    await reopened.removeOld(line, clock.now())
    assert.deepEqual(await textsIn(line), [])
  })
})

/** Passes on, and keeps one of each statement. */
function recording(inner: Sql, seen: Map<readonly string[], Statement>): Sql {
  const keep = (statement: Statement): void => void seen.set(statement.strings, statement)
  return {
    read(statement) {
      keep(statement)
      return inner.read(statement)
    },
    write(statements) {
      for (const statement of statements) keep(statement)
      return inner.write(statements)
    },
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  }
}

/** Everything that the store can do, once. */
async function doEverything(all: MessageStore, own: QueueStore, queue: Queue): Promise<void> {
  const [line = 0] = queue.lines
  const now = clock.now()
  const other = await own.create(account, 'everything', settings)
  await all.send(queue.id, [{ format: 'text', body: bytes('x'), visibleAt: now }], {
    now,
    source: 'api',
  })
  await all.metrics([line])
  await all.head(line, 10)
  await all.peek(line, 10)
  for (const verdict of ['done', 'dead', 'release', 'retry'] as const) {
    const until = now + second
    const leased = await all.lease(line, { count: 2, bytes: 1e6, now, until })
    const { lease, messages: got } = leased ?? assert.fail()
    const grave = { queue: other.id, visibleAt: now }
    const settlements = got.map(({ seq }) => ({ seq, verdict: { type: verdict, delaySeconds: 1 } }))
    for (const { seq } of settlements) await all.attemptsOf(line, seq, lease)
    await all.settle(settlements, { line, lease, now, grave })
  }
  await all.removeOne(line, 100, 'no such id')
  await all.voidLeases(now)
  await all.removeOld(line, now)
  await all.rewind(line, { from: now, to: now - second })
  await own.remove(other.id)
  await all.isRemoving(other.id)
  while (await all.removeLines());
  await openMessages({ ...ports, sql: recording(ports.sql, new Map()) })
}

suite('with 200 000 messages', () => {
  const rows = 200_000

  test('every statement finds its rows by an index, in their order', async () => {
    const { queue, line } = await newQueue()
    await ports.sql.write([
      sql`INSERT INTO message (seq, id, sent_at, format, source, body)
          WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
          SELECT 1000000 + i, hex(i), ${clock.now()}, 'text', 'api', x'00' FROM n`,
      sql`INSERT INTO delivery (line, seq, entered_at, visible_at, attempts, size)
          SELECT ${line}, seq, sent_at, sent_at, 0, 1 FROM message WHERE seq > 1000000`,
    ])
    const seen = new Map<readonly string[], Statement>()
    const own: Ports = { ...ports, sql: recording(ports.sql, seen) }
    const queues = await openStore(ports)
    await doEverything(await openMessages(own), queues, queue)
    const wrong: string[] = []
    for (const { strings, values } of seen.values()) {
      const [first = '', ...others] = strings
      const explained = { strings: [`EXPLAIN QUERY PLAN ${first}`, ...others], values }
      const text = strings.join('?').replaceAll(/\s+/g, ' ')
      for (const { detail } of await ports.sql.read(explained)) {
        const isWhole =
          /SCAN (delivery|message)\b|TEMP B-TREE/.test(String(detail)) ||
          // The rows of a line are all or the first of them.
          (/PRIMARY KEY \(line=\?\)/.test(String(detail)) && !/LIMIT|EXISTS/.test(text))
        if (isWhole) wrong.push(`${text}: ${String(detail)}`)
      }
    }
    assert.ok(seen.size > 20, `${seen.size} statements`)
    assert.deepEqual(wrong, [])
  })
})
