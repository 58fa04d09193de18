import { unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, rootCertificates } from 'node:tls'
import type { ClientCertificates } from '#contract/client-certificates.ts'
import type { Log } from '#contract/ports/log.ts'
import type { EgressPort, Exit, TakeSubrequest } from '#contract/snapshot.ts'
import { Dialer, type Outside } from './dialer.ts'
import { RefusedError } from './errors.ts'
import { answerFailure, Forwarder } from './forward.ts'
import { connectionsPerWorker, headerBytes, idleCellMs } from './limits.ts'
import { type Resolve, systemResolver } from './resolver.ts'
import { createRules } from './rules.ts'
import { parseTarget } from './target.ts'
import { Tunnels } from './tunnel.ts'
import { forwardWebSocket } from './websocket.ts'

export type EgressOptions = {
  /** What Workers may reach besides public addresses: see `createRules`. */
  readonly allow: readonly string[]
  /** PEM certificates that are trusted besides the roots that Node brings. */
  readonly certificates?: readonly string[]
  /** Who has the key pairs of ways out with a client certificate. Absent: there are no such ways. */
  readonly clientCertificates?: ClientCertificates | undefined
  /** Absent: the system's name servers and hosts file. */
  readonly resolve?: Resolve
  readonly log: Log
}

/**
 * The only way out of a cell: a proxy on one unix socket per Worker, and one more for each client
 * certificate of its. Whose requests come in there, and with which certificate they go on, is said by
 * the socket and by nothing that user code can write. Redirects are followed in the cell, so
 * each of their hops comes by here. Throws an `OperatorError` for a list that can't be read.
 */
export function createEgress(options: EgressOptions): EgressPort {
  const { allow, certificates = [], resolve = systemResolver(), log } = options
  const trusted = certificates.length > 0 && { ca: [...rootCertificates, ...certificates] }
  const outside: Outside = {
    rules: createRules(allow),
    resolve,
    secureContext: trusted ? createSecureContext(trusted) : undefined,
    offersCertificate: false,
  }
  /** A context of its own: nothing that TLS remembers of one identity is offered with another. */
  const outsideOf = async ({ account, certificate }: Exit): Promise<Outside> => {
    if (certificate === undefined) return outside
    const pair = await options.clientCertificates?.keyPair(account, certificate)
    if (!pair) throw new Error(`nobody has the client certificate ${certificate}`)
    const { certificates: cert, privateKey: key } = pair
    const secureContext = createSecureContext({ ...trusted, cert, key })
    return { ...outside, secureContext, offersCertificate: true }
  }
  return {
    async open(exit, socketPath, take) {
      const way = new WayOut(await outsideOf(exit), exit, { log, take })
      await way.listen(socketPath)
      return way
    },
  }
}

/** A way out of one Worker in one cell. */
class WayOut implements AsyncDisposable {
  readonly #server: Server
  readonly #dialer: Dialer
  readonly #forwarder: Forwarder
  readonly #tunnels: Tunnels
  readonly #connections = new Set<Socket>()
  readonly #log: Log
  readonly #take: TakeSubrequest

  constructor(
    outside: Outside,
    { account, worker, certificate }: Exit,
    { log, take }: { readonly log: Log; readonly take: TakeSubrequest },
  ) {
    this.#take = take
    this.#log = log.child({ account, worker, certificate })
    this.#dialer = new Dialer(outside)
    this.#forwarder = new Forwarder(this.#dialer)
    this.#tunnels = new Tunnels(this.#dialer)
    this.#server = createServer({
      // A request line with a whole URL has no need of a Host header, and workerd sends none.
      requireHostHeader: false,
      maxHeaderSize: headerBytes,
      keepAliveTimeout: idleCellMs,
      headersTimeout: idleCellMs + 5_000,
    })
    const server = this.#server
    // A body may take as long as the Worker takes: the cell's own limits end it.
    server.requestTimeout = 0
    server.maxConnections = connectionsPerWorker
    server.on('connection', (socket) => this.#track(socket))
    server.on('request', (request, response) => void this.#request(request, response))
    server.on('connect', (request, cell, head) => void this.#connect(request, cell, head))
    server.on('upgrade', (request, cell, head) => void this.#upgrade(request, cell, head))
    server.on('clientError', (_error, socket) => socket.destroy())
  }

  async listen(socketPath: string): Promise<void> {
    await unlink(socketPath).catch(() => undefined)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(socketPath, resolve)
    await promise
    this.#server.off('error', reject)
  }

  /** Ends whatever is in flight: the Worker that it was for is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#connections) socket.destroy()
    this.#forwarder.close()
    this.#dialer.close()
    await closed
  }

  #track(socket: Socket): void {
    this.#connections.add(socket)
    socket.once('close', () => this.#connections.delete(socket))
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#take()) return this.#refuse(request.socket)
    const target = parseTarget(request.url ?? '')
    if (target) await this.#forwarder.forward(target, request, response)
    else answerFailure(response, new RefusedError('address', 'this is no URL of http or https'))
  }

  async #connect(request: IncomingMessage, cell: Duplex, head: Buffer): Promise<void> {
    cell.on('error', (error) => this.#log.debug('a tunnel broke', { error: error.message }))
    if (!this.#take()) return this.#refuse(cell)
    await this.#tunnels.open(request.url ?? '', cell, head)
  }

  async #upgrade(request: IncomingMessage, cell: Duplex, head: Buffer): Promise<void> {
    cell.on('error', (error) => this.#log.debug('a WebSocket broke', { error: error.message }))
    if (!this.#take()) return this.#refuse(cell)
    const target = parseTarget(request.url ?? '')
    if (!target || request.headers.upgrade?.toLowerCase() !== 'websocket')
      return void cell.destroy()
    await forwardWebSocket(this.#dialer, target, { request, cell, head })
  }

  /**
   * Cut off, so that what the Worker gets is an error: an answer would let it go on for ever. (On
   * Cloudflare the error says that there were too many subrequests.)
   */
  #refuse(cell: Duplex): void {
    this.#log.warn('too many subrequests')
    cell.destroy()
  }
}
