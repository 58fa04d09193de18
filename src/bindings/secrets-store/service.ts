import type { BackendHandler, Grant } from '#contract/backend.ts'
import type { AccessLog } from './access-log.ts'
import { secretResource } from './schema.ts'
import type { SecretsStore } from './store.ts'

/**
 * Answers `shim.worker.ts`: the bytes of the value, or 404 with the sentence that `get()` rejects with.
 * Which secret it is, is the grant's: nothing that is sent is looked at.
 */
export function serveSecret(
  { store, accesses }: { readonly store: SecretsStore; readonly accesses: AccessLog },
  grant: Grant,
): BackendHandler {
  const bound = secretResource.parse(grant.resource)
  return async () => {
    const found = await store.read(grant.account, bound)
    accesses.note({ grant, store: bound.store, secretName: bound.secret, secret: found?.id })
    if (!found) return { status: 404, reason: `Secret "${bound.secret}" not found` }
    return { status: 200, body: found.value }
  }
}
