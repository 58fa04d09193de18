import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type BatchRules, dueAt, type Waiting } from './due.ts'

const now = 1_000_000
const rules: BatchRules = { batchSize: 3, batchBytes: 100, waitMs: 5_000 }

/** A message that became visible so long ago (or will, if it is negative). */
const at = (ago: number, attempts = 0, size = 1): Waiting => {
  return { visibleAt: now - ago, attempts, size }
}

suite('a batch leaves', () => {
  const cases: readonly (readonly [string, readonly Waiting[], number | undefined])[] = [
    ['never, if nothing waits', [], undefined],
    ['when its only message has waited', [at(0)], 5_000],
    ['when its first message has waited', [at(4_000), at(1_000)], 1_000],
    ['at once, when the first has waited', [at(5_000), at(0)], 0],
    ['late, when it could not leave before', [at(9_000)], -4_000],
    ['at once, when it is full', [at(2), at(1), at(0)], 0],
    ['at once, when its bytes are full', [at(1, 0, 60), at(0, 0, 40)], 0],
    ['not for bytes that are not visible yet', [at(1, 0, 60), at(-9_000, 0, 40)], 4_999],
    ['at once, for a message that is tried again', [at(1_000), at(0, 1)], -0],
    ['when the delay of a retry is over', [at(-700, 1)], 700],
    ['when the delay of a message is over, and it has waited', [at(-700)], 5_700],
    ['when it becomes full', [at(1), at(0), at(-200)], 200],
    ['when the first has waited, before it becomes full', [at(4_900), at(0), at(-200)], 100],
  ]
  for (const [name, head, inMs] of cases) {
    test(name, () => {
      const due = dueAt(head, now, rules)
      assert.equal(due, inMs === undefined ? undefined : now + inMs)
    })
  }

  test('at once, without a wait', () => {
    assert.equal(dueAt([at(0)], now, { ...rules, waitMs: 0 }), now)
  })
})
