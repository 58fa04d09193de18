import type { LossReason, ScheduledOutcome } from '#contract/events.ts'

/** What became of a call, in Cloudflare's words where there are such. */
export type Verdict = {
  readonly outcome: string
  /** What happened, where the word does not say it; else `""`. */
  readonly detail: string
  /** Whether calling once more may help, and is not unwanted. */
  readonly isRetried: boolean
}

const losses: Readonly<Record<LossReason, Verdict>> = {
  crash: { outcome: 'internalError', detail: 'its process ended', isRetried: true },
  time: { outcome: 'exceededWallTime', detail: '', isRetried: false },
  cut: { outcome: 'canceled', detail: 'the server ended', isRetried: false },
  cpu: { outcome: 'exceededCpu', detail: '', isRetried: false },
  memory: { outcome: 'exceededMemory', detail: '', isRetried: false },
}

export function verdictOf(outcome: ScheduledOutcome): Verdict {
  switch (outcome.type) {
    case 'ended':
      return {
        outcome: outcome.outcome,
        detail: '',
        isRetried: outcome.outcome !== 'ok' && !outcome.noRetry,
      }
    case 'lost':
      return losses[outcome.reason]
    case 'unknown':
      return { outcome: 'scriptNotFound', detail: 'it is not deployed', isRetried: false }
    case 'unhandled':
      return { outcome: 'exception', detail: 'it has no scheduled handler', isRetried: false }
    case 'unreached':
      return { outcome: 'internalError', detail: 'it has no process', isRetried: true }
    default:
      return outcome satisfies never
  }
}
