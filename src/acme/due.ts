import { isIP } from 'node:net'
import type { RouteTable } from '#contract/snapshot.ts'
import { firstRetryMs, hostLength, longestRetryMs, ordersPerHour, renewalShare } from './limits.ts'

// Which certificate is to be got next. No clock, no network: decided from what is handed in.

/** A certificate that is in use for a host. Times are milliseconds since the UNIX epoch. */
export type InUse = {
  /** Whether we got it; those of the operator are the operator's to renew. */
  readonly isOurs: boolean
  readonly notBefore: number
  readonly notAfter: number
}

/** What went wrong with a host so far, in a row. */
export type Failure = { readonly count: number; readonly lastAt: number }

/** The hosts by which visitors are led to a Worker, one by one: patterns name none. */
export function hostsOf({ hosts, zones }: RouteTable): readonly string[] {
  const found = new Set(hosts.keys())
  for (const zone of zones?.values() ?? []) {
    for (const host of zone.domains.keys()) found.add(host)
    for (const { host, isHostWild, worker } of zone.routes)
      if (!isHostWild && worker) found.add(host)
  }
  return [...found].filter(isPublic).toSorted()
}

/** Whether an authority could ever vouch for it: it is a name, and not of this machine alone. */
function isPublic(host: string): boolean {
  const isName = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/.test(host)
  return isName && host.length <= hostLength && !/(^|\.)localhost$/.test(host) && isIP(host) === 0
}

/** The host whose turn it is, if it is that of any. Those without a certificate go first. */
export function nextHost(state: {
  readonly wanted: readonly string[]
  readonly find: (host: string) => InUse | undefined
  readonly failures: ReadonlyMap<string, Failure>
  /** When orders were made, in the last hour. */
  readonly orders: readonly number[]
  readonly now: number
}): string | undefined {
  const { wanted, find, failures, orders, now } = state
  if (orders.filter((at) => now - at < 3_600_000).length >= ordersPerHour) return undefined
  const due = wanted.filter((host) => now >= retryAt(failures.get(host)) && isDue(find(host), now))
  return due.find((host) => !find(host)) ?? due[0]
}

function isDue(inUse: InUse | undefined, now: number): boolean {
  if (!inUse) return true
  const life = inUse.notAfter - inUse.notBefore
  return inUse.isOurs && inUse.notAfter - now <= life * renewalShare
}

/** When a host that failed is tried again. */
export function retryAt(failure: Failure | undefined): number {
  if (!failure) return 0
  const waitMs = firstRetryMs * 2 ** Math.min(failure.count - 1, 30)
  return failure.lastAt + Math.min(waitMs, longestRetryMs)
}
