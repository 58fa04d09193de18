import type { Grant } from '#contract/backend.ts'
import type { CellPlan, PlannedBinding, WorkerPlan } from '#contract/cell.ts'
import type { WorkerName } from '#contract/ids.ts'
import type { Random } from '#contract/ports/random.ts'
import type { Assignment } from './assignment.ts'
import { populatesProcessEnv } from './process-env.ts'
import type { AgentCall } from './process.ts'

/** One version of a Worker in a process, with the names it goes by there. */
export type Slot = {
  /** Its service in the configuration, and its name for the agent: `w0`, `w1` ... */
  readonly id: string
  readonly plan: WorkerPlan
  /** Where ingress reaches it; absent in a check. */
  readonly door?: Door
  /** Where it reaches the Internet; absent in a check, which reaches nothing. */
  readonly exitSocket?: string
  /** The same with a client certificate, by what an `ExitWire` calls that: bindings of one share a way out. */
  readonly certificateSockets: ReadonlyMap<string, string>
  /** The capability of each `backend` binding, by its name in `env`. */
  readonly capabilities: ReadonlyMap<string, string>
  /** The capability of those who call the Worker itself and are answered from its files. */
  readonly siteCapability?: string
}

export type Door = {
  readonly socketPath: string
  readonly cfBlobHeader: string
  readonly protoHeader: string
}

/** Where new names come from; `folder` is the cell's. */
export type Naming = { readonly random: Random; readonly folder: string }

export function newSlot(id: string, plan: WorkerPlan, naming: Naming): Slot {
  const backends = plan.bindings.filter(({ wire }) => wire.type === 'backend')
  return {
    id,
    plan,
    door: newDoor(naming),
    exitSocket: socketPath(naming.folder, `e${id}`),
    certificateSockets: new Map(
      [...certificatesOf(plan)].map((certificate, index) => [
        certificate,
        socketPath(naming.folder, `e${id}.${index}`),
      ]),
    ),
    capabilities: new Map(backends.map(({ name }) => [name, naming.random.hex(32)])),
    siteCapability: naming.random.hex(32),
  }
}

function certificatesOf({ bindings }: WorkerPlan): ReadonlySet<string> {
  return new Set(bindings.flatMap(({ wire }) => (wire.type === 'exit' ? [wire.certificate] : [])))
}

/** What the agent is to call before any traffic, with the names in `env` of ways out: `hidden.worker.ts`. */
export function hidingCalls(slots: readonly Slot[]): readonly AgentCall[] {
  const modules = slots.filter(({ plan }) => plan.code.format === 'modules')
  return modules.map(({ id, plan }) => ({
    slot: id,
    method: 'hide',
    argument: plan.bindings.flatMap(({ name, wire }) => (wire.type === 'exit' ? [name] : [])),
  }))
}

/** A door nobody has gone through yet: what a client learned of an older one opens nothing. */
export function newDoor({ random, folder }: Naming): Door {
  return {
    socketPath: socketPath(folder, `w${random.hex(4)}`),
    cfBlobHeader: `x-${random.hex(16)}`,
    protoHeader: `x-${random.hex(16)}`,
  }
}

/** Random for each process: no other Worker's binding can name it. */
export function newHiddenName({ random }: Pick<Naming, 'random'>): string {
  return `__bindery_${random.hex(16)}`
}

/**
 * The folder of one cell's sockets, and of nothing else: a process sees its own. Its names are the
 * agent's (`a`), the backplane's (`b`), those of Workers (`w…`) and of their ways out (`e…`).
 */
export function cellFolder(runDirectory: string, id: string): string {
  return `${runDirectory}/${id}`
}

export function socketPath(folder: string, name: string): string {
  return `${folder}/${name}`
}

/** What names of sockets add to the run directory at most, to fit in a socket's address with it. */
export const socketNameLength = '/0123456789ab/w01234567'.length

/** One version of a Worker, drawn by the shares of all. */
export function drawSlot(slots: readonly Slot[], worker: WorkerName): Slot | undefined {
  const versions = slots.filter(({ plan }) => plan.worker === worker)
  let left = Math.random() * versions.reduce((sum, { plan }) => sum + plan.percentage, 0)
  return versions.find(({ plan }) => (left -= plan.percentage) < 0) ?? versions.at(-1)
}

/** Files are answered without one: whoever has nothing else gets one only if somebody wakes it. */
export function needsProcess({ workers }: CellPlan): boolean {
  return workers.some(({ version }) => version.site?.hasWorker !== false)
}

/** What a cell's Workers may call over its backplane. */
export function grantsOf(cell: string, slots: readonly Slot[]): readonly Grant[] {
  return slots.flatMap((slot) => {
    const { account, worker, bindings } = slot.plan
    const own = bindings.flatMap(({ name, type, wire }) => {
      const capability = slot.capabilities.get(name)
      if (wire.type !== 'backend' || capability === undefined) return []
      return [{ capability, cell, account, worker, name, type, resource: wire.resource }]
    })
    return [...own, ...siteGrantOf(cell, slot)]
  })
}

/** What others may ask of a Worker's files: see `split.worker.ts`. */
function siteGrantOf(cell: string, { plan, siteCapability: capability }: Slot): readonly Grant[] {
  const { account, worker, version } = plan
  if (!version.site || capability === undefined) return []
  const resource = { ...version.site, isRouted: true }
  return [{ capability, cell, account, worker, name: 'its files', type: 'assets', resource }]
}

/**
 * The slots with the Workers of another plan, which holds them in the same places. Throws if it
 * does not.
 */
export function replan(slots: readonly Slot[], plan: CellPlan): readonly Slot[] {
  const isAlike = slots.length === plan.workers.length
  return slots.map((slot, index) => {
    const next = plan.workers[index]
    if (!isAlike || next?.worker !== slot.plan.worker) throw new Error('the plans are not alike')
    return { ...slot, plan: next }
  })
}

/** What to assign so that a slot's `env` is as planned; nothing if it is so already. */
export function assignmentOf(before: Slot, slot: Slot): Assignment | undefined {
  const known = new Map(before.plan.bindings.map((binding) => [binding.name, valueOf(binding)]))
  const values = slot.plan.bindings.flatMap((binding): Assignment['values'] => {
    const value = valueOf(binding)
    const isNew =
      value !== undefined && JSON.stringify(value) !== JSON.stringify(known.get(binding.name))
    return isNew ? [value] : []
  })
  const names = new Set(slot.plan.bindings.map(({ name }) => name))
  const removed = [...known.keys()].filter((name) => !names.has(name))
  if (values.length === 0 && removed.length === 0) return undefined
  return { values, removed, processEnv: populatesProcessEnv(slot.plan.code) }
}

/** The value of a binding that is one; a changed resource of another kind is a new grant. */
function valueOf({ name, wire }: PlannedBinding): Assignment['values'][number] | undefined {
  if (wire.type === 'text') return { name, text: wire.text }
  if (wire.type === 'json') return { name, json: JSON.stringify(wire.json) }
  return undefined
}
