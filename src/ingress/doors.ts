import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import type { Address, Listening } from '#contract/listening.ts'
import type { Certificates } from './certificates.ts'
import type { VisitorRequest, VisitorResponse } from './exchange.ts'
import { Http2 } from './http2.ts'
import {
  backlog,
  farewellMs,
  handshakeMs,
  headerBytes,
  keepAliveMs,
  requestHeadMs,
} from './limits.ts'
import { wantsWebSocket } from './websocket.ts'

export type DoorsOptions = {
  readonly answer: (request: VisitorRequest, response: VisitorResponse) => void
  /** Takes over a connection that is to become a WebSocket, with what came behind the request. */
  readonly join: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
}

/**
 * Where visitors come in: the plain listener, and the one with TLS. Whichever it was, HTTP/1 is one
 * server's business, and HTTP/2 another's.
 */
export class Doors {
  readonly #http: HttpServer
  readonly #http2: Http2
  #tls: TlsServer | undefined
  /** Connections of HTTP/1, each with the newest response on it. */
  readonly #connections = new Map<Duplex, ServerResponse | undefined>()
  /** Connections of the TLS listener that are still shaking hands, by where they come from. */
  readonly #shaking = new Map<string, Socket>()
  #isLeaving = false
  #emptied: (() => void) | undefined

