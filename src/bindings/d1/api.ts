import { Hono } from 'hono'
import type { z } from 'zod'
import type { ApiMount, Caller } from '#contract/binding.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import { databaseRoutes } from './database-api.ts'
import * as errors from './errors.ts'
import { exportRoutes } from './export-api.ts'
import { importRoutes } from './import-api.ts'
import { drainBytes, jsonBytes } from './limits.ts'
import type { Operation, Parts } from './operation.ts'
import { queryRoutes } from './query-api.ts'
import { databaseId } from './schema.ts'
import { timeTravelRoutes } from './time-travel-api.ts'
import { verifyRoutes } from './verify-api.ts'

const root = '/d1/database'

/** `/client/v4/accounts/:account/d1/database`, as in the API reference of D1. */
export function d1Api(parts: Parts): ApiMount {
  const { all, ofDatabase } = databaseRoutes(parts)
  const ofDatabases = [
    ...ofDatabase,
    ...queryRoutes(parts),
    ...importRoutes(parts),
    ...exportRoutes(parts),
    ...timeTravelRoutes(parts),
    ...verifyRoutes(parts),
  ]
  const app = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
  for (const [method, path, run] of all) {
    app.on(method, root + path, (c) => run(operationOf(c.req.raw, c.env.caller)))
  }
  for (const [method, path, run] of ofDatabases) {
    app.on(method, `${root}/:database${path}`, (c) => {
      const { account } = c.env.caller
      const asked = c.req.param('database')
      // Only who asks what there is may ask by name.
      const isByName = method === 'GET' && path === ''
      if (!isByName && !databaseId.safeParse(asked).success) {
        throw errors.propertyInvalid('databaseId', 'Invalid uuid')
      }
      const database = parts.store.lookUp(account, asked)
      return run({ ...operationOf(c.req.raw, c.env.caller), database })
    })
  }
  app.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  app.onError((error) => {
    throw error
  })
  return {
    path: root,
    handle: async (request, caller) => app.fetch(request, { caller }),
  }
}

function operationOf(request: Request, caller: Caller): Operation {
  return {
    request,
    url: new URL(request.url),
    caller,
    body: (schema, limit) => readBody(request, schema, limit),
  }
}

/** Reads a JSON body of any content type; none is an empty object. */
async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  limit = jsonBytes,
): Promise<z.output<Schema>> {
  const { bytes } = await gather(request.body ?? [], limit, drainBytes)
  if (!bytes) throw errors.bodyTooLarge(limit)
  let value: unknown
  try {
    value = bytes.byteLength === 0 ? {} : parseJson(new TextDecoder().decode(bytes))
  } catch {
    throw errors.bodyInvalid('The body is not valid JSON.')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw errors.propertyInvalid(issue?.path.join('.') || 'body', issue?.message ?? 'invalid')
}
