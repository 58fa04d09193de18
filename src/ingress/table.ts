import { type LiveTable, liveKey, type RouteTable, type Target } from '#contract/snapshot.ts'
import { restartWaiters } from './limits.ts'

/**
 * The two snapshots, joined once per publication: a host name leads straight to its targets, so a
 * request costs one look-up.
 */
export class Table {
  #routes: RouteTable = { hosts: new Map() }
  #live: LiveTable = { workers: new Map() }
  #hosts: ReadonlyMap<string, readonly Target[]> = new Map()
  #waiters: { readonly hostname: string; readonly wake: () => void }[] = []

  publishRoutes(routes: RouteTable): void {
    this.#routes = routes
    this.#join()
  }

  publishLive(live: LiveTable): void {
    this.#live = live
    this.#join()
  }

  /** The targets behind a host name; none if it is not routed. */
  targets(hostname: string): readonly Target[] {
    return this.#hosts.get(hostname) ?? []
  }

  /** Whether a Worker is routed there, running or not. */
  knows(hostname: string): boolean {
    return this.#routes.hosts.has(hostname)
  }

  /**
   * Waits until the host has a target that is up, or belongs to nobody any more, at most for so
   * long. `false` at once if too many wait already.
   */
  up(hostname: string, milliseconds: number): Promise<boolean> {
    if (this.#isSettled(hostname)) return Promise.resolve(true)
    if (this.#waiters.length >= restartWaiters) return Promise.resolve(false)
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(deadline)
        resolve(true)
      }
      const deadline = setTimeout(() => {
        this.#waiters = this.#waiters.filter((waiter) => waiter.wake !== wake)
        wake()
      }, milliseconds)
      this.#waiters.push({ hostname, wake })
    })
  }

  /** Whether the host's Worker is being replaced by a process that takes over its objects. */
  isHeld(hostname: string): boolean {
    return this.targets(hostname).some((target) => target.state === 'held')
  }

  /** Whether there is nothing to wait for. */
  #isSettled(hostname: string): boolean {
    const isUp = this.targets(hostname).some((target) => target.state === 'up')
    return isUp || !this.knows(hostname)
  }

  #join(): void {
    const hosts = new Map<string, readonly Target[]>()
    for (const [hostname, routed] of this.#routes.hosts) {
      const targets = this.#live.workers.get(liveKey(routed))
      if (targets) hosts.set(hostname, targets)
    }
    this.#hosts = hosts
    const [awake, asleep] = partition(this.#waiters, ({ hostname }) => this.#isSettled(hostname))
    this.#waiters = asleep
    for (const { wake } of awake) wake()
  }
}

/** Picks a target by share. Those that are down are passed over while another is up. */
export function pick(targets: readonly Target[], chance: number): Target | undefined {
  const up = targets.filter((target) => target.state === 'up')
  if (up.length <= 1) return up[0]
  const whole = up.reduce((sum, target) => sum + target.percentage, 0)
  let left = chance * whole
  for (const target of up) {
    left -= target.percentage
    if (left < 0) return target
  }
  return up.at(-1)
}

function partition<Item>(items: readonly Item[], test: (item: Item) => boolean): [Item[], Item[]] {
  const yes: Item[] = []
  const no: Item[] = []
  for (const item of items) (test(item) ? yes : no).push(item)
  return [yes, no]
}
