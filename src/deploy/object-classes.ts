import { z } from 'zod'
import type { ObjectNamespace, WorkerExports } from '#contract/cell.ts'
import type { ObjectNamespaceId, WorkerName } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import * as errors from './errors.ts'
import { type Metadata, reasonOf } from './metadata.ts'

/** The Durable Object classes of a Worker: what no version owns. */
export type ClassState = {
  /** Of the migration that was applied last, exactly as it was sent. */
  readonly tag: string | undefined
  readonly classes: readonly ObjectNamespace[]
  /** Classes that are to come from another Worker: the first phase of a transfer by `exports`. */
  readonly expected: readonly ExpectedClass[]
}

export type ExpectedClass = { readonly className: string; readonly from: WorkerName }

export const noClasses: ClassState = { tag: undefined, classes: [], expected: [] }

/** An upload, and what it meets. */
export type ClassRequest = {
  readonly worker: WorkerName
  readonly metadata: Pick<Metadata, 'migrations' | 'exports'>
  /** What the code exports, as seen by running it. */
  readonly exported: WorkerExports
  /** Classes of its own that the bindings of the new version name. */
  readonly bound: readonly string[]
  readonly state: ClassState
  /** All other Workers of the account. */
  readonly others: ReadonlyMap<WorkerName, ClassState>
  /** Which other Workers are bound to a namespace. */
  readonly boundTo: (namespace: ObjectNamespaceId) => readonly WorkerName[]
  readonly newId: () => ObjectNamespaceId
}

/** What becomes of the classes if the upload is deployed. */
export type ClassDecision = {
  readonly state: ClassState
  /** Other Workers that have gained or lost a class. */
  readonly others: ReadonlyMap<WorkerName, ClassState>
  /** Namespaces whose objects are to be deleted. */
  readonly deleted: readonly ObjectNamespaceId[]
  /** `exports_reconciliation` of the answer, where `exports` asked for it. */
  readonly reconciliation?: Json
}

const text = z.string().min(1).max(200)

/** An entry of `exports` for a class. Other kinds of export (`worker`) are nothing to us. */
const declaredClass = z.object({
  type: z.literal('durable-object'),
  state: z
    .enum(['created', 'deleted', 'renamed', 'transferred', 'expecting-transfer'])
    .default('created'),
  storage: z.enum(['sqlite', 'legacy-kv']).exactOptional(),
  renamed_to: text.exactOptional(),
  transferred_to: text.exactOptional(),
  transfer_from: text.exactOptional(),
})
export type DeclaredClass = z.output<typeof declaredClass>

const declaredExports = z.record(text, z.looseObject({ type: z.string() }))

/** The classes that `exports` declares, by name; nothing if it is absent. */
export function declaredClasses({
  exports,
}: Pick<Metadata, 'exports'>): ReadonlyMap<string, DeclaredClass> | undefined {
  if (exports === undefined || exports === null) return undefined
  const parsed = declaredExports.safeParse(exports)
  if (!parsed.success) throw errors.metadataUnreadable(`exports: ${reasonOf(parsed.error)}`)
  const classes = new Map<string, DeclaredClass>()
  for (const [name, entry] of Object.entries(parsed.data)) {
    if (entry.type === 'worker') continue
    if (entry.type !== 'durable-object') {
      throw errors.featureUnavailable(`Exports of type "${entry.type}"`)
    }
    const read = declaredClass.safeParse(entry)
    if (!read.success) throw errors.metadataUnreadable(`exports.${name}: ${reasonOf(read.error)}`)
    classes.set(name, read.data)
  }
  return classes
}

/** The names of the Durable Object classes that code exports. */
export function classesIn({ named }: WorkerExports): ReadonlySet<string> {
  return new Set(named.filter(({ type }) => type === 'durable-object').map(({ name }) => name))
}
