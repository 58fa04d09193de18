import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import { AccessLog } from './access-log.ts'
import { secretsStoreApi } from './api.ts'
import { boundSecretNotFound } from './errors.ts'
import { secretsStoreEntry } from './schema.ts'
import { serveSecret } from './service.ts'
import { openStore } from './store.ts'
import { secretsStoreWiring } from './wiring.ts'

/** A secret of the account, whose value is asked for at each `get()`. */
export const secretsStoreSecret = defineBinding({
  type: 'secrets_store_secret',
  entry: secretsStoreEntry,
  wiring: secretsStoreWiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: (ports) => openSecretsStore(ports),
})

export async function openSecretsStore(ports: Ports): Promise<LiveBinding> {
  const store = await openStore(ports)
  const accesses = new AccessLog(ports)
  return {
    async admit(entry, { account }) {
      const { name, store_id: id, secret_name: secret } = secretsStoreEntry.parse(entry)
      if (await store.isBindable(account, { store: id, secret })) return entry
      throw boundSecretNotFound(name, id, secret)
    },
    serve: (grant) => serveSecret({ store, accesses }, grant),
    api: [secretsStoreApi(store)],
    async [Symbol.asyncDispose]() {
      accesses[Symbol.dispose]()
    },
  }
}
