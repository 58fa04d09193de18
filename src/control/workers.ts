import type { Entry } from '#contract/binding.ts'
import { messageOf } from '#contract/errors.ts'
import type { BlobKey } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import { checkAlias } from '#deploy/preview.ts'
import type { Upload } from '#deploy/upload.ts'
import type { Activation } from './activation.ts'
import { type BoundClass, type Classes, changesClasses } from './classes.ts'
import type { CronTriggers } from './cron-triggers.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import type { Publication } from './publication.ts'
import {
  type Author,
  type Deployment,
  type Share,
  type Version,
  type Worker,
  workerSettings,
} from './records.ts'
import type { Registry } from './registry.ts'
import { Turns } from './turns.ts'
import type { Amendment, VersionMaker } from './version-maker.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'

export type WorkersOptions = Pick<Ports, 'clock' | 'random' | 'log'> & {
  readonly store: WorkerStore
  readonly maker: VersionMaker
  readonly activation: Activation
  readonly publication: Publication
  readonly registry: Registry
  readonly classes: Classes
  readonly cronTriggers: CronTriggers
}

/** How a change of a Worker is asked for. */
export type Change = {
  readonly key: WorkerKey
  readonly author: Author
  readonly annotations: Readonly<Record<string, string>>
}

/** What became of an upload. */
export type Uploaded = {
  readonly worker: Worker
  readonly version: Version
  /** `exports_reconciliation`, where the upload asked for it. */
  readonly reconciliation?: Json | undefined
}

/** What binds a Worker to others, by name. */
export type References = {
  /** Workers that have a service binding to it, and those it has one to. */
  readonly incoming: readonly string[]
  readonly outgoing: readonly string[]
  /** Its Durable Object classes, and the Workers that are bound to each. */
  readonly objects: readonly BoundClass[]
}

/** What of a version of the same code is to be other: see `Amendment`. */
export type Amended = Omit<Amendment, keyof Change | 'previous' | 'isStrict'>

/** Every change of a Worker. Changes of one Worker are made one by one. */
export class Workers {
  readonly #options: WorkersOptions
  readonly #turns = new Turns()

  constructor(options: WorkersOptions) {
    this.#options = options
  }

  /** Throws `workerNotFound`. */
  async get(key: WorkerKey): Promise<Worker> {
    const worker = await this.#options.store.worker(key)
    if (!worker) throw errors.workerNotFound()
    return worker
  }

