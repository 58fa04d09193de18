import type { WorkerPlan } from '#contract/cell.ts'
import type { ObjectNamespaceId, WorkerName } from '#contract/ids.ts'
import * as limits from './limits.ts'

/**
 * CPU time that a cell may use without an answer: that of the Workers that are at work, and of all
 * that they can call. If none is known to be (an alarm runs), it may be any.
 */
export function cpuLimitMs(
  plans: readonly WorkerPlan[],
  atWork: ReadonlySet<WorkerName>,
  defaultMs: number,
): number {
  const callable = atWork.size === 0 ? undefined : reachable(plans, atWork)
  const asked = plans
    .filter(({ worker }) => callable?.has(worker) ?? true)
    .map((plan) => Math.min(plan.limits.cpuMs ?? defaultMs, limits.longestCpuMs))
  return asked.length === 0 ? defaultMs : Math.max(...asked)
}

function reachable(
  plans: readonly WorkerPlan[],
  from: ReadonlySet<WorkerName>,
): ReadonlySet<WorkerName> {
  const owners = new Map<ObjectNamespaceId, WorkerName>(
    plans.flatMap(({ worker, objects }) => objects.map(({ id }) => [id, worker] as const)),
  )
  const found = new Set(from)
  for (const name of found) {
    // A set that grows while it is walked is walked to its new end.
    for (const { wire } of plans
      .filter(({ worker }) => worker === name)
      .flatMap((p) => p.bindings)) {
      if (wire.type === 'worker') found.add(wire.worker)
      if (wire.type === 'objects') found.add(owners.get(wire.namespace) ?? name)
    }
  }
  return found
}
