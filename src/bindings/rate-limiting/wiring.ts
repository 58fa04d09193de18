import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { keyLength } from './limits.ts'
import { rateLimitEntry } from './schema.ts'

const source = new URL('./shim.worker.ts', import.meta.url).href

/** Limit and period are the resource's: to change them costs no isolate. */
export function rateLimitWiring(prepared: Entry): Wire {
  const { namespace_id: namespaceId, simple } = rateLimitEntry.parse(prepared)
  const { limit, period } = simple
  return {
    type: 'backend',
    client: { name: 'rate-limiting', source, values: { keyLength } },
    resource: { namespaceId, limit, period },
  }
}
