import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { kvEntry } from './schema.ts'

export function kvWiring(prepared: Entry): Wire {
  const { namespace_id: namespace } = kvEntry.parse(prepared)
  return { type: 'backend', client: 'kvNamespace', resource: { namespace } }
}
