import type { CellChange, CellPlan } from '#contract/cell.ts'
import type { AccountId, BlobKey, ObjectNamespaceId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Random } from '#contract/ports/random.ts'
import type { BackplanePort, EgressPort, IngressPort, RoutedWorker } from '#contract/snapshot.ts'

/** What the runtime is handed, and how long it has for what. */
export type CellHostOptions = {
  readonly workerdPath: string
  /**
   * A folder that only this server uses, for unix sockets: at most 84 bytes long, made if it is
   * missing, and the same at each start, because that is how a server finds its orphans.
   */
  readonly runDirectory: string
  /** Where the files of Durable Objects are: a folder per account, made when it is needed. */
  readonly objectsDirectory: string
  readonly readModule: (key: BlobKey) => Promise<Uint8Array>
  /** What separates the running plan of a cell from the wanted one: `deploy/change.ts`. */
  readonly decide: (running: CellPlan, wanted: CellPlan) => CellChange
  readonly backplane: BackplanePort
  readonly egress: EgressPort
  readonly ingress: IngressPort
  /** The header in which a capability travels, as the backplane reads it. */
  readonly capabilityHeader: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** How long an old process may finish its requests. */
  readonly drainMs: number
  /** How long it stays after its last request, for `waitUntil` work. */
  readonly lingerMs: number
  /** How long requests may finish while visitors are held for a process that takes over objects. */
  readonly holdMs: number
  readonly startTimeoutMs: number
  /** How long the handler of an event may take, if not as long as at Cloudflare. */
  readonly eventMs?: number
  /** How long a cell may be idle before it is put to sleep. Absent: cells do not sleep. */
  readonly sleepMs?: number | undefined
  readonly limits: HostLimits
  readonly isolation: IsolationSettings
  /** When the next alarm of these namespaces is due, in ms since 1970. No process has them open. */
  readonly nextAlarm: (
    account: AccountId,
    namespaces: readonly ObjectNamespaceId[],
  ) => Promise<number | undefined>
  /** What a preview needs to run; `undefined` if there is no such version. */
  readonly planPreview: (of: RoutedWorker) => Promise<CellPlan | undefined>
}

export type IsolationSettings = {
  /** `auto`: a jail where one can be had. */
  readonly mode: 'auto' | 'jail' | 'none'
  /** The first user id of jailed cells, if the server is root's. */
  readonly firstUid: number
}

/** What each Worker may use up that does not ask for something else. */
export type HostLimits = {
  /** CPU time of one request, in ms. */
  readonly cpuMs: number
  readonly memoryBytes: number
}
