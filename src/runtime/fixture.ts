import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { capabilityHeader, createBackplane } from '#backplane/server.ts'
import type { BackendRequest, Grant } from '#contract/backend.ts'
import type {
  CellHost,
  CellPlan,
  CheckReport,
  Code,
  ModuleType,
  WorkerPlan,
} from '#contract/cell.ts'
import type { EventHost } from '#contract/events.ts'
import { type BlobKey, blobKey, workerName } from '#contract/ids.ts'
import type { Log, LogFields } from '#contract/ports/log.ts'
import {
  type LiveTable,
  liveKey,
  type RoutedWorker,
  type Target,
  type WakePort,
} from '#contract/snapshot.ts'
import type { Wire } from '#contract/wire.ts'
import { decideChange } from '#deploy/change.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { createEgress } from '#egress/server.ts'
import { createIngress, type Ingress } from '#ingress/server.ts'
import { trustIn } from '#ingress/visitor.ts'
import { account } from '#test/backend.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { workerdPath } from './binary.ts'
import type { CellHostOptions } from './host-options.ts'
import { startCellHost } from './host.ts'

/** The runtime with the rooms around it as they are, for the tests of this folder. */
export interface Fixture extends AsyncDisposable {
  readonly host: CellHost & EventHost
  readonly runDirectory: string
  /** What was logged, newest last. */
  readonly log: readonly { readonly message: string; readonly fields: LogFields }[]
  /** Calls that reached the backplane. */
  readonly calls: readonly { readonly grant: Grant; readonly url: string }[]
  /** A plan of a Worker; `exports` are none until `ready` fills them in. */
  plan(worker: string, source: Source): WorkerPlan
  check(worker: string, source: Source): Promise<CheckReport>
  /** A plan with what a check says of its exports. Throws if it does not start. */
  ready(worker: string, source: Source): Promise<WorkerPlan>
  /** Applies plans: one cell each. */
  apply(...cells: readonly (readonly WorkerPlan[])[]): Promise<void>
  /** The same, with what stores them. */
  applyAnd(commit: () => Promise<void>, ...cells: readonly (readonly WorkerPlan[])[]): Promise<void>
  restore(...cells: readonly (readonly WorkerPlan[])[]): Promise<void>
  targets(worker: string): readonly Target[]
  /** Leads `<name>.localhost` to one version of a Worker by itself, until the next `apply`. */
  routePreview(name: string, of: RoutedWorker): void
  /** Where ingress takes WebSockets for a Worker, which its Host header names. */
  url(path?: string): string
  /** A request through ingress. */
  visit(worker: string, path?: string, options?: VisitOptions): Promise<Answer>
}

export type Source = {
  /** Text of the main module, or all modules by name, the main one first. */
  readonly code: string | Readonly<Record<string, readonly [ModuleType, string | Uint8Array]>>
  readonly bindings?: Readonly<Record<string, Wire>>
  readonly format?: Code['format']
  readonly date?: string
  readonly flags?: readonly string[]
  readonly percentage?: number
  readonly objects?: WorkerPlan['objects']
  readonly version?: string
  readonly limits?: WorkerPlan['limits']
}

export type VisitOptions = { readonly method?: string; readonly body?: string }
export type Answer = { readonly status: number; readonly body: string }

const firstVersion = '00000000-0000-4000-8000-000000000001'

export async function startFixture(options: Partial<CellHostOptions> = {}): Promise<Fixture> {
  const rooms = await startRooms()
  const { log, calls, port } = rooms
  const modules = new Map<BlobKey, Uint8Array>()
  const runDirectory = options.runDirectory ?? rooms.folder
  const host = await startCellHost({
    ...rooms.ports,
    workerdPath,
    readModule: async (key) => modules.get(key) ?? new Uint8Array(),
    decide: decideChange,
    capabilityHeader,
    clock: systemClock,
    random: systemRandom,
    drainMs: 5_000,
    lingerMs: 200,
    holdMs: 2_000,
    objectsDirectory: `${rooms.folder}/objects`,
    startTimeoutMs: 5_000,
    // In jails where they can be had: what works there works without one.
    isolation: { mode: 'auto', firstUid: 61_000 },
    limits: { cpuMs: 30_000, memoryBytes: 128 * 1024 * 1024 },
    nextAlarm: async () => undefined,
    planPreview: async () => undefined,
    ...options,
    runDirectory,
  }).catch(async (error: unknown) => {
    await rooms.close()
    throw error
  })
  rooms.waker.wake = (worker) => host.wake(worker)
  const plan = (worker: string, source: Source): WorkerPlan => planOf(worker, source, modules)
  return {
    host,
    runDirectory,
    log,
    calls,
    plan,
    check: (worker, source) => host.check(plan(worker, source)),
    async ready(worker, source) {
      const report = await host.check(plan(worker, source))
      if (!report.ok) throw new Error(report.message)
      return { ...plan(worker, source), exports: report.exports }
    },
    apply: (...cells) => host.apply(account, rooms.route(cells)),
    applyAnd: (commit, ...cells) => host.apply(account, rooms.route(cells), commit),
    restore: (...cells) => host.restore(account, rooms.route(cells)),
    routePreview: (name, of) => rooms.addRoute(name, of),
    url: (path = '/') => `ws://127.0.0.1:${port}${path}`,
    targets: (worker) =>
      rooms.live().workers.get(liveKey({ account, worker: workerName.parse(worker) })) ?? [],
    visit: (worker, path = '/', more = {}) =>
      send({ port, path, headers: { host: `${worker}.localhost` } }, more),
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]()
      await rooms.close()
    },
  }
}

