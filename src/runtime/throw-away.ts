import type { Module, WorkerPlan } from '#contract/cell.ts'
import type { CellContext } from './cell.ts'
import { writeConfig } from './config.ts'
import { WorkerdProcess } from './process.ts'
import { newHiddenName, type Slot, socketPath } from './slots.ts'
import { sources } from './sources.ts'

/** The place of a Worker in a throw-away process. */
export function checkedSlot(worker: WorkerPlan): Slot {
  return { id: 'w0', plan: worker, capabilities: new Map() }
}

/**
 * Starts a process with one version, or with nothing, that may call nothing: no back end answers,
 * no traffic reaches it. Throws `StartError`. The caller kills it.
 */
export function launchThrowAway(
  context: CellContext,
  checked?: { readonly worker: WorkerPlan; readonly read: (module: Module) => Uint8Array },
): Promise<WorkerdProcess> {
  const id = context.random.hex(6)
  const agentSocket = socketPath(context.runDirectory, id, 'a')
  return WorkerdProcess.start({
    workerdPath: context.workerdPath,
    config: writeConfig({
      slots: checked ? [checkedSlot(checked.worker)] : [],
      agentSocket,
      backplaneSocket: socketPath(context.runDirectory, id, 'b'),
      hiddenName: newHiddenName(context),
      rootCertificates: context.rootCertificates,
      objectsDirectory: '',
      isCheck: true,
      agentSource: sources.agent,
      hiddenSource: sources.hidden,
      splitSource: sources.split,
      capabilityHeader: context.capabilityHeader,
      read: checked?.read ?? (() => new Uint8Array()),
    }),
    agentSocket,
    sockets: [agentSocket],
    runDirectory: context.runDirectory,
    startTimeoutMs: context.startTimeoutMs,
    signal: context.closing,
    log: context.log.child({ check: checked?.worker.worker }),
  })
}
