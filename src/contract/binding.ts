import { z } from 'zod'
import type { Site, Sites } from './assets.ts'
import type { BackendHandler, Grant, Protocol } from './backend.ts'
import type { ClientCertificates } from './client-certificates.ts'
import type { EventHost } from './events.ts'
import type { GuestPort } from './guests.ts'
import type { HostServer } from './hosts.ts'
import type { AccountId, WorkerName } from './ids.ts'
import type { Json, JsonObject } from './json.ts'
import type { Ports } from './ports.ts'
import type { QueuePort } from './queues.ts'
import type { ZoneOwner } from './snapshot.ts'
import type { Usage } from './usage.ts'
import type { Wire } from './wire.ts'

// One kind of binding, as the rest of the house sees it. The life of an entry of `bindings` in
// upload metadata:
//
//   entry ── entry schema ──▶ entry ── admit ──▶ stored with the version ── prepare ──▶ wiring ──▶ Wire
//                                                   └── reveal ──▶ what the API shows
//
// The static half (schema, wiring, reveal) is pure. The live half has the ports.

/** What every entry has. The rest is the binding's own. */
export type Entry = JsonObject & { readonly type: string; readonly name: string }

/** Facts about the version that an entry belongs to. */
export type VersionFacts = {
  readonly id: string
  /** `annotations["workers/tag"]`, or `""`. */
  readonly tag: string
  /** ISO 8601. */
  readonly createdAt: string
  /** Its files, if it has any. */
  readonly site?: Site
}

export type Owner = { readonly account: AccountId; readonly worker: WorkerName }

/** The half of a binding that keeps state. Owned by `main.ts`. */
export interface LiveBinding extends AsyncDisposable {
  /**
   * Looks at an entry before it is stored with a version, and may change it (encrypt it, resolve a
   * name). Throws an `ApiError` if what it points at does not exist: nothing is stored then.
   */
  admit?(entry: Entry, owner: Owner): Promise<Entry>
  /** Makes a stored entry ready for `wiring`: opens what is encrypted. Called at each start. */
  prepare?(stored: Entry, owner: Owner): Promise<Entry>
  /** Gives the handler of one grant's calls. The grant's `resource` is what `wiring` said. */
  serve?(grant: Grant): BackendHandler
  /** The REST resources, mounted by control. */
  readonly api?: readonly ApiMount[]
  /** Those whose callers show a token that this binding gave out. */
  readonly guardedApi?: readonly GuardedMount[]
  /** What it speaks beside REST, on the API's listener. */
  readonly protocols?: readonly Protocol[]
  /** What the GraphQL API has of it, by name. */
  readonly datasets?: Readonly<Record<string, Dataset>>
  /** The files of Workers: at most one kind of binding has them. */
  readonly sites?: Sites
  /** Hosts that visitors reach it at, without a Worker. */
  readonly hosts?: HostServer
  /** The key pairs of its `ExitWire`s: at most one kind of binding has such wires. */
  readonly clientCertificates?: ClientCertificates
  /** How other products put messages into queues. */
  readonly queues?: QueuePort
  /**
   * Told once every Worker is back: from now on it may give them events. Disposing of what it returns
   * begins no more of them and waits for those under way, for a while at most.
   */
  start?(house: House): AsyncDisposable
  /** Told when a Worker is deleted for good, after it is gone. */
  forget?(owner: Owner): Promise<void>
}

/** One kind of binding with its state, if it keeps any. */
export type ServedBinding = { readonly binding: Binding; readonly live?: LiveBinding }

/** What a binding is handed that others in the house can do. */
export type House = EventHost & {
  /** What Workers have loaded by themselves. */
  readonly guests: GuestPort
  /** Absent where no binding has queues. */
  readonly queues: QueuePort | undefined
  /** Below which Workers answer, and what else has a public address. */
  readonly domain: string
  /** Where visitors reach a host. */
  readonly urlOf: (host: string) => string
  /** Whose a host is; `undefined` if it is in no account's zone. At once, and as of now. */
  readonly ownerOf: (host: string) => ZoneOwner | undefined
  readonly usage: Usage
}

/**
 * Rows of an account: those that a filter is for, the newest first; one for each combination of the
 * `dimensions` that are asked for, where it can tell them apart. What it does not know it ignores.
 */
export type Dataset = (
  account: AccountId,
  filter: JsonObject,
  dimensions: readonly string[],
) => Promise<readonly JsonObject[]>

/** REST resources of one product below `/client/v4/accounts/:account_id`. */
export type ApiMount = {
  /** Where they begin, e.g. `/storage/kv/namespaces`. */
  readonly path: string
  /** Whether a request other than GET only reads, so that a token for reading may make it. */
  readonly isRead?: (request: Request) => boolean
  /**
   * Answers a request whose URL begins with `path` (what stood before it is cut off).
   * Throws `ApiError` for what is the client's fault.
   */
  handle(request: Request, caller: Caller): Promise<Response>
}

/** REST resources below `/client/v4/accounts/:account_id` that find out by themselves who calls. */
export type GuardedMount = {
  readonly path: string
  /** As of `ApiMount`; `account` is what the URL says, and nobody has looked at it. */
  handle(request: Request, account: string): Promise<Response>
}

/** Who calls the API: checked, and allowed to do what the method does. */
export type Caller = { readonly account: AccountId; readonly email: string }

/** What `defineBinding` takes: typed by the entry's schema. */
export type BindingDefinition<Type extends string, Schema extends z.ZodType<Entry>> = {
  readonly type: Type
  /** Reads an entry from upload metadata. Unknown keys of an entry are refused or dropped here. */
  readonly entry: Schema
  readonly wiring: (prepared: Entry, version: VersionFacts) => Wire
  /** What the API shows of a stored entry: all of it by default. */
  readonly reveal?: (stored: Entry) => Entry
  /** The folder of `NNNN.sql` files, applied in order to the binding's own database. */
  readonly migrations?: URL
  readonly open?: (ports: Ports) => Promise<LiveBinding>
}

/** One kind of binding with the type of its entries forgotten: what a list of them holds. */
export type Binding = Omit<BindingDefinition<string, z.ZodType<Entry>>, 'entry'> & {
  /** Reads an entry. Throws a `z.ZodError`. */
  readonly parse: (entry: unknown) => Entry
}

export function defineBinding<const Type extends string, Schema extends z.ZodType<Entry>>(
  definition: BindingDefinition<Type, Schema>,
): Binding & { readonly type: Type } {
  const { entry, ...rest } = definition
  return { ...rest, parse: (value) => entry.parse(value) }
}

/** The name of a binding: any text that can be a property of `env`; long ones are refused. */
export const bindingName = z.string().min(1).max(255)

/** Reads any JSON value, with a bound on what `JSON.parse` gave. */
export const jsonValue: z.ZodType<Json> = z.json()
