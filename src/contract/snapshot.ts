import type { Site } from './assets.ts'
import type { Grant } from './backend.ts'
import type { AccountId, VersionId, WorkerName } from './ids.ts'

// What the data plane reads. Control and runtime publish whole, immutable snapshots; ingress and
// backplane never ask anybody.

/** Which host belongs to which Worker. Published by control. */
export type RouteTable = {
  /**
   * Hosts of Workers themselves, by name in lower case, without a port. What is listed here is
   * nobody else's, whatever `zones` say.
   */
  readonly hosts: ReadonlyMap<string, RoutedWorker>
  /**
   * What the operator gave to accounts, by name in lower case. A host belongs to the longest of
   * these that it is, or is below, and to no other. The domain below which Workers have hosts is
   * among them, without routes: nobody routes what is there.
   */
  readonly zones?: ReadonlyMap<string, ZoneRoutes>
  /** Finds a host that is not listed, because there are too many: previews. */
  readonly findPreview?: (hostname: string) => Promise<RoutedWorker | undefined>
}

/** Whose a zone is. */
export type ZoneOwner = { readonly account: AccountId; readonly id: string; readonly name: string }

export type ZoneRoutes = {
  /** Absent: it is nobody's. */
  readonly owner?: ZoneOwner
  /** Custom domains: hosts of which a Worker is the origin. */
  readonly domains: ReadonlyMap<string, RoutedWorker>
  /** Patterns that come before any custom domain. The most specific one wins. */
  readonly routes: readonly RoutePattern[]
}

export type RoutePattern = {
  /** Matches requests of this protocol alone, if there is one. */
  readonly protocol?: 'http' | 'https'
  /** A host, or the end of hosts: `.example.com` of `*.example.com`, `` of `*`. */
  readonly host: string
  readonly isHostWild: boolean
  /** A path in canonical form, or the beginning of paths. */
  readonly path: string
  readonly isPathWild: boolean
  /** Absent: less specific patterns do not match either. */
  readonly worker?: RoutedWorker
}

export type RoutedWorker = {
  readonly account: AccountId
  readonly worker: WorkerName
  /** One version by itself, whatever is deployed: a preview. */
  readonly version?: VersionId
}

/** Where each Worker runs. Published by runtime. */
export type LiveTable = {
  /**
   * By `liveKey`. A Worker that is deployed but down is in it, with targets that are down. A preview
   * is in it while it runs.
   */
  readonly workers: ReadonlyMap<string, readonly Target[]>
}

export function liveKey(worker: RoutedWorker): string {
  const { account, worker: name, version } = worker
  return version === undefined ? `${account}/${name}` : `${account}/${name}@${version}`
}

/** One version of a Worker in one process. */
export type Target = {
  /** Unique for the life of the server: ingress counts requests in flight under it. */
  readonly id: string
  /** The id of its version. */
  readonly version: string
  /** The share of requests, 0 to 100; those of one Worker add up to 100. */
  readonly percentage: number
  readonly socketPath: string
  /** Names of the headers that carry `request.cf` and the visitor's protocol: secret, per process. */
  readonly cfBlobHeader: string
  readonly protoHeader: string
  /**
   * Down: the process died and is being restarted. Held: it is being replaced by one that takes over
   * its objects; requests wait longer for that than for a crash. Asleep: it has no process until
   * somebody wakes it (`WakePort`). Waking: that has been done.
   */
  readonly state: 'up' | 'down' | 'held' | 'asleep' | 'waking'
  /** The files of the version. They are answered whatever the state. */
  readonly site?: Site
}

/** Says whether a Worker may make one more request of its own. */
export type TakeSubrequest = () => boolean

/** The backplane as the runtime sees it: where cells call their bindings. */
export interface BackplanePort {
  /**
   * Listens on `socketPath` for the calls of one cell, until disposed of (which answers what is in
   * flight first). Resolves once it listens. A stale socket file is removed. A call for which `take`
   * says `false` is refused: 429.
   */
  open(cell: string, socketPath: string, take: TakeSubrequest): Promise<AsyncDisposable>
  /** Replaces, in one step, everything that a cell may call. */
  grant(cell: string, grants: readonly Grant[]): void
}

/** What has come to some targets since each was published. */
export type Traffic = {
  /** Requests, WebSockets and events that were sent there, and those of them that have ended. */
  readonly begun: number
  readonly ended: number
  /** WebSockets that are open. */
  readonly sockets: number
}

/** CPU time of one request, or memory of a process. */
export type ExceededLimit = 'cpu' | 'memory'

/** Something in flight to a target. */
export type FlightKind = 'request' | 'socket' | 'event'

export type Flight = {
  /** What the process was killed for that had it, and whether this request is the likely culprit. */
  readonly exceeded: Exceeded | undefined
  /** It is not in flight any more: because the process has answered it whole, or otherwise. */
  end(how: { readonly isAnswered: boolean }): void
}

export type Exceeded = { readonly limit: ExceededLimit; readonly isCulprit: boolean }

/** A way out of a Worker. */
export type Exit = Pick<RoutedWorker, 'account' | 'worker'> & {
  /** What is offered to whoever asks for a client certificate: see `ExitWire`. */
  readonly certificate?: string
}

/** The egress proxy as the runtime sees it: the only way out of a cell. */
export interface EgressPort {
  /**
   * Listens on `socketPath` for what one Worker sends to the Internet, until disposed of, which ends
   * what is in flight. Resolves once it listens. A stale socket file is removed. A request for which
   * `take` says `false` is cut off. Rejects with an `ApiError` if the certificate is not there (any
   * more). No two ways out share a connection.
   */
  open(exit: Exit, socketPath: string, take: TakeSubrequest): Promise<AsyncDisposable>
}

/** The runtime as ingress sees it. */
export interface WakePort {
  /**
   * Has a Worker that is asleep, or a preview that does not run, started. The live table says when it
   * is there, and until then that it is not asleep any more. Asking again meanwhile costs nothing. A preview that can't be had stays out of
   * the table.
   */
  wake(worker: RoutedWorker): void
}

/** Ingress as the runtime sees it. */
export interface IngressPort {
  /** Takes effect for the next request. */
  publishLive(table: LiveTable): void
  /**
   * Counts an event that a target is given as something in flight, until the flight is ended.
   * `cut` is called when it may not go on: a drain has waited long enough.
   */
  beginEvent(targetId: string, cut: () => void): Flight
  /**
   * Resolves once nothing is in flight to these targets: what is left after `deadlineMs` (open
   * WebSockets, endless streams) is closed, and what is left of events after `eventsMs`, which is
   * `deadlineMs` if absent.
   */
  drain(targetIds: readonly string[], deadlineMs: number, eventsMs?: number): Promise<void>
  /** How long nothing has been in flight to any of these targets, in ms; 0 while something is. */
  idleMs(targetIds: readonly string[]): number
  /** `undefined` once one of them is out of the live table: what it still has is not counted. */
  traffic(targetIds: readonly string[]): Traffic | undefined
  /**
   * How many requests these targets have answered since each was published: it grows while a process
   * gets on with its work.
   */
  answered(targetIds: readonly string[]): number
  /**
   * Says that the process of these targets is about to be killed because it exceeds a limit. What is
   * in flight there is then answered with page 1102, or repeated where that is safe and the request
   * is not the likely culprit.
   */
  exceeded(targetIds: readonly string[], limit: ExceededLimit): void
  /** Closes the WebSockets of these targets, each with a Close frame of status 1012 (restart). */
  closeWebSockets(targetIds: readonly string[]): void
}
