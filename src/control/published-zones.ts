import type { RoutedWorker, ZoneRoutes } from '#contract/snapshot.ts'
import { parseRoutePattern } from '#deploy/route-pattern.ts'
import type { WorkerKey } from './worker-store.ts'
import type { CustomDomain, StoredRoute, ZoneStore } from './zone-store.ts'

/** What ingress is told of the zones: `RouteTable.zones`. */
export async function publishedZones(
  store: ZoneStore,
  {
    domain,
    isDeployed,
  }: { readonly domain: string; readonly isDeployed: (key: WorkerKey) => boolean },
): Promise<ReadonlyMap<string, ZoneRoutes>> {
  const routes = Map.groupBy(await store.allRoutes(), ({ zone }) => zone)
  const domains = Map.groupBy(await store.allDomains(), ({ zone }) => zone)
  // A Worker that is not deployed has nothing to answer with: it is as none.
  const routedTo = ({ account, worker }: StoredRoute | CustomDomain): RoutedWorker | undefined =>
    worker !== null && isDeployed({ account, worker }) ? { account, worker } : undefined
  const zones = new Map<string, ZoneRoutes>()
  for (const { id, name, account } of await store.allZones()) {
    zones.set(name, {
      owner: { account, id, name },
      domains: new Map(
        (domains.get(id) ?? []).flatMap((each) => {
          const routed = each.isEnabled ? routedTo(each) : undefined
          return routed ? [[each.hostname, routed] as const] : []
        }),
      ),
      routes: (routes.get(id) ?? []).map((each) => {
        const worker = routedTo(each)
        return { ...parseRoutePattern(each.pattern, name), ...(worker && { worker }) }
      }),
    })
  }
  zones.set(domain, { domains: new Map(), routes: [] })
  return zones
}
