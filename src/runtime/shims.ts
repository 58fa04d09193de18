import type { Shim } from '#contract/wire.ts'
import type { Capnp } from './capnp.ts'
import type { Slot } from './slots.ts'

// Clients of bindings that workerd has none for: modules of ours, as extensions of a configuration.

/** The service that tells watchers of loaded Workers their names. */
const guestTailsService = 'guest-tails'

/** Every shim that a binding of these slots is wrapped by, once. */
export function shimsOf(slots: readonly Slot[]): readonly Shim[] {
  const shims = new Map<string, Shim>()
  for (const { plan } of slots) {
    for (const { wire } of plan.bindings) {
      if (wire.type !== 'backend' || typeof wire.client !== 'object') continue
      const { name, source } = wire.client
      const known = shims.get(name)
      if (known && known.source !== source) throw new Error(`two shims are called ${name}`)
      shims.set(name, wire.client)
    }
  }
  return [...shims.values()]
}

export function moduleOfShim(shim: Shim, source: string): Capnp {
  const inScope = shim.loads ? "import runtime from 'cloudflare-internal:workers'\n" : ''
  return { name: moduleName(shim), internal: true, esModule: inScope + source }
}

/** What a shim that loads is handed besides. */
export type Loading = {
  /** The id of its loader: bindings with the same share their names. Absent: it may not load. */
  readonly id: string | undefined
  /** What takes the place of workerd's `connect`: `sockets.worker.ts`. */
  readonly socketsSource: string
}

/** A binding that is what the shim makes of a service and its values, and of a loader if it loads. */
export function wrappedBy(shim: Shim, service: string, loading: Loading): Capnp {
  const values = Object.entries(shim.values).map(([name, value]) => ({
    name,
    json: JSON.stringify(value),
  }))
  const loader =
    shim.loads && loading.id !== undefined
      ? [
          { name: 'loader', workerLoader: { id: loading.id } },
          { name: 'tails', service: guestTailsService },
          { name: 'socketsSource', text: loading.socketsSource },
        ]
      : []
  return {
    moduleName: moduleName(shim),
    innerBindings: [{ name: 'fetcher', service }, ...values, ...loader],
  }
}

/** Whether any Worker of a configuration may load others: none does in a check. */
export function mayLoad(config: {
  readonly slots: readonly Slot[]
  readonly isCheck: boolean
}): boolean {
  return !config.isCheck && shimsOf(config.slots).some(({ loads }) => loads)
}

/** The service that `guest-tails.worker.ts` is; what it sends out goes to `exit`. */
export function guestTails(source: string, exit: string): Capnp {
  return {
    name: guestTailsService,
    worker: {
      compatibilityDate: '2026-11-01',
      modules: [{ name: 'guest-tails.js', esModule: source }],
      globalOutbound: exit,
    },
  }
}

function moduleName({ name }: Shim): string {
  return `bindery-internal:${name}`
}
