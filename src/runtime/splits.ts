import type { WorkerPlan } from '#contract/cell.ts'
import type { WorkerName } from '#contract/ids.ts'
import type { WorkerWire } from '#contract/wire.ts'
import type { Shares } from './assignment.ts'
import type { Slot } from './slots.ts'

/** The service that spreads calls, and its name for the agent. */
export const splitService = 'split'

/** What follows the name of a way to name its files, as `split.worker.ts` knows it. */
const siteSuffix = '/site'

/** A service binding to a Worker that has several versions in the cell, or files of its own. */
export type Split = {
  /** The name of what the caller is bound to, in `splitService`. */
  readonly entrypoint: string
  readonly caller: Slot
  readonly binding: string
  readonly wire: WorkerWire
  /** The versions, each under the name by which it is bound to `splitService`. */
  readonly ways: readonly Way[]
}

export type Way = {
  readonly name: string
  readonly callee: Slot
  /** The name of the version's files, if those are asked first. */
  readonly site?: string
}

/** Every service binding of a cell whose calls are spread, or answered from files, in the order of the slots. */
export function splitsOf(slots: readonly Slot[]): readonly Split[] {
  const callees = Map.groupBy(slots, ({ plan }) => plan.worker)
  const spread = slots.flatMap((caller) =>
    caller.plan.bindings.flatMap(({ name, wire }) => {
      if (wire.type !== 'worker') return []
      const versions = callees.get(wire.worker) ?? []
      const isPlain = versions.length <= 1 && !versions.some((callee) => hasFiles(callee, wire))
      return isPlain ? [] : [{ caller, name, wire, versions }]
    }),
  )
  return spread.map(({ caller, name, wire, versions }, index) => ({
    entrypoint: `E${index}`,
    caller,
    binding: name,
    wire,
    ways: versions.map((callee) => {
      const way = `E${index}/${callee.id}`
      return { name: way, callee, ...(hasFiles(callee, wire) && { site: `${way}${siteSuffix}` }) }
    }),
  }))
}

/** Whether callers by this binding are answered from files: those of a named entrypoint are not. */
function hasFiles({ plan }: Slot, { entrypoint }: WorkerWire): boolean {
  return plan.version.site !== undefined && entrypoint === undefined
}

/** How calls are spread at the moment. */
export function sharesOf(slots: readonly Slot[]): Shares {
  return Object.fromEntries(
    splitsOf(slots).map(({ entrypoint, ways }) => [
      entrypoint,
      ways.map(({ name, callee }) => [name, callee.plan.percentage] as const),
    ]),
  )
}

/** The main module of `splitService`: one export for each binding, and one for the agent. */
export function splitSource(splits: readonly Split[]): string {
  const lines = splits.map(
    ({ entrypoint }) => `export const ${entrypoint} = entrypoint(${JSON.stringify(entrypoint)});`,
  )
  return [
    `import { Control, entrypoint } from './entrypoint.js';`,
    `export { Control };`,
    `export default {};`,
    ...lines,
  ].join('\n')
}

/** The one version of a Worker in a cell; none if it has several, or is not there. */
export function onlyVersion(slots: readonly Slot[], worker: WorkerName): Slot | undefined {
  const [only, ...others] = slots.filter(({ plan }) => plan.worker === worker)
  return others.length === 0 ? only : undefined
}

/** Whether a version has what a binding names. */
export function hasEntrypoint({ exports }: WorkerPlan, name: string | undefined): boolean {
  if (name === undefined) return exports.hasDefault
  const found = exports.named.find((each) => each.name === name)
  return found?.type === 'entrypoint' || found?.type === 'handler'
}
