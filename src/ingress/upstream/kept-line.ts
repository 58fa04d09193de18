import { responseHeadMs } from '#ingress/limits.ts'
import { type AnswerHead, AnswerReader, type AnswerSink, switching } from './answer.ts'
import type { Call, CallControl, Failure } from './call.ts'
import { Line } from './line.ts'
import { framingLine, Sending } from './sending.ts'

/** Whose connection it is. */
export interface Keeper {
  /** It has nothing to do any more. */
  free(line: KeptLine): void
  /** It is gone. */
  lost(line: KeptLine): void
}

/** A connection to a process, for one call after the other. */
export class KeptLine implements AnswerSink, CallControl {
  readonly #keeper: Keeper
  readonly #socket = new Line()
  #isConnected = false
  #isGone = false
  #call: Call | undefined
  #reader: AnswerReader | undefined
  /** The body of the call, while it is being sent. */
  #sending: Sending | undefined
  /** When it has waited long enough, by `performance.now()`: for an answer to begin, or for a call. */
  deadline = Infinity

  constructor(socketPath: string, keeper: Keeper) {
    this.#keeper = keeper
    const socket = this.#socket
    socket.on('connect', this.#onConnect).on('data', this.#onData).on('drain', this.#onDrain)
    socket
      .on('end', this.#onEnd)
      .on('close', this.#onClose)
      .on('error', () => undefined)
    socket.connect(socketPath)
  }

  /** Sends a call, as soon as there is a connection. It must have nothing to do. */
  start(call: Call): void {
    this.#call = call
    this.deadline = performance.now() + responseHeadMs
    call.onStart(this)
    if (this.#isConnected) this.#send(call)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  abandon(): void {
    this.#call = undefined
    this.destroy()
  }

  destroy(): void {
    this.#lose('broken')
  }

  onHead(head: AnswerHead): void {
    // Nothing was asked to become another protocol.
    if (head.status === switching) return this.destroy()
    this.deadline = Infinity
    this.#call?.onHead(head)
  }

  onPiece(piece: Uint8Array): void {
    this.#call?.onPiece(piece)
  }

  onEnd(last: Uint8Array | undefined): void {
    const call = this.#call
    const { keepsAlive = false, rest } = this.#reader ?? {}
    const isWhole = !this.#sending && keepsAlive && !rest && !this.#socket.isDeaf
    this.#call = undefined
    this.#reader = undefined
    // A Worker may answer before it has read everything, and does not want the rest then.
    this.#sending?.stop()
    this.#sending = undefined
    this.#socket.resume()
    if (isWhole) this.#keeper.free(this)
    else this.destroy()
    call?.onEnd(last)
  }

  readonly #onConnect = (): void => {
    this.#isConnected = true
    if (this.#call) this.#send(this.#call)
  }

  readonly #onData = (piece: Buffer): void => {
    const reader = this.#reader
    // Nothing was asked.
    if (!reader) return this.destroy()
    try {
      reader.read(piece)
    } catch {
      // It is no answer, or none that the visitor's protocol can carry.
      return this.destroy()
    }
    if (!reader.isDone) this.#call?.onWait()
  }

  readonly #onDrain = (): void => this.#sending?.resume()

  readonly #onEnd = (): void => {
    if (!this.#reader?.end()) this.destroy()
  }

  readonly #onClose = (): void => this.#lose(this.#isConnected ? 'broken' : 'unreached')

  #send(call: Call): void {
    const { body, head, method } = call
    this.#reader = new AnswerReader(method === 'HEAD', this)
    this.#socket.write(`${head}${framingLine(call)}\r\n`, 'latin1')
    // Closed before a byte of it was written.
    if (this.#socket.isDeaf) return this.#lose('unreached')
    if (!body) return
    this.#sending = new Sending(this.#socket, body, (how) => {
      this.#sending = undefined
      if (how === 'cut') this.destroy()
    })
    this.#sending.start()
  }

  #lose(failure: Failure): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#socket.destroy()
    const call = this.#call
    this.#call = undefined
    this.#reader = undefined
    this.#sending?.stop()
    this.#sending = undefined
    this.#keeper.lost(this)
    call?.onFailure(failure)
  }
}
