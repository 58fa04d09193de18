import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { d1Entry, databaseId } from './schema.ts'

export function d1Wiring(prepared: Entry): Wire {
  const { id } = d1Entry.parse(prepared)
  return { type: 'backend', client: 'd1', resource: { database: databaseId.parse(id) } }
}
