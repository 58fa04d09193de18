import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { QueueOutcome } from '#contract/events.ts'
import { ended } from '#test/queue-result.ts'
import { longestDelay } from './limits.ts'
import { isSpent, pulled, settle, type Verdict } from './settle.ts'

const retry = (delaySeconds: number): Verdict => ({ type: 'retry', delaySeconds })
const done: Verdict = { type: 'done' }
const dead: Verdict = { type: 'dead' }
const release: Verdict = { type: 'release' }
const rules = { maxRetries: 3, retryDelay: 5 }

suite('what becomes of the messages a and b', () => {
  const acked = new Set(['a'])
  const retried = (delaySeconds?: number) =>
    new Map([['a', delaySeconds === undefined ? {} : { delaySeconds }]])
  const cases: readonly (readonly [string, QueueOutcome, readonly [Verdict, Verdict]])[] = [
    ['returned', ended(), [done, done]],
    ['threw', ended({ outcome: 'exception' }), [retry(5), retry(5)]],
    ['threw after ack', ended({ outcome: 'exception', acked }), [done, retry(5)]],
    ['threw after ackAll', ended({ outcome: 'exception', ackAll: true }), [done, done]],
    ['ackAll', ended({ ackAll: true }), [done, done]],
    ['retryAll', ended({ retryAll: {} }), [retry(5), retry(5)]],
    ['retryAll, delayed', ended({ retryAll: { delaySeconds: 7 } }), [retry(7), retry(7)]],
    ['retryAll at once', ended({ retryAll: { delaySeconds: 0 } }), [retry(0), retry(0)]],
    ['retry', ended({ retried: retried() }), [retry(5), done]],
    ['retry, delayed', ended({ retried: retried(9) }), [retry(9), done]],
    [
      'retry before retryAll',
      ended({ retried: retried(9), retryAll: { delaySeconds: 7 } }),
      [retry(9), retry(7)],
    ],
    [
      'retry without, retryAll with a delay',
      ended({ retried: retried(), retryAll: { delaySeconds: 7 } }),
      [retry(7), retry(7)],
    ],
    ['ack before retryAll', ended({ acked, retryAll: {} }), [done, retry(5)]],
    ['retry before ackAll', ended({ retried: retried(), ackAll: true }), [retry(5), done]],
    [
      'delays out of bounds',
      ended({ retried: retried(-1), retryAll: { delaySeconds: 1e9 } }),
      [retry(0), retry(longestDelay)],
    ],
    [
      'delays that are none',
      ended({ retried: retried(NaN), retryAll: { delaySeconds: 1.7 } }),
      [retry(5), retry(1)],
    ],
    ['one that can not be read', ended({ undecodable: acked }), [dead, done]],
    [
      'one that can not be read, and the others threw',
      ended({ outcome: 'exception', undecodable: acked }),
      [dead, retry(5)],
    ],
    ['exceeded', ended({ outcome: 'exceededCpu' }), [retry(5), retry(5)]],
    ['the process died', { type: 'lost', reason: 'crash' }, [retry(5), retry(5)]],
    ['it took too long', { type: 'lost', reason: 'time' }, [retry(5), retry(5)]],
    ['nobody was there', { type: 'unreached' }, [release, release]],
    ['no such Worker', { type: 'unknown' }, [release, release]],
    ['no handler', { type: 'unhandled' }, [release, release]],
  ]
  for (const [name, outcome, verdicts] of cases) {
    test(name, () => {
      const messages = [
        { id: 'a', attempts: 1 },
        { id: 'b', attempts: 3 },
      ]
      assert.deepEqual(settle(messages, outcome, rules), verdicts)
    })
  }
})

test('the last attempt is the one after all retries', () => {
  const threw = ended({ outcome: 'exception' })
  for (const [maxRetries, attempts, verdict] of [
    [0, 1, dead],
    [1, 1, retry(0)],
    [1, 2, dead],
    [3, 3, retry(0)],
    [3, 4, dead],
    [3, 5, dead],
  ] as const) {
    const own = { maxRetries, retryDelay: 0 }
    assert.deepEqual(settle([{ id: 'a', attempts }], threw, own), [verdict])
    assert.deepEqual(settle([{ id: 'a', attempts }], { type: 'lost', reason: 'cut' }, own), [
      verdict,
    ])
    assert.deepEqual(pulled(attempts, undefined, own), verdict)
    // Released or done, it does not matter which attempt it was.
    assert.deepEqual(settle([{ id: 'a', attempts }], { type: 'unreached' }, own), [release])
    assert.deepEqual(settle([{ id: 'a', attempts }], ended(), own), [done])
  }
  assert.deepEqual([isSpent(4, rules), isSpent(5, rules)], [false, true])
})
