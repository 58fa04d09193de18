import { messageOf } from '#contract/errors.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { type Failure, type InUse, nextHost, retryAt } from './due.ts'
import { lookMs, orderMs } from './limits.ts'
import type { AcmeAuthority } from './order.ts'

export type KeeperOptions = {
  readonly authority: AcmeAuthority
  /** The hosts for which there are to be certificates, now. */
  readonly wanted: () => readonly string[]
  /** The certificate that is in use for a host. */
  readonly find: (host: string) => InUse | undefined
  /** Keeps what was got, and resolves when it is in use. */
  readonly keep: (host: string, pem: string) => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

/**
 * Has a certificate for each host that is wanted, and none for others, whatever visitors ask for:
 * one order at a time, renewed in time, and after a failure later and later. Disposed of, it makes no
 * more orders; one that is under way ends by itself and is still kept.
 */
export function keepCertificates(options: KeeperOptions): Disposable {
  const keeper = new Keeper(options)
  keeper.look()
  return keeper
}

class Keeper implements Disposable {
  readonly #options: KeeperOptions
  readonly #failures = new Map<string, Failure>()
  #orders: readonly number[] = []
  #timer: Disposable | undefined
  #isClosed = false

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  look(): void {
    this.#timer = this.#options.clock.after(lookMs, () => {
      void this.#work().then(() => this.#isClosed || this.look())
    })
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#timer?.[Symbol.dispose]()
  }

  /** Makes all orders that are due, one after the other. */
  async #work(): Promise<void> {
    const { clock, find, wanted } = this.#options
    for (;;) {
      const now = clock.now()
      const hosts = wanted()
      this.#forget(hosts, now)
      const failures = this.#failures
      const host = nextHost({ wanted: hosts, find, failures, orders: this.#orders, now })
      if (host === undefined || this.#isClosed) return
      this.#orders = [...this.#orders, now]
      await this.#order(host)
    }
  }

  async #order(host: string): Promise<void> {
    const { authority, clock, keep, log } = this.#options
    try {
      const pem = await this.#inTime(authority.order(host))
      await keep(host, pem)
      this.#failures.delete(host)
      log.info('a certificate was issued', { host })
    } catch (error) {
      const count = (this.#failures.get(host)?.count ?? 0) + 1
      const failure = { count, lastAt: clock.now() }
      this.#failures.set(host, failure)
      log.warn('a certificate could not be had', {
        host,
        reason: messageOf(error),
        failures: count,
        nextTry: new Date(retryAt(failure)).toISOString(),
      })
    }
  }

  #inTime(order: Promise<string>): Promise<string> {
    return new Promise((resolve, reject) => {
      const late = this.#options.clock.after(orderMs, () => {
        reject(new Error('the authority takes too long'))
      })
      const settle = (): void => late[Symbol.dispose]()
      order.finally(settle).then(resolve, reject)
    })
  }

  /** Hosts that nobody wants any more, and orders that count no more. */
  #forget(wanted: readonly string[], now: number): void {
    const hosts = new Set(wanted)
    for (const host of this.#failures.keys()) if (!hosts.has(host)) this.#failures.delete(host)
    this.#orders = this.#orders.filter((at) => now - at < 3_600_000)
  }
}