  /** Makes a Worker that has no version yet. Throws `workerExists`. */
  create(key: WorkerKey): Promise<Worker> {
    return this.#turns.take(turnOf(key), async () => {
      if (await this.#options.store.worker(key)) throw errors.workerExists(key.worker)
      await this.#checkCount(key)
      const worker = this.#newWorker(key)
      await this.#options.store.apply({ worker })
      return worker
    })
  }

  /** Makes a version of an upload and, if `isDeployed`, gives it all traffic. */
  upload(
    change: Change,
    upload: Upload,
    how: { readonly isDeployed: boolean; readonly isStrict: boolean },
  ): Promise<Uploaded> {
    if (!changesClasses(upload.metadata)) return this.#upload(change, upload, how)
    return this.#withClasses(change.key, () => this.#upload(change, upload, how))
  }

  #upload(
    change: Change,
    upload: Upload,
    how: { readonly isDeployed: boolean; readonly isStrict: boolean },
  ): Promise<Uploaded> {
    const { key } = change
    return this.#change(key, async () => {
      const { store, maker, classes } = this.#options
      const known = await store.worker(key)
      if (!known && !how.isDeployed) throw errors.workerNotFound()
      if (!known) await this.#checkCount(key)
      const annotations = { ...upload.metadata.annotations, ...change.annotations }
      const alias = annotations['workers/alias']
      if (alias !== undefined) checkAlias(alias, key.worker)
      const facts = { ...change, ...how, annotations }
      return maker.fromUpload(upload, facts, async (made) => {
        const { version, plan, change: changed, reconciliation } = made
        const worker = this.#amendedWorker(known ?? this.#newWorker(key), upload)
        if (!how.isDeployed) {
          await store.apply({ worker: known ?? worker, version })
          return { worker: known ?? worker, version }
        }
        const deployment = this.#newDeployment(change, wholly(version))
        await this.#options.activation.replace(
          key.account,
          { worker: key.worker, plans: [plan], classes: changed },
          () => store.apply({ worker, version, deployment, classes: changed }),
        )
        await classes.sweep()
        const tag = changed ? (changed.state.tag ?? null) : worker.migrationTag
        return { worker: { ...worker, migrationTag: tag }, version, reconciliation }
      })
    })
  }

  /** Makes a version of the newest version's code, with other bindings. It is not deployed. */
  amend(change: Change, amended: (latest: Version) => Amended): Promise<Version> {
    return this.#change(change.key, async () => {
      const { store, maker } = this.#options
      const worker = await this.get(change.key)
      const previous = await store.latestVersion(change.key)
      if (!previous) throw errors.noVersions()
      const parts = { ...change, ...amended(previous), previous, isStrict: true }
      const { version } = await maker.fromPrevious(parts)
      await store.apply({ worker: this.#touched(worker), version })
      return version
    })
  }

  /** The same, and gives it all traffic. Refused while the newest version has not got that. */
  amendAndDeploy(change: Change, amended: (latest: Version) => Amended): Promise<Version> {
    const { key } = change
    return this.#change(key, async () => {
      const { store, maker, activation } = this.#options
      const worker = await this.get(key)
      const previous = await store.latestVersion(key)
      const current = await store.currentDeployment(key)
      const [share, ...others] = current?.versions ?? []
      if (!previous || others.length > 0 || share?.versionId !== previous.id) {
        throw errors.latestNotDeployed()
      }
      const parts = { ...change, ...amended(previous), previous, isStrict: true }
      const { version, plan } = await maker.fromPrevious(parts)
      const deployment = this.#newDeployment(change, wholly(version))
      await activation.replace(key.account, { worker: key.worker, plans: [plan] }, () =>
        store.apply({ worker: this.#touched(worker), version, deployment }),
      )
      return version
    })
  }

  /** Gives stored versions the traffic. An older one with other secrets only by `isForced`. */
  deploy(
    change: Change,
    shares: readonly Share[],
    { isForced }: { readonly isForced: boolean },
  ): Promise<Deployment> {
    const { key } = change
    return this.#change(key, async () => {
      const { store, activation } = this.#options
      const worker = await this.get(key)
      const versions = await Promise.all(
        shares.map(({ versionId }) => this.version(key, versionId)),
      )
      await this.#options.classes.checkVersions(key, versions)
      const isRollback = await this.#isRollback(key, { versions, isForced })
      const plans = await activation.plansOf(key, shares)
      const deployment = this.#newDeployment(change, shares, isRollback ? 'rollback' : 'deployment')
      await activation.replace(key.account, { worker: key.worker, plans }, () =>
        store.apply({ worker: this.#touched(worker), deployment }),
      )
      return deployment
    })
  }

  /** Throws `versionNotFound`. */
  async version(key: WorkerKey, id: string): Promise<Version> {
    const version = await this.#options.store.version(key, id)
    if (!version) throw errors.versionNotFound(id)
    return version
  }

  /** Changes what belongs to no version. */
  configure(
    key: WorkerKey,
    changed: Partial<Pick<Worker, 'isOnSubdomain' | 'hasPreviews'>> & {
      readonly settings?: Readonly<Record<string, Json>>
    },
  ): Promise<Worker> {
    return this.#change(key, async () => {
      const worker = await this.get(key)
      const settings = workerSettings.parse({ ...worker.settings, ...changed.settings })
      const next = { ...this.#touched(worker), ...changed, settings }
      await this.#options.store.apply({ worker: next })
      const isElsewhere =
        next.isOnSubdomain !== worker.isOnSubdomain || next.hasPreviews !== worker.hasPreviews
      if (isElsewhere) await this.#options.publication.publish()
      return next
    })
  }

  /** Stops a Worker and removes all of it. `isForced`: even if others are bound to it. */
  remove(key: WorkerKey, how: { readonly isForced: boolean }): Promise<void> {
    return this.#withClasses(key, () => this.#remove(key, how))
  }

  #remove(key: WorkerKey, { isForced }: { readonly isForced: boolean }): Promise<void> {
    return this.#turns.take(turnOf(key), async () => {
      const { store, activation, maker, registry, classes, cronTriggers } = this.#options
      await this.get(key)
      const { incoming, objects } = await this.references(key)
      const users = new Set([...incoming, ...objects.flatMap(({ workers }) => workers)])
      if (users.size > 0 && !isForced) throw errors.workerInUse([...users].join(', '))
      const keys = await store.moduleKeys(key)
      await activation.replace(key.account, { worker: key.worker, plans: [] }, () =>
        store.remove(key),
      )
      await maker.removeModules(keys)
      await classes.sweep()
      for (const live of registry.lives) await live.forget?.(key)
      await cronTriggers.forget(key)
    })
  }

  /** Which other Workers' deployments are bound to this one, and which it is bound to. */
  async references(key: WorkerKey): Promise<References> {
    const { store, activation, classes } = this.#options
    const incoming = new Set<string>()
    const outgoing = new Set<string>()
    for (const { worker, versions } of await store.currentDeployments(key.account)) {
      // What can't be planned does not run, and is bound to nobody.
      const plans = await activation
        .plansOf({ account: key.account, worker }, versions)
        .catch(() => [])
      for (const { wire } of plans.flatMap(({ bindings }) => bindings)) {
        if (wire.type !== 'worker' || wire.worker === worker) continue
        if (wire.worker === key.worker) incoming.add(worker)
        if (worker === key.worker) outgoing.add(wire.worker)
      }
    }
    const objects = await classes.boundToAny(key)
    return { incoming: [...incoming], outgoing: [...outgoing], objects }
  }

  /** Resolves when no change is under way. */
  idle(): Promise<void> {
    return this.#turns.idle()
  }

  /**
   * Runs what may change classes. One may move from a Worker to another, with its objects, and must
   * not be deleted meanwhile: there are no two such changes of an account at a time.
   */
  #withClasses<Value>({ account }: WorkerKey, task: () => Promise<Value>): Promise<Value> {
    return this.#turns.take(`classes/${account}`, task)
  }

  /** Runs a change in its turn, then forgets what there is too much of. */
  #change<Value>(key: WorkerKey, task: () => Promise<Value>): Promise<Value> {
    return this.#turns.take(turnOf(key), async () => {
      const value = await task()
      await this.#prune(key)
      return value
    })
  }

  // What is left over costs space and nothing else: the change itself is done.
  async #prune(key: WorkerKey): Promise<void> {
    const { store, maker, log } = this.#options
    try {
      const old = await store.prune(key)
      if (old.length === 0) return
      const kept = await store.moduleKeys(key)
      const keys = old.flatMap(({ modules }) => modules.map((module) => module.key))
      await maker.removeModules(keys.filter((each: BlobKey) => !kept.has(each)))
    } catch (error) {
      log.warn('old versions were not removed', { ...key, error: messageOf(error) })
    }
  }

  async #checkCount({ account }: WorkerKey): Promise<void> {
    const workers = await this.#options.store.workers(account)
    if (workers.length >= limits.workersPerAccount) {
      throw errors.tooManyWorkers(limits.workersPerAccount)
    }
  }

  /** Going back to a version with other values of secrets needs to be confirmed. */
  async #isRollback(
    key: WorkerKey,
    to: { readonly versions: readonly Version[]; readonly isForced: boolean },
  ): Promise<boolean> {
    const current = await this.#options.store.currentDeployment(key)
    const running = await Promise.all(
      (current?.versions ?? []).map(({ versionId }) => this.version(key, versionId)),
    )
    const newest = running.toSorted((a, b) => b.number - a.number)[0]
    const isRollback = newest !== undefined && to.versions.every((v) => v.number < newest.number)
    if (!isRollback || to.isForced) return isRollback
    const changed = new Set(to.versions.flatMap((version) => changedSecrets(version, newest)))
    if (changed.size > 0) throw errors.secretsChanged([...changed].join(', '))
    return true
  }

  #newWorker({ account, worker }: WorkerKey): Worker {
    const now = this.#now()
    return {
      account,
      name: worker,
      tag: this.#options.random.hex(16),
      createdAt: now,
      modifiedAt: now,
      isOnSubdomain: false,
      hasPreviews: false,
      settings: workerSettings.parse({}),
      migrationTag: null,
    }
  }

  /** Settings that came with an upload are those of the Worker from then on. */
  #amendedWorker(worker: Worker, { metadata }: Upload): Worker {
    const { tags, logpush, tail_consumers: tails, observability } = metadata
    const given = { tags, logpush, tail_consumers: tails, observability }
    const changed = Object.entries(given).filter(([, value]) => value !== undefined)
    const settings = workerSettings.safeParse({
      ...worker.settings,
      ...Object.fromEntries(changed),
    })
    return { ...this.#touched(worker), ...(settings.success && { settings: settings.data }) }
  }

  #touched(worker: Worker): Worker {
    return { ...worker, modifiedAt: this.#now() }
  }

  #newDeployment(
    { key, author, annotations }: Change,
    versions: readonly Share[],
    trigger?: string,
  ): Deployment {
    return {
      ...key,
      ...author,
      id: this.#options.random.uuid(),
      createdAt: this.#now(),
      annotations: { ...annotations, ...(trigger && { 'workers/triggered_by': trigger }) },
      versions: [...versions],
    }
  }

  #now(): string {
    return new Date(this.#options.clock.now()).toISOString()
  }
}

function turnOf({ account, worker }: WorkerKey): string {
  return `${account}/${worker}`
}

function wholly({ id }: Version): readonly Share[] {
  return [{ versionId: id, percentage: 100 }]
}

/** A secret that was kept is the same sealed text; one that was set again is not. */
function changedSecrets(version: Version, other: Version): readonly string[] {
  const [before, after] = [secretsOf(version), secretsOf(other)]
  const names = new Set([...before.keys(), ...after.keys()])
  return [...names].filter((name) => before.get(name) !== after.get(name))
}

function secretsOf({ bindings }: Version): ReadonlyMap<string, string> {
  return new Map(bindings.filter(isSecret).map((entry) => [entry.name, JSON.stringify(entry)]))
}

function isSecret({ type }: Entry): boolean {
  return type === 'secret_text' || type === 'secret_key'
}
