import { defineBinding, type Entry, type LiveBinding } from '#contract/binding.ts'
import { variableTooLarge } from './errors.ts'
import { variableBytes } from './limits.ts'
import { jsonEntry, plainTextEntry } from './schema.ts'
import { jsonWiring, plainTextWiring } from './wiring.ts'

/** A string in `env`. */
export const plainText = defineBinding({
  type: 'plain_text',
  entry: plainTextEntry,
  wiring: plainTextWiring,
  open: async () => sizeChecked((entry) => plainTextEntry.parse(entry).text),
})

/** Any other JSON value in `env`. */
export const json = defineBinding({
  type: 'json',
  entry: jsonEntry,
  wiring: jsonWiring,
  open: async () => sizeChecked((entry) => JSON.stringify(jsonEntry.parse(entry).json)),
})

function sizeChecked(textOf: (entry: Entry) => string): LiveBinding {
  return {
    async admit(entry) {
      const bytes = new TextEncoder().encode(textOf(entry)).byteLength
      if (bytes > variableBytes) throw variableTooLarge(entry.name, bytes, variableBytes)
      return entry
    },
    async [Symbol.asyncDispose]() {},
  }
}
