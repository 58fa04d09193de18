import type { ObjectNamespaceId, WorkerName } from './ids.ts'
import type { Json } from './json.ts'

/**
 * What a binding becomes inside workerd. `wiring.ts` of a binding makes it, purely; `runtime/`
 * turns it into configuration, and compares two of them to learn what a deploy needs:
 * - `text` and `json` are values: a change is assigned to the running isolate's `env`;
 * - `backend`: a changed resource is a new entry in the capability table, the isolate stays;
 * - a change of anything else (a kind, a target) is another isolate.
 */
export type Wire =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'json'; readonly json: Json }
  | { readonly type: 'key'; readonly key: CryptoKeyWire }
  /** An `ArrayBuffer` (data blobs of the service-worker format). */
  | { readonly type: 'data'; readonly base64: string }
  /** A `WebAssembly.Module` (service-worker format), by the name of its module. */
  | { readonly type: 'wasm'; readonly module: string }
  | BackendWire
  | WorkerWire
  | ObjectsWire
  | ExitWire

/** A binding whose back end is ours, reached over the backplane with workerd's native client or with one of ours. */
export type BackendWire = {
  readonly type: 'backend'
  /**
   * The kind of native binding, by its name in workerd's schema; `d1`: a client that workerd has as a
   * module and wraps a service in; `fetcher`: the service itself. Where workerd has none, a shim.
   */
  readonly client: 'kvNamespace' | 'queue' | 'r2Bucket' | 'd1' | 'fetcher' | Shim
  /** What it points at, as the binding's `serve` is told. */
  readonly resource: Json
}

/**
 * A client of ours: a module that runs in the caller's isolate and that user code can't import,
 * wrapped around the back end. What its default export makes of `{ fetcher, ...values }` is in `env`.
 * User code that bends globals may get at what is inside, so the back end trusts nothing it is told.
 * It imports nothing, and Workers that are loaded dynamically can't be given it.
 */
export type Shim = {
  /** Of the module: the binding's folder. One name has one source. */
  readonly name: string
  /** The URL of the module's TypeScript, `shim.worker.ts` of the binding. */
  readonly source: string
  /** What it is told besides: a change is another isolate, as opposed to one of the `resource`. */
  readonly values: Readonly<Record<string, Json>>
  /**
   * Whether it loads Workers: it is handed workerd's own loader as `loader`, which shares its names
   * with nobody, and none in a check. workerd's internal module of entrypoints is `runtime` in its scope.
   */
  readonly loads?: true
}

/** Another Worker of the same account, in the same cell. */
export type WorkerWire = {
  readonly type: 'worker'
  readonly worker: WorkerName
  /** A named export; the default export if absent. */
  readonly entrypoint?: string
  /** `ctx.props` of the callee. */
  readonly props?: Json
}

/** A namespace of Durable Objects of the same account, in the same cell, whosever class it is. */
export type ObjectsWire = {
  readonly type: 'objects'
  readonly namespace: ObjectNamespaceId
}

/**
 * A way out of its own, beside that of `fetch`: to the same addresses, offering a client certificate to
 * whoever asks for one.
 */
export type ExitWire = {
  readonly type: 'exit'
  /**
   * The binding's name for it. The key is in no plan and no configuration: the proxy that makes the
   * connections asks for it (`contract/client-certificates.ts`).
   */
  readonly certificate: string
}

/** A `CryptoKey` made by workerd at start. */
export type CryptoKeyWire = {
  readonly format: 'raw' | 'pkcs8' | 'spki' | 'jwk'
  /** Base64 for the binary formats, JSON text for `jwk`. */
  readonly data: string
  /** The algorithm as `crypto.subtle.importKey` takes it. */
  readonly algorithm: Json
  readonly usages: readonly string[]
}