type LogRecord = { readonly message: string; readonly fields: LogFields }

/** Ingress and backplane around a host, each the real one. */
async function startRooms() {
  const folder = await temporaryFolder()
  const log: LogRecord[] = []
  const calls: { grant: Grant; url: string }[] = []
  const backplane = createBackplane({
    serve: (grant) => async (call: BackendRequest) => {
      calls.push({ grant, url: call.url })
      return { status: 200, body: JSON.stringify(grant.resource) }
    },
    log: recorder(log),
  })
  let hosts = new Map<string, RoutedWorker>()
  // Ingress comes before the host that wakes for it.
  const waker: Partial<WakePort> = {}
  const { ingress, live } = observed(
    createIngress({
      trust: trustIn([]),
      random: systemRandom,
      log: recorder(log),
      waker: { wake: (worker) => waker.wake?.(worker) },
    }),
  )
  return {
    folder: folder.path,
    log,
    calls,
    live,
    waker,
    port: (await ingress.listen({ host: '127.0.0.1', port: 0 })).port,
    ports: {
      backplane,
      egress: createEgress({ allow: [], log: recorder(log) }),
      ingress,
      log: recorder(log),
    },
    addRoute(name: string, of: RoutedWorker): void {
      hosts.set(`${name}.localhost`, of)
      ingress.publishRoutes({ hosts })
    },
    route(cells: readonly (readonly WorkerPlan[])[]): CellPlan[] {
      const names = cells.flat().map(({ worker }) => worker)
      hosts = new Map(names.map((worker) => [`${worker}.localhost`, { account, worker }]))
      ingress.publishRoutes({ hosts })
      return cells.map((workers) => ({ account, workers }))
    },
    async close(): Promise<void> {
      await ingress.close(0)
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Processes of a fixture's cells, by what the kernel says: the owner's mark in their environment. */
export async function pidsOf({ runDirectory }: Pick<Fixture, 'runDirectory'>): Promise<number[]> {
  const found = await Promise.all(
    (await readdir('/proc')).filter(Number).map(async (pid) => {
      const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
      if (!environ.includes(`=${runDirectory}\0`)) return []
      // What starts a jail, and waits outside for its end, is no cell.
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
      return name === 'bwrap\n' ? [] : [Number(pid)]
    }),
  )
  return found.flat()
}

/** Sends a request over a connection of its own. */
export function send(
  to: { port?: number; socketPath?: string; path: string; headers?: Record<string, string> },
  { method = 'GET', body }: VisitOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(15_000)
    const outgoing = request(
      { host: '127.0.0.1', agent: false, ...to, method, signal },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (data: string) => (text += data))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
        response.on('error', reject)
      },
    )
    outgoing.on('error', reject).end(body)
  })
}

function planOf(worker: string, source: Source, blobs: Map<BlobKey, Uint8Array>): WorkerPlan {
  const { code, bindings = {}, format = 'modules', date = '2026-11-01', flags = [] } = source
  const modules = typeof code === 'string' ? { 'index.js': ['esModule', code] as const } : code
  return {
    account,
    worker: workerName.parse(worker),
    version: { id: source.version ?? firstVersion, tag: '', createdAt: '2026-11-24T00:00:00Z' },
    percentage: source.percentage ?? 100,
    limits: source.limits ?? {},
    code: {
      format,
      mainModule: Object.keys(modules)[0] ?? '',
      modules: Object.entries(modules).map(([name, [type, content]]) => {
        const bytes = new Uint8Array(Buffer.from(content))
        const key = blobKey.parse(createHash('sha256').update(bytes).digest('hex'))
        blobs.set(key, bytes)
        return { name, type, key, size: bytes.length }
      }),
      compatibilityDate: date,
      compatibilityFlags: flags,
    },
    exports: { hasDefault: true, handlers: ['fetch'], named: [] },
    objects: source.objects ?? [],
    bindings: Object.entries(bindings).map(([name, wire]) => ({ name, type: wire.type, wire })),
  }
}

/** An ingress whose newest table can be looked at. */
function observed(ingress: Ingress): { ingress: Ingress; live: () => LiveTable } {
  let latest: LiveTable = { workers: new Map() }
  const publishLive = ingress.publishLive.bind(ingress)
  ingress.publishLive = (table) => {
    latest = table
    publishLive(table)
  }
  return { ingress, live: () => latest }
}

function recorder(records: LogRecord[], always: LogFields = {}): Log {
  const at = (message: string, fields: LogFields = {}): void => {
    records.push({ message, fields: { ...always, ...fields } })
  }
  return {
    debug: at,
    info: at,
    warn: at,
    error: at,
    child: (fields) => recorder(records, { ...always, ...fields }),
  }
}
