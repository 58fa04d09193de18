import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { jsonEntry, plainTextEntry } from './schema.ts'

export function plainTextWiring(entry: Entry): Wire {
  return { type: 'text', text: plainTextEntry.parse(entry).text }
}

export function jsonWiring(entry: Entry): Wire {
  return { type: 'json', json: jsonEntry.parse(entry).json }
}
