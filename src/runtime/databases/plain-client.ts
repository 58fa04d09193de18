import { createConnection, type Socket } from 'node:net'

// HTTP/1.1 as far as it is spoken with an engine: short requests that are sent at once, answers of a
// known length that are kept whole. Node's own client costs four times as much, which was a third of
// what a select cost here.

export type Answer = { readonly status: number; readonly body: Uint8Array }

export type ClientLimits = {
  /** An answer's body. */
  readonly bodyBytes: number
  /** How long a connection is kept that nobody uses. */
  readonly idleMs: number
}

const headBytes = 16 * 1024
/** Up to how many bytes a request is written as one. */
const joinedBytes = 16 * 1024
const separator = Buffer.from('\r\n\r\n')

/** Kept connections to a unix socket. Whoever makes it closes it. */
export class PlainClient implements Disposable {
  readonly #socketPath: string
  readonly #limits: ClientLimits
  readonly #idle: Connection[] = []
  readonly #all = new Set<Connection>()

  constructor(socketPath: string, limits: ClientLimits) {
    this.#socketPath = socketPath
    this.#limits = limits
  }

  /** Throws if the connection breaks before the answer is complete. */
  async post(path: string, body: Uint8Array): Promise<Answer> {
    const connection = this.#take()
    const answer = await connection.post(path, body)
    if (connection.isOpen) this.#idle.push(connection)
    return answer
  }

  [Symbol.dispose](): void {
    for (const connection of this.#all) connection.close()
  }

  #take(): Connection {
    for (;;) {
      const known = this.#idle.pop()
      if (known?.isFresh === true) return known
      if (!known) break
      known.close()
    }
    const made: Connection = new Connection(this.#socketPath, this.#limits, () => {
      this.#all.delete(made)
      const at = this.#idle.indexOf(made)
      if (at >= 0) this.#idle.splice(at, 1)
    })
    this.#all.add(made)
    return made
  }
}

/** What the head of an answer says. */
type Head = {
  readonly status: number
  readonly bodyAt: number
  readonly end: number
  /** Nothing more comes this way. */
  readonly isLast: boolean
}

class Connection {
  readonly #socket: Socket
  readonly #limits: ClientLimits
  #waiting: PromiseWithResolvers<Answer> | undefined
  #pieces: Buffer[] = []
  #size = 0
  /** Of the answer that is coming: its status, and how long all of it is. */
  #head: Head | undefined
  #usedAt = performance.now()

  constructor(socketPath: string, limits: ClientLimits, onClose: () => void) {
    this.#limits = limits
    this.#socket = createConnection(socketPath)
    this.#socket.on('data', (piece) => this.#onData(piece))
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => {
      this.#fail(new Error('the connection was closed'))
      onClose()
    })
    this.#socket.setTimeout(limits.idleMs, () => {
      if (!this.#waiting) this.#socket.destroy()
    })
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed
  }

  /** Whether the other side has no reason yet to have closed it. */
  get isFresh(): boolean {
    return this.isOpen && performance.now() - this.#usedAt < this.#limits.idleMs
  }

  post(path: string, body: Uint8Array): Promise<Answer> {
    const waiting = Promise.withResolvers<Answer>()
    this.#waiting = waiting
    const head = `POST ${path} HTTP/1.1\r\nHost: engine\r\nContent-Length: ${body.byteLength}\r\n\r\n`
    this.#send(head, body)
    return waiting.promise
  }

  close(): void {
    this.#socket.destroy()
  }

  #send(head: string, body: Uint8Array): void {
    const size = head.length + body.byteLength
    if (size <= joinedBytes) {
      // One write of a copy costs less than one of two pieces.
      const joined = Buffer.allocUnsafe(size)
      joined.write(head, 0, 'latin1')
      joined.set(body, head.length)
      this.#socket.write(joined)
      return
    }
    this.#socket.cork()
    this.#socket.write(head, 'latin1')
    this.#socket.write(body)
    this.#socket.uncork()
  }

  #onData(piece: Buffer): void {
    if (!this.#waiting) return this.close()
    this.#pieces.push(piece)
    this.#size += piece.byteLength
    const head = (this.#head ??= this.#readHead())
    if (!head || this.#size < head.end) return
    const all = this.#whole()
    const { status, bodyAt, end, isLast } = head
    const waiting = this.#waiting
    this.#reset()
    if (isLast || all.byteLength > end) this.close()
    waiting.resolve({ status, body: all.subarray(bodyAt, end) })
  }

  #readHead(): Head | undefined {
    const all = this.#whole()
    const at = all.indexOf(separator)
    if (at === -1) {
      if (this.#size > headBytes) this.#refuse('its head is too long')
      return undefined
    }
    const text = all.toString('latin1', 0, at)
    const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(text) ?? []
    const [, length] = /\r\ncontent-length: *(\d+)/i.exec(text) ?? []
    if (status === undefined || length === undefined) {
      this.#refuse('it has no status or no length')
      return undefined
    }
    if (Number(length) > this.#limits.bodyBytes) {
      this.#refuse('it is too long')
      return undefined
    }
    const bodyAt = at + separator.byteLength
    const isLast = /\r\nconnection: *close/i.test(text)
    return { status: Number(status), bodyAt, end: bodyAt + Number(length), isLast }
  }

  #whole(): Buffer {
    const [first] = this.#pieces
    const all = first && this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces, this.#size)
    this.#pieces = [all]
    return all
  }

  #reset(): void {
    this.#waiting = undefined
    this.#head = undefined
    this.#pieces = []
    this.#size = 0
    this.#usedAt = performance.now()
  }

  #refuse(why: string): void {
    this.#fail(new Error(`the engine's answer can't be read: ${why}`))
    this.close()
  }

  #fail(error: Error): void {
    const waiting = this.#waiting
    this.#reset()
    waiting?.reject(error)
  }
}
