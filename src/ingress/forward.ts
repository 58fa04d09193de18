import { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import type { Target } from '#contract/snapshot.ts'
import type { VisitorRequest, VisitorResponse } from './exchange.ts'
import { connectionsPerTarget, idleConnectionMs, pacedBytes, responseHeadMs } from './limits.ts'

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

/** Keep-alive connections to one target. Whoever makes it closes it. */
export class Upstream {
  readonly #pool: Pool

  constructor(target: Target) {
    this.#pool = new Pool('http://worker', {
      socketPath: target.socketPath,
      connections: connectionsPerTarget,
      pipelining: 1,
      keepAliveTimeout: idleConnectionMs,
      keepAliveMaxTimeout: idleConnectionMs,
      headersTimeout: responseHeadMs,
      // A stream may pause for as long as its Worker likes; the visitor ends it by leaving.
      bodyTimeout: 0,
      maxHeaderSize: 128 * 1024,
      // HEAD and 1xx are the runtime's business; a wrong Content-Length is an error of the Worker.
      strictContentLength: false,
    })
  }

  /** Sends one request and streams what comes back, both with backpressure. */
  forward(request: VisitorRequest, response: VisitorResponse, headers: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const relay = new Relay(response, resolve)
      this.#pool.dispatch(
        {
          method: methodOf(request),
          path: request.url ?? '/',
          headers,
          body: bodyOf(request),
        },
        relay,
      )
    })
  }

  close(): void {
    void this.#pool.destroy()
  }
}

/** Passes one response on, as undici hands it over piece by piece. */
class Relay implements Dispatcher.DispatchHandler {
  readonly #response: VisitorResponse
  readonly #resolve: (outcome: Outcome) => void
  #sent = false
  #threw = false
  #controller: Dispatcher.DispatchController | undefined

  constructor(response: VisitorResponse, resolve: (outcome: Outcome) => void) {
    this.#response = response
    this.#resolve = resolve
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#sent = true
    this.#controller = controller
    if (this.#response.destroyed) return controller.abort(new Error('the visitor left'))
    this.#response.once('close', this.#onClose)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const headers = flatHeaders(controller.rawHeaders)
    if (status < 200) return
    if (status === 500 && isUncaught(headers)) {
      this.#threw = true
      return
    }
    this.#response.writeHead(status, endToEnd(headers))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#threw) return
    if (this.#response.write(chunk)) return
    controller.pause()
    this.#response.once('drain', () => controller.resume())
  }

  onResponseEnd(): void {
    this.#done()
    if (this.#threw) return this.#resolve('threw')
    this.#response.end()
    this.#resolve('answered')
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done()
    if (this.#threw) return this.#resolve('threw')
    if (this.#response.headersSent || this.#response.destroyed) {
      // A response cut in the middle must look cut to the visitor as well.
      this.#response.destroy()
      return this.#resolve('answered')
    }
    this.#resolve(this.#sent && !isConnectError(error) ? 'broken' : 'unreached')
  }

  readonly #onClose = (): void => {
    if (!this.#response.writableFinished) this.#controller?.abort(new Error('the visitor left'))
  }

  #done(): void {
    this.#response.off('close', this.#onClose)
  }
}

/** The body to send; a short one, of one piece as a rule, is not worth what pacing costs. */
function bodyOf(request: VisitorRequest): Readable | null {
  if (!hasBody(request)) return null
  const isShort = Number(request.headers['content-length'] ?? Infinity) <= pacedBytes
  return isShort ? request : new PacedBody(request)
}

/**
 * A body, piece by piece, each in a turn of the event loop of its own: a Worker may answer without
 * reading all of it and close, and what it said must be read before the next piece finds the
 * connection broken. And whoever stops reading does not end the visitor's connection.
 */
class PacedBody extends Readable {
  readonly #request: VisitorRequest

  constructor(request: VisitorRequest) {
    super({ highWaterMark: 1 })
    this.#request = request
    request.on('readable', this.#soon).once('end', this.#end).once('close', this.#end)
  }

  override _read(): void {
    this.#soon()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#request.off('readable', this.#soon).off('end', this.#end).off('close', this.#end)
    // The visitor's next request is behind what is left of this one.
    this.#request.resume()
    done(error)
  }

  readonly #soon = (): void => void setImmediate(this.#next)

  readonly #next = (): void => {
    if (this.destroyed || this.readableLength > 0) return
    const piece: unknown = this.#request.read()
    if (piece !== null) this.push(piece)
  }

  readonly #end = (): void => {
    if (this.#request.readableEnded) this.push(null)
    else this.destroy(new Error('the visitor left'))
  }
}

function methodOf(request: VisitorRequest): Dispatcher.HttpMethod {
  return request.method ?? 'GET'
}

export function hasBody(request: VisitorRequest): boolean {
  const { headers } = request
  if (headers['transfer-encoding'] !== undefined) return true
  const length = headers['content-length']
  return length !== undefined && length !== '0'
}

export function isConnectError(error: Error): boolean {
  return (
    'code' in error &&
    (error.code === 'ECONNREFUSED' || error.code === 'ENOENT' || error.code === 'UND_ERR_DESTROYED')
  )
}

function flatHeaders(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map((piece) => (typeof piece === 'string' ? piece : piece.toString('latin1')))
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

function endToEnd(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (!hopByHop.has(name.toLowerCase())) kept.push(name, headers[index + 1] ?? '')
  }
  return kept
}
