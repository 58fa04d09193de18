import type { ObjectNamespace, WorkerExports } from '#contract/cell.ts'
import { objectNamespaceId, workerName, type WorkerName } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import { decideClasses } from './class-decision.ts'
import {
  type ClassDecision,
  type ClassRequest,
  type ClassState,
  noClasses,
} from './object-classes.ts'

export const me = workerName.parse('me')
export const other = workerName.parse('other')

// What the tests of class decisions share.

/** A namespace whose id is made of one digit: `1` is the first that a test makes. */
export function namespace(digit: string, className: string, storage = 'sqlite'): ObjectNamespace {
  const id = objectNamespaceId.parse(digit.repeat(32))
  return { id, className, storage: storage === 'kv' ? 'kv' : 'sqlite' }
}

export function state(tag: string | undefined, ...classes: ObjectNamespace[]): ClassState {
  return { ...noClasses, tag, classes }
}

function code(...names: string[]): WorkerExports {
  const named = names.map((name) => ({ name, type: 'durable-object' as const, handlers: [] }))
  return { hasDefault: true, handlers: ['fetch'], named }
}

export type Case = {
  readonly migrations?: Json
  readonly exports?: Json
  readonly code: readonly string[]
  readonly state?: ClassState
  readonly other?: ClassState
  readonly bound?: readonly string[]
  /** The digit of a namespace that another Worker is bound to. */
  readonly boundElsewhere?: string
}

export function decide(given: Case): ClassDecision {
  let made = 0
  const { migrations, exports } = given
  const request: ClassRequest = {
    worker: me,
    metadata: {
      ...(migrations !== undefined && { migrations }),
      ...(exports !== undefined && { exports }),
    },
    exported: code(...given.code),
    bound: given.bound ?? [],
    state: given.state ?? noClasses,
    others: new Map<WorkerName, ClassState>(given.other ? [[other, given.other]] : []),
    boundTo: (id) => (id === given.boundElsewhere?.repeat(32) ? [other] : []),
    newId: () => objectNamespaceId.parse(String(++made).repeat(32)),
  }
  return decideClasses(request)
}
