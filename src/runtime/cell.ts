import type { Grant } from '#contract/backend.ts'
import type { CellPlan, Module, PlannedBinding, WorkerPlan } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { WorkerName } from '#contract/ids.ts'
import type { Target } from '#contract/snapshot.ts'
import type { Assignment } from './assignment.ts'
import { messageOfStart } from './check.ts'
import { type Door, type Slot, writeConfig } from './config.ts'
import type { CellHostOptions } from './host.ts'
import { populatesProcessEnv } from './process-env.ts'
import { StartError, WorkerdProcess } from './process.ts'
import { sources } from './sources.ts'

export type CellContext = CellHostOptions & {
  readonly rootCertificates: readonly string[] | undefined
  /** Called when targets went up or down by themselves. */
  readonly changed: () => void
}

type Read = (module: Module) => Uint8Array

const agentMs = 10_000
const firstBackOffMs = 100
const longestBackOffMs = 30_000
/** A cell that was up for so long has recovered: its next crash is the first again. */
const healthyMs = 60_000

/** A cell as planned, whatever process it is in: it outlives crashes. Owned by the host. */
export class Cell {
  readonly #context: CellContext
  readonly #read: Read
  readonly #id: string
  #plan: CellPlan
  #slots: readonly Slot[]
  #process: WorkerdProcess | undefined
  #backplane: AsyncDisposable | undefined
  #isStopped = false
  #backOffMs = firstBackOffMs
  #generation = 0

  private constructor(context: CellContext, plan: CellPlan, read: Read) {
    this.#context = context
    this.#plan = plan
    this.#read = read
    this.#id = context.random.hex(6)
    this.#slots = plan.workers.map((worker, index) => newSlot(`w${index}`, worker, context))
  }

