import type { Shim } from '#contract/wire.ts'
import type { Capnp } from './capnp.ts'
import type { Slot } from './slots.ts'

// Clients of bindings that workerd has none for: modules of ours, as extensions of a configuration.

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
  return { name: moduleName(shim), internal: true, esModule: source }
}

/** A binding that is what the shim makes of a service and its values. */
export function wrappedBy(shim: Shim, service: string): Capnp {
  const values = Object.entries(shim.values).map(([name, value]) => ({
    name,
    json: JSON.stringify(value),
  }))
  return { moduleName: moduleName(shim), innerBindings: [{ name: 'fetcher', service }, ...values] }
}

function moduleName({ name }: Shim): string {
  return `bindery-internal:${name}`
}
