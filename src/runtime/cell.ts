import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { CellPlan, Module } from '#contract/cell.ts'
import type { WorkerName } from '#contract/ids.ts'
import type { Target } from '#contract/snapshot.ts'
import { type CellConfig, printConfig, writeConfig } from './config.ts'
import type { CellHostOptions } from './host.ts'
import { type AgentCall, WorkerdProcess } from './process.ts'
import {
  assignmentOf,
  grantsOf,
  newDoor,
  newHiddenName,
  newSlot,
  replan,
  type Slot,
  socketPath,
} from './slots.ts'
import { sources } from './sources.ts'
import { startMessage } from './start-message.ts'

export type CellContext = CellHostOptions & {
  readonly rootCertificates: readonly string[] | undefined
  /** Aborted when the host closes. */
  readonly closing: AbortSignal
  /** Called when targets went up or down by themselves. */
  readonly changed: () => void
}

/** Gives the bytes of a module, which are all in memory. */
export type Read = (module: Module) => Uint8Array

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
  readonly #stopping = new AbortController()
  #plan: CellPlan
  #slots: readonly Slot[]
  #process: WorkerdProcess | undefined
  #launching: Promise<void> = Promise.resolve()
  #backplane: AsyncDisposable | undefined
  #restart: Disposable | undefined
  #backOffMs = firstBackOffMs
  #generation = 0
  /** Held: its objects are being taken over; it may have to come back. */
  #isHeld = false

  private constructor(context: CellContext, plan: CellPlan, read: Read) {
    this.#context = context
    this.#plan = plan
    this.#read = read
    this.#id = context.random.hex(6)
    this.#slots = plan.workers.map((worker, index) => newSlot(`w${index}`, worker, context))
  }

  /** Starts a cell; resolves when every Worker in it can be called. Throws with workerd's words. */
  static async start(context: CellContext, plan: CellPlan, read: Read): Promise<Cell> {
    const cell = await Cell.#prepare(context, plan, read)
    try {
      await cell.#launch()
      return cell
    } catch (error) {
      await cell.stop(0)
      throw new Error(cell.#explain(error), { cause: error })
    }
  }

  /** As `start`, but a cell that does not come up is down, and tried again until it does. */
  static async restore(context: CellContext, plan: CellPlan, read: Read): Promise<Cell> {
    const cell = await Cell.#prepare(context, plan, read)
    await cell.#launchAgain()
    return cell
  }

  static async #prepare(context: CellContext, plan: CellPlan, read: Read): Promise<Cell> {
    const cell = new Cell(context, plan, read)
    const { backplane } = context
    cell.#backplane = await backplane.open(
      cell.#id,
      socketPath(context.runDirectory, cell.#id, 'b'),
    )
    backplane.grant(cell.#id, grantsOf(cell.#id, cell.#slots))
    return cell
  }

  get plan(): CellPlan {
    return this.#plan
  }

  get targetIds(): readonly string[] {
    return this.#slots.map((slot) => this.#targetId(slot))
  }

  targets(): readonly { readonly worker: WorkerName; readonly target: Target }[] {
    const isUp = this.#process && !this.#process.isGone
    const state = this.#isHeld ? 'held' : isUp ? 'up' : 'down'
    return this.#slots.flatMap((slot) => {
      if (!slot.door) return []
      const { worker, percentage, version } = slot.plan
      const id = this.#targetId(slot)
      return [{ worker, target: { id, version: version.id, percentage, state, ...slot.door } }]
    })
  }

  /**
   * Gives the running isolates new values of `env`, and bindings their new resources. If it throws,
   * some may have them: the cell is to be given its old plan again, or replaced.
   */
  async assign(plan: CellPlan): Promise<void> {
    const before = this.#slots
    const next = replan(before, plan)
    this.#plan = plan
    this.#slots = next
    this.#context.backplane.grant(this.#id, grantsOf(this.#id, next))
    const calls = next.flatMap((slot, index): AgentCall[] => {
      const old = before[index]
      const argument = old && assignmentOf(old, slot)
      return argument ? [{ slot: slot.id, method: 'assign', argument }] : []
    })
    // A process that is starting was given the old values; one that is down will take the new.
    await this.#launching
    if (this.#process && calls.length > 0) await this.#process.call(calls, agentMs)
  }

  /** Whether any process of it may have files of Durable Objects open. */
  get hasObjects(): boolean {
    return this.#plan.workers.some(({ objects }) => objects.length > 0)
  }

  /** From now on its targets are held: nobody is sent there, and nobody is refused. */
  hold(): void {
    this.#isHeld = true
  }

  /** Stops the process of a cell that is held, so that another may open its objects. */
  async pause(graceMs: number): Promise<void> {
    this.#restart?.[Symbol.dispose]()
    await this.#launching
    await this.#process?.stop(graceMs)
    this.#process = undefined
  }

  /** Brings a cell back that was held. Never throws: what does not start is tried again. */
  async resume(): Promise<void> {
    this.#isHeld = false
    if (this.#process) return
    this.#renewDoors()
    await this.#launchAgain()
  }

  /** Stops the process, gracefully for `graceMs`, and all that belongs to it. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort()
    this.#restart?.[Symbol.dispose]()
    await this.#launching
    await this.#process?.stop(graceMs)
    await this.#backplane?.[Symbol.asyncDispose]()
  }

  async #launch(): Promise<void> {
    const context = this.#context
    const agentSocket = socketPath(context.runDirectory, this.#id, 'a')
    const log = context.log.child({ cell: this.#id, account: this.#plan.account })
    const config = this.#config(agentSocket)
    log.debug('configuration', { text: printConfig(config) })
    if (this.hasObjects) await mkdir(this.#objectsDirectory, { recursive: true, mode: 0o700 })
    const doors = this.#slots.flatMap(({ door }) => (door ? [door.socketPath] : []))
    const started = await WorkerdProcess.start({
      workerdPath: context.workerdPath,
      config: writeConfig(config),
      agentSocket,
      sockets: [agentSocket, ...doors],
      runDirectory: context.runDirectory,
      startTimeoutMs: context.startTimeoutMs,
      signal: AbortSignal.any([context.closing, this.#stopping.signal]),
      log,
    })
    try {
      const modules = this.#slots.filter((slot) => slot.plan.code.format === 'modules')
      await started.call(
        modules.map(({ id }) => ({ slot: id, method: 'hide' as const })),
        agentMs,
      )
    } catch (error) {
      await started.stop(0)
      throw error
    }
    this.#process = started
    const startedAt = context.clock.now()
    void started.exited.then((how) => this.#onExit(startedAt, how))
  }

  /** Nobody asked it to go: say so at once, and bring it back. */
  #onExit(startedAt: number, how: string): void {
    this.#process = undefined
    if (this.#stopping.signal.aborted || this.#isHeld) return
    const { clock, log } = this.#context
    if (clock.now() - startedAt > healthyMs) this.#backOffMs = firstBackOffMs
    log.warn('a cell died', { cell: this.#id, how, restartInMs: this.#backOffMs })
    this.#context.changed()
    this.#scheduleRestart()
  }

  #scheduleRestart(): void {
    // Who holds it brings it back, and until then others may have its objects open.
    if (this.#stopping.signal.aborted || this.#isHeld) return
    this.#restart = this.#context.clock.after(this.#backOffMs, () => {
      this.#renewDoors()
      void this.#launchAgain()
    })
    this.#backOffMs = Math.min(this.#backOffMs * 2, longestBackOffMs)
  }

  /** What a client learned of the doors of the process before opens nothing of the next. */
  #renewDoors(): void {
    this.#generation += 1
    this.#slots = this.#slots.map((slot) => ({ ...slot, door: newDoor(this.#context) }))
  }

  /** Launches; after a failure, and a longer pause each time, again. Never throws. */
  async #launchAgain(): Promise<void> {
    this.#launching = this.#launch().then(
      () => this.#context.changed(),
      (error: unknown) => {
        const { log } = this.#context
        log.error('a cell did not start', { cell: this.#id, error: this.#explain(error) })
        this.#scheduleRestart()
      },
    )
    await this.#launching
  }

  #config(agentSocket: string): CellConfig {
    return {
      slots: this.#slots,
      agentSocket,
      backplaneSocket: socketPath(this.#context.runDirectory, this.#id, 'b'),
      hiddenName: newHiddenName(this.#context),
      rootCertificates: this.#context.rootCertificates,
      objectsDirectory: this.#objectsDirectory,
      isCheck: false,
      agentSource: sources.agent,
      hiddenSource: sources.hidden,
      capabilityHeader: this.#context.capabilityHeader,
      read: this.#read,
    }
  }

  get #objectsDirectory(): string {
    return join(this.#context.objectsDirectory, this.#plan.account)
  }

  #explain(error: unknown): string {
    return startMessage(error, this.#slots, ({ plan }) => `${plan.worker}: `)
  }

  #targetId(slot: Slot): string {
    return `${this.#id}.${this.#generation}.${slot.id}`
  }
}
