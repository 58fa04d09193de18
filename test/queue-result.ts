import type { QueueResult } from '#contract/events.ts'

/** What a handler made of a batch: by default it returned, and said nothing of any message. */
export function ended(over: Partial<QueueResult> = {}): QueueResult {
  return {
    type: 'ended',
    outcome: 'ok',
    ackAll: false,
    retryAll: undefined,
    acked: new Set(),
    retried: new Map(),
    undecodable: new Set(),
    ...over,
  }
}
