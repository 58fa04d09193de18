import type { CellHost } from '#contract/cell.ts'
import type { Ports } from '#contract/ports.ts'
import type { ObjectFiles } from '#contract/ports/object-files.ts'
import type { RouteTable } from '#contract/snapshot.ts'
import { Activation } from './activation.ts'
import { createApp } from './app.ts'
import { ClassStore } from './class-store.ts'
import { Classes } from './classes.ts'
import { emptyAccountRoutes, emptyRoutes } from './empty-api.ts'
import { type Administrator, Identities } from './identities.ts'
import { accountRoutes, identityRoutes } from './identity-api.ts'
import { IdentityStore } from './identity-store.ts'
import { objectRoutes } from './objects-api.ts'
import { Registry, type ServedBinding } from './registry.ts'
import { scriptRoutes } from './scripts-api.ts'
import { secretRoutes } from './secrets-api.ts'
import { serviceRoutes } from './services-api.ts'
import { Tokens } from './tokens.ts'
import { VersionMaker } from './version-maker.ts'
import { versionRoutes } from './versions-api.ts'
import { type WorkerKey, WorkerStore } from './worker-store.ts'
import { workerRoutes } from './workers-api.ts'
import { Workers } from './workers.ts'

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
  /** Resolves when no change is under way. */
  idle(): Promise<void>
}

export function createControl(options: ControlOptions): Control {
  const { blob } = options
  const store = new WorkerStore(options.sql)
  const identityStore = new IdentityStore(options.sql)
  const registry = new Registry(options.bindings, blob)
  const classStore = new ClassStore(options.sql)
  const { objectFiles } = options
  const classes = new Classes({
    ...options,
    classStore,
    workers: store,
    removeObjects: (account, namespace) => objectFiles.delete({ account, namespace }),
  })
  const activation = new Activation({
    ...options,
    workers: store,
    identities: identityStore,
    registry,
    classStore,
  })
  const maker = new VersionMaker({ ...options, workers: store, registry, classes })
  const workers = new Workers({ ...options, store, maker, activation, registry, classes })
  const tokens = new Tokens({ ...options, store: identityStore })
  const publish = (): Promise<void> => activation.publish()
  const identities = new Identities({ ...options, store: identityStore, tokens, publish })
  const ofIdentities = { ...options, store: identityStore, identities, tokens }
  const ofWorkers = {
    workers,
    store,
    registry,
    blob,
    urlOf: async (key: WorkerKey) => options.urlOf(await activation.hostOf(key)),
  }
  return {
    fetch: createApp({
      ...options,
      tokens,
      identities: identityStore,
      mounts: [...registry.lives].flatMap(({ api }) => api ?? []),
      routes: [...identityRoutes(ofIdentities), ...emptyRoutes],
      accountRoutes: [
        ...accountRoutes(ofIdentities),
        ...emptyAccountRoutes,
        ...objectRoutes({ ...options, directory: classStore, files: objectFiles }),
        ...scriptRoutes(ofWorkers),
        ...versionRoutes(ofWorkers),
        ...secretRoutes(ofWorkers),
        ...serviceRoutes(ofWorkers),
        ...workerRoutes(ofWorkers),
      ],
    }),
    async prepare(knownToken) {
      await maker.sweep()
      await classes.sweep()
      const administrator = await identities.administrator(knownToken)
      await activation.publish()
      return administrator
    },
    start: () => activation.start(),
    async idle() {
      await workers.idle()
      await activation.idle()
    },
  }
}
