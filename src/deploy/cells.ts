import type { CellPlan, WorkerPlan } from '#contract/cell.ts'
import type { AccountId, WorkerName } from '#contract/ids.ts'

/**
 * Which cells an account needs: one for each group of Workers that are bound to each other,
 * directly or through others, by a service or by Durable Objects. All versions of a Worker share its cell. What is bound to a Worker
 * that does not run is bound to nobody.
 *
 * The order of cells, and of Workers in them, depends on names and ages alone, so that two plans
 * of the same Workers can be compared place by place.
 */
export function planCells(account: AccountId, workers: readonly WorkerPlan[]): readonly CellPlan[] {
  const ordered = workers.toSorted(byNameAndAge)
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
