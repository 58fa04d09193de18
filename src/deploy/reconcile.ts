import type { ObjectNamespace } from '#contract/cell.ts'
import type { ObjectNamespaceId, WorkerName } from '#contract/ids.ts'
import * as errors from './errors.ts'
import {
  classesIn,
  type ClassDecision,
  type ClassRequest,
  type ClassState,
  type DeclaredClass,
  type ExpectedClass,
} from './object-classes.ts'

/** What is wrong, or worth knowing, of one class. `scenario` is Cloudflare's name for it. */
type Finding = {
  readonly class: string
  readonly scenario: string
  readonly message: string
  readonly suggestion?: string
  readonly referencing_scripts?: readonly string[]
}

/** `exports_reconciliation`: control-api.md §3.2. Every list is there, empty or not. */
type Reconciled = {
  readonly created: string[]
  readonly updated: string[]
  readonly deleted: string[]
  readonly renamed: { readonly from: string; readonly to: string }[]
  readonly transferred: { readonly class: string; readonly phase: string; readonly to: string }[]
  readonly transfer_pending: { readonly class: string; readonly from: string }[]
  readonly warnings: Finding[]
  readonly info: Finding[]
  readonly removable_entries: string[]
}

/**
 * Makes the classes be as `exports` declares them: those that live, and tombstones of those that
 * were deleted, renamed or handed to another Worker. Tombstones stay in the client's file until they
 * are said to be removable. Throws 100402 with everything that is wrong.
 */
export function reconcile(
  request: ClassRequest,
  declared: ReadonlyMap<string, DeclaredClass>,
): ClassDecision {
  const reconciliation = new Reconciliation(request, declared)
  // A rename frees its source and fills its target: the others have to see that done.
  for (const [name, entry] of declared) {
    if (entry.state === 'renamed') reconciliation.rename(name, entry)
  }
  for (const [name, entry] of declared) reconciliation.apply(name, entry)
  return reconciliation.decision()
}

