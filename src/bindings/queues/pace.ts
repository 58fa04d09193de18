import { concurrency } from './limits.ts'

/** How a batch ended, and what waits behind it. */
export type Ended = {
  readonly isFailed: boolean
  /** Whether another full batch waits. */
  readonly isBehind: boolean
}

/**
 * How many batches a consumer has at the same time after one has ended. A consumer with a number of
 * its own (`max`) has that. Otherwise there is one more for each batch that went well while others
 * waited, one less while none do, and half as many after a failure: whatever the consumer calls is not
 * overrun when it is in trouble.
 */
export function nextConcurrency(
  current: number,
  { isFailed, isBehind }: Ended,
  max: number | null,
): number {
  if (max !== null) return max
  if (isFailed) return Math.max(1, Math.floor(current / 2))
  return isBehind ? Math.min(current + 1, concurrency) : Math.max(1, current - 1)
}

/** How many it begins with. */
export function firstConcurrency(max: number | null): number {
  return max ?? 1
}
