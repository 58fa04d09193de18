import type { Writable } from 'node:stream'
import { looksPerStall, visitorStallMs } from './limits.ts'

/** Somebody who may be waited for: a visitor's connection, or a stream of one. */
export interface Awaited {
  /**
   * While the visitor is waited for, to send what it has announced or to take what is queued for it: a
   * mark that is another one when a byte has moved. `undefined` while it is the Worker's turn.
   */
  readonly awaited: string | undefined
  /** It was waited for long enough. */
  stall(): void
}

/**
 * Looks after visitors who neither send nor take anything: each holds a connection, and a request of
 * a Worker. Nobody is timed out for a Worker that takes its time. Whoever adds one deletes it.
 */
export class Stalls {
  readonly #limitMs: number
  readonly #seen = new Map<Awaited, { mark: string | undefined; since: number }>()
  #looking: NodeJS.Timeout | undefined

  /** Who has not moved for `limitMs` is told so within a tenth of that. */
  constructor(limitMs = visitorStallMs) {
    this.#limitMs = limitMs
  }

  add(visitor: Awaited): void {
    this.#seen.set(visitor, { mark: undefined, since: 0 })
    // Looking now and then costs a request nothing; a timer would have to be moved for each piece.
    this.#looking ??= setInterval(() => this.#look(), this.#limitMs / looksPerStall).unref()
  }

  delete(visitor: Awaited): void {
    this.#seen.delete(visitor)
    if (this.#seen.size > 0) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  #look(): void {
    const now = performance.now()
    for (const [visitor, seen] of this.#seen) {
      const mark = visitor.awaited
      if (mark === undefined || mark !== seen.mark) {
        seen.mark = mark
        seen.since = now
      } else if (now - seen.since >= this.#limitMs) visitor.stall()
    }
  }
}

/** Cuts a connection that takes nothing of what is queued for it, and asks nothing else of it. */
export class Taker implements Awaited {
  readonly #socket: Writable
  #drains = 0

  constructor(socket: Writable) {
    this.#socket = socket
    socket.on('drain', () => (this.#drains += 1))
  }

  get awaited(): string | undefined {
    const { writableLength } = this.#socket
    return writableLength > 0 ? `${this.#drains} ${writableLength}` : undefined
  }

  stall(): void {
    this.#socket.destroy()
  }
}
