import type { CellPlan, ObjectNamespace, WorkerPlan } from '#contract/cell.ts'
import type { AccountId, WorkerName } from '#contract/ids.ts'
import { classesIn } from './object-classes.ts'

/**
 * Which cells an account needs: one for each group of Workers that are bound to each other,
 * directly or through others, by a service or by Durable Objects. All versions of a Worker share its cell. What is bound to a Worker
 * that does not run is bound to nobody.
 *
 * The order of cells, and of Workers in them, depends on names and ages alone, so that two plans
 * of the same Workers can be compared place by place.
 */
export function planCells(
  account: AccountId,
  workers: readonly WorkerPlan[],
  classes: ReadonlyMap<WorkerName, readonly ObjectNamespace[]> = new Map(),
): readonly CellPlan[] {
  const ordered = placeObjects(workers.toSorted(byNameAndAge), classes)
  const groups = new Groups(ordered.map(({ worker }) => worker))
  const owners = new Map(
    ordered.flatMap(({ worker, objects }) => objects.map(({ id }) => [id, worker] as const)),
  )
  for (const { worker, bindings } of ordered) {
    for (const { wire } of bindings) {
      if (wire.type === 'worker') groups.join(worker, wire.worker)
      if (wire.type === 'objects') groups.join(worker, owners.get(wire.namespace) ?? worker)
    }
  }
  const cells = Map.groupBy(ordered, ({ worker }) => groups.rootOf(worker))
  return [...cells.values()].map((members) => ({ account, workers: members }))
}

/**
 * The cell of one version by itself, and of the Workers that it can call, as they are deployed. Nobody
 * has objects there: they are where the deployed versions run.
 */
export function planPreview(
  account: AccountId,
  preview: WorkerPlan,
  running: readonly WorkerPlan[],
): CellPlan {
  const byName = Map.groupBy(
    running.filter(({ worker }) => worker !== preview.worker),
    ({ worker }) => worker,
  )
  const members = [preview]
  const seen = new Set([preview.worker])
  // Whoever is called may call others: the list grows while it is walked.
  for (const { bindings } of members) {
    for (const { wire } of bindings) {
      if (wire.type !== 'worker' || seen.has(wire.worker)) continue
      seen.add(wire.worker)
      members.push(...(byName.get(wire.worker) ?? []))
    }
  }
  return { account, workers: members.toSorted(byNameAndAge).map(withoutObjects) }
}

function withoutObjects(plan: WorkerPlan): WorkerPlan {
  return plan.objects.length === 0 ? plan : { ...plan, objects: [] }
}

/**
 * Gives the objects of each Worker to the version with the largest share (of equal ones, the
 * oldest), as far as its code has their classes: objects run once.
 */
function placeObjects(
  ordered: readonly WorkerPlan[],
  classes: ReadonlyMap<WorkerName, readonly ObjectNamespace[]>,
): readonly WorkerPlan[] {
  const leads = new Map<WorkerName, WorkerPlan>()
  for (const plan of ordered) {
    const lead = leads.get(plan.worker)
    if (!lead || plan.percentage > lead.percentage) leads.set(plan.worker, plan)
  }
  return ordered.map((plan) => {
    if (leads.get(plan.worker) !== plan)
      return plan.objects.length === 0 ? plan : { ...plan, objects: [] }
    const inCode = classesIn(plan.exports)
    const objects = (classes.get(plan.worker) ?? []).filter((each) => inCode.has(each.className))
    return objects.length === 0 && plan.objects.length === 0 ? plan : { ...plan, objects }
  })
}

function byNameAndAge(a: WorkerPlan, b: WorkerPlan): number {
  return (
    compare(a.worker, b.worker) ||
    compare(a.version.createdAt, b.version.createdAt) ||
    compare(a.version.id, b.version.id)
  )
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/** Disjoint sets of names (union-find). */
class Groups {
  readonly #parents: Map<WorkerName, WorkerName>

  constructor(names: readonly WorkerName[]) {
    this.#parents = new Map(names.map((name) => [name, name]))
  }

  join(a: WorkerName, b: WorkerName): void {
    if (this.#parents.has(b)) this.#parents.set(this.rootOf(a), this.rootOf(b))
  }

  rootOf(name: WorkerName): WorkerName {
    let at = name
    for (;;) {
      const parent = this.#parents.get(at) ?? at
      const next = this.#parents.get(parent) ?? parent
      if (next === parent) return parent
      this.#parents.set(at, next)
      at = next
    }
  }
}
