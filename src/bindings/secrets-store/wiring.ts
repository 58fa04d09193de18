import type { Entry } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'
import { secretsStoreEntry } from './schema.ts'

const source = new URL('./shim.worker.ts', import.meta.url).href

/** Which secret it is, is the resource's: to name another costs no isolate. */
export function secretsStoreWiring(prepared: Entry): Wire {
  const { store_id: store, secret_name: secret } = secretsStoreEntry.parse(prepared)
  return {
    type: 'backend',
    client: { name: 'secrets-store', source, values: {} },
    resource: { store, secret },
  }
}
