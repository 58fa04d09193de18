import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ClockView, doubtMs, readClock } from './clock-view.ts'

const start = 1_800_000_000_000
const day = 24 * 3_600_000

test('a clock is trusted when it has gone on for a while, and until it jumps', () => {
  let view: ClockView = { at: start, trustedFrom: Infinity }
  const looks: readonly (readonly [afterMs: number, trustedFromMs: number, wentBack?: number])[] = [
    [0, doubtMs],
    [5_000, doubtMs],
    [doubtMs, doubtMs + doubtMs],
  ]
  for (const [afterMs, trustedFromMs] of looks) {
    const read = readClock(view, start + afterMs)
    assert.equal(read.wentBackFrom, undefined)
    assert.equal(read.view.trustedFrom, start + trustedFromMs, `${afterMs}`)
    view = read.view
  }
})

test('a clock that goes forward in small steps stays trusted', () => {
  let view: ClockView = { at: start, trustedFrom: start }
  for (let at = start; at < start + day; at += 60_000) view = readClock(view, at).view
  assert.equal(view.trustedFrom, start)
})

test('one that jumped forward is not, until it has stayed so', () => {
  const { view, wentBackFrom } = readClock({ at: start, trustedFrom: start }, start + 30 * day)
  assert.equal(wentBackFrom, undefined)
  assert.deepEqual(view, { at: start + 30 * day, trustedFrom: start + 30 * day + doubtMs })
})

test('one that went back says from where', () => {
  const last = { at: start, trustedFrom: start }
  assert.equal(readClock(last, start - 2_000).wentBackFrom, start)
  assert.deepEqual(readClock(last, start - day), {
    view: { at: start - day, trustedFrom: start - day + doubtMs },
    wentBackFrom: start,
  })
  // Less than that is an adjustment.
  assert.deepEqual(readClock(last, start - 500), { view: last, wentBackFrom: undefined })
})
