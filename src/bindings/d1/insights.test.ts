import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { movableClock } from '#test/ports.ts'
import { callOf, withAttempts } from './call.ts'
import { Insights } from './insights.ts'
import { countedCalls, countedTexts, sampleEvery, textLength } from './limits.ts'
import { databaseId } from './schema.ts'

const id = databaseId.parse('b1cbf145-269d-4460-8f15-0c4bacdb5fab')

/** What the engine replies to one statement. */
function replyOf(rowsRead: number, rowsWritten: number, rows: number): Uint8Array {
  const meta = {
    duration: 2,
    changes: 0,
    changed_db: rowsWritten > 0,
    size_after: 4096,
    rows_read: rowsRead,
    rows_written: rowsWritten,
    total_attempts: 1,
  }
  const results = {
    columns: ['a'],
    rows: Array.from({ length: rows }, () => ['"total_attempts":1']),
  }
  return new TextEncoder().encode(JSON.stringify([{ success: true, results, meta }]))
}

suite('what is counted', () => {
  const clock = movableClock(Date.parse('2026-11-28T10:30:00Z'))

  test('reads and writes, by text and by hour', () => {
    const insights = new Insights(clock)
    const count = (sql: string, reply: Uint8Array): void =>
      insights.count(id, { call: callOf('q', { sql, params: [] }), reply, durationMs: 9 })
    count('SELECT 1', replyOf(5, 0, 3))
    count('SELECT 1', replyOf(7, 0, 1))
    clock.moveBy(3_600_000)
    count('INSERT', replyOf(0, 2, 0))
    const numbers = [...insights.texts(id)].map((each) => ({ ...each, hour: each.hour % 24 }))
    const none = { database: id, readQueries: 0, writeQueries: 0, rowsReturned: 0 }
    assert.deepEqual(numbers, [
      {
        ...none,
        hour: 10,
        query: 'SELECT 1',
        count: 2,
        readQueries: 2,
        queryDurationMs: 4,
        rowsRead: 12,
        rowsWritten: 0,
        rowsReturned: 4,
      },
      {
        ...none,
        hour: 11,
        query: 'INSERT',
        count: 1,
        writeQueries: 1,
        queryDurationMs: 2,
        rowsRead: 0,
        rowsWritten: 2,
      },
    ])
    assert.deepEqual(
      [...insights.hours(id)].map((each) => each.count),
      [2, 1],
    )
    insights.forget(id)
    assert.deepEqual([...insights.texts(id)], [])
  })

  test('what failed, and what can not be read, is not', () => {
    const insights = new Insights(clock)
    const failed = new TextEncoder().encode('{"success":false,"error":"x"}')
    insights.count(id, { call: callOf('q', { sql: 'x' }), reply: failed, durationMs: 1 })
    insights.count(id, { call: Uint8Array.of(0x71, 0x7b), reply: replyOf(1, 0, 1), durationMs: 1 })
    assert.deepEqual([...insights.texts(id)], [])
  })

  test('of very many calls some stand for all', () => {
    const insights = new Insights(clock)
    const counted = { call: callOf('q', { sql: 'x' }), reply: replyOf(1, 0, 1), durationMs: 1 }
    const calls = countedCalls + 1_600
    for (let n = 0; n < calls; n++) insights.count(id, counted)
    const [{ count = 0 } = {}] = insights.texts(id)
    assert.ok(Math.abs(count - calls) <= sampleEvery, `${count} of ${calls}`)
  })

  test('texts are few and short', () => {
    const insights = new Insights(clock)
    for (let n = 0; n < countedTexts + 50; n++) {
      clock.moveBy(20)
      const call = callOf('q', { sql: `${n} ${'x'.repeat(5_000)}` })
      insights.count(id, { call, reply: replyOf(1, 0, 1), durationMs: 1 })
    }
    const texts = [...insights.texts(id)]
    assert.equal(texts.length, countedTexts)
    assert.match(texts[0]?.query ?? '', /^50 x+$/)
    assert.ok(texts.every(({ query = '' }) => query.length === textLength))
  })
})

test('a reply says how often its call was tried, and is else the same', () => {
  const before = new TextDecoder().decode(replyOf(1, 0, 2))
  const after = new TextDecoder().decode(withAttempts(replyOf(1, 0, 2), 3))
  assert.equal(after, before.replace('"total_attempts":1}', '"total_attempts":3}'))
})
