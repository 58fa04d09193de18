import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { apiOf, json } from '#test/api.ts'
import { account, bytes, callOf, otherAccount, textOf } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { queue as binding } from './binding.ts'
import { openQueues } from './queues.ts'

// The wire between workerd and us: what no Worker sends, and what depends on the queue.

const folder = await temporaryFolder()
const clock = movableClock(1_800_000_000_000)
const migrations = binding.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'queue'), migrations, clock })
const limits = { messagesPerSecond: 50, backlogBytes: 1_000 }
const live = await openQueues(ports, limits)
after(async () => {
  await live[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})
const { ask } = apiOf(live)
const newQueue = async (name: string): Promise<string> =>
  (await ask('POST', '', json({ queue_name: name }))).result.queue_id

const callTo = (queue: string, owner = account) =>
  callOf(live, { type: 'queue', resource: { queue, delaySeconds: null } }, owner)

const message = (text: string) => ({ headers: { 'x-msg-fmt': 'text' }, body: [bytes(text)] })

suite('a call that no native client makes', async () => {
  await newQueue('strict')
  const batch = (...messages: unknown[]) => JSON.stringify({ messages })
  const item = { body: btoa('x'), contentType: 'text' }
  const cases: readonly (readonly [string, string, Record<string, string>, string, number])[] = [
    ['an unknown format', '/message', { 'x-msg-fmt': 'xml' }, 'x', 10_203],
    ['a delay that is no number', '/message', { 'x-msg-delay-secs': 'soon' }, 'x', 10_203],
    ['a delay that is no whole number', '/message', { 'x-msg-delay-secs': '1.5' }, 'x', 10_203],
    ['a batch that is no JSON', '/batch', {}, '{', 10_208],
    ['a batch that is none', '/batch', {}, '[]', 10_208],
    ['a batch of nothing', '/batch', {}, batch(), 10_208],
    ['a body that is no Base64', '/batch', {}, batch({ body: '%' }), 10_208],
    ['a body that is missing', '/batch', {}, batch({}), 10_208],
    ['an unknown format in a batch', '/batch', {}, batch({ ...item, contentType: 'TEXT' }), 10_203],
    ['a delay in a batch', '/batch', {}, batch({ ...item, delaySecs: -1 }), 10_202],
    ['a delay of a batch', '/batch', { 'x-msg-delay-secs': '-1' }, batch(item), 10_202],
  ]
  for (const [name, path, headers, body, code] of cases) {
    test(`${name} is refused`, async () => {
      const call = callTo('strict')
      const { reply, ...answer } = await call('POST', path, { headers, body: [bytes(body)] })
      assert.equal(answer.status, 400)
      assert.equal(reply.headers?.['CF-Queues-Error-Code'], String(code))
      assert.equal(answer.body.byteLength, 0)
      assert.ok((reply.headers?.['CF-Queues-Error-Cause'] ?? '') !== '')
      assert.equal(JSON.parse(textOf(await call('GET', '/metrics'))).backlogCount, 0)
    })
  }

  test('numbers in a batch may be written with a space', async () => {
    await newQueue('spaced')
    const text = '{"messages":[{"body":"eA==","contentType":"text","delaySecs": 5}]}'
    assert.equal((await callTo('spaced')('POST', '/batch', { body: [bytes(text)] })).status, 200)
  })

  test('without a format it is what V8 makes', async () => {
    const id = await newQueue('old')
    await callTo('old')('POST', '/message', { body: [Uint8Array.of(0xff, 0x0f)] })
    const { result } = await ask('POST', `/${id}/messages/peek`, json({}))
    assert.equal(result.messages[0].metadata['CF-Content-Type'], 'v8')
  })

  test('of another kind is refused', async () => {
    await newQueue('kinds')
    assert.equal((await callTo('kinds')('GET', '/message')).status, 405)
    assert.equal((await callTo('kinds')('POST', '/other')).status, 405)
  })
})

suite('a queue', () => {
  test('is found by its name, whenever it is there, by its own account', async () => {
    const call = callTo('there')
    const missing = await call('POST', '/message', message('x'))
    assert.equal(missing.status, 404)
    assert.equal(missing.reply.headers?.['CF-Queues-Error-Code'], '10104')
    const id = await newQueue('there')
    assert.equal((await call('POST', '/message', message('x'))).status, 200)
    assert.equal(
      (await callTo('there', otherAccount)('POST', '/message', message('x'))).status,
      404,
    )
    await ask('DELETE', `/${id}`)
    assert.equal((await call('POST', '/message', message('x'))).status, 404)
    await newQueue('there')
    assert.equal(JSON.parse(textOf(await call('GET', '/metrics'))).backlogCount, 0)
  })

  test("a message's own delay comes before the binding's, and that before the queue's", async () => {
    const id = await newQueue('delays')
    await ask('PATCH', `/${id}`, json({ settings: { delivery_delay: 30 } }))
    const bound = (delaySeconds: number | null) =>
      callOf(live, { type: 'queue', resource: { queue: 'delays', delaySeconds } })
    await ask('POST', `/${id}/consumers`, json({ type: 'http_pull' }))
    for (const [binding_, own, seconds] of [
      [null, undefined, 30],
      [20, undefined, 20],
      [0, undefined, 0],
      [20, '10', 10],
      [null, '0', 0],
    ] as const) {
      const headers = { 'x-msg-fmt': 'text', ...(own !== undefined && { 'x-msg-delay-secs': own }) }
      await bound(binding_)('POST', '/message', { headers, body: [bytes('x')] })
      const pulled = async () => {
        const pull = await ask('POST', `/${id}/messages/pull`, json({}))
        const [got] = pull.result.messages
        if (got) await ask('POST', `/${id}/messages/ack`, json({ acks: [got] }))
        return got !== undefined
      }
      if (seconds > 0) {
        clock.moveBy(seconds * 1000 - 1)
        assert.equal(await pulled(), false)
        clock.moveBy(1)
      }
      assert.equal(await pulled(), true, `${binding_} ${own}`)
    }
  })

  test('takes so many messages a second, where that is held', async () => {
    await newQueue('busy')
    const call = callTo('busy')
    const item = { body: 'eA==', contentType: 'text' }
    const batch = (count: number) => ({
      body: [bytes(JSON.stringify({ messages: Array.from({ length: count }, () => item) }))],
    })
    clock.moveBy(1_000)
    assert.equal((await call('POST', '/batch', batch(49))).status, 200)
    assert.equal((await call('POST', '/message', message('x'))).status, 200)
    const refused = await call('POST', '/message', message('x'))
    assert.deepEqual([refused.status, refused.reason], [429, 'Too Many Requests'])
    assert.equal(refused.reply.headers?.['CF-Queues-Error-Code'], '10250')
    clock.moveBy(1_000)
    assert.equal((await call('POST', '/message', message('x'))).status, 200)
  })

  test('takes so many bytes, until some are gone', async () => {
    const id = await newQueue('full')
    const call = callTo('full')
    assert.equal((await call('POST', '/message', message('x'.repeat(900)))).status, 200)
    const refused = await call('POST', '/message', message('x'.repeat(101)))
    assert.equal(refused.reply.headers?.['CF-Queues-Error-Code'], '10251')
    assert.equal((await call('POST', '/message', message('x'.repeat(100)))).status, 200)
    await ask('POST', `/${id}/purge`, json({ delete_messages_permanently: true }))
    assert.equal((await call('POST', '/message', message('x'.repeat(101)))).status, 200)
  })
})

test('a binding to a queue that is not there is refused at upload', async () => {
  await newQueue('bound')
  const entry = (queue_name: string) => ({ type: 'queue', name: 'Q', queue_name })
  const owner = { account, worker: 'w' as never }
  assert.deepEqual(await live.admit?.(entry('bound'), owner), entry('bound'))
  await assert.rejects(async () => live.admit?.(entry('none'), owner), { code: 100_131 })
  await assert.rejects(
    async () => live.admit?.(entry('bound'), { ...owner, account: otherAccount }),
    {
      code: 100_131,
    },
  )
})

test('other products send JSON by the id of a queue', async () => {
  const queue = await newQueue('events')
  assert.equal(live.queues?.nameOf({ account, queue }), 'events')
  assert.equal(live.queues?.nameOf({ account: otherAccount, queue }), undefined)
  assert.equal(live.queues?.nameOf({ account, queue: 'x' }), undefined)
  await live.queues?.send({ account, queue }, [{ action: 'PutObject' }, null])
  await assert.rejects(async () => live.queues?.send({ account: otherAccount, queue }, [1]), {
    code: 10_104,
  })
  const { result } = await ask('POST', `/${queue}/messages/peek`, json({}))
  assert.deepEqual(
    result.messages.map(({ body, metadata }: { body: string; metadata: object }) => [
      atob(body),
      metadata,
    ]),
    ['{"action":"PutObject"}', 'null'].map((text) => [
      text,
      { 'CF-sourceMessageSource': 'event', 'CF-Content-Type': 'json' },
    ]),
  )
})
