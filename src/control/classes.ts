import type { Entry } from '#contract/binding.ts'
import type { WorkerExports } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import {
  type AccountId,
  type ObjectNamespaceId,
  objectNamespaceId,
  type WorkerName,
} from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import { asksForMigration, decideClasses } from '#deploy/class-decision.ts'
import { existingClassNotExported, exportInVersion, migrationInVersion } from '#deploy/errors.ts'
import type { Metadata } from '#deploy/metadata.ts'
import { classesIn, type ClassState, declaredClasses, noClasses } from '#deploy/object-classes.ts'
import type { ClassChange, ClassStore } from './class-store.ts'
import { boundClasses, namespacesOf, resolveObjects } from './object-bindings.ts'
import type { Version } from './records.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'

export type ClassesOptions = Pick<Ports, 'random' | 'log'> & {
  readonly classStore: ClassStore
  readonly workers: WorkerStore
  /** Deletes the files of a namespace that no process has open any more. Safe to repeat. */
  readonly removeObjects: (account: AccountId, namespace: ObjectNamespaceId) => Promise<void>
}

/** An upload whose code has been seen to run. */
export type SeenUpload = {
  readonly key: WorkerKey
  readonly metadata: Metadata
  readonly exports: WorkerExports
  /** As admitted. */
  readonly bindings: readonly Entry[]
  readonly isDeployed: boolean
}

export type Classified = {
  /** With the namespaces of the classes that they name. */
  readonly bindings: Entry[]
  /** What is to be written with the version; nothing if classes stay as they are. */
  readonly change?: ClassChange
  readonly reconciliation?: Json
}

/** A class, and who else is bound to it. */
export type BoundClass = {
  readonly id: ObjectNamespaceId
  readonly className: string
  readonly workers: readonly WorkerName[]
}

/** The Durable Object classes of accounts. */
export class Classes {
  readonly #options: ClassesOptions

  constructor(options: ClassesOptions) {
    this.#options = options
  }

  /** Decides what an upload does to classes. Throws an `ApiError` if that can't be. */
  async decide(upload: SeenUpload): Promise<Classified> {
    const { key, metadata, isDeployed } = upload
    const { classStore, random } = this.#options
    if (!isDeployed && asksForMigration(metadata)) throw migrationInVersion()
    const states = await classStore.states(key.account)
    const others = new Map([...states].filter(([worker]) => worker !== key.worker))
    const state = states.get(key.worker) ?? noClasses
    const decision = decideClasses({
      worker: key.worker,
      metadata,
      exported: upload.exports,
      bound: boundClasses(key.worker, upload.bindings),
      state,
      others,
      boundTo: await this.#boundTo(key),
      newId: () => objectNamespaceId.parse(random.hex(16)),
    })
    const isChanged = JSON.stringify(decision.state) !== JSON.stringify(state)
    if (isChanged && !isDeployed) throw exportInVersion()
    const next = new Map([...states, ...decision.others, [key.worker, decision.state]])
    const { reconciliation } = decision
    return {
      bindings: resolveObjects(key.worker, upload.bindings, next),
      ...(isChanged && { change: decision }),
      ...(reconciliation !== undefined && { reconciliation }),
    }
  }

  /** Finds the namespaces of classes that bindings name. Throws an `ApiError` for one without. */
  async resolve(key: WorkerKey, bindings: readonly Entry[]): Promise<Entry[]> {
    if (!bindings.some(({ type }) => type === 'durable_object_namespace')) return [...bindings]
    return resolveObjects(key.worker, bindings, await this.states(key.account))
  }

  /** Throws an `ApiError` unless versions export every class that has objects. */
  async checkVersions(key: WorkerKey, versions: readonly Version[]): Promise<void> {
    const state = (await this.states(key.account)).get(key.worker) ?? noClasses
    for (const { exports } of versions) {
      const inCode = classesIn(exports)
      const missing = state.classes.find(({ className }) => !inCode.has(className))
      if (missing) throw existingClassNotExported(missing.className)
    }
  }

  states(account: AccountId): Promise<ReadonlyMap<WorkerName, ClassState>> {
    return this.#options.classStore.states(account)
  }

  /** The classes of a Worker, each with the other Workers whose deployments are bound to it. */
  async boundToAny(key: WorkerKey): Promise<readonly BoundClass[]> {
    const boundTo = await this.#boundTo(key)
    const { classes } = (await this.states(key.account)).get(key.worker) ?? noClasses
    return classes.map(({ id, className }) => ({ id, className, workers: boundTo(id) }))
  }

  /** Deletes the objects of namespaces that are gone. What fails is tried again at the next start. */
  async sweep(): Promise<void> {
    const { classStore, removeObjects, log } = this.#options
    for (const { account, namespace } of await classStore.doomed()) {
      try {
        await removeObjects(account, namespace)
        await classStore.forget(namespace)
      } catch (error) {
        log.warn('objects were not deleted', { account, error: messageOf(error) })
      }
    }
  }

  async #boundTo(key: WorkerKey): Promise<(namespace: string) => readonly WorkerName[]> {
    const found = new Map<string, Set<WorkerName>>()
    for (const { worker, versions } of await this.#options.workers.currentDeployments(
      key.account,
    )) {
      if (worker === key.worker) continue
      for (const { versionId } of versions) {
        const version = await this.#options.workers.version({ ...key, worker }, versionId)
        for (const namespace of namespacesOf(version?.bindings ?? [])) {
          found.set(namespace, (found.get(namespace) ?? new Set()).add(worker))
        }
      }
    }
    return (namespace) => [...(found.get(namespace) ?? [])]
  }
}

/** Whether an upload may change classes, its own or others'. */
export function changesClasses(metadata: Metadata): boolean {
  return asksForMigration(metadata) || declaredClasses(metadata) !== undefined
}
