import { mkdir } from 'node:fs/promises'
import type { Module, WorkerPlan } from '#contract/cell.ts'
import type { CellContext } from './cell.ts'
import { writeConfig } from './config.ts'
import { jailBytes } from './limits.ts'
import { WorkerdProcess } from './process.ts'
import { cellFolder, newHiddenName, type Slot, socketPath } from './slots.ts'
import { configSources } from './sources.ts'

/** The place of a Worker in a throw-away process. */
export function checkedSlot(worker: WorkerPlan): Slot {
  return { id: 'w0', plan: worker, capabilities: new Map(), certificateSockets: new Map() }
}

/**
 * Starts a process with one version, or with nothing, that may call nothing: no back end answers,
 * no traffic reaches it. Throws `StartError`. The caller kills it.
 */
export async function launchThrowAway(
  context: CellContext,
  checked?: { readonly worker: WorkerPlan; readonly read: (module: Module) => Uint8Array },
): Promise<WorkerdProcess> {
  const id = context.random.hex(6)
  const folder = cellFolder(context.runDirectory, id)
  const agentSocket = socketPath(folder, 'a')
  await mkdir(folder, { mode: 0o700 })
  return WorkerdProcess.start({
    workerdPath: context.workerdPath,
    config: writeConfig({
      slots: checked ? [checkedSlot(checked.worker)] : [],
      agentSocket,
      backplaneSocket: socketPath(folder, 'b'),
      hiddenName: newHiddenName(context),
      objectsDirectory: '',
      isCheck: true,
      ...configSources,
      capabilityHeader: context.capabilityHeader,
      read: checked?.read ?? (() => new Uint8Array()),
    }),
    agentSocket,
    folder,
    sockets: [agentSocket],
    runDirectory: context.runDirectory,
    experimental: false,
    jail: context.jail(),
    account: checked?.worker.account,
    objects: [],
    shared: [],
    limits: { memoryBytes: jailBytes(context.limits.memoryBytes), atLimit: 'kill' },
    startTimeoutMs: context.startTimeoutMs,
    signal: context.closing,
    log: context.log.child({ check: checked?.worker.worker }),
  })
}
