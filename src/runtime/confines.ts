import { join } from 'node:path'
import type { CellPlan } from '#contract/cell.ts'
import type { HostLimits } from './host-options.ts'
import type { Jail } from './jail.ts'
import { jailBytes } from './limits.ts'
import type { ProcessOptions } from './process.ts'

/** What the process of a cell is held to: its own objects, and so much memory. */
export function confinesOf(
  { jail, limits }: { readonly jail: () => Jail | undefined; readonly limits: HostLimits },
  { account, workers }: CellPlan,
  objectsDirectory: string,
): Pick<ProcessOptions, 'jail' | 'account' | 'objects' | 'shared' | 'limits'> {
  const namespaces = workers.flatMap(({ objects }) => objects.map(({ id }) => id))
  const memoryBytes = jailBytes(workers.length * limits.memoryBytes)
  return {
    jail: jail(),
    account,
    objects: [...new Set(namespaces)].map((id) => join(objectsDirectory, id)),
    shared: [],
    // The watchdog kills it, and says why.
    limits: { memoryBytes, atLimit: 'pause' },
  }
}
