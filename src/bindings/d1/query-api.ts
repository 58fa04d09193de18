import { Buffer } from 'node:buffer'
import { DatabaseError } from '#contract/ports/databases.ts'
import { callOf, type CallStatement, type Form, isRefused, refusalOf } from './call.ts'
import * as errors from './errors.ts'
import { callBytes } from './limits.ts'
import type { DatabaseOperation, Parts, Route } from './operation.ts'
import { type Query, queryBody } from './schema.ts'
import { statementsOf } from './split.ts'

/** Queries: what the result of each statement is, as objects or as columns and rows. */
export function queryRoutes({ calls }: Parts): readonly Route<DatabaseOperation>[] {
  return [
    ['POST', '/query', (operation) => run(operation, 'e')],
    ['POST', '/raw', (operation) => run(operation, 'q')],
  ]

  async function run({ database, body }: DatabaseOperation, form: Form): Promise<Response> {
    const told = await body(queryBody, callBytes)
    const statements = ('batch' in told ? told.batch : [told]).flatMap(statementsIn)
    if (statements.length === 0) throw errors.queryError(errors.noStatements)
    const { account, id } = database
    const { reply } = await calls.call(account, id, callOf(form, statements)).catch(notAnswered)
    if (isRefused(reply)) throw errors.queryError(refusalOf(reply))
    return answered(reply)
  }
}

/** The statements of one text, of which the last has the parameters. */
function statementsIn({ sql, params }: Query): readonly CallStatement[] {
  const statements = statementsOf(sql)
  return statements.map(({ text }, index) => ({
    sql: text,
    params: index === statements.length - 1 ? (params ?? []) : [],
  }))
}

/** Throws what a client of the REST API is told. */
export function notAnswered(error: unknown): never {
  if (!(error instanceof DatabaseError)) throw error
  throw errors.databaseUnavailable(errors.sentenceOf(error.reason))
}

const head = Buffer.from('{"success":true,"errors":[],"messages":[],"result":')
const tail = Buffer.from('}')

/** What the engine replied is a list as JSON: it is not read to be written again. */
function answered(reply: Uint8Array): Response {
  return new Response(new Uint8Array(Buffer.concat([head, reply, tail])), {
    headers: { 'content-type': 'application/json' },
  })
}
