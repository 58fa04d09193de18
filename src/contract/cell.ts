import type { VersionFacts } from './binding.ts'
import type { AccountId, BlobKey, ObjectNamespaceId, WorkerName } from './ids.ts'
import type { WakePort } from './snapshot.ts'
import type { Wire } from './wire.ts'

/**
 * A *cell* is one workerd process that holds the Workers of one account that are bound to each
 * other. `deploy/` says which cells there should be, `runtime/` makes it so.
 */
export type CellPlan = {
  readonly account: AccountId
  /** At least one; a Worker with a split deployment is in it once per version. */
  readonly workers: readonly WorkerPlan[]
}

/** One version of a Worker, ready to run. */
export type WorkerPlan = {
  readonly account: AccountId
  readonly worker: WorkerName
  /** With its files, if it has any: those come before its code. */
  readonly version: VersionFacts
  /** The share of requests that this version gets, 0 to 100. */
  readonly percentage: number
  readonly limits: WorkerLimits
  readonly code: Code
  readonly exports: WorkerExports
  readonly bindings: readonly PlannedBinding[]
  /**
   * Where the objects of its Durable Object classes are. Of the versions of a Worker at most one has
   * any: objects run once.
   */
  readonly objects: readonly ObjectNamespace[]
}

/** What one request may use up, where the Worker's author said so: `limits` of the upload. */
export type WorkerLimits = {
  /** CPU time of one request, in ms. */
  readonly cpuMs?: number
  /** How many requests one request may make in turn. */
  readonly subrequests?: number
}

/** The objects of one class of a Worker. */
export type ObjectNamespace = {
  readonly id: ObjectNamespaceId
  /** The export that they are instances of. */
  readonly className: string
  readonly storage: 'sqlite' | 'kv'
}

export type PlannedBinding = {
  /** The name in `env`. */
  readonly name: string
  /** The binding's type, e.g. `kv_namespace`. */
  readonly type: string
  readonly wire: Wire
}

export type Code = {
  readonly format: 'modules' | 'service-worker'
  readonly mainModule: string
  readonly modules: readonly Module[]
  readonly compatibilityDate: string
  readonly compatibilityFlags: readonly string[]
}

export type Module = {
  readonly name: string
  readonly type: ModuleType
  /** Where the bytes are: `CellHostOptions.readModule`. */
  readonly key: BlobKey
  readonly size: number
}

/** Kinds of module, by their names in workerd's schema. */
export type ModuleType = 'esModule' | 'commonJsModule' | 'text' | 'data' | 'wasm' | 'json'

/** What a version exports, as seen by running it. */
export type WorkerExports = {
  /** Whether there is a default export at all. */
  readonly hasDefault: boolean
  /** Handlers of the default export: `fetch`, `scheduled`, `queue` ... */
  readonly handlers: readonly string[]
  readonly named: readonly NamedExport[]
}

export type NamedExport = {
  readonly name: string
  readonly type: 'entrypoint' | 'durable-object' | 'workflow' | 'handler' | 'other'
  readonly handlers: readonly string[]
}

export type CheckReport =
  | { readonly ok: true; readonly exports: WorkerExports; readonly startupTimeMs: number }
  /** `message` is workerd's own, with the user's stack. */
  | { readonly ok: false; readonly message: string }

/** What the running cell and the planned one need of each other: decided in `deploy/change.ts`. */
export type CellChange =
  | { readonly type: 'nothing' }
  /** Values and resources differ, code and shape do not: the isolate stays. */
  | { readonly type: 'env' }
  | { readonly type: 'cell' }

/** How a cell is doing. Times are ISO 8601. */
export type CellStatus = {
  readonly workers: readonly WorkerName[]
  readonly isPreview: boolean
  /**
   * Asleep: it starts with the next request. Held: it is being replaced. Waiting: it died or did not
   * start, and is started again at `nextStartAt`.
   */
  readonly state: 'running' | 'starting' | 'asleep' | 'held' | 'waiting'
  /** How often it died, or did not start, since it was deployed or the server started. */
  readonly deaths: number
  readonly lastDeath?: CellDeath
  readonly nextStartAt?: string
  /** Since when its process runs; with what it uses. */
  readonly startedAt?: string
  readonly pid?: number
  readonly memoryBytes?: number
  readonly cpuMs?: number
}

export type CellDeath = {
  readonly at: string
  /** What was exceeded, or that it ended by itself, or did not come up. */
  readonly reason: 'cpu' | 'memory' | 'crash' | 'start'
  /** A signal, an exit code, or what a failed start said. */
  readonly detail: string
}

/** What keeps a cell from everything that is not its own. */
export type Isolation = {
  /** `jail`: bubblewrap. `none`: a process of the server's user, as any other. */
  readonly mode: 'jail' | 'none'
  /** Which network a process sees: none at all, or the machine's. The way out is a proxy in both. */
  readonly network: 'none' | 'host'
  /** Whether there is a list of system calls that it may make. */
  readonly seccomp: boolean
  /** The control groups that limit it. */
  readonly cgroup: 'v1' | 'v2' | 'none'
  /** Why there is no jail. */
  readonly reason?: string
}

/** The port through which control makes things run. Implemented by `runtime/`. */
export interface CellHost extends AsyncDisposable, WakePort {
  readonly isolation: Isolation

  /**
   * Loads a version in a throw-away process, with `env` as planned but back ends that refuse, and
   * says what it exports, how long it took, or why it does not start. `exports` of the plan is
   * ignored.
   */
  check(worker: WorkerPlan): Promise<CheckReport>

  /**
   * Makes the cells of an account be exactly these. Resolves when each Worker answers in its new
   * form and the route table says so; old processes are drained behind that. Rejects, with the old
   * state untouched, if a new process does not come up. Calls for one account are taken one by one.
   *
   * `commit` stores what has come up, before a visitor is sent to any new process: if it rejects, so
   * does this, and everything is as before. (Values that a running isolate took were seen meanwhile.)
   *
   * Two processes never have the same objects open: where a new one takes some over, visitors of its
   * Workers are held (not refused) until the old one has finished and the new one has come up.
   */
  apply(account: AccountId, cells: readonly CellPlan[], commit?: () => Promise<void>): Promise<void>

  /**
   * As `apply`, for the start of the server, when there is no old state to fall back to. Where cells
   * sleep, they begin asleep. Otherwise a cell that does not come up is down in the route table and
   * tried again, longer apart each time, while the others run. Resolves when each has come up, or
   * failed once, or is asleep.
   */
  restore(account: AccountId, cells: readonly CellPlan[]): Promise<void>

  /** How the cells of an account are, in the order of their plans; previews are last. */
  status(account: AccountId): readonly CellStatus[]

  /**
   * Runs `run` while no process has any object of these namespaces open, in the account's turn with
   * `apply`. Visitors of Workers in their cells are held meanwhile and their WebSockets closed.
   * Rejects as `run` does; the processes are started again either way, and tried until they come up.
   */
  whileStopped(
    account: AccountId,
    namespaces: readonly ObjectNamespaceId[],
    run: () => Promise<void>,
  ): Promise<void>
}
