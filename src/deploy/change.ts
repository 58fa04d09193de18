import type {
  CellChange,
  CellPlan,
  Code,
  Module,
  PlannedBinding,
  WorkerPlan,
} from '#contract/cell.ts'
import type { Wire } from '#contract/wire.ts'

/**
 * What it takes to get from one cell to another: nothing, new values in the running isolates, or a
 * new process. Never more than that: a module's state is kept wherever the platform allows it.
 */
export function decideChange(running: CellPlan, wanted: CellPlan): CellChange {
  if (isSame(running, wanted)) return { type: 'nothing' }
  const isAlike =
    running.account === wanted.account &&
    running.workers.length === wanted.workers.length &&
    running.workers.every((worker, index) => {
      const other = wanted.workers[index]
      return other !== undefined && canBecome(worker, other)
    })
  return { type: isAlike ? 'env' : 'cell' }
}

/** Versions and shares may differ, values and resources too: code and shape may not. */
function canBecome(from: WorkerPlan, to: WorkerPlan): boolean {
  if (from.worker !== to.worker) return false
  if (!isSameCode(from.code, to.code) || !isSame(from.exports, to.exports)) return false
  if (!isSame(from.objects, to.objects)) return false
  // Whoever calls a Worker with files is bound to what asks for those first.
  if ((from.version.site === undefined) !== (to.version.site === undefined)) return false
  // A service worker's bindings are global variables: nothing of ours runs in there to set them.
  if (from.code.format === 'service-worker') return isSame(from.bindings, to.bindings)
  return isSame(shapeOf(from.bindings), shapeOf(to.bindings))
}

function isSameCode(a: Code, b: Code): boolean {
  return isSame({ ...a, modules: modulesOf(a) }, { ...b, modules: modulesOf(b) })
}

/** The order of modules means nothing. */
function modulesOf({ modules }: Code): readonly Module[] {
  return modules.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** What of a Worker's bindings is fixed when its isolate starts. Values are not. */
function shapeOf(bindings: readonly PlannedBinding[]): readonly unknown[] {
  return bindings
    .flatMap(({ name, wire }) => {
      const fixed = fixedPartOf(wire)
      return fixed === undefined ? [] : [{ name, fixed }]
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function fixedPartOf(wire: Wire): unknown {
  switch (wire.type) {
    case 'text':
    case 'json':
      return undefined
    case 'backend':
      return { type: wire.type, client: wire.client }
    case 'key':
    case 'data':
    case 'wasm':
    case 'worker':
    case 'objects':
    case 'exit':
      return wire
  }
}

// The order of keys counts, as it does for the code that reads a JSON variable.
function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
