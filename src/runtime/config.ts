import { Buffer } from 'node:buffer'
import type { Module, WorkerExports, WorkerPlan } from '#contract/cell.ts'
import type { BackendWire, ObjectsWire, Shim, Wire, WorkerWire } from '#contract/wire.ts'
import { type Capnp, CapnpSymbol, capnpVoid, isList, renderCapnp } from './capnp.ts'
import { keyOf } from './crypto-key.ts'
import { receiverName } from './event-message.ts'
import { guestTails, mayLoad, moduleOfShim, shimsOf, wrappedBy } from './shims.ts'
import type { Door, Slot } from './slots.ts'
import {
  hasEntrypoint,
  onlyVersion,
  sharesOf,
  splitService,
  splitSource,
  splitsOf,
} from './splits.ts'

export type CellConfig = {
  readonly slots: readonly Slot[]
  readonly agentSocket: string
  readonly backplaneSocket: string
  /** Random for each process: the hidden export's name, which user code must not guess. */
  readonly hiddenName: string
  /** Where the files of Durable Objects are. */
  readonly objectsDirectory: string
  /** A check loads the code, calls nothing and exports nothing. */
  readonly isCheck: boolean
  readonly agentSource: string
  readonly hiddenSource: string
  readonly splitSource: string
  readonly socketsSource: string
  readonly guestTailsSource: string
  /** The JavaScript of a shim. */
  readonly shimSource: (shim: Shim) => string
  readonly capabilityHeader: string
  /** The bytes of every module of every slot. */
  readonly read: (module: Module) => Uint8Array
}

/** The service that nobody can call with success, and its class of objects. */
const nobody = 'nobody'
const nobodysClass = 'Nobody'

/** The service that is a folder: the objects of one account. */
const objectsDisk = 'objects'

/** What is imported before user code, so that TLS goes through the proxy: `sockets.worker.ts`. */
const socketsModule = 'bindery:sockets'

