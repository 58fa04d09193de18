import { WebSocket } from 'ws'
import type { TestServer, Visit } from '#test/server.ts'

/** How a WebSocket was closed: the code and the reason that its client saw. */
export type Closed = readonly [number, string]

/** A visitor's WebSocket, whose messages are taken one after the other. */
export class VisitorSocket implements Disposable {
  /** Resolves when it is closed, whoever did it. */
  readonly closed: Promise<Closed>
  readonly #socket: WebSocket
  readonly #received: string[] = []
  #wake: (() => void) | undefined

  constructor(socket: WebSocket) {
    this.#socket = socket
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve([code, reason.toString()]))
    })
    socket.on('message', (data: Buffer) => {
      this.#received.push(data.toString())
      this.#wake?.()
    })
    socket.on('error', () => undefined).on('close', () => this.#wake?.())
  }

  /** Sends text as it is, and anything else as JSON. */
  send(message: unknown): void {
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** The next message. Rejects if none comes, or the WebSocket closes before it does. */
  async next(milliseconds = 5_000): Promise<string> {
    const deadline = performance.now() + milliseconds
    for (;;) {
      const message = this.#received.shift()
      if (message !== undefined) return message
      const restMs = deadline - performance.now()
      if (this.#socket.readyState !== WebSocket.OPEN) throw new Error('the WebSocket is closed')
      if (restMs <= 0) throw new Error(`no message in ${milliseconds} ms`)
      await this.#change(restMs)
    }
  }

  /** The next message that satisfies `test`; those before it are dropped. */
  async until(test: (message: string) => boolean, milliseconds = 5_000): Promise<string> {
    const deadline = performance.now() + milliseconds
    for (;;) {
      const message = await this.next(deadline - performance.now())
      if (test(message)) return message
    }
  }

  /** The next message, read as JSON. */
  async json(milliseconds?: number): Promise<unknown> {
    return JSON.parse(await this.next(milliseconds))
  }

  /** What has come and was not taken. */
  get waiting(): readonly string[] {
    return this.#received
  }

  /** Closes it; resolves with what the other side answered. */
  close(code?: number, reason?: string): Promise<Closed> {
    this.#socket.close(code, reason)
    return this.closed
  }

  /** Ends it without a Close frame, as a client does that loses its network. */
  [Symbol.dispose](): void {
    this.#socket.terminate()
  }

  #change(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** Opens a WebSocket to `<worker>.localhost`. Rejects if it is answered with anything but 101. */
export function openSocket(
  { visitorPort }: Pick<TestServer, 'visitorPort'>,
  worker: string,
  { path, headers }: { readonly path: string } & Pick<Visit, 'headers'>,
): Promise<VisitorSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${visitorPort}${path}`, {
    headers: { ...headers, host: `${worker}.localhost` },
    handshakeTimeout: 10_000,
  })
  const visitor = new VisitorSocket(socket)
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(visitor)).once('error', reject)
  })
}
