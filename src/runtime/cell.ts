import { join } from 'node:path'
import type { CellDeath, CellPlan, CellStatus, WorkerPlan } from '#contract/cell.ts'
import type { AccountId, WorkerName } from '#contract/ids.ts'
import type { ExceededLimit, Target } from '#contract/snapshot.ts'
import { awaitAlarm } from './alarm.ts'
import { BackOff, type Use } from './back-off.ts'
import { type CellConfig, printConfig, writeConfig } from './config.ts'
import { confinesOf, workersBytes } from './confines.ts'
import { cpuLimitMs } from './cpu-limit.ts'
import { backplaneSocket, openDoors } from './doors.ts'
import type { Guests } from './guests.ts'
import type { CellHostOptions } from './host-options.ts'
import type { Jail } from './jail.ts'
import { processBytes } from './limits.ts'
import type { Read } from './modules.ts'
import { type AgentCall, type Usage, WorkerdProcess } from './process.ts'
import {
  assignmentOf,
  cellFolder,
  drawSlot,
  grantsOf,
  hidingCalls,
  needsProcess,
  newDoor,
  newHiddenName,
  newSlot,
  replan,
  type Slot,
  socketPath,
} from './slots.ts'
import { configSources } from './sources.ts'
import { sharesOf, splitService } from './splits.ts'
import { startMessage } from './start-message.ts'
import { countSubrequests, type Subrequests } from './subrequests.ts'
import type { Watchdog } from './watchdog.ts'

export type CellContext = CellHostOptions & {
  /** Aborted when the host closes. */
  readonly closing: AbortSignal
  /** Called when targets went up, down or to sleep by themselves. */
  readonly changed: () => void
  /** Reads every module of some Workers. One that can't be read throws when it is asked for. */
  readonly load: (workers: readonly WorkerPlan[]) => Promise<Read>
  readonly watchdog: Watchdog
  readonly guests: Guests
  /** Has a start wait for its turn: of many cells that are to come back at once, few start. */
  readonly inLine: (account: AccountId, start: () => Promise<void>) => Promise<void>
  readonly jail: () => Jail | undefined
}

const agentMs = 10_000
/** How long a process may take to end that has nothing to do. */
const sleepGraceMs = 1_000

/** What takes an event. */
export type Receiver = {
  readonly slot: Slot
  readonly process: WorkerdProcess
  readonly targetId: string
}

/** A cell as planned, whatever process it is in: it outlives crashes and sleep. Owned by the host. */
export class Cell {
  readonly #context: CellContext
  readonly #id: string
  /** Where its sockets are, and nobody else's. */
  readonly #folder: string
  readonly #stopping = new AbortController()
  readonly #backOff = new BackOff()
  #plan: CellPlan
  #slots: readonly Slot[]
  #process: WorkerdProcess | undefined
  /** A process that starts or stops: there is one such change at a time. */
  #transition: Promise<void> = Promise.resolve()
  #doors: AsyncDisposable | undefined
  #timer: Disposable | undefined
  #generation = 0
  /** Held: its objects are being taken over; it may have to come back. */
  #isHeld = false
  /** Out of the table: it ends with what it has. */
  #isRetired = false
  /** Asleep: it has no process, and nothing but a visitor or an alarm starts one. */
  #isAsleep = false
  /** It was asleep, and its first start since is under way. */
  #isWaking = false
  #startedAt = 0
  #deaths = 0
  #lastDeath: CellDeath | undefined
  #nextStartAt: number | undefined
  #subrequests: Subrequests | undefined
  /** What its process is being killed for. */
  #exceeded: ExceededLimit | undefined