/** The configuration of one process, as Cap'n Proto text. It holds secrets: it is never a file. */
export function writeConfig(config: CellConfig): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = ${renderCapnp(configOf(config))};
`
}

// Fields whose content is a user's (code, values, keys) or secret (what carries our authority).
const masked = new Set(
  `esModule commonJsModule text data wasm json serviceWorkerScript wasmModule raw pkcs8 spki jwk
  value cfBlobHeader forwardedProtoHeader uniqueKey`.split(/\s+/),
)

/** The shape of a configuration, to be read by people: `***` stands for all that is secret. */
export function printConfig(config: CellConfig): string {
  return renderCapnp(mask(configOf(config))).replaceAll(config.hiddenName, '***')
}

function mask(value: Capnp): Capnp {
  if (typeof value !== 'object' || value instanceof Uint8Array) return value
  if (value instanceof CapnpSymbol) return value
  if (isList(value)) return value.map(mask)
  return Object.fromEntries(
    Object.entries(value).map(([field, inner]) => [
      field,
      inner === undefined ? undefined : masked.has(field) ? '***' : mask(inner),
    ]),
  )
}

function configOf(config: CellConfig): Capnp {
  const { slots } = config
  return {
    services: [
      ...slots.map((slot) => ({ name: slot.id, worker: workerOf(slot, config) })),
      ...slots.flatMap((slot) => backendsOf(slot, config)),
      { name: 'agent', worker: agentOf(config) },
      ...(isSplit(config) ? [{ name: splitService, worker: splitOf(config) }] : []),
      ...(mayLoad(config) ? [guestTails(config.guestTailsSource, nobody)] : []),
      ...slots.flatMap(exitOf),
      // Without one of this name workerd adds its own, which reaches the network.
      { name: 'internet', network: { allow: [] } },
      ...(holdsObjects(config)
        ? [{ name: objectsDisk, disk: { path: config.objectsDirectory, writable: true } }]
        : []),
      { name: nobody, worker: refusal(config.isCheck) },
    ],
    sockets: [
      ...slots.flatMap((slot) => (slot.door ? [socketOf(slot.id, slot.door)] : [])),
      { name: 'agent', address: `unix:${config.agentSocket}`, service: 'agent', http: {} },
    ],
    extensions: [
      {
        modules: [
          emailModule,
          socketsExtension(config),
          ...shimsOf(slots).map((shim) => moduleOfShim(shim, config.shimSource(shim))),
        ],
      },
    ],
  }
}

/** What `cloudflare:email` passes on: workerd has that module, and leaves its content to us. */
const emailModule = {
  name: 'cloudflare-internal:email',
  internal: true,
  esModule: `class EmailMessage {
  #raw
  constructor(from, to, raw) { this.from = from; this.to = to; this.#raw = raw }
}
export default { EmailMessage }`,
}

function socketsExtension({ socketsSource }: CellConfig): Capnp {
  return {
    name: socketsModule,
    internal: false,
    esModule: `import sockets from 'cloudflare-internal:sockets'
${socketsSource}
secureSockets(sockets)`,
  }
}

function refusal(isCheck: boolean): Capnp {
  const message = isCheck
    ? 'Bindings can not be called while a Worker is checked.'
    : 'The Worker or entrypoint that this binding refers to does not exist.'
  return {
    compatibilityDate: '2026-11-01',
    modules: [{ name: 'nobody.js', esModule: refusalSource(message) }],
    // Ids can be made of it, as they may be while a module loads; its objects refuse.
    durableObjectNamespaces: [{ className: nobodysClass, uniqueKey: nobody }],
    durableObjectStorage: { inMemory: capnpVoid },
    globalOutbound: nobody,
  }
}

/** Whether any object may be opened: a check opens none. */
function holdsObjects({ slots, isCheck }: CellConfig): boolean {
  return !isCheck && slots.some(({ plan }) => plan.objects.length > 0)
}

// A class: what is called by RPC is told that the method is missing, not of an internal error.
function refusalSource(message: string): string {
  return `import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers'
export default class extends WorkerEntrypoint { fetch() { throw new Error('${message}') } }
export class ${nobodysClass} extends DurableObject { fetch() { throw new Error('${message}') } }`
}

function socketOf(service: string, door: Door): Capnp {
  const { socketPath, cfBlobHeader, protoHeader } = door
  return {
    name: service,
    address: `unix:${socketPath}`,
    service,
    http: { cfBlobHeader, forwardedProtoHeader: protoHeader },
  }
}

function workerOf(slot: Slot, config: CellConfig): Capnp {
  const { code, bindings } = slot.plan
  return {
    ...codeOf(slot, config),
    compatibilityDate: code.compatibilityDate,
    compatibilityFlags: code.compatibilityFlags,
    bindings: bindings.map(({ name, wire }) => bindingOf({ slot, name, wire, config })),
    globalOutbound: slot.exitSocket === undefined ? 'internet' : exitName(slot),
    ...(config.isCheck ? {} : objectsOf(slot.plan)),
  }
}

function objectsOf({ objects }: WorkerPlan): { readonly [field: string]: Capnp } {
  if (objects.length === 0) return {}
  return {
    durableObjectNamespaces: objects.map(({ id, className, storage }) => ({
      className,
      uniqueKey: id,
      enableSql: storage === 'sqlite',
    })),
    durableObjectStorage: { localDisk: objectsDisk },
  }
}

function codeOf(slot: Slot, config: CellConfig): { readonly [field: string]: Capnp } {
  const { code, exports } = slot.plan
  if (code.format === 'service-worker') {
    const main = code.modules.find((module) => module.name === code.mainModule)
    return { serviceWorkerScript: main ? utf8(config.read(main)) : '' }
  }
  const entryName = `${config.hiddenName}.js`
  const hiddenModule = `${config.hiddenName}-entrypoint.js`
  return {
    modules: [
      {
        name: entryName,
        esModule: entrySource({ main: code.mainModule, hiddenModule, exports, config }),
      },
      { name: hiddenModule, esModule: config.hiddenSource },
      ...code.modules.map((module) => ({
        name: moduleName(module.name),
        [module.type]:
          module.type === 'data' || module.type === 'wasm'
            ? config.read(module)
            : utf8(config.read(module)),
      })),
    ],
  }
}

/**
 * The module that workerd takes for the Worker's: it has all exports of the user's and the hidden
 * one. A check has to find out first whether there is a default export to pass on. Ours is imported
 * before the user's: see `hidden.worker.ts`.
 */
function entrySource(entry: {
  readonly main: string
  readonly hiddenModule: string
  readonly exports: WorkerExports
  readonly config: CellConfig
}): string {
  const { hiddenName, isCheck } = entry.config
  const main = JSON.stringify(`./${moduleName(entry.main)}`)
  const lines = [
    `import { secureFetcher } from ${JSON.stringify(socketsModule)};`,
    `import { hiddenEntrypoint } from ${JSON.stringify(`./${entry.hiddenModule}`)};`,
    `import * as user from ${main};`,
    ...(isCheck ? [] : [`export * from ${main};`]),
    ...(!isCheck && entry.exports.hasDefault ? [`export { default } from ${main};`] : []),
    `export const ${hiddenName} = hiddenEntrypoint(user, ${JSON.stringify(hiddenName)}, secureFetcher);`,
  ]
  return lines.join('\n')
}

/** wrangler names some modules `./name`: workerd's registry knows them without the dot. */
function moduleName(name: string): string {
  return name.replace(/^(\.\/)+/, '')
}

/** A binding of a slot, on its way into the configuration. */
type Bound = {
  readonly slot: Slot
  readonly name: string
  readonly wire: Wire
  readonly config: CellConfig
}

function bindingOf(binding: Bound): Capnp {
  const { slot, name, wire, config } = binding
  switch (wire.type) {
    case 'text':
      return { name, text: wire.text }
    case 'json':
      return { name, json: JSON.stringify(wire.json) }
    case 'data':
      return { name, data: new Uint8Array(Buffer.from(wire.base64, 'base64')) }
    case 'wasm': {
      const module = slot.plan.code.modules.find((each) => each.name === wire.module)
      return { name, wasmModule: module ? config.read(module) : new Uint8Array() }
    }
    case 'key':
      return { name, cryptoKey: keyOf(wire.key) }
    case 'backend':
      return {
        name,
        ...clientOf(wire, config, config.isCheck ? undefined : backendName(slot, name)),
      }
    case 'worker':
      return {
        name,
        service: config.isCheck ? { name: nobody } : calleeOf(binding, wire),
      }
    case 'objects':
      return { name, durableObjectNamespace: ownerOf(wire, config) }
    case 'exit':
      return { name, service: certificateExit(slot, wire.certificate) }
  }
}

/**
 * Where workerd's client of a back end is, in its schema. One that loads Workers has names of its own:
 * no other binding, and no other version, finds what it has loaded.
 */
function clientOf(
  { client }: BackendWire,
  { socketsSource }: CellConfig,
  backend: string | undefined,
): { readonly [field: string]: Capnp } {
  const service = backend ?? nobody
  const loading = { id: backend, socketsSource }
  if (typeof client === 'object') return { wrapped: wrappedBy(client, service, loading) }
  switch (client) {
    case 'fetcher':
      return { service }
    case 'd1':
      return {
        wrapped: {
          moduleName: 'cloudflare-internal:d1-api',
          innerBindings: [{ name: 'fetcher', service }],
        },
      }
    case 'kvNamespace':
    case 'queue':
    case 'r2Bucket':
      return { [client]: service }
  }
}

/** Whose class the objects of a namespace are. Those of a namespace that is gone are nobody's. */
function ownerOf({ namespace }: ObjectsWire, { slots, isCheck }: CellConfig): Capnp {
  for (const { id, plan } of isCheck ? [] : slots) {
    const found = plan.objects.find((each) => each.id === namespace)
    if (found) return { className: found.className, serviceName: id }
  }
  return { className: nobodysClass, serviceName: nobody }
}

/**
 * What a service binding leads to: the Worker, or what spreads calls over its versions. A Worker that
 * lost what others call must not keep them from starting, as workerd would: the call fails instead.
 */
function calleeOf({ slot, name, config }: Bound, wire: WorkerWire): Capnp {
  const { slots } = config
  const split = splitsOf(slots).find((each) => each.caller === slot && each.binding === name)
  if (split) return { name: splitService, entrypoint: split.entrypoint }
  return entrypointOf(onlyVersion(slots, wire.worker), wire)
}

function entrypointOf(callee: Slot | undefined, { entrypoint, props }: WorkerWire): Capnp {
  if (!callee || !hasEntrypoint(callee.plan, entrypoint)) return { name: nobody }
  return {
    name: callee.id,
    entrypoint,
    props: props === undefined ? undefined : { json: JSON.stringify(props) },
  }
}

/** Whether any call is spread over versions. */
function isSplit({ slots, isCheck }: CellConfig): boolean {
  return !isCheck && splitsOf(slots).length > 0
}

function splitOf({ slots, splitSource: entrypoint }: CellConfig): Capnp {
  const splits = splitsOf(slots)
  return {
    compatibilityDate: '2026-11-01',
    modules: [
      { name: 'split.js', esModule: splitSource(splits) },
      { name: 'entrypoint.js', esModule: entrypoint },
    ],
    bindings: [
      { name: 'shares', json: JSON.stringify(sharesOf(slots)) },
      ...splits.flatMap(({ wire, ways }) =>
        ways.flatMap(({ name, callee, site }) => [
          { name, service: entrypointOf(callee, wire) },
          ...(site === undefined ? [] : [{ name: site, service: siteName(callee) }]),
        ]),
      ),
    ],
    globalOutbound: nobody,
  }
}

function backendName(slot: Slot, name: string): string {
  return `${slot.id}/${name}`
}

/** The service that is the files of a Worker, for those who call the Worker. */
function siteName({ id }: Slot): string {
  return `${id}:site`
}

/** One external service per binding: its injected header is what says who calls. */
function backendsOf(slot: Slot, config: CellConfig): Capnp[] {
  const own = [...slot.capabilities].map(([name, capability]): [string, string] => [
    backendName(slot, name),
    capability,
  ])
  const { plan, siteCapability } = slot
  const hasSite = plan.version.site !== undefined && siteCapability !== undefined
  const all = hasSite ? [...own, [siteName(slot), siteCapability] as const] : own
  return all.map(([name, capability]) => ({
    name,
    external: {
      address: `unix:${config.backplaneSocket}`,
      http: { injectRequestHeaders: [{ name: config.capabilityHeader, value: capability }] },
    },
  }))
}

function agentOf(config: CellConfig): Capnp {
  return {
    compatibilityDate: '2026-11-01',
    // How it passes on what is no request. It alone has these flags.
    compatibilityFlags: config.isCheck ? [] : ['service_binding_extra_handlers', 'experimental'],
    modules: [{ name: 'agent.js', esModule: config.agentSource }],
    bindings: config.slots
      .filter((slot) => slot.plan.code.format === 'modules')
      .map((slot): Capnp => ({
        name: slot.id,
        service: { name: slot.id, entrypoint: config.hiddenName },
      }))
      .concat(
        config.isCheck ? [] : config.slots.flatMap(receiversOf),
        isSplit(config)
          ? [{ name: splitService, service: { name: splitService, entrypoint: 'Control' } }]
          : [],
      ),
    globalOutbound: nobody,
  }
}

/** What of a Worker takes events. What a service worker listens to is not known. */
function receiversOf({ id, plan: { exports, code } }: Slot): Capnp[] {
  const takes = code.format === 'service-worker' || takesEvents(exports.handlers)
  const named = exports.named.filter(({ handlers }) => takesEvents(handlers))
  return [
    ...(takes ? [{ name: receiverName(id, undefined), service: { name: id } }] : []),
    ...named.map(({ name }): Capnp => ({
      name: receiverName(id, name),
      service: { name: id, entrypoint: name },
    })),
  ]
}

function takesEvents(handlers: readonly string[]): boolean {
  return handlers.includes('queue') || handlers.includes('scheduled')
}

function exitName(slot: Slot): string {
  return `${slot.id}:exit`
}

/**
 * The way out of a Worker: the egress proxy, which sees whole URLs. A socket of its own says who
 * calls, because a CONNECT has no injected headers.
 */
function exitOf(slot: Slot): Capnp[] {
  if (slot.exitSocket === undefined) return []
  const http = { style: new CapnpSymbol('proxy') }
  const ways = new Map([[exitName(slot), slot.exitSocket]])
  for (const [id, path] of slot.certificateSockets) ways.set(certificateExit(slot, id), path)
  return [...ways].map(([name, path]) => ({ name, external: { address: `unix:${path}`, http } }))
}

/** The service that is a way out with a client certificate; in a check it is nobody. */
function certificateExit(slot: Slot, certificate: string): string {
  return slot.certificateSockets.has(certificate) ? `${exitName(slot)}:${certificate}` : nobody
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
