import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId } from '#contract/ids.ts'
import { account, callOf, otherAccount } from '#test/backend.ts'
import { movableClock } from '#test/ports.ts'
import { openRateLimits } from './binding.ts'
import { Counters } from './counters.ts'
import * as limits from './limits.ts'

/** The beginning of a minute. */
const start = 1_800_000_000_000

const resource = { namespaceId: '1', limit: 2, period: 10 }

suite('what the shim is answered', () => {
  async function statuses(asks: readonly string[], owner = account): Promise<readonly number[]> {
    await using live = openRateLimits({ clock: movableClock(start) })
    const call = callOf(live, { type: 'ratelimit', resource }, owner)
    const answers: number[] = []
    for (const asked of asks) {
      const { status, body } = await call('GET', `/?${asked}`)
      assert.equal(body.byteLength, 0)
      answers.push(status)
    }
    return answers
  }

  const cases: readonly (readonly [string, readonly string[], readonly number[]])[] = [
    ['the first calls are within the limit', ['k=a', 'k=a', 'k=a', 'k=a'], [200, 200, 409, 409]],
    ['each key has its own', ['k=a', 'k=a', 'k=b', 'k=A', 'k='], [200, 200, 200, 200, 200]],
    ['a space is a space however it is written', ['k=a+b', 'k=a%20b', 'k=a+b'], [200, 200, 409]],
    ['a plus is not', ['k=+', 'k=+', 'k=%2B'], [200, 200, 200]],
    [
      'a key in JSON',
      ['j=%22%5Cud800%22', 'j=%22%5Cud800%22', 'j=%22%5Cud800%22'],
      [200, 200, 409],
    ],
    [
      'a limit of the call',
      ['k=a&l=1', 'k=a&l=1', 'k=a', 'k=a&l=3', 'k=a'],
      [200, 409, 200, 200, 409],
    ],
    ['no limit at all', ['k=a', 'k=a', 'k=a&l=Infinity'], [200, 200, 200]],
    ['a limit of nothing', ['k=a&l=0', 'k=a&l=-1', 'k=a&l=NaN'], [409, 409, 409]],
    [
      'a period of the call is another counter',
      ['k=a', 'k=a', 'k=a&p=60', 'k=a'],
      [200, 200, 200, 409],
    ],
    [
      'what a call weighs',
      ['k=a&d=2', 'k=a', 'k=b', 'k=b&d=5', 'k=b&l=7'],
      [200, 409, 200, 200, 200],
    ],
    [
      'refused calls do not count',
      ['k=a', 'k=a', 'k=a', 'k=a', 'k=a&l=3'],
      [200, 200, 409, 409, 200],
    ],
    ['the longest key', [`k=${'a'.repeat(limits.keyLength)}`], [200]],
    ['a longer one', [`k=${'a'.repeat(limits.keyLength + 1)}`], [400]],
    [
      'what no shim writes',
      ['', 'x=a', 'k=%', 'j=1', 'j=x', 'k=a&x=1', 'k=a&p=30', 'k=a&d=0', 'k=a&d=-1', 'k=a&d=0.5'],
      Array(10).fill(400),
    ],
  ]
  for (const [title, asks, expected] of cases) {
    test(title, async () => assert.deepEqual(await statuses(asks), expected))
  }
})

suite('who shares a counter', () => {
  type Named = readonly [owner: typeof account, namespaceId: string, period: number]
  const first: Named = [account, '1', 10]
  const cases: readonly (readonly [string, Named, boolean])[] = [
    ['the same', first, true],
    ['another account', [otherAccount, '1', 10], false],
    ['another namespace', [account, '2', 10], false],
    ['another period', [account, '1', 60], false],
  ]
  for (const [title, [owner, namespaceId, period], isShared] of cases) {
    test(`${title}: ${isShared ? 'yes' : 'no'}`, async () => {
      await using live = openRateLimits({ clock: movableClock(start) })
      const call = callOf(live, { type: 'ratelimit', resource: { ...resource, limit: 1 } })
      assert.equal((await call('GET', '/?k=a')).status, 200)
      const theirs = { namespaceId, period, limit: 1 }
      const other = callOf(live, { type: 'ratelimit', resource: theirs }, owner)
      assert.equal((await other('GET', '/?k=a')).status, isShared ? 409 : 200)
    })
  }

  test('no key of one namespace is one of another', () => {
    using counters = new Counters(movableClock(start))
    const take = (namespaceId: string, key: string): boolean =>
      counters.take({ ...ask('x'), limit: 1, namespaceId, key })
    assert.deepEqual([take('1', '1:a'), take('11', ':a'), take('11', 'a')], [true, true, true])
  })
})

