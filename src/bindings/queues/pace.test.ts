import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concurrency } from './limits.ts'
import { firstConcurrency, nextConcurrency } from './pace.ts'

test('a consumer with a number of its own keeps it', () => {
  assert.equal(firstConcurrency(7), 7)
  for (const isFailed of [true, false]) {
    for (const isBehind of [true, false]) {
      assert.equal(nextConcurrency(3, { isFailed, isBehind }, 7), 7)
    }
  }
})

test('any other has more while it is behind, and less when it fails', () => {
  const cases = [
    [1, { isFailed: false, isBehind: true }, 2],
    [9, { isFailed: false, isBehind: true }, 10],
    [concurrency, { isFailed: false, isBehind: true }, concurrency],
    [9, { isFailed: false, isBehind: false }, 8],
    [1, { isFailed: false, isBehind: false }, 1],
    [9, { isFailed: true, isBehind: true }, 4],
    [1, { isFailed: true, isBehind: true }, 1],
  ] as const
  assert.equal(firstConcurrency(null), 1)
  for (const [current, ended, next] of cases) {
    assert.equal(nextConcurrency(current, ended, null), next)
  }
})

test('with a backlog, batches double in each round', () => {
  let current = firstConcurrency(null)
  for (const after of [2, 4, 8, 16]) {
    const round = current
    for (let batch = 0; batch < round; batch++) {
      current = nextConcurrency(current, { isFailed: false, isBehind: true }, null)
    }
    assert.equal(current, after)
  }
})
