import type { HttpBody } from '#http1/exchange.ts'
import type { AnswerSink } from './answer.ts'

/**
 * How a call failed. `unreached`: the process has not seen any of it. `broken`: it may have. `full`:
 * too many wait already.
 */
export type Failure = 'unreached' | 'broken' | 'full'

/** A request to a process, and who is told of its answer. */
export interface Call extends AnswerSink {
  readonly method: string
  /** Its first line and its fields, but for those that say where its body ends. */
  readonly head: string
  readonly body: HttpBody | undefined
  /** Whether nobody waits for it any more. */
  readonly isLeft: boolean
  /** It is on its way: what can be done with it from now on. */
  onStart(control: CallControl): void
  /** Nothing more of the answer has come for the moment. */
  onWait(): void
  /** Nothing is called after it. */
  onFailure(failure: Failure): void
}

export interface CallControl {
  /** Holds the answer up, but for what has been read already, and lets it go on. */
  pause(): void
  resume(): void
  /** Nobody wants it any more: the process sees that its visitor has left. Nothing is called then. */
  abandon(): void
}
