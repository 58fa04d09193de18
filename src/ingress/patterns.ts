import { canonicalUrl } from '#contract/canonical-url.ts'
import type { RoutePattern, RoutedWorker, ZoneRoutes } from '#contract/snapshot.ts'

// Which Worker a zone gives a request to. developers.cloudflare.com/workers/configuration/routing.

/** What of a zone concerns one host. */
export type HostRoutes = {
  /** The most specific one first. */
  readonly routes: readonly RoutePattern[]
  /** The custom domain of that name. */
  readonly domain: RoutedWorker | undefined
}

/** The zone that a host is in: the longest name that it is, or is below. */
export function zoneOf<Zone>(zones: ReadonlyMap<string, Zone>, hostname: string): Zone | undefined {
  if (zones.size === 0) return undefined
  for (let at = 0; ;) {
    const zone = zones.get(hostname.slice(at))
    if (zone) return zone
    const dot = hostname.indexOf('.', at)
    if (dot < 0) return undefined
    at = dot + 1
  }
}

/** The part of a zone's routes that can match requests to a host of it. */
export function routesOf(zone: ZoneRoutes, hostname: string): HostRoutes {
  const routes = zone.routes.filter(({ host, isHostWild }) =>
    isHostWild ? hostname.endsWith(host) : hostname === host,
  )
  return { routes: routes.toSorted(bySpecificity), domain: zone.domains.get(hostname) }
}

/** The Worker that gets a request: that of a route, else that of the custom domain. */
export function workerFor(
  { routes, domain }: HostRoutes,
  request: { readonly protocol: 'http' | 'https'; readonly url: string },
): RoutedWorker | undefined {
  if (routes.length === 0) return domain
  const url = canonicalUrl(request.url)
  const route = routes.find(
    ({ protocol, path, isPathWild }) =>
      (protocol === undefined || protocol === request.protocol) &&
      (isPathWild ? url.startsWith(path) : url === path),
  )
  // A custom domain is an origin: it is what comes where routes switch Workers off.
  return route?.worker ?? domain
}

/** Hosts before paths before protocols; in each, what says more is more specific. */
function bySpecificity(a: RoutePattern, b: RoutePattern): number {
  return (
    Number(a.isHostWild) - Number(b.isHostWild) ||
    b.host.length - a.host.length ||
    Number(a.isPathWild) - Number(b.isPathWild) ||
    b.path.length - a.path.length ||
    Number(a.protocol === undefined) - Number(b.protocol === undefined)
  )
}
