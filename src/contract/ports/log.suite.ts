import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { z } from 'zod'
import type { Log } from './log.ts'

const anyRecord = z.record(z.string(), z.unknown())

/** What every driver of the `Log` port does. `open` gives a log of all levels and its lines. */
export function logSuite(name: string, open: () => { log: Log; lines: readonly string[] }): void {
  suite(`${name}: the Log port`, () => {
    test('a line each, with level, message and fields', () => {
      const { log, lines } = open()
      for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]('m', { n: 1 })
      const records = lines.map((line) => anyRecord.parse(JSON.parse(line)))
      assert.deepEqual(
        records.map(({ level, message, n }) => ({ level, message, n })),
        ['debug', 'info', 'warn', 'error'].map((level) => ({ level, message: 'm', n: 1 })),
      )
    })

    test('a child’s lines carry its fields', () => {
      const { log, lines } = open()
      log.child({ a: 1 }).child({ b: 2 }).info('m', { c: 3 })
      const { a, b, c } = anyRecord.parse(JSON.parse(lines[0] ?? ''))
      assert.deepEqual({ a, b, c }, { a: 1, b: 2, c: 3 })
    })

    for (const text of ['a\nb', '\u001b[2J', '\u0000', '\u009b31m', '\u2028', '\u007f', '"}']) {
      test(`${JSON.stringify(text)} neither ends a line nor steers a terminal`, () => {
        const { log, lines } = open()
        log.info('m', { text })
        assert.doesNotMatch((lines[0] ?? '').trimEnd(), /[\p{Cc}\u2028]/u)
        assert.equal(anyRecord.parse(JSON.parse(lines[0] ?? ''))['text'], text)
      })
    }

    test('a line has a greatest length', () => {
      const { log, lines } = open()
      const fields = Object.fromEntries(
        Array.from({ length: 100 }, (_, n) => [`f${n}`, '\u0001'.repeat(100_000)]),
      )
      log.info('m', fields)
      assert.ok((lines[0] ?? '').length <= 65_536, `${lines[0]?.length}`)
      assert.equal(anyRecord.parse(JSON.parse(lines[0] ?? ''))['message'], 'm')
    })
  })
}
