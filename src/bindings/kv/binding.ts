import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import { kvApi } from './api.ts'
import { boundNamespaceNotFound } from './errors.ts'
import { kvEntry, namespaceId } from './schema.ts'
import { oneWritePerSecond, serveKv } from './service.ts'
import { openStore } from './store.ts'
import { kvWiring } from './wiring.ts'

export const kvNamespace = defineBinding({
  type: 'kv_namespace',
  entry: kvEntry,
  wiring: kvWiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: (ports) => openKv(ports),
})

export type KvOptions = {
  /** Answer a second write to a key within a second with 429, as Cloudflare does. */
  readonly oneWritePerSecond?: boolean
}

export async function openKv(ports: Ports, options: KvOptions = {}): Promise<LiveBinding> {
  const { clock } = ports
  const store = await openStore(ports)
  const mayWrite = options.oneWritePerSecond ? oneWritePerSecond(clock) : undefined
  return {
    async admit(entry, { account }) {
      const { namespace_id: id } = kvEntry.parse(entry)
      const namespace = namespaceId.safeParse(id)
      if (!namespace.success || store.ownerOf(namespace.data) !== account) {
        throw boundNamespaceNotFound(id)
      }
      return entry
    },
    serve: (grant) => serveKv({ store, clock, mayWrite }, grant),
    api: [kvApi({ store, clock })],
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}
