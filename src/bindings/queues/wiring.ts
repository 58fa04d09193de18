import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { queueEntry } from './schema.ts'

export function queueWiring(prepared: Entry): Wire {
  const { queue_name: queue, delivery_delay: delaySeconds = null } = queueEntry.parse(prepared)
  return { type: 'backend', client: 'queue', resource: { queue, delaySeconds } }
}