function ask(key: string, owner = account) {
  return { account: owner, namespaceId: '1', key, period: 10, limit: 2, delta: 1 }
}

suite('buckets', () => {
  for (const period of limits.periods) {
    test(`of ${period} s follow the wall clock`, () => {
      const clock = movableClock(start + period * 1000 - 1)
      using counters = new Counters(clock)
      const take = (): boolean => counters.take({ ...ask('a'), period })
      assert.deepEqual([take(), take(), take()], [true, true, false])
      clock.moveBy(1)
      assert.deepEqual([take(), take(), take()], [true, true, false])
      clock.moveBy(period * 1000 - 1)
      assert.equal(take(), false)
      clock.moveBy(1)
      assert.equal(take(), true)
    })
  }

  test('a clock that is set back begins another', () => {
    const clock = movableClock(start)
    using counters = new Counters(clock)
    assert.deepEqual(
      [1, 2, 3].map(() => counters.take(ask('a'))),
      [true, true, false],
    )
    clock.jumpBy(-3_600_000)
    assert.equal(counters.take(ask('a')), true)
  })

  test('that are over go by themselves', () => {
    const clock = movableClock(start)
    using counters = new Counters(clock)
    for (let n = 0; n < 100; n++) {
      counters.take({ ...ask(`a${n}`), period: n % 2 === 0 ? 10 : 60 })
    }
    assert.equal(counters.size.counters, 100)
    clock.moveBy(limits.sweepMs)
    assert.equal(counters.size.counters, 50)
    clock.moveBy(60_000)
    assert.deepEqual(counters.size, { counters: 0, bytes: 0 })
    counters.take(ask('later'))
    clock.moveBy(limits.sweepMs)
    assert.deepEqual(counters.size, { counters: 0, bytes: 0 })
  })
})

suite('memory', () => {
  test('a million keys take no more than they may; the newest are counted', () => {
    const mostBytes = 8 * 1024 * 1024
    using counters = new Counters(movableClock(start), mostBytes)
    let mostSeen = 0
    for (let n = 0; n < 1_000_000; n++) {
      assert.ok(counters.take(ask(`visitor-${n}`)))
      if (n % 1_000 === 0) mostSeen = Math.max(mostSeen, counters.size.bytes)
    }
    assert.ok(mostSeen <= mostBytes && mostSeen > mostBytes / 2, `${mostSeen} bytes`)
    assert.ok(counters.size.counters > 50_000, `${counters.size.counters} counters`)
    assert.equal(counters.take(ask('visitor-999999')), true)
    assert.equal(counters.take(ask('visitor-999999')), false)
  })

  test('bytes are as many as there are, whatever comes and goes', () => {
    const clock = movableClock(start)
    using counters = new Counters(clock, 100_000)
    for (let n = 0; n < 10_000; n++) {
      counters.take({ ...ask(`${n}`.repeat(n % 50)), period: n % 3 === 0 ? 60 : 10 })
      if (n % 1_000 === 0) clock.moveBy(3_000)
    }
    assert.ok(counters.size.bytes <= 100_000)
    clock.moveBy(120_000)
    assert.deepEqual(counters.size, { counters: 0, bytes: 0 })
  })

  test("who uses most loses first: an account's flood costs no other a counter", () => {
    using counters = new Counters(movableClock(start), 1024 * 1024)
    const small = Array.from({ length: 1_000 }, (_, n) => `small-${n}`)
    for (const key of small) counters.take({ ...ask(key, otherAccount), limit: 1 })
    const thirds = accountId.parse('c'.repeat(32))
    for (let n = 0; n < 200_000; n++) counters.take(ask(`n${n}`, n % 2 === 0 ? account : thirds))
    const kept = small.map((key) => counters.take({ ...ask(key, otherAccount), limit: 1 }))
    assert.ok(kept.every((isWithin) => !isWithin))
  })

  test('accounts that use about as much lose about as much', () => {
    using counters = new Counters(movableClock(start), 1024 * 1024)
    const owners = Array.from({ length: 100 }, (_, n) =>
      accountId.parse(String(n).padStart(32, '0')),
    )
    const keys = Array.from({ length: 1_000 }, (_, n) => `key-${n}`)
    for (const key of keys) {
      for (const owner of owners) counters.take({ ...ask(key, owner), limit: 1 })
    }
    for (const owner of owners) {
      const newest = keys.slice(-50).map((key) => ({ ...ask(key, owner), limit: 1 }))
      assert.ok(newest.every((each) => !counters.take(each)))
    }
  })
})
