import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { QueueOutcome, QueueResult } from '#contract/events.ts'
import { longestDelay } from './limits.ts'
import { isSpent, pulled, settle, type Verdict } from './settle.ts'

const result = (over: Partial<QueueResult> = {}): QueueResult => ({
  type: 'ended',
  outcome: 'ok',
  ackAll: false,
  retryAll: undefined,
  acked: new Set(),
  retried: new Map(),
  undecodable: new Set(),
  ...over,
})

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
    ['returned', result(), [done, done]],
    ['threw', result({ outcome: 'exception' }), [retry(5), retry(5)]],
    ['threw after ack', result({ outcome: 'exception', acked }), [done, retry(5)]],
    ['threw after ackAll', result({ outcome: 'exception', ackAll: true }), [done, done]],
    ['ackAll', result({ ackAll: true }), [done, done]],
    ['retryAll', result({ retryAll: {} }), [retry(5), retry(5)]],
    ['retryAll, delayed', result({ retryAll: { delaySeconds: 7 } }), [retry(7), retry(7)]],
    ['retryAll at once', result({ retryAll: { delaySeconds: 0 } }), [retry(0), retry(0)]],
    ['retry', result({ retried: retried() }), [retry(5), done]],
    ['retry, delayed', result({ retried: retried(9) }), [retry(9), done]],
    [
      'retry before retryAll',
      result({ retried: retried(9), retryAll: { delaySeconds: 7 } }),
      [retry(9), retry(7)],
    ],
    [
      'retry without, retryAll with a delay',
      result({ retried: retried(), retryAll: { delaySeconds: 7 } }),
      [retry(7), retry(7)],
    ],
    ['ack before retryAll', result({ acked, retryAll: {} }), [done, retry(5)]],
    ['retry before ackAll', result({ retried: retried(), ackAll: true }), [retry(5), done]],
    [
      'delays out of bounds',
      result({ retried: retried(-1), retryAll: { delaySeconds: 1e9 } }),
      [retry(0), retry(longestDelay)],
    ],
    [
      'delays that are none',
      result({ retried: retried(NaN), retryAll: { delaySeconds: 1.7 } }),
      [retry(5), retry(1)],
    ],
    ['one that can not be read', result({ undecodable: acked }), [dead, done]],
    [
      'one that can not be read, and the others threw',
      result({ outcome: 'exception', undecodable: acked }),
      [dead, retry(5)],
    ],
    ['exceeded', result({ outcome: 'exceededCpu' }), [retry(5), retry(5)]],
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
  const threw = result({ outcome: 'exception' })
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
    assert.deepEqual(settle([{ id: 'a', attempts }], result(), own), [done])
  }
  assert.deepEqual([isSpent(4, rules), isSpent(5, rules)], [false, true])
})