  constructor({ answer, join }: DoorsOptions) {
    this.#http2 = new Http2(answer, () => this.#wake())
    this.#http = createServer(
      {
        maxHeaderSize: headerBytes,
        keepAliveTimeout: keepAliveMs,
        headersTimeout: requestHeadMs,
        requestTimeout: 0,
        shouldUpgradeCallback: wantsWebSocket,
      },
      (request, response) => {
        if (!this.#begin(response)) return
        // The parser reads any version as if it were the one that it knows.
        if (request.httpVersionMajor === 1) answer(request, response)
        else response.writeHead(505, { Connection: 'close', 'Content-Length': 0 }).end()
      },
    )
    this.#http.on('connection', (socket) => this.#meet(socket))
    this.#http.on('upgrade', (request, socket, head) => {
      this.#forget(socket)
      join(request, socket, head)
    })
    this.#http.on('clientError', (error, socket) => this.#refuse(error, socket))
  }

  /** Listens without TLS. Resolves with what it is bound to, rejects with Node's error. */
  open(where: Listening): Promise<Address> {
    return listen(this.#http, where)
  }

  /** Listens with TLS, for HTTP/2 and HTTP/1.1. */
  async openTls(where: Listening, certificates: Certificates): Promise<Address> {
    const server = createTlsServer({
      ALPNProtocols: ['h2', 'http/1.1'],
      SNICallback: (name, done) => done(null, certificates.contextFor(name)),
      handshakeTimeout: handshakeMs,
      minVersion: 'TLSv1.2',
      noDelay: true,
    })
    certificates.follow(({ cert, key }) => server.setSecureContext({ cert, key }))
    server.on('connection', (socket: Socket) => {
      const from = originOf(socket)
      this.#shaking.set(from, socket)
      socket.once('close', () => {
        if (this.#shaking.get(from) === socket) this.#shaking.delete(from)
        this.#wake()
      })
    })
    server.on('secureConnection', (socket) => this.#sort(socket))
    this.#tls = server
    return await listen(server, where)
  }

  /**
   * Accepts nobody any more. What is in flight finishes, and says that its connection ends; so does
   * whatever comes on connections that are open, for a moment, before those that are idle are
   * closed. Resolves when all have ended; those that have not by `deadlineMs` are cut.
   */
  async close(deadlineMs: number): Promise<void> {
    const began = performance.now()
    this.#leave()
    await this.#empty(Math.min(farewellMs, deadlineMs))
    for (const [socket, response] of this.#connections) partFrom(socket, response)
    for (const socket of this.#shaking.values()) socket.destroy()
    this.#http2.end()
    await this.#empty(deadlineMs - (performance.now() - began))
    for (const socket of this.#connections.keys()) socket.destroy()
    this.#http2.cut()
    // It has stopped listening already; this ends its looking after slow requests.
    this.#http.close(() => undefined)
  }

  #leave(): void {
    this.#isLeaving = true
    // The server's own `close` would cut connections that are idle.
    NetServer.prototype.close.call(this.#http)
    this.#tls?.close()
    for (const response of this.#connections.values()) sayLast(response)
    this.#http2.leave()
  }

  /** Gives an encrypted connection to the protocol that its handshake has agreed on. */
  #sort(socket: TLSSocket): void {
    this.#shaking.delete(originOf(socket))
    if (socket.alpnProtocol === 'h2') this.#http2.take(socket)
    else this.#http.emit('connection', socket)
  }

  #meet(socket: Duplex): void {
    this.#connections.set(socket, undefined)
    socket.once('close', () => this.#forget(socket))
  }

  /** Takes note of a response; `false` if its request is not to be answered. */
  #begin(response: ServerResponse): boolean {
    const { socket, headers } = response.req
    const before = this.#connections.get(socket)
    if (before?.shouldKeepAlive === false && before.req.headers.upgrade !== undefined) return false
    this.#connections.set(socket, response)
    // An upgrade that does not take place: the parser drops what came right behind it, so what comes
    // then may be the middle of something.
    if (headers.upgrade !== undefined) response.shouldKeepAlive = false
    if (!this.#isLeaving) return true
    // One that was sent ahead is not the last any more.
    if (before && !before.headersSent && !before.destroyed) before.shouldKeepAlive = true
    sayLast(response)
    return true
  }

  /** What can't be understood is answered, but not in place of the answer to what came before it. */
  #refuse(error: Error, socket: Duplex): void {
    const response = this.#connections.get(socket)
    if (isBusy(response)) partFrom(socket, response)
    else refuseMalformed(error, socket)
  }

  #forget(socket: Duplex): void {
    this.#connections.delete(socket)
    this.#wake()
  }

  #wake(): void {
    const left = this.#connections.size + this.#shaking.size + this.#http2.sessions
    if (left === 0) this.#emptied?.()
  }

  /** Resolves when no connection is left, at the latest after so long. */
  async #empty(milliseconds: number): Promise<void> {
    if (milliseconds <= 0) return
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(resolve, milliseconds)
      this.#emptied = () => {
        clearTimeout(deadline)
        resolve()
      }
      this.#wake()
    })
  }
}

/** What tells a connection from all others that there are at the moment. */
function originOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** Has a response say that its connection ends with it, if it has not said anything yet. */
function sayLast(response: ServerResponse | undefined): void {
  if (response && !response.headersSent) response.shouldKeepAlive = false
}

/** Closes a connection: now if it is idle, else behind its response. */
function partFrom(socket: Duplex, response: ServerResponse | undefined): void {
  const end = (): void => void socket.end(() => socket.destroy())
  if (isBusy(response)) response.once('close', end)
  else end()
}

function isBusy(response: ServerResponse | undefined): response is ServerResponse {
  return response !== undefined && !response.writableFinished && !response.destroyed
}

function listen(server: NetServer, where: Listening): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const at = 'descriptor' in where ? { fd: where.descriptor } : where
    server.listen({ ...at, backlog }, () => {
      server.off('error', reject)
      resolve(boundTo(server.address()))
    })
  })
}

function boundTo(bound: AddressInfo | string | null): Address {
  if (typeof bound === 'object' && bound !== null) return { host: bound.address, port: bound.port }
  throw new Error(`a socket of TCP is needed, and this is bound to ${bound}`)
}

function refuseMalformed(error: Error & { code?: string }, socket: Duplex): void {
  if (socket.destroyed || !socket.writable) return
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
