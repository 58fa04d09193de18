import { sweepMs } from '#http1/limits.ts'
import { connectionsPerTarget, idleConnectionMs, queuedPerTarget } from '#ingress/limits.ts'
import type { Call } from './call.ts'
import { type Keeper, KeptLine } from './kept-line.ts'

/** Connections to one socket, kept as long as the process keeps them. Whoever makes it closes it. */
export class Pool implements Keeper {
  readonly #socketPath: string
  readonly #lines = new Set<KeptLine>()
  /** Those with nothing to do; the one that has had something last is used first. */
  readonly #idle: KeptLine[] = []
  /** Calls that wait for a connection, from `#first` on. */
  #waiting: Call[] = []
  #first = 0
  #sweeping: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  send(call: Call): void {
    if (this.#isClosed) return call.onFailure('unreached')
    const line = this.#idle.pop()
    if (line && line.deadline > performance.now()) return line.start(call)
    line?.destroy()
    if (this.#lines.size < connectionsPerTarget) return this.#open().start(call)
    if (this.#waiting.length - this.#first >= queuedPerTarget) return call.onFailure('full')
    this.#waiting.push(call)
  }

  /** Cuts what is on its way, and takes nothing more. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#sweeping)
    for (const line of this.#lines) line.destroy()
    for (const call of this.#waiting.splice(0).slice(this.#first)) call.onFailure('unreached')
    this.#first = 0
  }

  free(line: KeptLine): void {
    const next = this.#next()
    if (next) return line.start(next)
    line.deadline = performance.now() + idleConnectionMs
    this.#idle.push(line)
  }

  lost(line: KeptLine): void {
    this.#lines.delete(line)
    const at = this.#idle.indexOf(line)
    if (at >= 0) this.#idle.splice(at, 1)
    if (this.#lines.size === 0) {
      clearInterval(this.#sweeping)
      this.#sweeping = undefined
    }
    const next = this.#isClosed ? undefined : this.#next()
    if (next) this.#open().start(next)
  }

  #open(): KeptLine {
    const line = new KeptLine(this.#socketPath, this)
    this.#lines.add(line)
    this.#sweeping ??= setInterval(() => this.#sweep(), sweepMs).unref()
    return line
  }

  /** The call that has waited longest and is still waited for. */
  #next(): Call | undefined {
    while (this.#first < this.#waiting.length) {
      const call = this.#waiting[this.#first++]
      if (this.#first > 100 && this.#first * 2 > this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#first)
        this.#first = 0
      }
      if (call && !call.isLeft) return call
    }
    return undefined
  }

  #sweep(): void {
    const now = performance.now()
    for (const line of this.#lines) if (line.deadline < now) line.destroy()
  }
}