class Reconciliation {
  readonly #request: ClassRequest
  readonly #declared: ReadonlyMap<string, DeclaredClass>
  readonly #inCode: ReadonlySet<string>
  readonly #classes: Map<string, ObjectNamespace>
  readonly #expected: ExpectedClass[] = []
  readonly #others = new Map<WorkerName, ClassState>()
  readonly #deleted: ObjectNamespaceId[] = []
  readonly #failures: Finding[] = []
  readonly #result: Reconciled = {
    created: [],
    updated: [],
    deleted: [],
    renamed: [],
    transferred: [],
    transfer_pending: [],
    warnings: [],
    info: [],
    removable_entries: [],
  }

  constructor(request: ClassRequest, declared: ReadonlyMap<string, DeclaredClass>) {
    this.#request = request
    this.#declared = declared
    this.#inCode = classesIn(request.exported)
    this.#classes = new Map(request.state.classes.map((each) => [each.className, each]))
  }

  rename(from: string, { renamed_to: to }: DeclaredClass): void {
    const found = this.#classes.get(from)
    const target = to === undefined ? undefined : this.#declared.get(to)
    if (to === undefined || target?.state !== 'created') {
      this.#fail(from, 'invalid_export', '"renamed_to" must name a live class in "exports".')
    } else if (!found) {
      this.#stale(from)
    } else if (this.#classes.has(to)) {
      this.#fail(from, 'tombstone_renamed_to_occupied', `The class '${to}' has objects already.`)
    } else {
      this.#classes.delete(from)
      this.#classes.set(to, { ...found, className: to })
      this.#result.renamed.push({ from, to })
      this.#noteStillInCode(from)
    }
  }

  apply(name: string, entry: DeclaredClass): void {
    if (entry.state === 'created') this.#create(name, entry)
    if (entry.state === 'deleted') this.#delete(name)
    if (entry.state === 'expecting-transfer') this.#expect(name, entry)
    if (entry.state === 'transferred') this.#transfer(name, entry)
  }

  /** Throws 100402 if anything was wrong. */
  decision(): ClassDecision {
    for (const className of this.#classes.keys()) {
      if (this.#declared.has(className)) continue
      this.#fail(className, 'provisioned_class_missing_from_config', {
        message: 'The class has objects, but "exports" does not name it.',
        suggestion:
          'Add it, or a tombstone that says what became of it ("deleted", "renamed", "transferred").',
      })
    }
    for (const className of this.#inCode) {
      if (this.#declared.has(className)) continue
      const message = 'The code exports this class, but "exports" does not name it.'
      this.#result.warnings.push({
        class: className,
        scenario: 'code_class_not_in_exports',
        message,
      })
    }
    if (this.#failures.length > 0) throw errors.reconciliationFailed(this.#failures)
    return {
      state: {
        tag: this.#request.state.tag,
        classes: [...this.#classes.values()],
        // In the order in which they are stored: what is declared in another is the same.
        expected: this.#expected.toSorted((a, b) => (a.className < b.className ? -1 : 1)),
      },
      others: this.#others,
      deleted: this.#deleted,
      reconciliation: JSON.parse(JSON.stringify(this.#result)),
    }
  }

  #create(name: string, { storage }: DeclaredClass): void {
    const found = this.#classes.get(name)
    const wanted = storage === 'sqlite' ? 'sqlite' : 'kv'
    if (storage === undefined) {
      this.#fail(name, 'invalid_export', 'A live class must say its "storage".')
    } else if (!this.#inCode.has(name)) {
      this.#fail(name, 'config_export_not_in_code', 'The code does not export this class.')
    } else if (found && found.storage !== wanted) {
      this.#fail(
        name,
        'storage_type_mismatch',
        `The class has ${found.storage === 'kv' ? 'legacy-kv' : 'sqlite'} storage, which can't be changed.`,
      )
    } else if (!found && wanted === 'kv') {
      this.#fail(name, 'storage_type_mismatch', {
        message: 'A new class can have sqlite storage only.',
        suggestion: 'Declare it with "storage": "sqlite".',
      })
    } else if (!found) {
      this.#classes.set(name, { id: this.#request.newId(), className: name, storage: wanted })
      this.#result.created.push(name)
    }
  }

  #delete(name: string): void {
    const found = this.#classes.get(name)
    if (!found) return this.#stale(name)
    const bound = this.#request.boundTo(found.id)
    if (this.#inCode.has(name)) {
      this.#fail(
        name,
        'tombstone_delete_class_still_in_code',
        'The code still exports this class, which is to be deleted with its objects.',
      )
    } else if (bound.length > 0) {
      this.#failures.push({
        class: name,
        scenario: 'tombstone_delete_blocked_by_external_bindings',
        message: 'Other Workers are bound to this class.',
        suggestion: 'Deploy them without the binding first.',
        referencing_scripts: bound,
      })
    } else {
      this.#classes.delete(name)
      this.#deleted.push(found.id)
      this.#result.deleted.push(name)
    }
  }

  /** The first phase of a transfer: the other Worker has to hand the class over. */
  #expect(name: string, { transfer_from: from }: DeclaredClass): void {
    if (this.#classes.has(name)) {
      this.#inform(name, 'transfer_receive_already_applied', 'The class has arrived.')
      return
    }
    const source = [...this.#request.others].find(([worker]) => worker === from)
    if (!source) {
      const message = `There is no Worker '${from}' to receive the class from.`
      this.#fail(name, 'phase_one_transfer_source_missing', message)
    } else if (!source[1].classes.some(({ className }) => className === name)) {
      const message = `The Worker '${from}' has no class of this name.`
      this.#fail(name, 'phase_one_transfer_source_namespace_missing', message)
    } else if (!this.#inCode.has(name)) {
      this.#fail(name, 'config_export_not_in_code', 'The code does not export this class.')
    } else {
      this.#expected.push({ className: name, from: source[0] })
      this.#result.transfer_pending.push({ class: name, from: source[0] })
    }
  }

  /** The second phase: the class goes to the Worker that expects it. */
  #transfer(name: string, { transferred_to: to }: DeclaredClass): void {
    const found = this.#classes.get(name)
    if (!found) return this.#stale(name)
    const target = [...this.#request.others].find(([worker]) => worker === to)
    if (!target) {
      this.#fail(name, 'transferred_target_missing', `There is no Worker '${to}'.`)
      return
    }
    const [worker, before] = target
    const state = this.#others.get(worker) ?? before
    const isExpected = state.expected.some(
      (each) => each.className === name && each.from === this.#request.worker,
    )
    if (!isExpected) {
      this.#fail(name, 'transferred_pending_not_found', {
        message: `The Worker '${to}' does not expect this class.`,
        suggestion: `Deploy '${to}' with "state": "expecting-transfer" first.`,
      })
      return
    }
    this.#classes.delete(name)
    this.#others.set(worker, {
      ...state,
      classes: [...state.classes, found],
      expected: state.expected.filter(({ className }) => className !== name),
    })
    this.#result.transferred.push({ class: name, phase: 'committed', to: worker })
    this.#noteStillInCode(name)
  }

  #stale(name: string): void {
    this.#inform(name, 'stale_tombstone', 'There is nothing left to do for this tombstone.')
    this.#result.removable_entries.push(name)
  }

  #noteStillInCode(name: string): void {
    if (!this.#inCode.has(name)) return
    const message = 'The code still exports this class, which has no objects any more.'
    this.#inform(name, 'tombstone_class_still_in_code', message)
  }

  #inform(name: string, scenario: string, message: string): void {
    this.#result.info.push({ class: name, scenario, message })
  }

  #fail(
    name: string,
    scenario: string,
    why: string | Pick<Finding, 'message' | 'suggestion'>,
  ): void {
    const words = typeof why === 'string' ? { message: why } : why
    this.#failures.push({ class: name, scenario, ...words })
  }
}
