import { join } from 'node:path'
import type { CellPlan, WorkerPlan } from '#contract/cell.ts'
import type { HostLimits } from './host-options.ts'
import type { Jail } from './jail.ts'
import { guestBytes, jailBytes } from './limits.ts'
import type { ProcessOptions } from './process.ts'

/** What the process of a cell is held to: its own objects, and so much memory. */
export function confinesOf(
  { jail, limits }: { readonly jail: () => Jail | undefined; readonly limits: HostLimits },
  { account, workers }: CellPlan,
  objectsDirectory: string,
): Pick<ProcessOptions, 'jail' | 'account' | 'objects' | 'shared' | 'limits'> {
  const namespaces = workers.flatMap(({ objects }) => objects.map(({ id }) => id))
  const memoryBytes = jailBytes(workersBytes(workers, limits))
  return {
    jail: jail(),
    account,
    objects: [...new Set(namespaces)].map((id) => join(objectsDirectory, id)),
    shared: [],
    // The watchdog kills it, and says why.
    limits: { memoryBytes, atLimit: 'pause' },
  }
}

/** What the Workers of a process may hold together, with those that they load. */
export function workersBytes(workers: readonly WorkerPlan[], limits: HostLimits): number {
  const hosts = workers.filter(({ bindings }) =>
    bindings.some(
      ({ wire }) =>
        wire.type === 'backend' && typeof wire.client === 'object' && wire.client.loads === true,
    ),
  )
  return workers.length * limits.memoryBytes + hosts.length * guestBytes
}
