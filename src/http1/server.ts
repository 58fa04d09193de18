import type { Duplex } from 'node:stream'
import { type Answer, Connection, type Join, type Patience, type Place } from './connection.ts'
import { sweepMs } from './limits.ts'

export type Http1Options = {
  readonly answer: Answer
  readonly join?: Join
  /** Called when a connection is gone. */
  readonly ended: () => void
  readonly patience: Patience
  /** Bytes of the head of a request. */
  readonly headBytes: number
  /** Who looks after clients that are waited for, if anybody does. */
  readonly stalls?: {
    add(connection: Connection): void
    delete(connection: Connection): void
  }
}

/** HTTP/1 on connections that somebody else accepts. */
export class Http1 implements Place {
  readonly answer: Answer
  readonly join: Join | undefined
  readonly patience: Patience
  readonly headBytes: number
  readonly keepAliveLines: string
  readonly #ended: () => void
  readonly #stalls: Http1Options['stalls']
  readonly #connections = new Set<Connection>()
  #sweeping: NodeJS.Timeout | undefined
  isLeaving = false
  isEnding = false

  constructor({ answer, join, ended, patience, headBytes, stalls }: Http1Options) {
    this.answer = answer
    this.join = join
    this.patience = patience
    this.headBytes = headBytes
    const idleSeconds = Math.floor(patience.idleMs / 1_000)
    this.keepAliveLines = `Connection: keep-alive\r\nKeep-Alive: timeout=${idleSeconds}\r\n\r\n`
    this.#ended = ended
    this.#stalls = stalls
  }

  get connections(): number {
    return this.#connections.size
  }

  take(socket: Duplex): void {
    const connection = new Connection(socket, this)
    this.#connections.add(connection)
    this.#stalls?.add(connection)
    // A timer for each connection would cost each request two changes of it.
    this.#sweeping ??= setInterval(() => this.#sweep(), sweepMs).unref()
  }

  left(connection: Connection): void {
    this.#connections.delete(connection)
    this.#stalls?.delete(connection)
    if (this.#connections.size === 0) this.#rest()
    this.#ended()
  }

  /** Has what is in flight, and what may still come, say that its connection ends. */
  leave(): void {
    this.isLeaving = true
  }

  /** Takes no more requests; a connection ends with the response on it. */
  end(): void {
    this.isEnding = true
    for (const connection of this.#connections) connection.end()
  }

  cut(): void {
    for (const connection of this.#connections) connection.cut()
  }

  #sweep(): void {
    const now = performance.now()
    for (const connection of this.#connections) if (connection.deadline < now) connection.expire()
  }

  #rest(): void {
    clearInterval(this.#sweeping)
    this.#sweeping = undefined
  }
}
