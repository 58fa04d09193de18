/** Chosen anew for each run, and printed by the suites that use it: `BINDERY_TEST_SEED` repeats one. */
export const seed = Number(process.env['BINDERY_TEST_SEED'] ?? Date.now() % 1_000_000)

/** A small generator of numbers from 0 to 1, so that a failure can be repeated (mulberry32). */
export function numbersFrom(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
