import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import { boundBucketNotFound } from './errors.ts'
import { openParts } from './parts.ts'
import { r2Entry } from './schema.ts'
import { serveR2 } from './service.ts'
import { r2Wiring } from './wiring.ts'

export const r2Bucket = defineBinding({
  type: 'r2_bucket',
  entry: r2Entry,
  wiring: r2Wiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: (ports) => openR2(ports),
})

/** Buckets with all that belongs to them. */
export async function openR2(ports: Ports): Promise<LiveBinding> {
  const parts = await openParts(ports)
  return {
    async admit(entry, { account }) {
      const { bucket_name: name, jurisdiction = 'default' } = r2Entry.parse(entry)
      if (!parts.buckets.find(account, jurisdiction, name)) throw boundBucketNotFound(name)
      return entry
    },
    serve: (grant) => serveR2(parts, grant),
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}
