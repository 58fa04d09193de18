import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Clock } from './clock.ts'

/** What every driver of the `Clock` port does. */
export function clockSuite(name: string, clock: Clock): void {
  suite(`${name}: the Clock port`, () => {
    test('tells the time', () => {
      assert.ok(Math.abs(clock.now() - Date.now()) < 1_000)
    })

    test('calls later, once', async () => {
      const keepAlive = setTimeout(() => undefined, 10_000)
      let calls = 0
      const before = performance.now()
      await new Promise<void>((resolve) => {
        clock.after(20, () => {
          calls++
          setTimeout(resolve, 40)
        })
      })
      clearTimeout(keepAlive)
      assert.equal(calls, 1)
      assert.ok(performance.now() - before >= 50)
    })

    for (const milliseconds of [5, 2 ** 40]) {
      test(`does not call after ${milliseconds} ms once disposed of, or early`, async () => {
        let calls = 0
        const timer = clock.after(milliseconds, () => calls++)
        if (milliseconds === 5) timer[Symbol.dispose]()
        await new Promise((resolve) => void setTimeout(resolve, 30))
        timer[Symbol.dispose]()
        assert.equal(calls, 0)
      })
    }
  })
}
