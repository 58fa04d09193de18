import { existsSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import type {
  CellChange,
  CellHost,
  CellPlan,
  CheckReport,
  Module,
  WorkerPlan,
} from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { AccountId, BlobKey } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Random } from '#contract/ports/random.ts'
import { type BackplanePort, type IngressPort, liveKey, type Target } from '#contract/snapshot.ts'
import { Cell, type CellContext } from './cell.ts'
import { runCheck } from './check.ts'
import { Gate } from './gate.ts'

export type CellHostOptions = {
  readonly workerdPath: string
  /** A short path of a folder that only this server uses: unix sockets go there. */
  readonly runDirectory: string
  readonly readModule: (key: BlobKey) => Promise<Uint8Array>
  /** What separates the running plan of a cell from the wanted one: `deploy/change.ts`. */
  readonly decide: (running: CellPlan, wanted: CellPlan) => CellChange
  readonly backplane: BackplanePort
  readonly ingress: IngressPort
  /** The header in which a capability travels, as the backplane reads it. */
  readonly capabilityHeader: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** How long an old process may finish its requests. */
  readonly drainMs: number
  /** How long it stays after its last request, for `waitUntil` work. */
  readonly lingerMs: number
  readonly startTimeoutMs: number
}

// A start is mostly one core's work, and memory for a moment.
const startsAtOnce = 4
const checksAtOnce = 2
// Deploys faster than the linger time must not pile up processes.
const lingerersPerAccount = 3
const closeGraceMs = 5_000

/** Starts, feeds, watches and stops cells. Owned by `main.ts`. */
export async function startCellHost(options: CellHostOptions): Promise<CellHost> {
  const host = new WorkerdHost(options)
  await host.warm()
  return host
}

class WorkerdHost implements CellHost {
  readonly #options: CellHostOptions
  readonly #context: CellContext
  readonly #accounts = new Map<AccountId, readonly Cell[]>()
  readonly #queues = new Map<AccountId, Promise<void>>()
  readonly #lingering = new Map<AccountId, { readonly cell: Cell; readonly hurry: () => void }[]>()
  readonly #retiring = new Set<Promise<void>>()
  readonly #starts = new Gate(startsAtOnce)
  readonly #checks = new Gate(checksAtOnce)
  #baselineMs = 0
  #isClosed = false

