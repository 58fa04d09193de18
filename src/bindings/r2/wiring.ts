import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { r2Entry } from './schema.ts'

export function r2Wiring(prepared: Entry): Wire {
  const { bucket_name: bucket, jurisdiction = 'default' } = r2Entry.parse(prepared)
  return { type: 'backend', client: 'r2Bucket', resource: { bucket, jurisdiction } }
}
