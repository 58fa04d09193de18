import type { AccountId } from '#contract/ids.ts'
import type { Random } from '#contract/ports/random.ts'
import { parseHostname } from '#deploy/route-pattern.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'
import type { CustomDomain, ZoneStore } from './zone-store.ts'
import type { ZoneName, Zones } from './zones.ts'

export type DomainsOptions = {
  readonly zones: Zones
  readonly zoneStore: ZoneStore
  readonly store: WorkerStore
  readonly random: Random
}

/** A custom domain as a Worker's configuration has it. */
export type WantedDomain = ZoneName & {
  readonly hostname: string
  readonly enabled?: boolean | undefined
  readonly previews_enabled?: boolean | undefined
}

/** What it would take to give a Worker some custom domains. */
export type DomainChanges = {
  readonly added: readonly CustomDomain[]
  /** Those that it would have no more. */
  readonly removed: readonly CustomDomain[]
  /** Those that there are, as they would be, and whether that is otherwise. */
  readonly updated: readonly { readonly domain: CustomDomain; readonly isModified: boolean }[]
}

/** Hosts of which Workers are the origins. */
export class Domains {
  readonly #options: DomainsOptions

  constructor(options: DomainsOptions) {
    this.#options = options
  }

  /** What `replace` would change. */
  async changes(key: WorkerKey, wanted: readonly WantedDomain[]): Promise<DomainChanges> {
    if (!(await this.#options.store.worker(key))) throw errors.workerNotFound()
    const all = await this.#options.zoneStore.domains(key.account)
    const next = await Promise.all(wanted.map((each) => this.#make(key, each, all)))
    const before = new Map(all.map((each) => [each.hostname, each]))
    const names = new Set(next.map(({ hostname }) => hostname))
    return {
      added: next.filter(({ hostname }) => !before.has(hostname)),
      removed: all.filter(({ hostname, worker }) => worker === key.worker && !names.has(hostname)),
      updated: next.flatMap((each) => {
        const known = before.get(each.hostname)
        return known ? [{ domain: each, isModified: !isSame(known, each) }] : []
      }),
    }
  }

  /** Makes these the custom domains of a Worker, and no others. */
  replace(
    key: WorkerKey,
    wanted: readonly WantedDomain[],
    how: { readonly takesOver: boolean },
  ): Promise<readonly CustomDomain[]> {
    return this.#change(async () => {
      const { added, removed, updated } = await this.changes(key, wanted)
      const next = [...added, ...updated.map(({ domain }) => domain)]
      await this.#put(key, { next, removed, ...how })
      return next
    })
  }

  /** Gives a Worker one more. */
  add(
    key: WorkerKey,
    wanted: WantedDomain,
    how: { readonly takesOver: boolean },
  ): Promise<CustomDomain> {
    return this.#change(async () => {
      const { added, updated } = await this.changes(key, [wanted])
      const [made] = [...added, ...updated.map(({ domain }) => domain)]
      if (!made) throw new Error('a domain that was asked for is neither new nor old')
      await this.#put(key, { next: [made], removed: [], ...how })
      return made
    })
  }

  remove(domain: CustomDomain): Promise<void> {
    const { zoneStore } = this.#options
    return this.#change(() => zoneStore.changeDomains({ removed: [domain], added: [] }))
  }

  /** Throws `domainNotFound`. */
  async get(account: AccountId, id: string): Promise<CustomDomain> {
    const all = await this.#options.zoneStore.domains(account)
    const found = all.find((each) => each.id === id)
    if (!found) throw errors.domainNotFound()
    return found
  }

  #change<Value>(task: () => Promise<Value>): Promise<Value> {
    return this.#options.zones.change(task)
  }

  async #make(
    { account, worker }: WorkerKey,
    wanted: WantedDomain,
    all: readonly CustomDomain[],
  ): Promise<CustomDomain> {
    const { zones, random } = this.#options
    const what = wanted.hostname
    const hostname = parseHostname(what)
    if (hostname === undefined) throw errors.domainInvalid(what)
    const zone = await zones.find(account, hostname, { ...wanted, what })
    await zones.check(zone, hostname, what)
    const known = all.find((each) => each.hostname === hostname)
    return {
      id: known?.id ?? random.hex(16),
      zone: zone.id,
      account,
      hostname,
      worker,
      isEnabled: wanted.enabled ?? true,
      hasPreviews: wanted.previews_enabled ?? false,
    }
  }

  async #put(
    { account, worker }: WorkerKey,
    change: {
      readonly next: readonly CustomDomain[]
      readonly removed: readonly CustomDomain[]
      readonly takesOver: boolean
    },
  ): Promise<void> {
    const { zoneStore } = this.#options
    const { next, removed, takesOver } = change
    const names = next.map(({ hostname }) => hostname)
    const [twice] = names.filter((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) throw errors.domainTaken(twice)
    const all = await zoneStore.domains(account)
    const replaced = all.filter(({ hostname }) => names.includes(hostname))
    const others = replaced.find((each) => each.worker !== worker)
    if (others && !takesOver) throw errors.domainTaken(others.hostname)
    const gone = new Set([...removed, ...replaced].map(({ id }) => id))
    const kept = all.filter(({ id }) => !gone.has(id))
    const counts = Map.groupBy([...kept, ...next], ({ zone }) => zone)
    if ([...counts.values()].some(({ length }) => length > limits.domainsPerZone)) {
      throw errors.tooManyDomains(limits.domainsPerZone)
    }
    await zoneStore.changeDomains({ removed: [...removed, ...replaced], added: next })
  }
}

function isSame(one: CustomDomain, other: CustomDomain): boolean {
  return (
    one.worker === other.worker &&
    one.isEnabled === other.isEnabled &&
    one.hasPreviews === other.hasPreviews
  )
}
