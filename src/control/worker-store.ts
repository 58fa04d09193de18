import { type AccountId, type BlobKey, versionId, type WorkerName } from '#contract/ids.ts'
import {
  integerColumn,
  type Row,
  type Sql,
  sql,
  type Statement,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import { type ClassChange, classStatements, removeClasses } from './class-store.ts'
import type { Page, PageRange } from './identity-store.ts'
import * as limits from './limits.ts'
import {
  type Deployment,
  deploymentBody,
  type Version,
  versionBody,
  type Worker,
  workerRecord,
} from './records.ts'
import { removeSchedules } from './schedule-store.ts'
import { leaveZones } from './zone-store.ts'

/** Names a Worker. */
export type WorkerKey = { readonly account: AccountId; readonly worker: WorkerName }

/** A Worker, and where visitors may reach it. */
export type ReachableWorker = WorkerKey &
  Pick<Worker, 'isOnSubdomain' | 'hasPreviews'> & { readonly isDeployed: boolean }

/** What one change of a Worker writes, all or nothing. */
export type WorkerChange = {
  /** As it is to be. Made if it does not exist. */
  readonly worker: Worker
  readonly version?: Version
  readonly deployment?: Deployment
  readonly classes?: ClassChange | undefined
}

/** Workers, versions and deployments. Does not own `sql`. */
export class WorkerStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  async worker({ account, worker }: WorkerKey): Promise<Worker | undefined> {
    const [row] = await this.#sql.read(
      sql`SELECT * FROM worker WHERE account = ${account} AND name = ${worker}`,
    )
    return row && workerOf(row)
  }

  async workers(account: AccountId): Promise<readonly Worker[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM worker WHERE account = ${account} ORDER BY name`,
    )
    return rows.map(workerOf)
  }

  /** By the id that the newer API knows a Worker by. */
  async byTag(account: AccountId, tag: string): Promise<Worker | undefined> {
    const [row] = await this.#sql.read(
      sql`SELECT * FROM worker WHERE account = ${account} AND tag = ${tag}`,
    )
    return row && workerOf(row)
  }

  /** Workers of all accounts, as far as they concern visitors. */
  async reachable(): Promise<readonly ReachableWorker[]> {
    const rows = await this.#sql.read(
      sql`SELECT account, name AS worker, subdomain_enabled, previews_enabled, EXISTS (
            SELECT 1 FROM deployment d WHERE d.account = w.account AND d.worker = w.name
          ) AS is_deployed FROM worker w`,
    )
    return rows.map((row) => {
      const { account, name: worker } = keyColumns(row)
      return {
        account,
        worker,
        isDeployed: integerColumn(row, 'is_deployed') === 1,
        isOnSubdomain: integerColumn(row, 'subdomain_enabled') === 1,
        hasPreviews: integerColumn(row, 'previews_enabled') === 1,
      }
    })
  }

  async version({ account, worker }: WorkerKey, id: string): Promise<Version | undefined> {
    const [row] = await this.#sql.read(
      sql`SELECT * FROM version WHERE id = ${id} AND account = ${account} AND worker = ${worker}`,
    )
    return row && versionOf(row)
  }

  async latestVersion(key: WorkerKey): Promise<Version | undefined> {
    return (await this.versions(key, { offset: 0, limit: 1 })).items[0]
  }

  /** The newest version of each Worker of an account that has one. */
  async latestVersions(account: AccountId): Promise<readonly Version[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM version v WHERE account = ${account} AND number = (
            SELECT max(number) FROM version w
            WHERE w.account = v.account AND w.worker = v.worker)`,
    )
    return rows.map(versionOf)
  }

  /** The newest version of a Worker whose id begins so. `prefix` is hex digits. */
  async versionByPrefix(
    { account, worker }: WorkerKey,
    prefix: string,
  ): Promise<Version | undefined> {
    const [row] = await this.#sql.read(
      sql`SELECT * FROM version WHERE id >= ${prefix} AND id < ${`${prefix}g`}
          AND account = ${account} AND worker = ${worker} ORDER BY number DESC LIMIT 1`,
    )
    return row && versionOf(row)
  }

  /** The newest version of a Worker that goes by an alias. */
  async versionByAlias(
    { account, worker }: WorkerKey,
    alias: string,
  ): Promise<Version | undefined> {
    const [row] = await this.#sql.read(
      sql`SELECT * FROM version WHERE account = ${account} AND worker = ${worker}
          AND alias = ${alias} ORDER BY number DESC LIMIT 1`,
    )
    return row && versionOf(row)
  }

  /** Newest first. */
  async versions({ account, worker }: WorkerKey, range: PageRange): Promise<Page<Version>> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM version WHERE account = ${account} AND worker = ${worker}
          ORDER BY number DESC LIMIT ${range.limit} OFFSET ${range.offset}`,
    )
    const [counted] = await this.#sql.read(
      sql`SELECT count(*) AS n FROM version WHERE account = ${account} AND worker = ${worker}`,
    )
    return { items: rows.map(versionOf), total: integerColumn(counted ?? {}, 'n') }
  }

  /** Newest first. */
  async deployments({ account, worker }: WorkerKey): Promise<readonly Deployment[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM deployment WHERE account = ${account} AND worker = ${worker}
          ORDER BY sequence DESC LIMIT ${limits.deploymentsPerWorker}`,
    )
    return rows.map(deploymentOf)
  }

  async currentDeployment(key: WorkerKey): Promise<Deployment | undefined> {
    const { account, worker } = key
    const [row] = await this.#sql.read(
      sql`SELECT * FROM deployment WHERE account = ${account} AND worker = ${worker}
          ORDER BY sequence DESC LIMIT 1`,
    )
    return row && deploymentOf(row)
  }

  /** The newest deployment of each Worker of an account. */
  async currentDeployments(account: AccountId): Promise<readonly Deployment[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM deployment d WHERE account = ${account} AND sequence = (
            SELECT max(sequence) FROM deployment e
            WHERE e.account = d.account AND e.worker = d.worker)`,
    )
    return rows.map(deploymentOf)
  }

  async apply({ worker, version, deployment, classes }: WorkerChange): Promise<void> {
    const key = { account: worker.account, worker: worker.name }
    await this.#sql.write([
      putWorker(worker),
      ...(version ? [insertVersion(version)] : []),
      ...(deployment ? [insertDeployment(deployment)] : []),
      ...(classes ? classStatements(key, classes) : []),
    ])
  }

  async remove({ account, worker }: WorkerKey): Promise<void> {
    await this.#sql.write([
      ...removeClasses({ account, worker }),
      ...leaveZones({ account, worker }),
      removeSchedules({ account, worker }),
      sql`DELETE FROM deployment WHERE account = ${account} AND worker = ${worker}`,
      sql`DELETE FROM version WHERE account = ${account} AND worker = ${worker}`,
      sql`DELETE FROM worker WHERE account = ${account} AND name = ${worker}`,
    ])
  }

  /** Forgets deployments and versions beyond the limits; never one that runs. */
  async prune({ account, worker }: WorkerKey): Promise<readonly Version[]> {
    const kept = new Set(
      (await this.deployments({ account, worker })).flatMap(({ versions }) =>
        versions.map((share) => share.versionId),
      ),
    )
    const rows = await this.#sql.read(
      sql`SELECT * FROM version WHERE account = ${account} AND worker = ${worker}
          ORDER BY number DESC LIMIT ${limits.versionsPerWorker} OFFSET ${limits.versionsPerWorker}`,
    )
    const old = rows.map(versionOf).filter(({ id }) => !kept.has(id))
    await this.#sql.write([
      sql`DELETE FROM deployment WHERE account = ${account} AND worker = ${worker}
          AND sequence <= (SELECT max(sequence) FROM deployment
            WHERE account = ${account} AND worker = ${worker}) - ${limits.deploymentsPerWorker}`,
      ...old.map(({ id }) => sql`DELETE FROM version WHERE id = ${id}`),
    ])
    return old
  }

  /** The keys of all modules of a Worker. */
  async moduleKeys({ account, worker }: WorkerKey): Promise<ReadonlySet<BlobKey>> {
    return keysOf(
      await this.#sql.read(
        sql`SELECT record FROM version WHERE account = ${account} AND worker = ${worker}`,
      ),
    )
  }

  /** The keys of all modules that any version of any account has. */
  async allModuleKeys(): Promise<ReadonlySet<BlobKey>> {
    return keysOf(await this.#sql.read(sql`SELECT record FROM version`))
  }

  /** The manifests of all files that any version of any account has. */
  async allManifests(): Promise<ReadonlySet<BlobKey>> {
    const rows = await this.#sql.read(sql`SELECT record FROM version`)
    return new Set(rows.flatMap((row) => bodyOf(row).assets?.manifest ?? []))
  }
}

function putWorker(worker: Worker): Statement {
  const { account, name, tag, createdAt, modifiedAt } = worker
  const isOnSubdomain = Number(worker.isOnSubdomain)
  const hasPreviews = Number(worker.hasPreviews)
  const settings = JSON.stringify(worker.settings)
  return sql`INSERT INTO worker (account, name, tag, created_at, modified_at,
               subdomain_enabled, previews_enabled, settings)
             VALUES (${account}, ${name}, ${tag}, ${createdAt}, ${modifiedAt},
               ${isOnSubdomain}, ${hasPreviews}, ${settings})
             ON CONFLICT (account, name) DO UPDATE SET modified_at = ${modifiedAt},
               subdomain_enabled = ${isOnSubdomain}, previews_enabled = ${hasPreviews},
               settings = ${settings}`
}

function insertVersion(version: Version): Statement {
  const { id, account, worker, number, createdAt, ...body } = version
  const alias = version.annotations['workers/alias'] ?? null
  return sql`INSERT INTO version (id, account, worker, number, created_at, alias, record)
             VALUES (${id}, ${account}, ${worker}, ${number}, ${createdAt}, ${alias},
               ${JSON.stringify(body)})`
}

function insertDeployment(deployment: Deployment): Statement {
  const { id, account, worker, createdAt, ...body } = deployment
  return sql`INSERT INTO deployment (id, account, worker, sequence, created_at, record)
             SELECT ${id}, ${account}, ${worker}, coalesce(max(sequence), 0) + 1, ${createdAt},
               ${JSON.stringify(body)}
             FROM deployment WHERE account = ${account} AND worker = ${worker}`
}

function keysOf(rows: readonly Row[]): ReadonlySet<BlobKey> {
  return new Set(rows.flatMap((row) => bodyOf(row).modules.map(({ key }) => key)))
}

function workerOf(row: Row): Worker {
  return workerRecord.parse({
    account: textColumn(row, 'account'),
    name: textColumn(row, 'name'),
    tag: textColumn(row, 'tag'),
    createdAt: textColumn(row, 'created_at'),
    modifiedAt: textColumn(row, 'modified_at'),
    isOnSubdomain: integerColumn(row, 'subdomain_enabled') === 1,
    hasPreviews: integerColumn(row, 'previews_enabled') === 1,
    settings: JSON.parse(textColumn(row, 'settings')),
    migrationTag: textColumnOrNull(row, 'migration_tag'),
  })
}

function bodyOf(row: Row): ReturnType<typeof versionBody.parse> {
  return versionBody.parse(JSON.parse(textColumn(row, 'record')))
}

function versionOf(row: Row): Version {
  const { account, name: worker } = keyColumns(row)
  return {
    ...bodyOf(row),
    id: versionId.parse(textColumn(row, 'id')),
    account,
    worker,
    number: integerColumn(row, 'number'),
    createdAt: textColumn(row, 'created_at'),
  }
}

function deploymentOf(row: Row): Deployment {
  const { account, name: worker } = keyColumns(row)
  return {
    ...deploymentBody.parse(JSON.parse(textColumn(row, 'record'))),
    id: textColumn(row, 'id'),
    account,
    worker,
    createdAt: textColumn(row, 'created_at'),
  }
}

const keyRecord = workerRecord.pick({ account: true, name: true })

function keyColumns(row: Row): ReturnType<typeof keyRecord.parse> {
  return keyRecord.parse({
    account: textColumn(row, 'account'),
    name: textColumn(row, 'worker'),
  })
}
