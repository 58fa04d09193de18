import { z } from 'zod'
import type { ObjectNamespace } from '#contract/cell.ts'
import type { ObjectNamespaceId, WorkerName } from '#contract/ids.ts'
import * as errors from './errors.ts'
import { reasonOf } from './metadata.ts'
import type { ClassDecision, ClassRequest, ClassState } from './object-classes.ts'

const names = z.array(z.string().min(1).max(200)).max(500).nullish()

const stepSchema = z.object({
  new_classes: names,
  new_sqlite_classes: names,
  renamed_classes: z.array(z.object({ from: z.string(), to: z.string() })).nullish(),
  deleted_classes: names,
  transferred_classes: z
    .array(z.object({ from: z.string(), from_script: z.string(), to: z.string() }))
    .nullish(),
})
type Step = z.output<typeof stepSchema>

/** With `steps`, as wrangler sends them; or one step alone, as others do. */
const migrationsSchema = stepSchema.extend({
  old_tag: z.string().nullish(),
  new_tag: z.string().max(200).nullish(),
  steps: z.array(stepSchema).max(1_000).nullish(),
})

/** Applies the steps of `migrations`, in order, all or none. */
export function migrate(request: ClassRequest): ClassDecision {
  const { metadata, state } = request
  const parsed = migrationsSchema.safeParse(metadata.migrations)
  if (!parsed.success) throw errors.metadataUnreadable(`migrations: ${reasonOf(parsed.error)}`)
  const { old_tag: oldTag, new_tag: newTag, steps, ...step } = parsed.data
  checkTag(state.tag, oldTag ?? undefined)
  const migration = new Migration(request)
  for (const each of [...(steps ?? []), step]) migration.apply(each)
  return migration.decision(newTag ?? state.tag)
}

/** What was applied last must be what the client thinks it was. */
function checkTag(current: string | undefined, expected: string | undefined): void {
  if (current !== expected) throw errors.migrationTagFailed(current, expected)
}

class Migration {
  readonly #request: ClassRequest
  readonly #classes: Map<string, ObjectNamespace>
  readonly #others = new Map<WorkerName, ClassState>()
  readonly #deleted: ObjectNamespaceId[] = []

  constructor(request: ClassRequest) {
    this.#request = request
    this.#classes = new Map(request.state.classes.map((each) => [each.className, each]))
  }

  apply(step: Step): void {
    for (const name of step.new_classes ?? []) this.#create(name, 'kv')
    for (const name of step.new_sqlite_classes ?? []) this.#create(name, 'sqlite')
    for (const { from, to } of step.renamed_classes ?? []) this.#rename(from, to)
    for (const moved of step.transferred_classes ?? []) this.#take(moved)
    for (const name of step.deleted_classes ?? []) this.#delete(name)
  }

  decision(tag: string | undefined): ClassDecision {
    const { state } = this.#request
    return {
      state: { ...state, tag, classes: [...this.#classes.values()] },
      others: this.#others,
      deleted: this.#deleted,
    }
  }

  #create(className: string, storage: ObjectNamespace['storage']): void {
    const kind = storage === 'sqlite' ? 'new-sqlite-class' : 'new-class'
    this.#refuseTaken(className, kind)
    this.#classes.set(className, { id: this.#request.newId(), className, storage })
  }

  #rename(from: string, to: string): void {
    const found = this.#classes.get(from)
    if (!found) throw errors.migratedClassMissing('rename-class', from)
    this.#refuseTaken(to, 'rename-class')
    this.#classes.delete(from)
    this.#classes.set(to, { ...found, className: to })
  }

  /** Takes a class of another Worker over, with its objects. */
  #take(moved: { readonly from: string; readonly from_script: string; readonly to: string }): void {
    const { from, from_script: script, to } = moved
    const entry = [...this.#request.others].find(([name]) => name === script)
    const [worker, before] = entry ?? []
    if (!worker || !before) throw errors.transferSourceMissing(script)
    const other = this.#others.get(worker) ?? before
    const found = other.classes.find(({ className }) => className === from)
    if (!found) throw errors.migratedClassMissing('transfer-class', from)
    this.#refuseTaken(to, 'transfer-class')
    const rest = other.classes.filter((each) => each !== found)
    this.#others.set(worker, { ...other, classes: rest })
    this.#classes.set(to, { ...found, className: to })
  }

  #delete(className: string): void {
    const found = this.#classes.get(className)
    if (!found) throw errors.migratedClassMissing('delete-class', className)
    const isBound = this.#request.bound.includes(className)
    if (isBound || this.#request.boundTo(found.id).length > 0) {
      throw errors.deletedClassBound(className, this.#request.boundTo(found.id))
    }
    this.#classes.delete(className)
    // One that was made by an earlier step of the same upload has no objects yet.
    if (this.#request.state.classes.some(({ id }) => id === found.id)) this.#deleted.push(found.id)
  }

  #refuseTaken(className: string, kind: string): void {
    if (this.#classes.has(className)) throw errors.migratedClassExists(kind, className)
  }
}
