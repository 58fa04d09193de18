import { defineBinding } from '#contract/binding.ts'
import { objectsEntry } from './schema.ts'
import { objectsWiring } from './wiring.ts'

/** A namespace of Durable Objects in `env`. Which classes there are is control's to know. */
export const durableObjects = defineBinding({
  type: 'durable_object_namespace',
  entry: objectsEntry,
  wiring: objectsWiring,
})