  constructor(options: CellHostOptions) {
    this.#options = options
    this.#context = {
      ...options,
      rootCertificates: hasSystemCertificates() ? undefined : rootCertificates,
      changed: () => this.#publish(),
    }
  }

  /** Measures what a start costs by itself, so that checks can tell a Worker's share of it. */
  async warm(): Promise<void> {
    const startedAt = performance.now()
    const cell = await Cell.launchEmpty(this.#context)
    this.#baselineMs = performance.now() - startedAt
    cell.kill()
    await cell.exited
  }

  check(worker: WorkerPlan): Promise<CheckReport> {
    return this.#checks.pass(async () => {
      const read = await this.#modules([worker])
      return runCheck({
        start: () => Cell.launchCheck(this.#context, { worker, read }),
        slot: 'w0',
        isServiceWorker: worker.code.format === 'service-worker',
        baselineMs: this.#baselineMs,
      })
    })
  }

  apply(account: AccountId, wanted: readonly CellPlan[]): Promise<void> {
    const before = this.#queues.get(account) ?? Promise.resolve()
    const applied = before.then(() => this.#apply(account, wanted))
    const settled = applied.catch(() => undefined)
    this.#queues.set(account, settled)
    return applied
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#queues.values())
    for (const lingerers of this.#lingering.values()) for (const { hurry } of lingerers) hurry()
    const cells = [...this.#accounts.values()].flat()
    this.#accounts.clear()
    await Promise.all([...cells.map((cell) => cell.stop(closeGraceMs)), ...this.#retiring])
  }

  async #apply(account: AccountId, wanted: readonly CellPlan[]): Promise<void> {
    if (this.#isClosed) throw new Error('the server is stopping')
    const running = this.#accounts.get(account) ?? []
    const matches = wanted.map((plan) => ({ plan, cell: this.#reusable(plan, running) }))
    const fresh = await this.#startAll(matches.filter(({ cell }) => !cell).map(({ plan }) => plan))
    const kept: Cell[] = []
    for (const { plan, cell } of matches) {
      if (!cell) continue
      if (await this.#update(cell, plan)) kept.push(cell)
      else fresh.push(...(await this.#startAll([plan])))
    }
    const next = [...kept, ...fresh]
    this.#accounts.set(account, next)
    this.#publish()
    for (const cell of running) if (!next.includes(cell)) this.#retire(account, cell)
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
  async #update(cell: Cell, plan: CellPlan): Promise<boolean> {
    if (this.#options.decide(cell.plan, plan).type === 'nothing') {
      cell.adopt(plan)
      return true
    }
    try {
      await cell.assign(plan)
      return true
    } catch (error) {
      this.#options.log.warn('a cell did not take new values', { error: messageOf(error) })
      return false
    }
  }

  /** Starts cells side by side: all or none. */
  async #startAll(plans: readonly CellPlan[]): Promise<Cell[]> {
    const started = await Promise.allSettled(
      plans.map((plan) =>
        this.#starts.pass(async () =>
          Cell.start(this.#context, plan, await this.#modules(plan.workers)),
        ),
      ),
    )
    const cells = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const failed = started.find((result) => result.status === 'rejected')
    if (!failed) return cells
    await Promise.all(cells.map((cell) => cell.stop(0)))
    throw failed.reason
  }

  /** Lets a cell that is out of the table finish, linger, and go. */
  #retire(account: AccountId, cell: Cell): void {
    const lingerers = this.#lingering.get(account) ?? []
    this.#lingering.set(account, lingerers)
    const { promise: hurried, resolve: hurry } = Promise.withResolvers<void>()
    const entry = { cell, hurry }
    lingerers.push(entry)
    if (lingerers.length > lingerersPerAccount) lingerers[0]?.hurry()
    const retired = (async () => {
      await this.#options.ingress.drain(cell.targetIds, this.#options.drainMs)
      const { promise: lingered, resolve } = Promise.withResolvers<void>()
      const timer = this.#options.clock.after(this.#options.lingerMs, resolve)
      await Promise.race([lingered, hurried])
      timer[Symbol.dispose]()
      lingerers.splice(lingerers.indexOf(entry), 1)
      await cell.stop(closeGraceMs)
    })()
    const logged = retired.catch((error: unknown) => {
      this.#options.log.error('a cell did not retire', { error: messageOf(error) })
    })
    this.#retiring.add(logged)
    void logged.then(() => this.#retiring.delete(logged))
  }

  #publish(): void {
    if (this.#isClosed) return
    const workers = new Map<string, readonly Target[]>()
    for (const cell of [...this.#accounts.values()].flat()) {
      for (const { worker, target } of cell.targets()) {
        const key = liveKey({ account: cell.plan.account, worker })
        workers.set(key, [...(workers.get(key) ?? []), target])
      }
    }
    this.#options.ingress.publishLive({ workers })
  }

  /** Reads the bytes of every module of some Workers, once each. */
  async #modules(workers: readonly WorkerPlan[]): Promise<(module: Module) => Uint8Array> {
    const keys = new Set(workers.flatMap(({ code }) => code.modules.map(({ key }) => key)))
    const bytes = new Map<BlobKey, Uint8Array>()
    await Promise.all(
      [...keys].map(async (key) => bytes.set(key, await this.#options.readModule(key))),
    )
    return ({ key, name }) => {
      const found = bytes.get(key)
      if (!found) throw new Error(`module ${name} was not read`)
      return found
    }
  }
}

// workerd exits at its first use of TLS where the system has no roots; Node brings its own.
function hasSystemCertificates(): boolean {
  return [
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/cert.pem',
  ].some((path) => existsSync(path))
}
