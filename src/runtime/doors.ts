import { mkdir, rm } from 'node:fs/promises'
import type { BackplanePort, EgressPort, TakeSubrequest } from '#contract/snapshot.ts'
import { grantsOf, type Slot, socketPath } from './slots.ts'

/** A cell as it is known outside. */
export type Place = {
  readonly id: string
  readonly folder: string
  readonly slots: readonly Slot[]
  /** Asked for each call of a binding and each request to the outside. */
  readonly take: TakeSubrequest
}

/**
 * Makes the folder of a cell's sockets, and listens on those that are ours to answer, until disposed
 * of. Nobody is behind its Workers' own doors yet.
 */
export async function openDoors(
  { backplane, egress }: { readonly backplane: BackplanePort; readonly egress: EgressPort },
  { id, folder, slots, take }: Place,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  await mkdir(folder, { recursive: true, mode: 0o700 })
  stack.use(await backplane.open(id, backplaneSocket(folder), take))
  backplane.grant(id, grantsOf(id, slots))
  for (const { plan, exitSocket, certificateSockets } of slots) {
    const { account, worker } = plan
    if (exitSocket === undefined) continue
    stack.use(await egress.open({ account, worker }, exitSocket, take))
    for (const [certificate, path] of certificateSockets) {
      stack.use(await egress.open({ account, worker, certificate }, path, take))
    }
  }
  return stack.move()
}

export function backplaneSocket(folder: string): string {
  return socketPath(folder, 'b')
}
