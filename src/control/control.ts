import type { ServedBinding } from '#contract/binding.ts'
import type { Dataset } from '#contract/binding.ts'
import type { CellHost, CellPlan } from '#contract/cell.ts'
import type { Ports } from '#contract/ports.ts'
import type { ObjectFiles } from '#contract/ports/object-files.ts'
import type { SchedulePort } from '#contract/schedules.ts'
import type { RoutedWorker, RouteTable } from '#contract/snapshot.ts'
import type { Usage } from '#contract/usage.ts'
import { Activation } from './activation.ts'
import { type AppOptions, createApp } from './app.ts'
import { cellRoutes } from './cells-api.ts'
import { ClassStore } from './class-store.ts'
import { Classes } from './classes.ts'
import { CronTriggers } from './cron-triggers.ts'
import { domainRoutes } from './domains-api.ts'
import { Domains } from './domains.ts'
import { emptyAccountRoutes } from './empty-api.ts'
import { graphqlRoutes } from './graphql-api.ts'
import { type Administrator, Identities } from './identities.ts'
import { accountRoutes, identityRoutes } from './identity-api.ts'
import { IdentityStore } from './identity-store.ts'
import { objectRoutes } from './objects-api.ts'
import { Publication } from './publication.ts'
import { Registry } from './registry.ts'
import { Routes } from './routes.ts'
import { ScheduleStore } from './schedule-store.ts'
import { scheduleRoutes } from './schedules-api.ts'
import { scriptRoutes } from './scripts-api.ts'
import { secretRoutes } from './secrets-api.ts'
import { serviceRoutes } from './services-api.ts'
import { statusRoutes } from './status-api.ts'
import { Tokens } from './tokens.ts'
import { VersionMaker } from './version-maker.ts'
import { versionRoutes } from './versions-api.ts'
import { type WorkerKey, WorkerStore } from './worker-store.ts'
import { workerRoutes } from './workers-api.ts'
import { Workers } from './workers.ts'
import { ZoneStore } from './zone-store.ts'
import { zoneRoutes } from './zones-api.ts'
import { Zones } from './zones.ts'

export type ControlOptions = Omit<Ports, 'vault'> & {
  readonly host: CellHost
  readonly publishRoutes: (table: RouteTable) => void
  readonly bindings: readonly ServedBinding[]
  /** Workers answer at `<worker>.<domain>`. */
  readonly domain: string
  /** Where visitors reach a host name. */
  readonly urlOf: (host: string) => string
  /** The stored Durable Objects. What a crash left of them is swept. */
  readonly objectFiles: ObjectFiles
  /** Who calls the handlers of cron triggers. */
  readonly schedules: SchedulePort
}

/** The folder of migrations that control's database needs. */
export const controlMigrations = new URL('./migrations/', import.meta.url)

/** The control plane. Owned by `main.ts`, which owns what it is handed as well. */
export interface Control {
  /** Answers `/client/v4`. */
  fetch(request: Request): Promise<Response>
  /**
   * Comes before anybody calls: removes what a crash left behind, makes the first account if there
   * is none, and publishes the routes, so that visitors wait rather than being told 404.
   */
  prepare(knownToken: string | undefined): Promise<Administrator>
  /** Brings every Worker back. */
  start(): Promise<void>
  /** The cell that shows visitors a preview; `undefined` if there is no such version. */
  planPreview(preview: RoutedWorker): Promise<CellPlan | undefined>
  readonly usage: Usage
  /** Resolves when no change is under way. */
  idle(): Promise<void>
}

export function createControl(options: ControlOptions): Control {
  const parts = assemble(options)
  const { activation, classes, identities, maker, publication, registry, store, workers } = parts
  const { cronTriggers } = parts
  return {
    fetch: createApp(apiOf(options, parts)),
    async prepare(knownToken) {
      await maker.sweep()
      await classes.sweep()
      await registry.sites?.sweepBy(() => store.allManifests())
      const administrator = await identities.administrator(knownToken)
      await publication.publish()
      return administrator
    },
    async start() {
      await cronTriggers.publish()
      await activation.start()
    },
    planPreview: (preview) => activation.planPreview(preview),
    usage: activation,
    async idle() {
      await workers.idle()
      await activation.idle()
      await publication.idle()
    },
  }
}

type Parts = ReturnType<typeof assemble>

/** Makes everything that keeps or changes state, each with those that it needs. */
function assemble(options: ControlOptions) {
  const { objectFiles, sql } = options
  const store = new WorkerStore(sql)
  const identityStore = new IdentityStore(sql)
  const zoneStore = new ZoneStore(sql)
  const classStore = new ClassStore(sql)
  const registry = new Registry(options.bindings, options.blob)
  const stores = { ...options, workers: store, identities: identityStore, zones: zoneStore }
  const classes = new Classes({
    ...stores,
    classStore,
    removeObjects: (account, namespace) => objectFiles.delete({ account, namespace }),
  })
  const publication = new Publication(stores)
  const activation = new Activation({ ...stores, registry, classStore, publication })
  const maker = new VersionMaker({ ...stores, registry, classes })
  const scheduleStore = new ScheduleStore(sql)
  const cronTriggers = new CronTriggers({ ...options, scheduleStore })
  const makers = { store, maker, activation, publication, registry, classes, cronTriggers }
  const workers = new Workers({ ...options, ...makers })
  const tokens = new Tokens({ ...options, store: identityStore })
  const publish = (): Promise<void> => publication.publish()
  const identities = new Identities({ ...options, store: identityStore, tokens, publish })
  const zones = new Zones({ ...stores, publication })
  const routing = { zones, zoneStore, store, random: options.random }
  const routes = new Routes(routing)
  const domains = new Domains(routing)
  const people = { tokens, identities, identityStore }
  return { ...makers, ...people, workers, classStore, zoneStore, zones, routes, domains }
}

/** The API: every route that there is. */
function apiOf(options: ControlOptions, parts: Parts): AppOptions {
  const { classStore, identityStore, publication, registry } = parts
  const ofIdentities = { ...options, ...parts, store: identityStore }
  const ofWorkers = {
    ...options,
    ...parts,
    urlOf: async (key: WorkerKey) => options.urlOf(await publication.hostOf(key)),
    previewUrlOf: async (key: WorkerKey, name: string) =>
      options.urlOf(name + (await publication.previewSuffixOf(key))),
  }
  return {
    ...options,
    tokens: parts.tokens,
    identities: identityStore,
    mounts: [...registry.lives].flatMap(({ api }) => api ?? []),
    guardedMounts: [...registry.lives].flatMap(({ guardedApi }) => guardedApi ?? []),
    routes: [
      ...identityRoutes(ofIdentities),
      ...zoneRoutes(parts),
      ...statusRoutes(options.host),
      ...graphqlRoutes(datasetsOf(registry)),
    ],
    accountRoutes: [
      ...accountRoutes(ofIdentities),
      ...emptyAccountRoutes,
      ...cellRoutes(options.host, options.databases),
      ...objectRoutes({ ...options, directory: classStore, files: options.objectFiles }),
      ...scriptRoutes(ofWorkers),
      ...scheduleRoutes({ ...options, ...parts }),
      ...versionRoutes(ofWorkers),
      ...secretRoutes(ofWorkers),
      ...serviceRoutes(ofWorkers),
      ...domainRoutes(parts),
      ...workerRoutes(ofWorkers),
    ],
  }
}

/** What products tell of themselves in numbers. */
function datasetsOf(registry: Registry): Readonly<Record<string, Dataset>> {
  return Object.assign({}, ...[...registry.lives].map(({ datasets }) => datasets ?? {}))
}
