import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logSuite } from '#contract/ports/log.suite.ts'
import { jsonLog } from './driver.ts'

logSuite('json', () => {
  const lines: string[] = []
  return {
    log: jsonLog({ write: (line) => lines.push(line), level: 'debug', now: () => 0 }),
    lines,
  }
})

test('json: lines below the level are dropped', () => {
  const lines: string[] = []
  const log = jsonLog({ write: (line) => lines.push(line), level: 'warn', now: () => 0 })
  log.debug('a')
  log.child({ n: 1 }).info('b')
  log.warn('c')
  log.error('d')
  assert.deepEqual(lines, [
    '{"time":"1970-01-01T00:00:00.000Z","level":"warn","message":"c"}\n',
    '{"time":"1970-01-01T00:00:00.000Z","level":"error","message":"d"}\n',
  ])
})
