import type { WorkerName } from '#contract/ids.ts'
import type { Random } from '#contract/ports/random.ts'
import { parseRoutePattern, textOf } from '#deploy/route-pattern.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'
import type { StoredRoute, Zone, ZoneStore } from './zone-store.ts'
import type { ZoneName, Zones } from './zones.ts'

export type RoutesOptions = {
  readonly zones: Zones
  readonly zoneStore: ZoneStore
  readonly store: WorkerStore
  readonly random: Random
}

/** A route as a Worker's configuration has it. */
export type WantedRoute = ZoneName & { readonly pattern: string }

/** Which requests to zones go to which Workers. */
export class Routes {
  readonly #options: RoutesOptions

  constructor(options: RoutesOptions) {
    this.#options = options
  }

  /** Makes these the routes of a Worker, and no others. */
  replace(key: WorkerKey, wanted: readonly WantedRoute[]): Promise<readonly StoredRoute[]> {
    const { zones, zoneStore } = this.#options
    return zones.change(async () => {
      await this.#demandWorker(key)
      const before = await zoneStore.routesOf(key)
      const added: StoredRoute[] = []
      for (const each of wanted) {
        const what = each.pattern
        const zone = await zones.find(key.account, hostIn(what), { ...each, what })
        const route = await this.#make(zone, { pattern: what, worker: key.worker })
        const same = (other: StoredRoute): boolean => isSame(other, route)
        // What stays keeps its id.
        added.push({ ...route, id: before.find(same)?.id ?? route.id })
      }
      await this.#demandRoom(before, added)
      await zoneStore.changeRoutes({ removed: before, added })
      return added
    })
  }

  /** Adds a route, or puts it in the place of another one of the same zone. */
  put(
    zone: Zone,
    wanted: { readonly pattern: string; readonly worker: WorkerName | null },
    before?: StoredRoute,
  ): Promise<StoredRoute> {
    const { zones, zoneStore } = this.#options
    return zones.change(async () => {
      if (wanted.worker !== null) {
        const known = await this.#options.store.worker({ ...zone, worker: wanted.worker })
        if (!known) throw errors.routeWorkerMissing()
      }
      const made = await this.#make(zone, wanted)
      const route = { ...made, id: before?.id ?? made.id }
      const removed = before ? [before] : []
      await this.#demandRoom(removed, [route])
      await zoneStore.changeRoutes({ removed, added: [route] })
      return route
    })
  }

  remove(route: StoredRoute): Promise<void> {
    const { zones, zoneStore } = this.#options
    return zones.change(() => zoneStore.changeRoutes({ removed: [route], added: [] }))
  }

  /** Throws `routeNotFound`. */
  async get(zone: Zone, id: string): Promise<StoredRoute> {
    const all = await this.#options.zoneStore.routesIn(zone)
    const found = all.find((each) => each.id === id)
    if (!found) throw errors.routeNotFoundInZone()
    return found
  }

  async #make(
    zone: Zone,
    { pattern, worker }: { readonly pattern: string; readonly worker: WorkerName | null },
  ): Promise<StoredRoute> {
    const parsed = parseRoutePattern(pattern, zone.name)
    const host = parsed.host.replace(/^\./, '')
    if (host !== '') await this.#options.zones.check(zone, host, pattern)
    const canonical = textOf(parsed)
    const id = this.#options.random.hex(16)
    return { id, zone: zone.id, account: zone.account, pattern, canonical, worker }
  }

  async #demandWorker(key: WorkerKey): Promise<void> {
    if (!(await this.#options.store.worker(key))) throw errors.workerNotFound()
  }

  /** Throws if one is there already, or if a zone would have too many. */
  async #demandRoom(removed: readonly StoredRoute[], added: readonly StoredRoute[]): Promise<void> {
    const gone = new Set(removed.map(({ id }) => id))
    const kept = (await this.#options.zoneStore.allRoutes()).filter(({ id }) => !gone.has(id))
    const seen = new Map(kept.map((route) => [`${route.zone} ${route.canonical}`, route]))
    for (const route of added) {
      const place = `${route.zone} ${route.canonical}`
      const other = seen.get(place)
      if (other) throw errors.routeTaken(route.pattern, other.worker)
      seen.set(place, route)
    }
    const counts = Map.groupBy(seen.values(), ({ zone }) => zone)
    if ([...counts.values()].some(({ length }) => length > limits.routesPerZone)) {
      throw errors.tooManyRoutes(limits.routesPerZone)
    }
  }
}

function isSame(one: StoredRoute, other: StoredRoute): boolean {
  return one.zone === other.zone && one.canonical === other.canonical
}

/** The host that a pattern names, as far as it can be told without knowing its zone. */
function hostIn(pattern: string): string {
  const [, host = ''] = /^(?:https?:\/\/)?(?:\*\.?)?([^/?]*)/i.exec(pattern) ?? []
  return host.toLowerCase()
}
