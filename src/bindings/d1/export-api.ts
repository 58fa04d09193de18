import { succeed } from '#contract/envelope.ts'
import type { DatabaseOperation, Parts, Route } from './operation.ts'
import { notAnswered } from './query-api.ts'
import { exportBody } from './schema.ts'

/** Begins an export, or says how the one goes on that began at a bookmark. */
export function exportRoutes({ exports }: Parts): readonly Route<DatabaseOperation>[] {
  return [['POST', '/export', run]]

  async function run({ database, body, request }: DatabaseOperation): Promise<Response> {
    const told = await body(exportBody)
    const options = told.dump_options ?? {}
    const at = told.current_bookmark ?? (await exports.begin(database, options).catch(notAnswered))
    const { account } = database
    return succeed(await exports.poll(database, { at, options }, { account, request }))
  }
}
