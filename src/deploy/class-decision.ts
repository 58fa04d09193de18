import type { ObjectNamespace } from '#contract/cell.ts'
import * as errors from './errors.ts'
import type { Metadata } from './metadata.ts'
import { migrate } from './migrations.ts'
import {
  classesIn,
  type ClassDecision,
  type ClassRequest,
  declaredClasses,
} from './object-classes.ts'
import { reconcile } from './reconcile.ts'

/**
 * Decides what an upload does to the classes of its Worker: by `migrations`, which are steps, or by
 * `exports`, which say what there is to be. Throws an `ApiError` if that can't be; nothing has
 * changed then.
 */
export function decideClasses(request: ClassRequest): ClassDecision {
  const { metadata, state } = request
  const declared = declaredClasses(metadata)
  const decision = declared
    ? reconcile(request, declared)
    : asksForMigration(metadata)
      ? migrate(request)
      : { state, others: new Map(), deleted: [] }
  const { classes } = decision.state
  checkExported(classes, request)
  checkBound(classes, request)
  return decision
}

/** Whether an upload asks for classes to be made, renamed, moved or deleted by steps. */
export function asksForMigration({ migrations }: Pick<Metadata, 'migrations'>): boolean {
  return /_classes":\[[^\]]|_tag":"/.test(JSON.stringify(migrations ?? null))
}

function checkExported(classes: readonly ObjectNamespace[], request: ClassRequest): void {
  const exported = classesIn(request.exported)
  const known = new Set(request.state.classes.map(({ id }) => id))
  for (const { id, className } of classes) {
    if (exported.has(className)) continue
    throw known.has(id)
      ? errors.existingClassNotExported(className)
      : errors.migratedClassNotExported(className)
  }
}

function checkBound(classes: readonly ObjectNamespace[], request: ClassRequest): void {
  const names = new Set(classes.map(({ className }) => className))
  const exported = classesIn(request.exported)
  for (const className of request.bound) {
    if (names.has(className)) continue
    throw exported.has(className)
      ? errors.classNotConfigured(className)
      : errors.classNotExported(className)
  }
}
