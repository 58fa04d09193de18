import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import type { Usage } from '#contract/usage.ts'
import { mtlsApi } from './api.ts'
import { boundAuthority, boundNotFound, certificateNotFound } from './errors.ts'
import { Expiries } from './expiries.ts'
import { mtlsEntry } from './schema.ts'
import { CertificateStore } from './store.ts'
import { mtlsWiring } from './wiring.ts'

/** A `fetch` that says who it is: TLS with a client certificate of the account's. */
export const mtlsCertificate = defineBinding({
  type: 'mtls_certificate',
  entry: mtlsEntry,
  wiring: mtlsWiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: openMtls,
})

export async function openMtls(ports: Ports): Promise<LiveBinding> {
  const store = new CertificateStore(ports)
  let usage: Usage | undefined
  /** Throws unless an entry names a client certificate of its account. */
  const check: LiveBinding['prepare'] = async (entry, { account }) => {
    const { name, certificate_id: id } = mtlsEntry.parse(entry)
    const found = await store.find(account, id)
    if (!found) throw boundNotFound(name, id)
    if (found.isAuthority) throw boundAuthority(name, id)
    return entry
  }
  return {
    admit: check,
    prepare: check,
    api: [mtlsApi({ store, clock: ports.clock, usage: () => usage })],
    clientCertificates: {
      async keyPair(account, id) {
        const pair = await store.keyPair(account, id)
        if (!pair) throw certificateNotFound(id)
        return pair
      },
    },
    start(house) {
      usage = house.usage
      return new Expiries({ ...ports, store, usage })
    },
    async [Symbol.asyncDispose]() {},
  }
}
