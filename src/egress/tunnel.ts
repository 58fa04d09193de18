import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Dialer } from './dialer.ts'
import { failureOf, RefusedError } from './errors.ts'
import { upgradeMs } from './limits.ts'
import { type Joint, splice } from './splice.ts'
import { parseTunnel, type Tunnel } from './target.ts'

/** A tunnel that TLS may be put on: `connect()` with `secureTransport: 'starttls'`. */
type Upgradable = { readonly cell: Duplex; readonly origin: Socket; readonly joint: Joint }

/** What `connect()` of one Worker opens. */
export class Tunnels {
  readonly #dialer: Dialer
  readonly #upgradable = new Map<string, Upgradable>()

  constructor(dialer: Dialer) {
    this.#dialer = dialer
  }

  /**
   * Answers a CONNECT and joins the connections. The sentence in which workerd tells a Worker that a
   * tunnel was refused is its own, and the platform's, whatever the status.
   */
  async open(text: string, cell: Duplex, head: Buffer): Promise<void> {
    const tunnel = parseTunnel(text)
    try {
      if (!tunnel) throw new RefusedError('address', `${text} is not an address`)
      const origin = await this.#originOf(tunnel)
      if (cell.destroyed) return void origin.destroy()
      cell.write('HTTP/1.1 200 OK\r\n\r\n')
      if (head.length > 0) cell.unshift(head)
      const joint = splice(cell, origin)
      if (tunnel.type === 'start') this.#remember(tunnel.id, { cell, origin, joint })
      await joint.done
    } catch (error) {
      const { status } = failureOf(error instanceof Error ? error : new Error(String(error)))
      cell.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\n\r\n`)
    }
  }

  #originOf(tunnel: Tunnel): Promise<Socket> {
    const { host, port } = tunnel
    if (tunnel.type === 'upgrade') return this.#upgrade(tunnel.id, host)
    const secure = tunnel.type === 'secure'
    return this.#dialer.dial({ host, port, secure, allowHalfOpen: true })
  }

  #remember(id: string, upgradable: Upgradable): void {
    this.#upgradable.set(id, upgradable)
    upgradable.origin.once('close', () => this.#upgradable.delete(id))
  }

  /**
   * Takes the origin out of a tunnel and puts TLS on it. The tunnel's other half is ended: that tells
   * the cell to finish what it writes there and to end as well, so nothing is left on the way.
   */
  async #upgrade(id: string, host: string): Promise<Socket> {
    const upgradable = this.#upgradable.get(id)
    this.#upgradable.delete(id)
    if (!upgradable) throw new RefusedError('address', 'there is no such connection')
    const { cell, origin, joint } = upgradable
    joint.release()
    try {
      await lastWords(cell, origin)
    } catch (error) {
      cell.destroy()
      origin.destroy()
      throw error
    }
    return this.#dialer.secure(origin, host)
  }
}

/** Ends our half of a tunnel, and passes on what comes until the cell has ended its own. */
function lastWords(cell: Duplex, origin: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const late = (): void => reject(new RefusedError('timeout', 'it is still being written to'))
  const timer = setTimeout(late, upgradeMs)
  cell.on('data', (chunk: Buffer) => void origin.write(chunk))
  cell.once('end', resolve).once('error', reject).once('close', resolve)
  cell.resume().end()
  return promise.finally(() => clearTimeout(timer))
}