  /** Starts a cell; resolves when every Worker in it can be called. Throws with workerd's words. */
  static async start(context: CellContext, plan: CellPlan, read: Read): Promise<Cell> {
    const cell = new Cell(context, plan, read)
    const socketPath = cell.#socket('b')
    context.backplane.grant(cell.#id, cell.#grants())
    cell.#backplane = await context.backplane.open(cell.#id, socketPath)
    try {
      await cell.#launch()
    } catch (error) {
      await cell.#backplane[Symbol.asyncDispose]()
      if (error instanceof StartError) {
        throw new Error(messageOfStart(error, 'w0'), { cause: error })
      }
      throw error
    }
    return cell
  }

  /** A throw-away process with one version, which may call nothing. */
  static launchCheck(
    context: CellContext,
    check: { readonly worker: WorkerPlan; readonly read: Read },
  ): Promise<WorkerdProcess> {
    const slot: Slot = { id: 'w0', plan: check.worker, capabilities: new Map() }
    return launchThrowAway(context, [slot], check.read)
  }

  /** A throw-away process with nothing in it, to learn what a start costs. */
  static launchEmpty(context: CellContext): Promise<WorkerdProcess> {
    return launchThrowAway(context, [], () => new Uint8Array())
  }

  get plan(): CellPlan {
    return this.#plan
  }

  get targetIds(): readonly string[] {
    return this.#slots.map((slot) => this.#targetId(slot))
  }

  targets(): readonly { readonly worker: WorkerName; readonly target: Target }[] {
    const state = this.#process && !this.#process.isGone ? 'up' : 'down'
    return this.#slots.flatMap((slot) => {
      if (!slot.door) return []
      const { worker, percentage } = slot.plan
      return [{ worker, target: { id: this.#targetId(slot), percentage, state, ...slot.door } }]
    })
  }

  /** Takes a plan that differs in nothing the process could notice. */
  adopt(plan: CellPlan): void {
    this.#plan = plan
    this.#slots = this.#replanned(plan)
  }

  /** Gives the running isolates new values of `env`, and bindings their new resources. */
  async assign(plan: CellPlan): Promise<void> {
    const next = this.#replanned(plan)
    const calls = next.flatMap((slot, index) => {
      const argument = assignmentOf(this.#slots[index]?.plan.bindings ?? [], slot)
      return argument ? [{ slot: slot.id, method: 'assign' as const, argument }] : []
    })
    this.#plan = plan
    this.#slots = next
    this.#context.backplane.grant(this.#id, this.#grants())
    // A cell that is down takes the new values when it starts again.
    if (this.#process && calls.length > 0) await this.#process.call(calls, agentMs)
  }

  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true
    await this.#process?.stop(graceMs)
    await this.#backplane?.[Symbol.asyncDispose]()
  }

  async #launch(): Promise<void> {
    const context = this.#context
    const started = await WorkerdProcess.start({
      workerdPath: context.workerdPath,
      config: this.#configText(),
      agentSocket: this.#socket('a'),
      scratchDirectory: context.runDirectory,
      startTimeoutMs: context.startTimeoutMs,
      log: context.log.child({ cell: this.#id }),
    })
    try {
      await started.call(
        this.#slots
          .filter((slot) => slot.plan.code.format === 'modules')
          .map((slot) => ({ slot: slot.id, method: 'start' as const })),
        agentMs,
      )
    } catch (error) {
      started.kill()
      await started.exited
      throw error
    }
    this.#process = started
    const startedAt = context.clock.now()
    void started.exited.then(() => this.#onExit(startedAt))
  }

  /** Nobody asked it to go: say so at once, and bring it back. */
  #onExit(startedAt: number): void {
    this.#process = undefined
    if (this.#isStopped) return
    const { clock, log } = this.#context
    if (clock.now() - startedAt > healthyMs) this.#backOffMs = firstBackOffMs
    log.warn('a cell died', { cell: this.#id, restartInMs: this.#backOffMs })
    this.#context.changed()
    this.#scheduleRestart()
  }

  #scheduleRestart(): void {
    const { clock, log } = this.#context
    clock.after(this.#backOffMs, () => {
      if (this.#isStopped) return
      this.#backOffMs = Math.min(this.#backOffMs * 2, longestBackOffMs)
      this.#generation += 1
      this.#slots = this.#slots.map((slot) => ({ ...slot, door: newDoor(this.#context) }))
      this.#launch().then(
        () => this.#context.changed(),
        (error: unknown) => {
          log.error('a cell did not restart', { cell: this.#id, error: messageOf(error) })
          this.#scheduleRestart()
        },
      )
    })
  }

  #configText(): string {
    const { rootCertificates, capabilityHeader } = this.#context
    return writeConfig({
      slots: this.#slots,
      agentSocket: this.#socket('a'),
      backplaneSocket: this.#socket('b'),
      hiddenName: newHiddenName(this.#context),
      rootCertificates,
      isCheck: false,
      agentSource: sources.agent,
      hiddenSource: sources.hidden,
      capabilityHeader,
      read: this.#read,
    })
  }

  #grants(): Grant[] {
    return this.#slots.flatMap((slot) =>
      slot.plan.bindings.flatMap(({ name, type, wire }) => {
        const capability = slot.capabilities.get(name)
        if (wire.type !== 'backend' || capability === undefined) return []
        const { account, worker } = slot.plan
        return [
          { capability, cell: this.#id, account, worker, name, type, resource: wire.resource },
        ]
      }),
    )
  }

  /** The slots with the Workers of another plan, each in the place it had. */
  #replanned(plan: CellPlan): readonly Slot[] {
    return this.#slots.map((slot, index) => {
      const same = plan.workers.filter(({ worker }) => worker === slot.plan.worker)
      const next = same.length === 1 ? same[0] : plan.workers[index]
      if (next?.worker !== slot.plan.worker) throw new Error('the plans are not alike')
      return { ...slot, plan: next }
    })
  }

  #targetId(slot: Slot): string {
    return `${this.#id}.${this.#generation}.${slot.id}`
  }

  #socket(kind: 'a' | 'b'): string {
    return `${this.#context.runDirectory}/${this.#id}.${kind}`
  }
}

function launchThrowAway(
  context: CellContext,
  slots: readonly Slot[],
  read: Read,
): Promise<WorkerdProcess> {
  const id = context.random.hex(6)
  const agentSocket = `${context.runDirectory}/${id}.a`
  const config = writeConfig({
    slots,
    agentSocket,
    backplaneSocket: `${context.runDirectory}/${id}.b`,
    hiddenName: newHiddenName(context),
    rootCertificates: context.rootCertificates,
    isCheck: true,
    agentSource: sources.agent,
    hiddenSource: sources.hidden,
    capabilityHeader: context.capabilityHeader,
    read,
  })
  return WorkerdProcess.start({
    workerdPath: context.workerdPath,
    config,
    agentSocket,
    scratchDirectory: context.runDirectory,
    startTimeoutMs: context.startTimeoutMs,
    log: context.log.child({ check: id }),
  })
}

function newSlot(id: string, plan: WorkerPlan, context: CellContext): Slot {
  const backends = plan.bindings.filter(({ wire }) => wire.type === 'backend')
  return {
    id,
    plan,
    door: newDoor(context),
    capabilities: new Map(backends.map(({ name }) => [name, context.random.hex(32)])),
  }
}

function newDoor({ random, runDirectory }: CellContext): Door {
  return {
    socketPath: `${runDirectory}/${random.hex(6)}.w`,
    cfBlobHeader: `x-${random.hex(16)}`,
    protoHeader: `x-${random.hex(16)}`,
  }
}

function newHiddenName({ random }: CellContext): string {
  return `__bindery_${random.hex(16)}`
}

/** What to assign so that a slot's `env` is as planned; nothing if it is so already. */
function assignmentOf(before: readonly PlannedBinding[], slot: Slot): Assignment | undefined {
  const known = new Map(before.map(({ name, wire }) => [name, JSON.stringify(wire)]))
  const values = slot.plan.bindings.flatMap(({ name, wire }): Assignment['values'] => {
    if (known.get(name) === JSON.stringify(wire)) return []
    if (wire.type === 'text') return [{ name, text: wire.text }]
    if (wire.type === 'json') return [{ name, json: JSON.stringify(wire.json) }]
    return []
  })
  const names = new Set(slot.plan.bindings.map(({ name }) => name))
  const removed = [...known.keys()].filter((name) => !names.has(name))
  if (values.length === 0 && removed.length === 0) return undefined
  return { values, removed, processEnv: populatesProcessEnv(slot.plan.code) }
}
