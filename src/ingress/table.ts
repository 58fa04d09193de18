import {
  type LiveTable,
  liveKey,
  type RoutedWorker,
  type RouteTable,
  type Target,
  type ZoneOwner,
} from '#contract/snapshot.ts'
import { rememberedHosts, restartWaiters, restartWaitersPerAccount } from './limits.ts'
import { type HostRoutes, routesOf, workerFor, zoneOf } from './patterns.ts'
import type { Visit } from './visitor.ts'

/** A Worker that visitors are led to, and where it runs: what of it is up and what is not. */
export type Site = {
  readonly routed: RoutedWorker
  readonly targets: readonly Target[]
}

/** What a request is led by. */
export type Address = Pick<Visit, 'hostname' | 'protocol' | 'url'>

type Waiter = { readonly address: Address; readonly site: Site; readonly wake: () => void }

/**
 * The two snapshots, joined once per publication: the host of a Worker leads straight to its
 * targets, so a request to one costs one look-up. What routes make of another host is remembered.
 */
export class Table {
  #routes: RouteTable = { hosts: new Map() }
  #live: LiveTable = { workers: new Map() }
  #hosts: ReadonlyMap<string, Site> = new Map()
  /** What was made of hosts that are not listed, until routes are published again. */
  readonly #remembered = new Map<string, HostRoutes>()
  #waiters: Waiter[] = []

  publishRoutes(routes: RouteTable): void {
    this.#routes = routes
    this.#remembered.clear()
    this.#join()
  }

  publishLive(live: LiveTable): void {
    this.#live = live
    this.#join()
  }

  /** The Worker that a request is for; none if nothing is routed there, as far as is listed. */
  find(address: Address): Site | undefined {
    const own = this.#hosts.get(address.hostname)
    if (own) return own
    const host = this.#hostRoutes(address.hostname)
    const routed = host && workerFor(host, address)
    return routed && this.#site(routed)
  }

  /** Whose host it is; `undefined` if it is in no account's zone. */
  ownerOf(hostname: string): ZoneOwner | undefined {
    const { zones } = this.#routes
    return zones && zoneOf(zones, hostname)?.owner
  }

  /** The preview behind a host that is not listed. */
  async findPreview(hostname: string): Promise<Site | undefined> {
    const routed = await this.#routes.findPreview?.(hostname)
    return routed && this.#site(routed)
  }

  /**
   * Waits until the Worker has a target that is up, or is asleep and to be woken, or is not to be
   * found at the address any more, at most for so long. `false` at once if too many wait already,
   * or too many for Workers of its account.
   */
  up(address: Address, site: Site, milliseconds: number): Promise<boolean> {
    if (this.#isSettled({ address, site })) return Promise.resolve(true)
    if (this.#isCrowded(site.routed)) return Promise.resolve(false)
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(deadline)
        resolve(true)
      }
      const deadline = setTimeout(() => {
        this.#waiters = this.#waiters.filter((waiter) => waiter.wake !== wake)
        wake()
      }, milliseconds)
      this.#waiters.push({ address, site, wake })
    })
  }

  /** Visitors of one account's broken Workers must not have those of others turned away. */
  #isCrowded({ account }: RoutedWorker): boolean {
    if (this.#waiters.length < restartWaitersPerAccount) return false
    const own = this.#waiters.filter(({ site }) => site.routed.account === account)
    return own.length >= restartWaitersPerAccount || this.#waiters.length >= restartWaiters
  }

  /** Whether there is nothing to wait for. */
  #isSettled({ address, site: { routed } }: Omit<Waiter, 'wake'>): boolean {
    // A preview is found by asking, which its waiters do again when they are woken.
    const now = routed.version === undefined ? this.find(address) : this.#site(routed)
    if (now === undefined) return true
    const { targets } = now
    return targets.some(({ state }) => state === 'up') || (targets.length > 0 && isAsleep(now))
  }

  #site(routed: RoutedWorker): Site {
    return { routed, targets: this.#live.workers.get(liveKey(routed)) ?? [] }
  }

  #hostRoutes(hostname: string): HostRoutes | undefined {
    const known = this.#remembered.get(hostname)
    if (known) return known
    const { zones } = this.#routes
    const zone = zones && zoneOf(zones, hostname)
    if (!zone) return undefined
    const made = routesOf(zone, hostname)
    if (this.#remembered.size >= rememberedHosts) this.#remembered.clear()
    this.#remembered.set(hostname, made)
    return made
  }

  #join(): void {
    this.#hosts = new Map(
      [...this.#routes.hosts].map(([hostname, routed]) => [hostname, this.#site(routed)]),
    )
    const [awake, asleep] = partition(this.#waiters, (waiter) => this.#isSettled(waiter))
    this.#waiters = asleep
    for (const { wake } of awake) wake()
  }
}

/** Whether a Worker has no process, and gets none before it is woken. */
export function isAsleep({ routed, targets }: Site): boolean {
  if (targets.length === 0) return routed.version !== undefined
  return targets.every(({ state }) => state === 'asleep')
}

/** Whether a Worker that was asleep is being started. */
export function isWaking({ targets }: Site): boolean {
  return targets.some(({ state }) => state === 'waking')
}

/** Whether a Worker is being replaced by a process that takes over its objects. */
export function isHeld({ targets }: Site): boolean {
  return targets.some(({ state }) => state === 'held')
}

function partition<Item>(items: readonly Item[], test: (item: Item) => boolean): [Item[], Item[]] {
  const yes: Item[] = []
  const no: Item[] = []
  for (const item of items) (test(item) ? yes : no).push(item)
  return [yes, no]
}
