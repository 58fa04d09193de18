import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { type Address, parseAddress } from './addresses.ts'
import { codeOf, RefusedError } from './errors.ts'
import { connectionsPerWorker, connectMs, nextAddressMs } from './limits.ts'
import type { Resolve } from './resolver.ts'
import type { Rules } from './rules.ts'

export type Outside = {
  readonly rules: Rules
  readonly resolve: Resolve
  /** Whom TLS trusts; absent: the roots that Node brings. */
  readonly secureContext: SecureContext | undefined
  /** Whether that has a certificate of the Worker's own, for those who ask for one. */
  readonly offersCertificate: boolean
}

export type Destination = {
  /** As in a URL: a name, or an address, IPv6 in brackets. */
  readonly host: string
  readonly port: number
  readonly secure: boolean
  /** Whether our end of the connection stays open when the other's is closed. */
  readonly allowHalfOpen: boolean
}

/**
 * Makes the connections of one Worker: a name is looked up once, every address of it is checked, and
 * only an address that was is connected to.
 */
export class Dialer {
  readonly #outside: Outside
  readonly #sockets = new Set<Socket>()
  #dialing = 0

  constructor(outside: Outside) {
    this.#outside = outside
  }

  /** Whether whoever is connected to with TLS may ask for a certificate, and gets one. */
  get offersCertificate(): boolean {
    return this.#outside.offersCertificate
  }

  /** Connects. Throws a `RefusedError`, or what the system or TLS said. The caller ends it. */
  async dial(destination: Destination): Promise<Socket> {
    if (this.#sockets.size + this.#dialing >= connectionsPerWorker) {
      throw new RefusedError('busy', `more than ${connectionsPerWorker} connections of one Worker`)
    }
    const deadline = performance.now() + connectMs
    this.#dialing += 1
    try {
      const addresses = await this.#permitted(destination)
      const socket = this.#open(destination, addresses)
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      await ready(socket, { secure: destination.secure, deadline })
      return socket
    } finally {
      this.#dialing -= 1
    }
  }

  /** Puts TLS on a connection that is there. Takes it over: it ends if TLS can't be had. */
  async secure(plain: Socket, host: string): Promise<Socket> {
    const { secureContext } = this.#outside
    const socket = connectTls({
      socket: plain,
      ...identityOf(host),
      ...(secureContext && { secureContext }),
    })
    await ready(socket, { secure: true, deadline: performance.now() + connectMs })
    return socket
  }

  /** Ends every connection. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async #permitted({ host, port }: Destination): Promise<readonly Address[]> {
    const literal = parseAddress(host)
    const addresses = literal ? [literal] : await this.#lookUp(host)
    if (addresses.length === 0) throw new RefusedError('unknown', `${host} has no address`)
    const permitted = addresses.filter((address) => this.#outside.rules.permits(address, port))
    if (permitted.length > 0) return permitted
    const what = literal ? host : `${host} (${addresses.map(({ text }) => text).join(', ')})`
    throw new RefusedError(
      literal ? 'address' : 'name',
      `Workers may not connect to ${what}, port ${port}; the operator can open it with --egress-allow`,
    )
  }

  async #lookUp(host: string): Promise<readonly Address[]> {
    const name = host.toLowerCase().replace(/\.$/, '')
    return name === '' ? [] : this.#outside.resolve(name)
  }

  #open(destination: Destination, addresses: readonly Address[]): Socket {
    const { host, port, secure, allowHalfOpen } = destination
    const [only] = addresses
    // An address that Node is handed as such is not looked up again; several are handed to its
    // look-up, so that it tries them side by side.
    const options = {
      host: only && addresses.length === 1 ? only.text : host,
      port,
      lookup: lookupOf(addresses),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: nextAddressMs,
      allowHalfOpen,
      noDelay: true,
      keepAlive: true,
    }
    if (!secure) return connect(options)
    const { secureContext } = this.#outside
    return connectTls({
      ...options,
      ...identityOf(host),
      ALPNProtocols: ['http/1.1'],
      ...(secureContext && { secureContext }),
    })
  }
}

/** Whose certificate is wanted: Server Name Indication is for names only (RFC 6066, section 3). */
function identityOf(host: string): { servername: string } | { host: string } {
  const bare = host.replace(/^\[|\]$/g, '')
  return isIP(bare) > 0 ? { host: bare } : { servername: bare }
}

type Found = { readonly address: string; readonly family: number }

/** A look-up that has been made: Node's own is not asked. */
function lookupOf(addresses: readonly Address[]) {
  const found: Found[] = addresses.map(({ text, family }) => ({
    address: text,
    family: family === 'ipv4' ? 4 : 6,
  }))
  return (
    _host: string,
    _options: unknown,
    callback: (error: null, addresses: Found[]) => void,
  ): void => callback(null, found)
}

/** Resolves when a connection is made; destroys it if that fails or takes too long. */
function ready(
  socket: Socket,
  { secure, deadline }: { readonly secure: boolean; readonly deadline: number },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const fail = (error: Error): void => {
    socket.destroy()
    const wasCut = secure && /^(ECONNRESET|EPIPE)?$/.test(codeOf(error))
    reject(wasCut ? new RefusedError('handshake', error.message) : error)
  }
  const late = (): void => {
    socket.destroy()
    reject(new RefusedError('timeout', `no connection in ${connectMs} ms`))
  }
  const timer = setTimeout(late, deadline - performance.now())
  const closed = (): void => fail(new Error('the connection was closed'))
  socket.once('error', fail).once('close', closed)
  socket.once(secure ? 'secureConnect' : 'connect', resolve)
  return promise.finally(() => {
    clearTimeout(timer)
    socket.off('close', closed)
    // Whoever uses the connection next listens for its own; an error in between must not be fatal.
    socket.on('error', ignore)
  })
}

function ignore(error: Error): void {
  void codeOf(error)
}
