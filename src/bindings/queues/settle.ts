import type { QueueOutcome, QueueResult } from '#contract/events.ts'
import { longestDelay } from './limits.ts'

/** How long a message waits whose dead letter queue can't be made, in seconds. */
export const unburiedDelay = 60

/** What of a message decides its fate. */
export type Delivered = {
  readonly id: string
  /** Deliveries begun, this one among them. */
  readonly attempts: number
}

export type RetryRules = {
  readonly maxRetries: number
  /** Seconds. */
  readonly retryDelay: number
}

/** What becomes of one message after a delivery. */
export type Verdict =
  | { readonly type: 'done' }
  /** It is given again after so many seconds. */
  | { readonly type: 'retry'; readonly delaySeconds: number }
  /** It will not be given to this consumer again: it goes to the dead letter queue, if there is one. */
  | { readonly type: 'dead' }
  /** Nobody saw it: it is as it was before. */
  | { readonly type: 'release' }

/**
 * Decides what becomes of each message of a batch. First of all counts what the handler said of the
 * message itself, then what it said of the batch, then whether it failed.
 */
export function settle(
  messages: readonly Delivered[],
  outcome: QueueOutcome,
  rules: RetryRules,
): readonly Verdict[] {
  return messages.map((message) => verdictOn(message, outcome, rules))
}

function verdictOn(message: Delivered, outcome: QueueOutcome, rules: RetryRules): Verdict {
  switch (outcome.type) {
    case 'unknown':
    case 'unhandled':
    case 'unreached':
      return { type: 'release' }
    case 'lost':
      return again(message, undefined, rules)
    case 'ended': {
      // No consumer of this queue can read it.
      if (outcome.undecodable.has(message.id)) return { type: 'dead' }
      if (!isToRetry(message.id, outcome)) return { type: 'done' }
      const own = outcome.retried.get(message.id)?.delaySeconds
      return again(message, own ?? outcome.retryAll?.delaySeconds, rules)
    }
  }
}

function isToRetry(
  id: string,
  { acked, retried, ackAll, retryAll, outcome }: QueueResult,
): boolean {
  if (acked.has(id)) return false
  if (retried.has(id)) return true
  return !ackAll && (retryAll !== undefined || outcome !== 'ok')
}

/**
 * Whether a message was given as often as it may be. It is not given again: whoever had it, a client, a
 * process or a server, ended each time without a word.
 */
export function isSpent(attempts: number, { maxRetries }: Pick<RetryRules, 'maxRetries'>): boolean {
  return attempts > maxRetries + 1
}

/** The same while there is no dead letter queue that ought to be there: the dead wait for it. */
export function unburied(verdict: Verdict): Verdict {
  return verdict.type === 'dead' ? { type: 'retry', delaySeconds: unburiedDelay } : verdict
}

/** What becomes of a message that a client who pulled it gives back. */
export function pulled(attempts: number, asked: number | undefined, rules: RetryRules): Verdict {
  return again({ id: '', attempts }, asked, rules)
}

function again(
  { attempts }: Delivered,
  asked: number | undefined,
  { maxRetries, retryDelay }: RetryRules,
): Verdict {
  if (attempts > maxRetries) return { type: 'dead' }
  return { type: 'retry', delaySeconds: delayOf(asked, retryDelay) }
}

/** What a handler asks for is any number. */
function delayOf(asked: number | undefined, otherwise: number): number {
  if (asked === undefined || Number.isNaN(asked)) return otherwise
  return Math.trunc(Math.min(Math.max(asked, 0), longestDelay))
}
