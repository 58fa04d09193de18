import type { Clock } from '#contract/ports/clock.ts'

// setTimeout takes no more than 2^31 - 1 ms, and fires at once beyond.
const longestMs = 2 ** 31 - 1

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(milliseconds, run) {
    const timer = setTimeout(run, Math.min(Math.max(milliseconds, 0), longestMs))
    timer.unref()
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  },
}
