import { callOf, isRefused, refusalOf, resultsOf } from './call.ts'
import * as errors from './errors.ts'
import type { Parts } from './operation.ts'
import { notAnswered } from './query-api.ts'
import type { Database } from './store.ts'

/** What a list has of a database. */
export function shown({ id, name, createdAt, jurisdiction }: Database): object {
  return {
    uuid: id,
    name,
    version: 'production',
    created_at: new Date(createdAt).toISOString(),
    jurisdiction,
  }
}

export function settings({ replication }: Database): object {
  return { read_replication: { mode: replication } }
}

function regionOf({ location }: Database): string {
  return (location ?? 'weur').toUpperCase()
}

/** All that there is to know of a database: for that it is asked itself. */
export async function wholeOf({ calls }: Parts, database: Database): Promise<object> {
  const count = callOf('q', { sql: countTables, params: [] })
  const { account, id } = database
  const { reply } = await calls.call(account, id, count).catch(notAnswered)
  if (isRefused(reply)) throw errors.databaseUnavailable(refusalOf(reply))
  const [result] = resultsOf(reply)
  return {
    ...shown(database),
    num_tables: Number(result?.rows[0]?.[0] ?? 0),
    file_size: result?.meta.size_after ?? 0,
    running_in_region: regionOf(database),
    ...settings(database),
  }
}

const countTables = `SELECT count(*) FROM sqlite_schema WHERE type = 'table'
  AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, 4) <> '_cf_'`
