import { z } from 'zod'
import type { Entry } from '#contract/binding.ts'
import { objectNamespaceId, type WorkerName } from '#contract/ids.ts'
import { classOfOtherMissing } from '#deploy/errors.ts'
import type { ClassState } from '#deploy/object-classes.ts'

/** The type of bindings to Durable Objects. */
const objectsType = 'durable_object_namespace'

/** As a binding says it: a class of its own Worker, or of another. */
const entrySchema = z.object({
  class_name: z.string(),
  script_name: z.string().exactOptional(),
  environment: z.string().exactOptional(),
  namespace_id: objectNamespaceId.exactOptional(),
})

/** The classes of a Worker's own that entries name. */
export function boundClasses(worker: WorkerName, entries: readonly Entry[]): readonly string[] {
  return objectEntries(entries)
    .filter(({ script }) => script === undefined || script === worker)
    .map(({ className }) => className)
}

/**
 * Entries with the namespaces of the classes that they name. A binding keeps its namespace when the
 * class is renamed or moves later. Throws an `ApiError` if another Worker has no such class.
 */
export function resolveObjects(
  worker: WorkerName,
  entries: readonly Entry[],
  states: ReadonlyMap<string, ClassState>,
): Entry[] {
  const namespaces = new Set(
    [...states.values()].flatMap(({ classes }) => classes.map(({ id }): string => id)),
  )
  return entries.map((entry) => {
    const [named] = objectEntries([entry])
    if (!named) return entry
    const { className, script = worker, namespace } = named
    if (namespace !== undefined && namespaces.has(namespace)) return entry
    const found = states.get(script)?.classes.find((each) => each.className === className)
    if (!found) throw classOfOtherMissing(className, script)
    return { ...entry, namespace_id: found.id }
  })
}

/** The namespaces that entries are bound to. */
export function namespacesOf(entries: readonly Entry[]): readonly string[] {
  return objectEntries(entries).flatMap(({ namespace }) => namespace ?? [])
}

function objectEntries(entries: readonly Entry[]) {
  return entries
    .filter(({ type }) => type === objectsType)
    .map((entry) => {
      const parsed = entrySchema.parse(entry)
      const { class_name: className, script_name: script, environment } = parsed
      return { className, script: scriptOf(script, environment), namespace: parsed.namespace_id }
    })
}

// An environment of a Worker is a Worker of its own, as with service bindings.
function scriptOf(script: string | undefined, environment: string | undefined) {
  const isPlain = environment === undefined || environment === 'production'
  if (script === undefined || isPlain || script.endsWith(`-${environment}`)) return script
  return `${script}-${environment}`
}
