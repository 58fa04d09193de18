import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { CellDeath } from '#contract/cell.ts'
import { BackOff, type Use } from './back-off.ts'

suite('before it is started again, a cell waits', () => {
  const atOnce: Use = { ranMs: 0, answered: 0 }
  const long: Use = { ranMs: 10_000, answered: 0 }
  const busy: Use = { ranMs: 50, answered: 3 }
  type Death = readonly [reason: CellDeath['reason'], use: Use, waitsMs: number]
  const cases: Readonly<Record<string, readonly Death[]>> = {
    'longer each time, up to a minute': [
      10, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
    ].map((waitsMs) => ['start', atOnce, waitsMs] as const),
    'no longer than a quarter of a second for limits': [10, 250, 250, 250].map(
      (waitsMs, index) => [index % 2 === 0 ? 'cpu' : 'memory', atOnce, waitsMs] as const,
    ),
    'as if for the first time after it ran long': [
      ['crash', atOnce, 10],
      ['crash', atOnce, 250],
      ['crash', long, 10],
      ['crash', atOnce, 250],
    ],
    'as if for the first time after it was of use': [
      ['crash', atOnce, 10],
      ['cpu', atOnce, 250],
      ['cpu', busy, 10],
    ],
    'as long as before if it was hardly of use': [
      ['crash', atOnce, 10],
      ['crash', { ranMs: 9_999, answered: 2 }, 250],
    ],
    'no less for the reason of the last time': [
      ...[10, 250, 500, 1_000, 2_000].map((waitsMs) => ['crash', atOnce, waitsMs] as const),
      ['cpu', atOnce, 250],
      ['crash', atOnce, 8_000],
    ],
  }
  for (const [name, deaths] of Object.entries(cases)) {
    test(name, () => {
      const backOff = new BackOff()
      for (const [reason, use, waitsMs] of deaths) assert.equal(backOff.died(reason, use), waitsMs)
    })
  }

  test('a finite time, however often it died', () => {
    const backOff = new BackOff()
    for (let death = 0; death < 5_000; death++) backOff.died('crash', atOnce)
    assert.equal(backOff.died('crash', atOnce), 60_000)
  })
})
