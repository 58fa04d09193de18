import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import type {
  CellHost,
  CellPlan,
  CellStatus,
  CheckReport,
  Isolation,
  WorkerPlan,
} from '#contract/cell.ts'
import { messageOf, OperatorError } from '#contract/errors.ts'
import type { BoundResource, EventHost, EventPort } from '#contract/events.ts'
import { Gate, SharedGate } from '#contract/gate.ts'
import type { GuestHost } from '#contract/guests.ts'
import type { AccountId, ObjectNamespaceId } from '#contract/ids.ts'
import { liveKey, type RoutedWorker, type Target } from '#contract/snapshot.ts'
import { Cell, type CellContext } from './cell.ts'
import { measureBaseline, runCheck, type StartCost } from './check.ts'
import { Events } from './events.ts'
import { Guests } from './guests.ts'
import type { CellHostOptions } from './host-options.ts'
import { Idleness } from './idleness.ts'
import { type Jail, openJail } from './jail.ts'
import { eventMs, shortestIdleMs } from './limits.ts'
import { loadModules } from './modules.ts'
import { sweepOrphans } from './orphans.ts'
import { Previews } from './previews.ts'
import { Retirement } from './retirement.ts'
import { socketNameLength } from './slots.ts'
import { Watchdog } from './watchdog.ts'

// A start is mostly one core's work, and memory for a moment.
const startsAtOnce = 4
const checksAtOnce = 2
/** One account's uploads, which may take their whole time, leave a place to those of others. */
const checksOfAccount = checksAtOnce - 1
/** One account's cells that hang at their start leave a place to those of others. */
const restartsAtOnce = 8
const restartsOfAccount = 4
const longestLine = 10_000
const waitingPerAccount = 100
const closeGraceMs = 5_000
/** How long a process may take to end once nothing is in flight to it. */
const holdGraceMs = 1_000
// A unix socket's address, with its end (`sockaddr_un`).
const longestSocketPath = 107

/** Stores what has come up: see `CellHost.apply`. */
type Commit = () => Promise<void>

/** How cells come up: see `Cell`. */
type Start = 'start' | 'restore'

/**
 * Starts, feeds, watches and stops cells. Owned by `main.ts`. Kills what an earlier server left
 * running in the run directory. Throws an `OperatorError` if workerd can't be run.
 */
export async function startCellHost(
  options: CellHostOptions,
): Promise<CellHost & EventHost & GuestHost & Jailer> {
  const { runDirectory, workerdPath, log } = options
  if (!existsSync(workerdPath)) throw new OperatorError(`workerd is missing at ${workerdPath}.`)
  if (Buffer.byteLength(runDirectory) + socketNameLength > longestSocketPath) {
    throw new OperatorError(`The path ${runDirectory} is too long for unix sockets in it.`)
  }
  await mkdir(runDirectory, { recursive: true, mode: 0o700 })
  await sweepOrphans(runDirectory, log)
  const host = new WorkerdHost(options)
  await host.warm()
  return host
}

/** What puts processes into jails, where there are any. */
type Jailer = { readonly jail: Jail | undefined }