  private constructor(context: CellContext, plan: CellPlan) {
    this.#context = context
    this.#plan = plan
    this.#id = context.random.hex(6)
    this.#folder = cellFolder(context.runDirectory, this.#id)
    const naming = { random: context.random, folder: this.#folder }
    this.#slots = plan.workers.map((worker, index) => newSlot(`w${index}`, worker, naming))
  }

  /**
   * Starts a cell; resolves when every Worker in it can be called. Throws with workerd's words. One of
   * files alone begins asleep.
   */
  static async start(context: CellContext, plan: CellPlan): Promise<Cell> {
    const cell = new Cell(context, plan)
    cell.#isAsleep = !needsProcess(plan)
    try {
      if (!cell.#isAsleep) await cell.#launch()
      return cell
    } catch (error) {
      await cell.stop(0)
      throw new Error(cell.#explain(error), { cause: error })
    }
  }

  /**
   * A cell that was there before: asleep, if cells sleep. Otherwise it is started, and tried again
   * until it comes up.
   */
  static async restore(context: CellContext, plan: CellPlan): Promise<Cell> {
    const cell = new Cell(context, plan)
    if (context.sleepMs === undefined && needsProcess(plan)) {
      await cell.#launchAgain()
    } else {
      cell.#isAsleep = true
      cell.#transition = cell.#awaitAlarm()
      await cell.#transition
    }
    return cell
  }

  get plan(): CellPlan {
    return this.#plan
  }

  get targetIds(): readonly string[] {
    return this.#slots.map((slot) => this.#targetId(slot))
  }

  targets(): readonly { readonly worker: WorkerName; readonly target: Target }[] {
    const state = this.#state()
    return this.#slots.flatMap((slot) => {
      if (!slot.door) return []
      const { worker, percentage, version } = slot.plan
      const target = { id: this.#targetId(slot), version: version.id, percentage, state }
      const { site } = version
      return [{ worker, target: { ...target, ...slot.door, ...(site && { site }) } }]
    })
  }

  /**
   * Where an event for a Worker goes: to one of its versions, by their shares. None while no process
   * is up. Whoever sends it there counts it as in flight in this very turn.
   */
  receiver(worker: WorkerName): Receiver | undefined {
    const process = this.#process
    if (!process || this.#state() !== 'up') return undefined
    const slot = drawSlot(this.#slots, worker)
    return slot && { slot, process, targetId: this.#targetId(slot) }
  }

  /** The versions of a Worker that are in it. */
  versionsOf(worker: WorkerName): readonly WorkerPlan[] {
    return this.#plan.workers.filter((plan) => plan.worker === worker)
  }

  #state(): Target['state'] {
    if (this.#isHeld) return 'held'
    if (this.#isAsleep) return 'asleep'
    const isUp = this.#process && !this.#process.isGone && this.#exceeded === undefined
    return isUp ? 'up' : this.#isWaking ? 'waking' : 'down'
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
    if (this.#doors) this.#context.backplane.grant(this.#id, grantsOf(this.#id, next))
    const calls = next.flatMap((slot, index): AgentCall[] => {
      const old = before[index]
      const argument = old && assignmentOf(old, slot)
      return argument ? [{ slot: slot.id, method: 'assign', argument }] : []
    })
    const shares = sharesOf(next)
    if (JSON.stringify(shares) !== JSON.stringify(sharesOf(before))) {
      calls.push({ slot: splitService, method: 'assign', argument: shares })
    }
    // Whoever deploys does not wait for the starts of cells that are as they were.
    if (calls.length === 0) return
    // A process that is starting was given the old values; one that is down will take the new.
    await this.#transition
    await this.#process?.call(calls, agentMs)
  }

  /** Whether any process of it may have files of Durable Objects open. */
  get hasObjects(): boolean {
    return this.#plan.workers.some(({ objects }) => objects.length > 0)
  }

  /** What its process uses; `undefined` if there is none. */
  usage(): Usage | undefined {
    return this.#process?.usage()
  }

  status(): CellStatus {
    const usage = this.usage()
    return {
      workers: [...new Set(this.#plan.workers.map(({ worker }) => worker))],
      isPreview: false,
      state: this.#shownState(),
      deaths: this.#deaths,
      ...(this.#lastDeath && { lastDeath: this.#lastDeath }),
      ...(this.#nextStartAt !== undefined && { nextStartAt: isoTime(this.#nextStartAt) }),
      ...(this.#process && { startedAt: isoTime(this.#startedAt), pid: this.#process.pid }),
      ...(usage && { memoryBytes: usage.memoryBytes, cpuMs: Math.round(usage.cpuMs) }),
    }
  }

  #shownState(): CellStatus['state'] {
    const state = this.#state()
    if (state === 'held' || state === 'asleep') return state
    if (state === 'up') return 'running'
    return this.#nextStartAt === undefined ? 'starting' : 'waiting'
  }

  /** From now on its targets are held: nobody is sent there, and nobody is refused. */
  hold(): void {
    this.#isHeld = true
  }

  /** Stops the process of a cell that is held, so that another may open its objects. */
  async pause(graceMs: number): Promise<void> {
    this.#clearTimer()
    await this.#transition
    await this.#process?.stop(graceMs)
    this.#process = undefined
  }

  /** Brings a cell back that was held. Never throws: what does not start is tried again. */
  async resume(): Promise<void> {
    this.#isHeld = false
    if (this.#process) return
    if (this.#isAsleep) {
      await this.#awaitAlarm()
    } else {
      this.#renewDoors()
      await this.#launchAgain()
    }
  }

  /**
   * Stops the process until a visitor or an alarm comes. The caller has seen in this very turn that
   * nothing is in flight.
   */
  sleep(): Promise<void> {
    const process = this.#process
    if (this.#isAsleep || this.#isHeld || this.#stopping.signal.aborted || !process) {
      return this.#transition
    }
    this.#isAsleep = true
    // From here on it is nobody's: who wakes the cell while it ends waits for the next one.
    this.#process = undefined
    this.#context.log.debug('a cell falls asleep', { cell: this.#id })
    this.#context.changed()
    this.#transition = this.#transition.then(() => this.#fallAsleep(process))
    return this.#transition
  }

  async #fallAsleep(process: WorkerdProcess): Promise<void> {
    await process.stop(sleepGraceMs)
    await this.#closeDoors()
    this.#renewDoors()
    await this.#awaitAlarm()
  }

  /** Starts the process of a cell that is asleep; does nothing if it is not. */
  wake(): void {
    if (!this.#isAsleep || this.#isHeld || this.#stopping.signal.aborted) return
    this.#isAsleep = false
    this.#isWaking = true
    this.#clearTimer()
    this.#context.changed()
    this.#transition = this.#transition.then(() => this.#tryLaunch())
  }

  /** From now on it only finishes: if its process dies, nobody needs another. */
  retire(): void {
    this.#isRetired = true
    this.#clearTimer()
  }

  /** Stops the process, gracefully for `graceMs`, and all that belongs to it. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort()
    this.#clearTimer()
    await this.#transition
    this.#clearTimer()
    await this.#process?.stop(graceMs)
    await this.#closeDoors()
  }

  async #launch(): Promise<void> {
    const context = this.#context
    const log = context.log.child({ cell: this.#id, account: this.#plan.account })
    const agentSocket = socketPath(this.#folder, 'a')
    const read = await context.load(this.#plan.workers)
    const take = (): boolean => this.#subrequests?.take() ?? true
    const place = { id: this.#id, folder: this.#folder, slots: this.#slots, take }
    this.#doors ??= await openDoors(context, place)
    context.backplane.grant(this.#id, grantsOf(this.#id, this.#slots))
    const config = this.#config(agentSocket, read)
    log.debug('configuration', { text: printConfig(config) })
    const doors = this.#slots.flatMap(({ door }) => (door ? [door.socketPath] : []))
    const started = await WorkerdProcess.start({
      workerdPath: context.workerdPath,
      config: writeConfig(config),
      agentSocket,
      folder: this.#folder,
      sockets: [agentSocket, ...doors],
      runDirectory: context.runDirectory,
      experimental: true,
      ...confinesOf(context, this.#plan, this.#objectsDirectory),
      startTimeoutMs: context.startTimeoutMs,
      signal: AbortSignal.any([context.closing, this.#stopping.signal]),
      log,
    })
    try {
      await started.call(hidingCalls(this.#slots), agentMs)
    } catch (error) {
      await started.stop(0)
      throw error
    }
    this.#process = started
    this.#subrequests = countSubrequests(this.#plan, () => context.ingress.traffic(this.targetIds))
    this.#exceeded = undefined
    this.#startedAt = context.clock.now()
    const watch = this.#watch(started)
    void started.exited.then((how) => this.#onExit(started, watch, how))
  }

  #watch(started: WorkerdProcess): Disposable {
    const { ingress, watchdog, guests, limits } = this.#context
    return guests.watch(this.#id, watchdog, {
      usage: () => started.usage(),
      ping: () => started.ping(),
      answered: () => ingress.answered(this.targetIds),
      cpuLimitMs: () => cpuLimitMs(this.#plan.workers, this.#atWork(), limits.cpuMs),
      memoryLimitBytes: processBytes + workersBytes(this.#plan.workers, limits),
      exceeded: (limit) => this.#kill(started, limit),
    })
  }

  /** Workers that visitors wait for. */
  #atWork(): ReadonlySet<WorkerName> {
    const { ingress } = this.#context
    const busy = this.#slots.filter((slot) => ingress.idleMs([this.#targetId(slot)]) === 0)
    return new Set(busy.map(({ plan }) => plan.worker))
  }

  /** Nobody else is sent there, and who waits there learns why it ends. */
  #kill(started: WorkerdProcess, limit: ExceededLimit): void {
    if (started !== this.#process) return
    this.#exceeded = limit
    this.#context.ingress.exceeded(this.targetIds, limit)
    this.#context.changed()
    started.kill()
  }

  /** Nobody asked it to go: say so at once, and bring it back. */
  #onExit(ended: WorkerdProcess, watch: Disposable, how: string): void {
    watch[Symbol.dispose]()
    if (ended !== this.#process) return
    const reason = this.#exceeded ?? 'crash'
    this.#process = undefined
    this.#exceeded = undefined
    if (this.#stopping.signal.aborted || this.#isHeld || this.#isAsleep) return
    const use = {
      ranMs: this.#context.clock.now() - this.#startedAt,
      answered: this.#context.ingress.answered(this.targetIds),
    }
    this.#context.changed()
    this.#startLater({ reason, detail: how }, use)
  }

  /** Takes note of a death and starts it again after a while, unless who holds it does that. */
  #startLater({ reason, detail }: Omit<CellDeath, 'at'>, use: Use): void {
    const { clock, log } = this.#context
    this.#deaths += 1
    this.#lastDeath = { at: isoTime(clock.now()), reason, detail }
    // Who holds it brings it back, and until then others may have its objects open.
    if (this.#stopping.signal.aborted || this.#isHeld || this.#isRetired) return
    const restartInMs = this.#backOff.died(reason, use)
    const workers = [...new Set(this.#plan.workers.map(({ worker }) => worker))].join(' ')
    const { account } = this.#plan
    const fields = { cell: this.#id, account, workers, reason, detail, ...use, restartInMs }
    if (reason === 'start') log.error('a cell did not start', fields)
    else log.warn('a cell died', fields)
    this.#nextStartAt = clock.now() + restartInMs
    this.#timer = clock.after(restartInMs, () => {
      this.#nextStartAt = undefined
      this.#renewDoors()
      void this.#launchAgain()
    })
  }

  /** What a client learned of the doors of the process before opens nothing of the next. */
  #renewDoors(): void {
    this.#generation += 1
    const naming = { random: this.#context.random, folder: this.#folder }
    this.#slots = this.#slots.map((slot) => ({ ...slot, door: newDoor(naming) }))
  }

  async #launchAgain(): Promise<void> {
    this.#transition = this.#transition.then(() => this.#tryLaunch())
    await this.#transition
  }

  /** Launches; after a failure, and a longer pause each time, again. Never throws. */
  async #tryLaunch(): Promise<void> {
    try {
      await this.#context.inLine(this.#plan.account, async () => {
        // Who holds it brings it back.
        if (!this.#stopping.signal.aborted && !this.#isHeld) await this.#launch()
      })
      this.#isWaking = false
      this.#context.changed()
    } catch (error) {
      this.#isWaking = false
      const death = { reason: 'start', detail: this.#explain(error) } as const
      this.#startLater(death, { ranMs: 0, answered: 0 })
    }
  }

  /** Sees to it that a cell that is asleep wakes up for the next alarm of its objects. */
  async #awaitAlarm(): Promise<void> {
    this.#clearTimer()
    const isWaiting = (): boolean => this.#isAsleep && !this.#stopping.signal.aborted
    const waiting = { ...this.#context, cell: this.#id, plan: this.#plan, isWaiting }
    const timer = await awaitAlarm(waiting, (isDue) => {
      if (isDue) this.wake()
      else void this.#awaitAlarm()
    })
    if (timer) this.#timer = timer
  }

  #clearTimer(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    this.#nextStartAt = undefined
  }

  async #closeDoors(): Promise<void> {
    await this.#doors?.[Symbol.asyncDispose]()
    this.#doors = undefined
  }

  #config(agentSocket: string, read: Read): CellConfig {
    return {
      slots: this.#slots,
      agentSocket,
      backplaneSocket: backplaneSocket(this.#folder),
      hiddenName: newHiddenName(this.#context),
      objectsDirectory: this.#objectsDirectory,
      isCheck: false,
      ...configSources,
      capabilityHeader: this.#context.capabilityHeader,
      read,
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

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
