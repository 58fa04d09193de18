import { succeed } from '#contract/envelope.ts'
import { uploadMs } from './limits.ts'
import type { DatabaseOperation, Parts, Route } from './operation.ts'
import { notAnswered } from './query-api.ts'
import { importBody } from './schema.ts'

/** `init`: where a file is to be sent; `ingest`: it was, so begin; `poll`: how it goes on. */
export function importRoutes({
  imports,
  transfers,
  links,
}: Parts): readonly Route<DatabaseOperation>[] {
  return [['POST', '/import', run]]

  async function run(operation: DatabaseOperation): Promise<Response> {
    const { database } = operation
    const told = await operation.body(importBody)
    switch (told.action) {
      case 'init':
        return succeed(await init(operation, told.etag).catch(notAnswered))
      case 'ingest':
        return succeed(await imports.begin(database, told.etag).catch(notAnswered))
      case 'poll':
        return succeed(await imports.poll(database, told.current_bookmark))
    }
  }

  /** A file that is there, because its import failed, is not sent again. */
  async function init({ database, request }: DatabaseOperation, etag: string): Promise<object> {
    const { id, account } = database
    if (await transfers.upload(id, etag)) return imports.begin(database, etag)
    const link = { type: 'import', database: id, etag } as const
    const uploadUrl = await links.urlOf(link, { account, request, forMs: uploadMs })
    return { filename: `${id}.${etag}.sql`, upload_url: uploadUrl }
  }
}