class WorkerdHost implements CellHost, EventHost, GuestHost, Jailer {
  readonly guests = new Guests()
  readonly #options: CellHostOptions
  readonly #context: CellContext
  readonly #closing = new AbortController()
  readonly #accounts = new Map<AccountId, readonly Cell[]>()
  readonly #queues = new Map<AccountId, { waiting: number; last: Promise<void> }>()
  readonly #checking = new Set<Promise<unknown>>()
  readonly #retirement: Retirement
  readonly #previews: Previews
  readonly #events: Events
  readonly #idleness: Idleness | undefined
  /** Which cell each Worker is in, by `liveKey`. */
  #places: ReadonlyMap<string, Cell> = new Map()
  readonly #starts = new Gate(startsAtOnce, longestLine)
  /** Starts for which visitors are held: they have a line of their own. */
  readonly #takeOvers = new Gate(startsAtOnce, longestLine)
  /** Starts that nobody deploys by: of what was asleep or died, and of previews. */
  readonly #restarts = new SharedGate<AccountId>({
    width: restartsAtOnce,
    own: restartsOfAccount,
    longestLine,
  })
  readonly #checks = new SharedGate<AccountId>({
    width: checksAtOnce,
    own: checksOfAccount,
    longestLine,
  })
  #jail: Jail | undefined
  #reason = 'it was not asked for'
  #baseline: StartCost = { cpuMs: undefined, wallMs: 0 }

  constructor(options: CellHostOptions) {
    this.#options = options
    this.#retirement = new Retirement(options)
    this.#context = {
      ...options,
      closing: this.#closing.signal,
      changed: () => this.#publish(),
      load: (workers) => loadModules(options.readModule, workers),
      watchdog: new Watchdog(),
      guests: this.guests,
      inLine: (account, start) => this.#restarts.pass(account, start),
      jail: () => this.#jail,
    }
    this.#previews = new Previews({
      ...options,
      start: (plan) => this.#restarts.pass(plan.account, () => Cell.start(this.#context, plan)),
      retire: (account, cell) => this.#retirement.take(account, cell),
      changed: () => this.#publish(),
    })
    this.#idleness = this.#watchIdleness(options)
    this.#events = new Events({
      ...options,
      eventMs: options.eventMs ?? eventMs,
      closing: this.#closing.signal,
      cellOf: ({ account, worker }) => this.#places.get(liveKey({ account, worker })),
    })
  }

  get jail(): Jail | undefined {
    return this.#jail
  }

  get events(): EventPort {
    return this.#events
  }

  #watchIdleness({ sleepMs, lingerMs, clock, ingress }: CellHostOptions): Idleness | undefined {
    if (sleepMs === undefined) return undefined
    return new Idleness({
      clock,
      ingress,
      cells: () => [...this.#accounts.values()].flat(),
      // `waitUntil` work goes on for so long after the last request.
      sleepMs: Math.max(sleepMs, lingerMs),
      crowdedSleepMs: Math.max(shortestIdleMs, lingerMs),
      looking: () => this.#previews.sweep(sleepMs),
    })
  }

  bindings(account: AccountId, type: string): readonly BoundResource[] {
    const plans = (this.#accounts.get(account) ?? []).flatMap((cell) => cell.plan.workers)
    return plans.flatMap(({ worker, bindings }) =>
      bindings.flatMap(({ type: own, wire }) =>
        own === type && wire.type === 'backend' ? [{ worker, resource: wire.resource }] : [],
      ),
    )
  }

  get isolation(): Isolation {
    const none = { mode: 'none', network: 'host', seccomp: false, cgroup: 'none' } as const
    return this.#jail?.isolation ?? { ...none, reason: this.#reason }
  }

  /**
   * Starts a process once: to see that workerd runs here, whether it does in a jail, and what a start
   * costs by itself.
   */
  async warm(): Promise<void> {
    await this.#openJail()
    if (!this.#jail) this.#baseline = await this.#firstStart()
  }

  async #openJail(): Promise<void> {
    const { isolation, log, workerdPath, runDirectory } = this.#options
    if (isolation.mode === 'none') return
    const { firstUid } = isolation
    const opened = openJail({ workerdPath, runDirectory, firstUid })
    let reason = 'reason' in opened ? opened.reason : ''
    if (!('reason' in opened)) {
      this.#jail = opened
      try {
        this.#baseline = await this.#firstStart()
        return
      } catch (error) {
        this.#jail = undefined
        opened[Symbol.dispose]()
        reason = messageOf(error)
      }
    }
    if (isolation.mode === 'jail') {
      throw new OperatorError(`Cells can't be jailed here (--isolation=jail): ${reason}.`)
    }
    this.#reason = reason
    log.warn('cells are not jailed: run only code that you trust', { reason })
  }

  async #firstStart(): Promise<StartCost> {
    try {
      return await measureBaseline(this.#context)
    } catch (error) {
      const reason = messageOf(error) || 'it was killed'
      throw new OperatorError(`workerd does not start: ${reason}`, { cause: error })
    }
  }

  async check(worker: WorkerPlan): Promise<CheckReport> {
    const { account } = worker
    const checked = this.#checks.pass(account, () => this.#check(worker))
    const settled = checked.catch(() => undefined)
    this.#checking.add(settled)
    void settled.then(() => this.#checking.delete(settled))
    return checked
  }

  apply(account: AccountId, wanted: readonly CellPlan[], commit?: Commit): Promise<void> {
    const how = { start: 'start', ...(commit && { commit }) } as const
    return this.#inTurn(account, () => this.#apply(account, wanted, how))
  }

  restore(account: AccountId, wanted: readonly CellPlan[]): Promise<void> {
    return this.#inTurn(account, () => this.#apply(account, wanted, { start: 'restore' }))
  }

  wake(worker: RoutedWorker): void {
    if (this.#closing.signal.aborted) return
    if (worker.version === undefined) this.#places.get(liveKey(worker))?.wake()
    else this.#previews.wake(worker)
  }

  status(account: AccountId): readonly CellStatus[] {
    const cells = (this.#accounts.get(account) ?? []).map((cell) => cell.status())
    return [...cells, ...this.#previews.status(account)]
  }

  whileStopped(
    account: AccountId,
    namespaces: readonly ObjectNamespaceId[],
    run: () => Promise<void>,
  ): Promise<void> {
    return this.#inTurn(account, async () => {
      this.#refuseIfClosed()
      const cells = (this.#accounts.get(account) ?? []).filter((cell) =>
        idsOfObjects(cell.plan).some((id) => namespaces.includes(id)),
      )
      try {
        await this.#pause(cells)
        await run()
      } finally {
        await this.#resume(cells)
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.#idleness?.[Symbol.dispose]()
    await this.#previews.close()
    await Promise.all([...this.#checking, ...[...this.#queues.values()].map(({ last }) => last)])
    const cells = [...this.#accounts.values()].flat()
    this.#accounts.clear()
    await Promise.all([this.#retirement.close(), ...cells.map((cell) => cell.stop(closeGraceMs))])
    this.#jail?.[Symbol.dispose]()
  }

  async #check(worker: WorkerPlan): Promise<CheckReport> {
    this.#refuseIfClosed()
    const read = await loadModules(this.#options.readModule, [worker])
    return runCheck(this.#context, { worker, read, baseline: this.#baseline })
  }

  /** Runs what is to be done for one account, one after the other. */
  async #inTurn(account: AccountId, run: () => Promise<void>): Promise<void> {
    const queue = this.#queues.get(account) ?? { waiting: 0, last: Promise.resolve() }
    this.#queues.set(account, queue)
    if (queue.waiting >= waitingPerAccount) throw new Error('too many changes of one account')
    const done = queue.last.then(run)
    queue.waiting += 1
    queue.last = done.catch(() => undefined)
    try {
      await done
    } finally {
      queue.waiting -= 1
      if (queue.waiting === 0) this.#queues.delete(account)
    }
  }

  async #apply(
    account: AccountId,
    wanted: readonly CellPlan[],
    { start, commit = async () => {} }: { readonly start: Start; readonly commit?: Commit },
  ): Promise<void> {
    this.#refuseIfClosed()
    const running = this.#accounts.get(account) ?? []
    const matches = wanted.map((plan) => ({ plan, cell: this.#reusable(plan, running) }))
    const isFree = (plan: CellPlan): boolean => !running.some((cell) => sharesObjects(cell, plan))
    const missing = matches.flatMap(({ plan, cell }) => (cell ? [] : [plan]))
    const taking = missing.filter((plan) => !isFree(plan))
    const fresh = await this.#startAll(missing.filter(isFree), start)
    const kept: Cell[] = []
    const undo: (() => Promise<void>)[] = []
    try {
      for (const { plan, cell } of matches) {
        if (!cell) continue
        const before = cell.plan
        undo.push(() => cell.assign(before))
        if (await this.#assign(cell, plan)) kept.push(cell)
        else if (cell.hasObjects) taking.push(plan)
        else fresh.push(...(await this.#startAll([plan], start)))
      }
      // Two processes never have the same objects open: the old ones end before the new ones start.
      const leaving = running.filter((cell) => cell.hasObjects && !kept.includes(cell))
      if (leaving.length > 0) {
        undo.push(() => this.#resume(leaving))
        await this.#pause(leaving)
        fresh.push(...(await this.#startAll(taking, 'start', this.#takeOvers)))
      }
      await commit()
    } catch (error) {
      // What has come up goes before what was there comes back.
      await Promise.allSettled(fresh.map((cell) => cell.stop(0)))
      for (const run of undo) await run().catch(() => undefined)
      throw error
    }
    const next = [...kept, ...fresh]
    if (next.length > 0) this.#accounts.set(account, next)
    else this.#accounts.delete(account)
    this.#previews.retire(account)
    this.#publish()
    this.#events.deployed(account)
    for (const cell of running) {
      if (next.includes(cell)) continue
      if (cell.hasObjects) await cell.stop(0)
      else this.#retirement.take(account, cell)
    }
  }

  /** Stops the processes of cells once their requests have finished; visitors wait. */
  async #pause(cells: readonly Cell[]): Promise<void> {
    const { ingress, holdMs } = this.#options
    for (const cell of cells) cell.hold()
    this.#publish()
    const ids = cells.flatMap(({ targetIds }) => targetIds)
    ingress.closeWebSockets(ids)
    await ingress.drain(ids, holdMs)
    await Promise.all(cells.map((cell) => cell.pause(holdGraceMs)))
  }

  async #resume(cells: readonly Cell[]): Promise<void> {
    await Promise.all(cells.map((cell) => cell.resume()))
    this.#publish()
  }

  /** The one running cell that needs no more than new values to become as planned. */
  #reusable(plan: CellPlan, running: readonly Cell[]): Cell | undefined {
    const names = new Set(plan.workers.map(({ worker }) => worker))
    const candidates = running.filter((cell) =>
      cell.plan.workers.some(({ worker }) => names.has(worker)),
    )
    const [only] = candidates
    if (candidates.length !== 1 || !only) return undefined
    return this.#options.decide(only.plan, plan).type === 'cell' ? undefined : only
  }

  /** Gives a running cell its new values; `false` if it can't take them. */
  async #assign(cell: Cell, plan: CellPlan): Promise<boolean> {
    try {
      await cell.assign(plan)
      return true
    } catch (error) {
      this.#options.log.warn('a cell did not take new values', { error: messageOf(error) })
      return false
    }
  }

  /** Starts cells side by side: all or none. */
  async #startAll(
    plans: readonly CellPlan[],
    start: Start,
    gate: Gate = this.#starts,
  ): Promise<Cell[]> {
    const started = await Promise.allSettled(
      plans.map((plan) => gate.pass(() => Cell[start](this.#context, plan))),
    )
    const cells = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const failed = started.find((result) => result.status === 'rejected')
    if (!failed) return cells
    await Promise.all(cells.map((cell) => cell.stop(0)))
    throw failed.reason
  }

  #publish(): void {
    if (this.#closing.signal.aborted) return
    const workers = new Map<string, readonly Target[]>(this.#previews.targets())
    const places = new Map<string, Cell>()
    for (const cell of [...this.#accounts.values()].flat()) {
      for (const { worker, target } of cell.targets()) {
        const key = liveKey({ account: cell.plan.account, worker })
        workers.set(key, [...(workers.get(key) ?? []), target])
        places.set(key, cell)
      }
    }
    this.#places = places
    this.#options.ingress.publishLive({ workers })
    this.#events.changed()
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) throw new Error('the server is stopping')
  }
}

/** Whether a cell has files open that a planned one would open. */
function sharesObjects(cell: Cell, plan: CellPlan): boolean {
  const wanted = new Set(idsOfObjects(plan))
  return idsOfObjects(cell.plan).some((id) => wanted.has(id))
}

function idsOfObjects({ workers }: CellPlan): readonly ObjectNamespaceId[] {
  return workers.flatMap(({ objects }) => objects.map(({ id }) => id))
}
