import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { pageLength, usualPageLength } from './limits.ts'
import type { DatabaseOperation, Operation, Parts, Route } from './operation.ts'
import { changeBody, newDatabaseBody, partialChangeBody } from './schema.ts'
import { settings, shown, wholeOf } from './views.ts'

export function databaseRoutes(parts: Parts): {
  readonly all: readonly Route<Operation>[]
  readonly ofDatabase: readonly Route<DatabaseOperation>[]
} {
  const { store, files, transfers, insights, log } = parts
  return {
    all: [
      ['GET', '', list],
      ['POST', '', create],
    ],
    ofDatabase: [
      ['GET', '', get],
      ['PATCH', '', (operation) => change(operation, partialChangeBody)],
      ['PUT', '', (operation) => change(operation, changeBody)],
      ['DELETE', '', remove],
    ],
  }

  async function list({ caller, url }: Operation): Promise<Response> {
    const query = pageQuery(url, { perPage: usualPageLength, most: pageLength })
    const name = url.searchParams.get('name') ?? ''
    const found = store.of(caller.account).filter((database) => database.name.includes(name))
    const page = found.slice(query.offset, query.offset + query.perPage)
    const rows: object[] = []
    for (const database of page) {
      const { fileBytes } = await files.sizeOf(database.file)
      rows.push({ ...shown(database), file_size: fileBytes })
    }
    return succeed(rows, pageInfo(query, rows.length, found.length))
  }

  async function create({ caller, body }: Operation): Promise<Response> {
    const told = await body(newDatabaseBody)
    const database = await store.create({
      account: caller.account,
      name: told.name,
      jurisdiction: told.jurisdiction ?? null,
      location: told.primary_location_hint ?? null,
      replication: told.read_replication?.mode ?? 'disabled',
    })
    return succeed(await wholeOf(parts, database))
  }

  async function get({ database, url }: DatabaseOperation): Promise<Response> {
    const fields = url.searchParams.get('fields')?.split(',')
    if (!fields) return succeed(await wholeOf(parts, database))
    const isPlain = !fields.includes('num_tables') && !fields.includes('file_size')
    const all = isPlain
      ? { ...shown(database), ...settings(database) }
      : await wholeOf(parts, database)
    return succeed(
      Object.fromEntries(Object.entries(all).filter(([name]) => fields.includes(name))),
    )
  }

  async function change(
    { database, body }: DatabaseOperation,
    schema: typeof changeBody | typeof partialChangeBody,
  ): Promise<Response> {
    const { read_replication: replication } = await body(schema)
    const changed = replication ? await store.setReplication(database, replication.mode) : database
    return succeed(await wholeOf(parts, changed))
  }

  async function remove({ database }: DatabaseOperation): Promise<Response> {
    const blobs = await store.delete(database)
    insights.forget(database.id)
    // It is gone. What can't be removed now is after the next start.
    const removed = [files.delete(database.file, 'all'), transfers.remove(blobs)]
    for (const { status } of await Promise.allSettled(removed)) {
      if (status === 'rejected') log.warn('D1 left files behind', { database: database.id })
    }
    return succeed(null)
  }
}
