import type { Entry } from '#contract/binding.ts'
import { objectNamespaceId } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { storedObjectsEntry } from './schema.ts'

/** What a class that is still to be made leads to while its version is checked: to nobody. */
const noNamespace = objectNamespaceId.parse('0'.repeat(32))

/** workerd's own namespace: ids, stubs, RPC and storage are native. */
export function objectsWiring(entry: Entry): Wire {
  const stored = storedObjectsEntry.safeParse(entry)
  return { type: 'objects', namespace: stored.success ? stored.data.namespace_id : noNamespace }
}
