import type { Target } from '#contract/snapshot.ts'
import type { HttpRequest, HttpResponse } from '#http1/exchange.ts'
import type { AnswerHead } from '#ingress/upstream/answer.ts'
import type { Call, CallControl, Failure } from '#ingress/upstream/call.ts'
import { Pool } from '#ingress/upstream/pool.ts'

/** How an attempt to have a request answered by a target ended. */
export type Outcome =
  /** The response was passed on, or the visitor went away. */
  | 'answered'
  /** The Worker threw: nothing was sent to the visitor yet. */
  | 'threw'
  /** The connection could not be made: the request was not seen by the Worker. */
  | 'unreached'
  /** The connection broke before a response began: the Worker may have seen the request. */
  | 'broken'
  /** Too many wait for this target. */
  | 'full'

/** Keep-alive connections to one target. Whoever makes it closes it. */
export class Upstream {
  readonly #pool: Pool

  constructor(target: Target) {
    this.#pool = new Pool(target.socketPath)
  }

  /** Sends one request and streams what comes back, both with backpressure. */
  forward(request: HttpRequest, response: HttpResponse, fields: string): Promise<Outcome> {
    return new Promise((resolve) => {
      if (response.destroyed) return resolve('answered')
      const head = `${request.method} ${request.url} HTTP/1.1\r\n${fields}`
      this.#pool.send(new Relay(request, response, { head, resolve }))
    })
  }

  close(): void {
    this.#pool.close()
  }
}

/** Passes one response on, piece by piece. */
class Relay implements Call {
  readonly method: string
  readonly head: string
  readonly body: HttpRequest['body']
  readonly #response: HttpResponse
  readonly #resolve: (outcome: Outcome) => void
  #control: CallControl | undefined
  #threw = false
  #isPaused = false

  constructor(
    request: HttpRequest,
    response: HttpResponse,
    to: { readonly head: string; readonly resolve: (outcome: Outcome) => void },
  ) {
    this.method = request.method
    this.body = request.body
    this.head = to.head
    this.#response = response
    this.#resolve = to.resolve
    response.once('close', this.#onClose)
  }

  get isLeft(): boolean {
    return this.#response.destroyed
  }

  onStart(control: CallControl): void {
    this.#control = control
  }

  onHead({ status, headers }: AnswerHead): void {
    if (status === 500 && isUncaught(headers)) this.#threw = true
    else this.#response.writeHead(status, endToEnd(headers))
  }

  onPiece(piece: Uint8Array): void {
    if (this.#threw || this.#response.write(piece) || this.#isPaused) return
    this.#isPaused = true
    this.#control?.pause()
    this.#response.once('drain', () => {
      this.#isPaused = false
      this.#control?.resume()
    })
  }

  onWait(): void {
    if (!this.#threw) this.#response.flushHead()
  }

  onEnd(last: Uint8Array | undefined): void {
    // The connection may be somebody else's now.
    this.#control = undefined
    this.#response.off('close', this.#onClose)
    if (this.#threw) return this.#resolve('threw')
    this.#response.end(last)
    this.#resolve('answered')
  }

  onFailure(failure: Failure): void {
    this.#response.off('close', this.#onClose)
    if (this.#threw) return this.#resolve('threw')
    if (this.#response.headersSent || this.#response.destroyed) {
      // A response cut in the middle must look cut to the visitor as well.
      this.#response.destroy()
      return this.#resolve('answered')
    }
    this.#resolve(failure)
  }

  readonly #onClose = (): void => {
    this.#control?.abandon()
    this.#resolve('answered')
  }
}

/**
 * workerd answers an uncaught exception with a bare 500 that closes the connection. A Worker's own
 * 500 never looks so: it keeps the connection, and text bodies have a type.
 */
function isUncaught(headers: readonly string[]): boolean {
  let closes = false
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]?.toLowerCase()
    if (name === 'content-type') return false
    if (name === 'connection' && headers[index + 1]?.toLowerCase() === 'close') closes = true
    if (name === 'content-length' && headers[index + 1] !== '21') return false
  }
  return closes
}

const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'trailer',
])

/** The headers of an answer that are the visitor's too (RFC 9110 §7.6.1). */
export function endToEnd(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (!hopByHop.has(name.toLowerCase())) kept.push(name, headers[index + 1] ?? '')
  }
  return kept
}
