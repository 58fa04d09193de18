import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import { crossAccountGrant } from './errors.ts'
import { serviceEntry } from './schema.ts'
import { serviceWiring } from './wiring.ts'

/** Another Worker of the account, called over HTTP or RPC without leaving the process. */
export const service = defineBinding({
  type: 'service',
  entry: serviceEntry,
  wiring: serviceWiring,
  open: async () => sameAccountOnly,
})

const sameAccountOnly: LiveBinding = {
  async admit(entry) {
    if (serviceEntry.parse(entry).cross_account_grant !== undefined) {
      throw crossAccountGrant(entry.name)
    }
    return entry
  },
  async [Symbol.asyncDispose]() {},
}
