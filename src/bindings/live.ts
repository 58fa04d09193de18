import type { BackendHandler, Grant } from '#contract/backend.ts'
import type { Binding, House, LiveBinding, ServedBinding } from '#contract/binding.ts'
import type { EventHost } from '#contract/events.ts'
import type { GuestHost } from '#contract/guests.ts'
import type { Ports } from '#contract/ports.ts'

// The live halves of all kinds of binding, together.

/**
 * Opens what has a live half, with the ports that `portsOf` gives it. `stack` owns what was opened,
 * also if a later one fails to.
 */
export async function openBindings(
  bindings: readonly Binding[],
  portsOf: (binding: Binding) => Promise<Ports>,
  stack: AsyncDisposableStack,
): Promise<readonly ServedBinding[]> {
  const served: ServedBinding[] = []
  for (const binding of bindings) {
    const live = await binding.open?.(await portsOf(binding))
    served.push(live ? { binding, live: stack.use(live) } : { binding })
  }
  return served
}

/** Who answers the calls of a grant. */
export function serveBy(served: readonly ServedBinding[]): (grant: Grant) => BackendHandler {
  const byType = new Map(served.map(({ binding, live }) => [binding.type, live]))
  return (grant) => {
    const handler = byType.get(grant.type)?.serve?.(grant)
    if (!handler) throw new Error(`nobody serves bindings of type ${grant.type}`)
    return handler
  }
}

/**
 * Every Worker is back: bindings may give them events. Disposing of what it returns ends that, and
 * disposing of it once more does nothing.
 */
export function startBindings(
  served: readonly ServedBinding[],
  {
    host,
    ...where
  }: Pick<House, 'domain' | 'urlOf' | 'ownerOf' | 'usage'> & {
    readonly host: EventHost & GuestHost
  },
): AsyncDisposable {
  const lives = new Set(served.flatMap(({ live }) => live ?? []))
  const queues = [...lives].find((live: LiveBinding) => live.queues)?.queues
  const house: House = {
    events: host.events,
    guests: host.guests,
    bindings: (account, type) => host.bindings(account, type),
    queues,
    ...where,
  }
  const started = [...lives].flatMap((live) => live.start?.(house) ?? [])
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(started.splice(0).map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

/** What a binding without migrations gets: it has said that it keeps nothing. */
export function portsOfNone(type: string): Pick<Ports, 'sql' | 'blob'> {
  const refuse = (): Promise<never> => Promise.reject(new Error(`${type} has no database`))
  const sql = { read: refuse, write: refuse, [Symbol.asyncDispose]: async () => {} }
  const refuseBlob = (): Promise<never> => Promise.reject(new Error(`${type} has no blobs`))
  const list = (): never => {
    throw new Error(`${type} has no blobs`)
  }
  return { sql, blob: { put: refuseBlob, get: refuseBlob, delete: refuseBlob, list } }
}
