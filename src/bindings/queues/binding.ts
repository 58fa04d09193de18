import { defineBinding } from '#contract/binding.ts'
import { openQueues } from './queues.ts'
import { queueEntry } from './schema.ts'
import { queueWiring } from './wiring.ts'

export const queue = defineBinding({
  type: 'queue',
  entry: queueEntry,
  wiring: queueWiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: (ports) => openQueues(ports),
})
