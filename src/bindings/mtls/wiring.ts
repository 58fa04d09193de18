import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { mtlsEntry } from './schema.ts'

export function mtlsWiring(prepared: Entry): Wire {
  return { type: 'exit', certificate: mtlsEntry.parse(prepared).certificate_id }
}
