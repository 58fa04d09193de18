import { z } from 'zod'
import { accountId, workerName } from '#contract/ids.ts'
import {
  integerColumn,
  type Row,
  type Sql,
  sql,
  type Statement,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import type { WorkerKey } from './worker-store.ts'

const zoneRecord = z.object({
  id: z.string(),
  name: z.string(),
  account: accountId,
  createdAt: z.string(),
})
/** A host that the operator has given to an account, with all that is below it. */
export type Zone = Readonly<z.output<typeof zoneRecord>>

const routeRecord = z.object({
  id: z.string(),
  /** The id of its zone. */
  zone: z.string(),
  account: accountId,
  /** As it was sent. */
  pattern: z.string(),
  /** The same for all that match the same. */
  canonical: z.string(),
  /** `null`: no Worker where it matches. */
  worker: workerName.nullable(),
})
export type StoredRoute = Readonly<z.output<typeof routeRecord>>

const domainRecord = z.object({
  id: z.string(),
  /** The id of its zone. */
  zone: z.string(),
  account: accountId,
  hostname: z.string(),
  worker: workerName,
  isEnabled: z.boolean(),
  hasPreviews: z.boolean(),
})
/** A host of which a Worker is the origin. */
export type CustomDomain = Readonly<z.output<typeof domainRecord>>

/** Zones, and what Workers have in them. Does not own `sql`. */
export class ZoneStore {
  readonly #sql: Sql

  constructor(database: Sql) {
    this.#sql = database
  }

  async allZones(): Promise<readonly Zone[]> {
    return (await this.#sql.read(sql`SELECT * FROM zone ORDER BY name`)).map(zoneOf)
  }

  async zone(id: string): Promise<Zone | undefined> {
    const [row] = await this.#sql.read(sql`SELECT * FROM zone WHERE id = ${id}`)
    return row && zoneOf(row)
  }

  async addZone({ id, name, account, createdAt }: Zone): Promise<void> {
    await this.#sql.write([
      sql`INSERT INTO zone (id, name, account, created_at)
          VALUES (${id}, ${name}, ${account}, ${createdAt})`,
    ])
  }

  /** Removes a zone and all that Workers have in it. */
  async removeZone({ id }: Zone): Promise<void> {
    await this.#sql.write([
      sql`DELETE FROM route WHERE zone = ${id}`,
      sql`DELETE FROM custom_domain WHERE zone = ${id}`,
      sql`DELETE FROM zone WHERE id = ${id}`,
    ])
  }

  async allRoutes(): Promise<readonly StoredRoute[]> {
    return (await this.#sql.read(sql`SELECT * FROM route ORDER BY zone, pattern`)).map(routeOf)
  }

  async routesIn({ id }: Zone): Promise<readonly StoredRoute[]> {
    const rows = await this.#sql.read(sql`SELECT * FROM route WHERE zone = ${id} ORDER BY pattern`)
    return rows.map(routeOf)
  }

  async routesOf({ account, worker }: WorkerKey): Promise<readonly StoredRoute[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM route WHERE account = ${account} AND worker = ${worker} ORDER BY pattern`,
    )
    return rows.map(routeOf)
  }

  /** Takes routes away and puts others there, all or nothing. */
  async changeRoutes(change: {
    readonly removed: readonly StoredRoute[]
    readonly added: readonly StoredRoute[]
  }): Promise<void> {
    await this.#sql.write([
      ...change.removed.map(({ id }) => sql`DELETE FROM route WHERE id = ${id}`),
      ...change.added.map(insertRoute),
    ])
  }

  async allDomains(): Promise<readonly CustomDomain[]> {
    return (await this.#sql.read(sql`SELECT * FROM custom_domain`)).map(domainOf)
  }

  /** In the order of their names. */
  async domains(account: Zone['account']): Promise<readonly CustomDomain[]> {
    const rows = await this.#sql.read(
      sql`SELECT * FROM custom_domain WHERE account = ${account} ORDER BY hostname`,
    )
    return rows.map(domainOf)
  }

  /** Takes custom domains away and puts others there, all or nothing. */
  async changeDomains(change: {
    readonly removed: readonly CustomDomain[]
    readonly added: readonly CustomDomain[]
  }): Promise<void> {
    await this.#sql.write([
      ...change.removed.map(({ id }) => sql`DELETE FROM custom_domain WHERE id = ${id}`),
      ...change.added.map(insertDomain),
    ])
  }
}

/** Removes all that a Worker has in zones. */
export function leaveZones({ account, worker }: WorkerKey): readonly Statement[] {
  return [
    sql`DELETE FROM route WHERE account = ${account} AND worker = ${worker}`,
    sql`DELETE FROM custom_domain WHERE account = ${account} AND worker = ${worker}`,
  ]
}

function insertRoute(route: StoredRoute): Statement {
  const { id, zone, account, pattern, canonical, worker } = route
  return sql`INSERT INTO route (id, zone, account, pattern, canonical, worker)
             VALUES (${id}, ${zone}, ${account}, ${pattern}, ${canonical}, ${worker})`
}

function insertDomain(domain: CustomDomain): Statement {
  const { id, zone, account, hostname, worker, isEnabled, hasPreviews } = domain
  return sql`INSERT INTO custom_domain (id, zone, account, hostname, worker, enabled,
               previews_enabled)
             VALUES (${id}, ${zone}, ${account}, ${hostname}, ${worker}, ${Number(isEnabled)},
               ${Number(hasPreviews)})`
}

function zoneOf(row: Row): Zone {
  return zoneRecord.parse({
    id: textColumn(row, 'id'),
    name: textColumn(row, 'name'),
    account: textColumn(row, 'account'),
    createdAt: textColumn(row, 'created_at'),
  })
}

function routeOf(row: Row): StoredRoute {
  return routeRecord.parse({
    id: textColumn(row, 'id'),
    zone: textColumn(row, 'zone'),
    account: textColumn(row, 'account'),
    pattern: textColumn(row, 'pattern'),
    canonical: textColumn(row, 'canonical'),
    worker: textColumnOrNull(row, 'worker'),
  })
}

function domainOf(row: Row): CustomDomain {
  return domainRecord.parse({
    id: textColumn(row, 'id'),
    zone: textColumn(row, 'zone'),
    account: textColumn(row, 'account'),
    hostname: textColumn(row, 'hostname'),
    worker: textColumn(row, 'worker'),
    isEnabled: integerColumn(row, 'enabled') === 1,
    hasPreviews: integerColumn(row, 'previews_enabled') === 1,
  })
}
