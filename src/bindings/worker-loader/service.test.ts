import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { BackendReply, Grant } from '#contract/backend.ts'
import type { GuestPort } from '#contract/guests.ts'
import { workerName } from '#contract/ids.ts'
import { account } from '#test/backend.ts'
import * as limits from './limits.ts'
import { serveWorkerLoader } from './service.ts'

const grant: Grant = {
  capability: 'c',
  cell: 'its cell',
  account,
  worker: workerName.parse('w'),
  name: 'LOADER',
  type: 'worker_loader',
  resource: null,
}

/** Who is told of limits, and what has been told. */
function listen(fullness?: number) {
  const held: (readonly [string, number])[] = []
  const guests: GuestPort = {
    limitCpu(cell, cpuMs) {
      const limit = [cell, cpuMs] as const
      held.push(limit)
      return { [Symbol.dispose]: () => void held.splice(held.indexOf(limit), 1) }
    },
    fullness: (cell) => (cell === 'its cell' ? fullness : assert.fail(cell)),
  }
  const serve = serveWorkerLoader(Promise.resolve(guests), grant)
  const ask = (url: string): Promise<BackendReply> =>
    serve({ method: 'GET', url, headers: {}, body: (async function* () {})() })
  return { held, ask }
}

suite('what a loader asks', () => {
  for (const [fullness, status] of [
    [undefined, 200],
    [0, 200],
    [limits.fullness, 200],
    [limits.fullness + 0.01, 507],
    [1.2, 507],
  ] as const) {
    test(`room for one more, of a process that is ${fullness} full: ${status}`, async () => {
      assert.equal((await listen(fullness).ask('/load')).status, status)
    })
  }

  for (const url of [
    '/',
    '/call',
    '/call?',
    '/call?x',
    '/call?-1',
    '/call?1.5',
    '/call?1&2',
    '/call?1234567890',
    '/load?x',
    '//call?1',
  ]) {
    test(`${url} is no question`, async () => {
      const { ask, held } = listen()
      assert.equal((await ask(url)).status, 400)
      assert.deepEqual(held, [])
    })
  }

  test('a limit holds until the answer is over, five minutes at most', async () => {
    const { ask, held } = listen()
    const [short, long] = [await ask('/call?50'), await ask('/call?999999999')]
    assert.deepEqual(held, [
      ['its cell', 50],
      ['its cell', 300_000],
    ])
    const { body } = short
    assert.ok(typeof body === 'object' && Symbol.asyncIterator in body)
    const pieces = body[Symbol.asyncIterator]()
    assert.equal((await pieces.next()).done, false)
    const end = pieces.next()
    short.ended?.()
    assert.equal((await end).done, true)
    assert.deepEqual(held, [['its cell', 300_000]])
    long.ended?.()
    assert.deepEqual(held, [])
  })

  test('calls that go on have a limit', async () => {
    const { ask, held } = listen()
    const replies = await Promise.all(
      Array.from({ length: limits.limitedCalls }, () => ask('/call?1')),
    )
    assert.ok(replies.every(({ status }) => status === 200))
    assert.equal((await ask('/call?1')).status, 503)
    assert.equal(held.length, limits.limitedCalls)
    replies[0]?.ended?.()
    assert.equal((await ask('/call?1')).status, 200)
  })
})
