import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { openKeyEntry, secretTextEntry } from './schema.ts'

export function secretTextWiring(prepared: Entry): Wire {
  return { type: 'text', text: secretTextEntry.parse(prepared).text }
}

export function secretKeyWiring(prepared: Entry): Wire {
  const { format, data, algorithm, usages } = openKeyEntry.parse(prepared)
  return { type: 'key', key: { format, data, algorithm, usages } }
}
