import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Agent, type Dispatcher } from 'undici'
import type { Dialer } from './dialer.ts'
import { failureOf, failureText } from './errors.ts'
import { endToEnd } from './headers.ts'
import {
  connectionsPerWorker,
  headerBytes,
  idleConnectionMs,
  originsPerWorker,
  responseHeadMs,
} from './limits.ts'
import type { Target } from './target.ts'

/** The requests of one Worker, over connections that are kept for the next. */
export class Forwarder {
  readonly #agent: Agent
  readonly #dialer: Dialer

  constructor(dialer: Dialer) {
    this.#dialer = dialer
    this.#agent = new Agent({
      connect: (place, callback) => void connect(dialer, place, callback),
      allowH2: false,
      connections: connectionsPerWorker,
      maxOrigins: originsPerWorker,
      pipelining: 1,
      keepAliveTimeout: idleConnectionMs,
      keepAliveMaxTimeout: idleConnectionMs,
      headersTimeout: responseHeadMs,
      // A stream may pause for as long as it likes: the Worker ends it by leaving.
      bodyTimeout: 0,
      maxHeaderSize: headerBytes,
      strictContentLength: false,
    })
  }

  /** Sends one request and streams what comes back, both with backpressure. */
  async forward(target: Target, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (): Promise<Error | undefined> =>
      new Promise((resolve) => {
        const options = {
          origin: target.origin,
          method: request.method ?? 'GET',
          path: target.path,
          headers: ['Host', target.host, ...endToEnd(request.rawHeaders)],
          body: hasBody(request) ? request : null,
        }
        this.#agent.dispatch(options, new Relay(response, resolve))
      })
    let error = await send()
    // A kept connection may have been closed by the origin while the request was on its way.
    if (error && wasStale(error) && isRepeatable(request)) error = await send()
    if (error) answerFailure(response, error, target.secure && this.#dialer.offersCertificate)
  }

  close(): void {
    void this.#agent.destroy()
  }
}

async function connect(
  dialer: Dialer,
  { hostname, port, protocol }: { hostname: string; port: string; protocol: string },
  callback: (...outcome: [null, Socket] | [Error, null]) => void,
): Promise<void> {
  const secure = protocol === 'https:'
  const number = port === '' ? (secure ? 443 : 80) : Number(port)
  const destination = { host: hostname, port: number, secure, allowHalfOpen: false }
  let socket: Socket
  try {
    socket = await dialer.dial(destination)
  } catch (error) {
    return callback(error instanceof Error ? error : new Error(String(error)), null)
  }
  callback(null, socket)
}

/** Tells a Worker what became of its request, as Cloudflare's own answer does. */
export function answerFailure(
  response: ServerResponse,
  error: Error,
  offersCertificate = false,
): void {
  if (response.destroyed) return
  // A response cut in the middle must look cut to the Worker as well.
  if (response.headersSent) return void response.destroy()
  const { status } = failureOf(error)
  const text = failureText(error, offersCertificate)
  // What is left of a body must not be read as the next request.
  response.shouldKeepAlive = false
  response.writeHead(status, {
    'content-type': 'text/plain; charset=UTF-8',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** Passes one response on, as undici hands it over piece by piece. */
class Relay implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse
  readonly #resolve: (error: Error | undefined) => void
  #controller: Dispatcher.DispatchController | undefined

  constructor(response: ServerResponse, resolve: (error: Error | undefined) => void) {
    this.#response = response
    this.#resolve = resolve
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#response.destroyed) return controller.abort(new Error('the Worker left'))
    this.#response.once('close', this.#onClose)
  }

  onResponseStart(
    ...[controller, status, , message]: Parameters<
      Required<Dispatcher.DispatchHandler>['onResponseStart']
    >
  ): void {
    if (status < 200) return
    const response = this.#response
    // What the Worker sees is the origin's: we add nothing.
    response.sendDate = false
    response.removeHeader('connection')
    response.writeHead(status, message ?? '', endToEnd(flatHeaders(controller.rawHeaders)))
    // A stream that starts slowly has started all the same.
    response.flushHeaders()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#response.write(chunk)) return
    controller.pause()
    this.#response.once('drain', () => controller.resume())
  }

  onResponseEnd(): void {
    this.#done()
    this.#response.end()
    this.#resolve(undefined)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done()
    this.#resolve(error)
  }

  readonly #onClose = (): void => {
    if (!this.#response.writableFinished) this.#controller?.abort(new Error('the Worker left'))
  }

  #done(): void {
    this.#response.off('close', this.#onClose)
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  if (headers['transfer-encoding'] !== undefined) return true
  const length = headers['content-length']
  return length !== undefined && length !== '0'
}

function wasStale(error: Error): boolean {
  return 'code' in error && (error.code === 'UND_ERR_SOCKET' || error.code === 'ECONNRESET')
}

function isRepeatable(request: IncomingMessage): boolean {
  return (request.method === 'GET' || request.method === 'HEAD') && !hasBody(request)
}

function flatHeaders(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map((piece) => (typeof piece === 'string' ? piece : piece.toString('latin1')))
}
