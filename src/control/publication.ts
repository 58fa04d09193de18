import type { AccountId } from '#contract/ids.ts'
import type { RoutedWorker, RouteTable } from '#contract/snapshot.ts'
import { previewNames } from '#deploy/preview.ts'
import type { IdentityStore } from './identity-store.ts'
import { findPreview } from './previews.ts'
import { publishedZones } from './published-zones.ts'
import type { Account } from './records.ts'
import { Turns } from './turns.ts'
import type { ReachableWorker, WorkerKey, WorkerStore } from './worker-store.ts'
import type { ZoneStore } from './zone-store.ts'

export type PublicationOptions = {
  readonly identities: IdentityStore
  readonly workers: WorkerStore
  readonly zones: ZoneStore
  readonly publishRoutes: (table: RouteTable) => void
  /** Workers answer at `<worker>.<domain>`. */
  readonly domain: string
}

/** Tells ingress which host belongs to which Worker. */
export class Publication {
  readonly #options: PublicationOptions
  readonly #turns = new Turns()
  /** The next one, which has not begun. */
  #next: Promise<void> | undefined

  constructor(options: PublicationOptions) {
    this.#options = options
  }

  /**
   * Publishes what is stored. Whoever asks for it before it has begun is served by the same
   * publication: nobody's change, which is stored by then, is turned away here.
   */
  publish(): Promise<void> {
    this.#next ??= this.#turns.take('routes', async () => {
      this.#next = undefined
      this.#options.publishRoutes(await this.#table())
    })
    return this.#next
  }

  /** Resolves when none is under way. */
  idle(): Promise<void> {
    return this.#turns.idle()
  }

  /** The host name at which visitors reach a Worker: the shortest it has. */
  async hostOf({ account, worker }: WorkerKey): Promise<string> {
    return `${worker}.${await this.#shortestHost(account)}`
  }

  /** What follows the name of a preview in its host. */
  async previewSuffixOf({ account, worker }: WorkerKey): Promise<string> {
    return `-${worker}.${await this.#shortestHost(account)}`
  }

  async #shortestHost(account: AccountId): Promise<string> {
    const known = await this.#options.identities.account(account)
    const [host = ''] = known ? this.#hostsOf(known) : []
    return host
  }

  async #table(): Promise<RouteTable> {
    const { workers, zones, domain } = this.#options
    const accounts = await this.#accountHosts()
    const reachable = await workers.reachable()
    const hosts = new Map<string, RoutedWorker>()
    for (const { account, worker, isDeployed, isOnSubdomain } of reachable) {
      if (!isDeployed || !isOnSubdomain) continue
      for (const host of accounts.get(account) ?? []) {
        hosts.set(`${worker}.${host}`, { account, worker })
      }
    }
    const deployed = new Set(reachable.filter(({ isDeployed }) => isDeployed).map(nameOf))
    return {
      hosts,
      zones: await publishedZones(zones, {
        domain,
        isDeployed: (key) => deployed.has(nameOf(key)),
      }),
      findPreview: this.#previewFinder(accounts, reachable),
    }
  }

  /** Nothing is listed: which versions there are is looked up when a visitor names one. */
  #previewFinder(
    accounts: ReadonlyMap<AccountId, readonly string[]>,
    reachable: readonly ReachableWorker[],
  ): (hostname: string) => Promise<RoutedWorker | undefined> {
    const { workers } = this.#options
    const owners = new Map(
      [...accounts].flatMap(([account, hosts]) => hosts.map((host) => [host, account] as const)),
    )
    const previewed = new Set(reachable.filter(({ hasPreviews }) => hasPreviews).map(nameOf))
    return async (hostname) => {
      const dot = hostname.indexOf('.')
      const account = owners.get(hostname.slice(dot + 1))
      if (dot < 0 || account === undefined) return undefined
      const names = previewNames(hostname.slice(0, dot), (worker) =>
        previewed.has(nameOf({ account, worker })),
      )
      for (const { name, worker } of names) {
        const found = await findPreview(workers, { account, worker }, { name })
        if (found) return found
      }
      return undefined
    }
  }

  /** What follows the name of a Worker in its hosts, by account. */
  async #accountHosts(): Promise<ReadonlyMap<AccountId, readonly string[]>> {
    const hosts = new Map<AccountId, readonly string[]>()
    for await (const accounts of this.#options.identities.allAccounts(accountsAtOnce)) {
      for (const account of accounts) hosts.set(account.id, this.#hostsOf(account))
    }
    return hosts
  }

  #hostsOf({ subdomain, isFirst }: Account): readonly string[] {
    const { domain } = this.#options
    return [...(isFirst ? [domain] : []), `${subdomain}.${domain}`]
  }
}

const accountsAtOnce = 1_000

function nameOf({ account, worker }: WorkerKey): string {
  return `${account}/${worker}`
}
