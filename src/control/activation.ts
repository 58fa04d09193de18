import type { Entry } from '#contract/binding.ts'
import type { CellHost, CellPlan, ObjectNamespace, WorkerPlan } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { AccountId, WorkerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import type { RoutedWorker } from '#contract/snapshot.ts'
import type { Usage } from '#contract/usage.ts'
import { planCells, planPreview } from '#deploy/cells.ts'
import type { ClassChange, ClassStore } from './class-store.ts'
import { activationFailed } from './errors.ts'
import type { IdentityStore } from './identity-store.ts'
import { isPreviewable } from './previews.ts'
import type { Publication } from './publication.ts'
import type { Share } from './records.ts'
import type { Registry } from './registry.ts'
import { Turns } from './turns.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'

export type ActivationOptions = {
  readonly identities: IdentityStore
  readonly workers: WorkerStore
  readonly registry: Registry
  readonly classStore: ClassStore
  readonly host: CellHost
  readonly publication: Publication
  readonly log: Log
}

/** A Worker that is about to run otherwise: with these plans, or, if there are none, no more. */
export type Replacement = {
  readonly worker: WorkerName
  readonly plans: readonly WorkerPlan[]
  /** What becomes of Durable Object classes with it. */
  readonly classes?: ClassChange | undefined
}

/** Makes what is stored run. */
export class Activation implements Usage {
  readonly #options: ActivationOptions
  readonly #turns = new Turns()
  /** Plans of the versions that run, by id: a version never changes. */
  readonly #plans = new Map<string, WorkerPlan>()
  /** Versions that could not be planned at the start: they must not hold up the others. */
  readonly #leftOut = new Set<string>()

  constructor(options: ActivationOptions) {
    this.#options = options
  }

  /**
   * Makes a Worker run as `replacement` says, and stores it with `commit` before a visitor meets it.
   * If it does not come up, or can't be stored, everything is as before.
   */
  async replace(
    account: AccountId,
    replacement: Replacement,
    commit: () => Promise<void>,
  ): Promise<void> {
    await this.#turns.take(account, async () => {
      const { host, log } = this.#options
      const running = await this.#running(account)
      const others = running.filter(({ worker }) => worker !== replacement.worker)
      const classes = await this.#classes({ account, worker: replacement.worker }, replacement)
      const cells = planCells(account, [...others, ...replacement.plans], classes)
      let hasStarted = false
      const store = (): Promise<void> => {
        hasStarted = true
        return commit()
      }
      try {
        await host.apply(account, cells, store)
      } catch (error) {
        if (hasStarted) throw error
        const { worker } = replacement
        log.warn('a deployment did not start', { account, worker, error: messageOf(error) })
        throw activationFailed(messageOf(error))
      }
      for (const { version } of replacement.plans) this.#leftOut.delete(version.id)
      // What does not run is planned anew when it is to: what it is bound to may be gone by then.
      this.#forgetPlans(account, idsOf([...others, ...replacement.plans]))
    })
    await this.#options.publication.publish()
  }

  /** The plans of a deployment's versions, each with its share. */
  async plansOf(key: WorkerKey, shares: readonly Share[]): Promise<readonly WorkerPlan[]> {
    return Promise.all(
      shares.map(async ({ versionId, percentage }) => {
        const known = this.#plans.get(versionId)
        if (known) return { ...known, percentage }
        const version = await this.#options.workers.version(key, versionId)
        if (!version) throw new Error(`the deployed version ${versionId} is gone`)
        const plan = await this.#options.registry.plan(version)
        this.#plans.set(versionId, plan)
        return { ...plan, percentage }
      }),
    )
  }

  /**
   * Brings every Worker of every account back. One that does not start is tried again and again; one
   * that can't be planned (a secret that does not open) is left out, and logged.
   */
  async start(): Promise<void> {
    for await (const accounts of this.#options.identities.allAccounts(accountsAtOnce)) {
      await Promise.all(
        accounts.map(({ id }) => this.#turns.take(id, () => this.#startAccount(id))),
      )
    }
  }

  /** The one cell that shows visitors a preview; `undefined` if there is no such version. */
  async planPreview({ account, worker, version: id }: RoutedWorker): Promise<CellPlan | undefined> {
    const { workers, registry } = this.#options
    const key = { account, worker }
    const version = id && (await workers.version(key, id))
    if (!version || !isPreviewable(version)) return undefined
    return planPreview(account, await registry.plan(version), await this.#running(account))
  }

  async usersOf(
    account: AccountId,
    isMeant: (entry: Entry) => boolean,
  ): Promise<readonly WorkerName[]> {
    const { workers } = this.#options
    const users = new Set<WorkerName>()
    for (const { worker, versions } of await workers.currentDeployments(account)) {
      for (const { versionId } of versions) {
        const version = await workers.version({ account, worker }, versionId)
        if (version?.bindings.some(isMeant)) users.add(worker)
      }
    }
    return [...users]
  }

  unlessUsed(
    account: AccountId,
    isMeant: (entry: Entry) => boolean,
    run: () => Promise<void>,
  ): Promise<readonly WorkerName[]> {
    return this.#turns.take(account, async () => {
      const users = await this.usersOf(account, isMeant)
      if (users.length === 0) await run()
      return users
    })
  }

  /** Resolves when no change is under way. */
  idle(): Promise<void> {
    return this.#turns.idle()
  }

  /** The Durable Object classes of each Worker of an account, as they are or are about to be. */
  async #classes(
    of: { readonly account: AccountId; readonly worker?: WorkerName },
    { classes: change }: Pick<Replacement, 'classes'> = {},
  ): Promise<ReadonlyMap<WorkerName, readonly ObjectNamespace[]>> {
    const stored = await this.#options.classStore.states(of.account)
    const states = new Map([...stored, ...(change?.others ?? [])])
    if (change && of.worker !== undefined) states.set(of.worker, change.state)
    return new Map([...states].map(([worker, { classes }]) => [worker, classes]))
  }

  async #running(account: AccountId): Promise<readonly WorkerPlan[]> {
    const deployments = await this.#options.workers.currentDeployments(account)
    const ids = new Set(deployments.flatMap(({ versions }) => versions.map((v) => v.versionId)))
    this.#forgetPlans(account, ids)
    const plans = await Promise.all(
      deployments.map(({ worker, versions }) => {
        const starting = versions.filter(({ versionId }) => !this.#leftOut.has(versionId))
        return this.plansOf({ account, worker }, starting)
      }),
    )
    return plans.flat()
  }

  #forgetPlans(account: AccountId, kept: ReadonlySet<string>): void {
    for (const [id, plan] of this.#plans) {
      if (plan.account === account && !kept.has(id)) this.#plans.delete(id)
    }
  }

  async #startAccount(account: AccountId): Promise<void> {
    const { host, workers } = this.#options
    const plans: WorkerPlan[] = []
    for (const { worker, versions } of await workers.currentDeployments(account)) {
      try {
        plans.push(...(await this.plansOf({ account, worker }, versions)))
      } catch (error) {
        this.#leaveOut(account, { worker, ids: versions.map((v) => v.versionId), error })
      }
    }
    await host.restore(account, planCells(account, plans, await this.#classes({ account })))
  }

  #leaveOut(
    account: AccountId,
    failed: { readonly worker: WorkerName; readonly ids: readonly string[]; error: unknown },
  ): void {
    for (const id of failed.ids) this.#leftOut.add(id)
    this.#options.log.error('a Worker could not be brought back', {
      account,
      worker: failed.worker,
      error: messageOf(failed.error),
    })
  }
}

function idsOf(plans: readonly WorkerPlan[]): ReadonlySet<string> {
  return new Set(plans.map(({ version }) => version.id))
}

/** Accounts that are read, and brought back, side by side. */
const accountsAtOnce = 16
