import { z } from 'zod'
import type { ObjectNamespace } from '#contract/cell.ts'
import {
  type AccountId,
  accountId,
  type ObjectNamespaceId,
  objectNamespaceId,
  type WorkerName,
  workerName,
} from '#contract/ids.ts'
import { type Row, type Sql, sql, type Statement, textColumn } from '#contract/ports/sql.ts'
import { type ClassDecision, type ClassState, noClasses } from '#deploy/object-classes.ts'
import type { WorkerKey } from './worker-store.ts'

/** What one deploy does to the Durable Object classes of its account. */
export type ClassChange = Pick<ClassDecision, 'state' | 'others' | 'deleted'>

/** A namespace, and whose it is. */
export type OwnedNamespace = ObjectNamespace & { readonly worker: WorkerName }

const namespaceRecord = z.object({
  id: objectNamespaceId,
  worker: workerName,
  className: z.string(),
  storage: z.enum(['sqlite', 'kv']),
})

/** The Durable Object classes of Workers. Does not own `sql`; changes are written by `WorkerStore`. */
export class ClassStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  /** Every namespace of an account, in the order of Workers and classes. */
  async namespaces(account: AccountId): Promise<readonly OwnedNamespace[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM object_class WHERE account = ${account} ORDER BY worker, class_name`,
    )
    return rows.map(namespaceOf)
  }

  /** The classes of every Worker of an account that has, expects or had any. */
  async states(account: AccountId): Promise<ReadonlyMap<WorkerName, ClassState>> {
    const states = new Map<WorkerName, ClassState>()
    const workers = await this.#sql.read(
      sql`SELECT name, migration_tag FROM worker WHERE account = ${account}`,
    )
    for (const row of workers) {
      const tag = row['migration_tag'] === null ? undefined : textColumn(row, 'migration_tag')
      states.set(workerName.parse(textColumn(row, 'name')), { ...noClasses, tag })
    }
    for (const { worker, ...namespace } of await this.namespaces(account)) {
      const state = states.get(worker) ?? noClasses
      states.set(worker, { ...state, classes: [...state.classes, namespace] })
    }
    const expected = await this.#sql.read(
      sql`SELECT * FROM expected_class WHERE account = ${account} ORDER BY class_name`,
    )
    for (const row of expected) {
      const worker = workerName.parse(textColumn(row, 'worker'))
      const from = workerName.parse(textColumn(row, 'from_worker'))
      const state = states.get(worker) ?? noClasses
      const each = { className: textColumn(row, 'class_name'), from }
      states.set(worker, { ...state, expected: [...state.expected, each] })
    }
    return states
  }

  /** Namespaces whose objects are still to be deleted. */
  async doomed(): Promise<
    readonly { readonly account: AccountId; readonly namespace: ObjectNamespaceId }[]
  > {
    const rows = await this.#sql.read(sql`SELECT * FROM deleted_namespace`)
    return rows.map((row) => ({
      account: accountId.parse(textColumn(row, 'account')),
      namespace: objectNamespaceId.parse(textColumn(row, 'namespace')),
    }))
  }

  /** To be called when the objects of a doomed namespace are gone. */
  async forget(namespace: ObjectNamespaceId): Promise<void> {
    await this.#sql.write([sql`DELETE FROM deleted_namespace WHERE namespace = ${namespace}`])
  }
}

/** What writes a change, in the transaction of the deploy that it belongs to. */
export function classStatements(key: WorkerKey, change: ClassChange): readonly Statement[] {
  const { account } = key
  const changed = [[key.worker, change.state] as const, ...change.others]
  return [
    // All that goes before all that comes: a namespace may move from one Worker to another.
    ...changed.flatMap(([worker]) => forgetClasses({ account, worker })),
    ...changed.flatMap(([worker, state]) => putClasses({ account, worker }, state)),
    ...change.deleted.map((namespace) => doom(account, namespace)),
  ]
}

/** What removes the classes of a Worker that is removed; their objects go behind that. */
export function removeClasses({ account, worker }: WorkerKey): readonly Statement[] {
  return [
    sql`INSERT INTO deleted_namespace (namespace, account)
        SELECT namespace, account FROM object_class
        WHERE account = ${account} AND worker = ${worker}`,
    ...forgetClasses({ account, worker }),
  ]
}

function forgetClasses({ account, worker }: WorkerKey): readonly Statement[] {
  return [
    sql`DELETE FROM object_class WHERE account = ${account} AND worker = ${worker}`,
    sql`DELETE FROM expected_class WHERE account = ${account} AND worker = ${worker}`,
  ]
}

function putClasses(
  { account, worker }: WorkerKey,
  { tag, classes, expected }: ClassState,
): readonly Statement[] {
  return [
    sql`UPDATE worker SET migration_tag = ${tag ?? null}
        WHERE account = ${account} AND name = ${worker}`,
    ...classes.map(
      ({ id, className, storage }) =>
        sql`INSERT INTO object_class (namespace, account, worker, class_name, storage)
            VALUES (${id}, ${account}, ${worker}, ${className}, ${storage})`,
    ),
    ...expected.map(
      ({ className, from }) =>
        sql`INSERT INTO expected_class (account, worker, class_name, from_worker)
            VALUES (${account}, ${worker}, ${className}, ${from})`,
    ),
  ]
}

function doom(account: AccountId, namespace: ObjectNamespaceId): Statement {
  return sql`INSERT INTO deleted_namespace (namespace, account) VALUES (${namespace}, ${account})`
}

function namespaceOf(row: Row): OwnedNamespace {
  return namespaceRecord.parse({
    id: textColumn(row, 'namespace'),
    worker: textColumn(row, 'worker'),
    className: textColumn(row, 'class_name'),
    storage: textColumn(row, 'storage'),
  })
}
