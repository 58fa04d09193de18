import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import type { Address, Listening } from '#contract/listening.ts'
import type { Join, Patience } from '#http1/connection.ts'
import type { HttpRequest, HttpResponse } from '#http1/exchange.ts'
import { Http1 } from '#http1/server.ts'
import type { Certificates } from './certificates.ts'
import { Http2 } from './http2.ts'
import {
  backlog,
  farewellMs,
  goodbyeMs,
  handshakeMs,
  headerBytes,
  keepAliveMs,
  lingerMs,
  requestHeadMs,
} from './limits.ts'
import type { Stalls } from './stall.ts'

export type DoorsOptions = {
  readonly answer: (request: HttpRequest, response: HttpResponse) => void
  /** Takes over a connection that is to become a WebSocket, with what came behind the request. */
  readonly join: Join
  readonly stalls: Stalls
  /** How long a connection of HTTP/2 may be idle, in ms. */
  readonly idleMs?: number | undefined
}

/**
 * Where visitors come in: the plain listener, and the one with TLS. Whichever it was, HTTP/1 is one
 * server's business, and HTTP/2 another's.
 */
export class Doors {
  readonly #http1: Http1
  readonly #http2: Http2
  readonly #plain: NetServer
  #tls: TlsServer | undefined
  /** Connections of the TLS listener that are still shaking hands, by where they come from. */
  readonly #shaking = new Map<string, Socket>()
  #emptied: (() => void) | undefined

  constructor({ answer, join, stalls, idleMs }: DoorsOptions) {
    const ended = (): void => this.#wake()
    this.#http2 = new Http2({ answer, ended, stalls, idleMs })
    this.#http1 = new Http1({ answer, join, ended, stalls, patience, headBytes: headerBytes })
    this.#plain = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#http1.take(socket),
    )
  }

  /** Listens without TLS. Resolves with what it is bound to, rejects with Node's error. */
  open(where: Listening): Promise<Address> {
    return listen(this.#plain, where)
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
    this.#plain.close()
    this.#tls?.close()
    this.#http1.leave()
    this.#http2.leave()
    await this.#empty(Math.min(farewellMs, deadlineMs))
    for (const socket of this.#shaking.values()) socket.destroy()
    this.#http1.end()
    this.#http2.end()
    await this.#empty(deadlineMs - (performance.now() - began))
    this.#http1.cut()
    this.#http2.cut()
  }

  /** Gives an encrypted connection to the protocol that its handshake has agreed on. */
  #sort(socket: TLSSocket): void {
    this.#shaking.delete(originOf(socket))
    if (socket.alpnProtocol === 'h2') this.#http2.take(socket)
    else this.#http1.take(socket)
  }

  #wake(): void {
    const left = this.#http1.connections + this.#shaking.size + this.#http2.sessions
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

const patience: Patience = {
  headMs: requestHeadMs,
  idleMs: keepAliveMs,
  lingerMs,
  goodbyeMs,
}

/** What tells a connection from all others that there are at the moment. */
function originOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
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
