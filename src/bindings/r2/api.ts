import { Hono } from 'hono'
import type { z } from 'zod'
import type { ApiMount, Caller } from '#contract/binding.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import { bucketRoutes } from './bucket-api.ts'
import { domainRoutes } from './domain-api.ts'
import * as errors from './errors.ts'
import { keyRoutes } from './key-api.ts'
import { jsonBytes } from './limits.ts'
import { notificationRoutes } from './notification-api.ts'
import { objectRoutes } from './object-api.ts'
import type { ApiOptions, BucketOperation, Operation, Route } from './operation.ts'
import { textOf } from './records.ts'
import { ruleRoutes } from './rules-api.ts'
import { jurisdiction } from './schema.ts'

/** `/client/v4/accounts/:account/r2`, as in the API reference of R2. */
export function r2Api(options: ApiOptions): ApiMount {
  const { all, ofBucket } = bucketRoutes(options)
  const ofBuckets = [
    ...ofBucket,
    ...objectRoutes(options),
    ...ruleRoutes(options),
    ...domainRoutes(options),
  ]
  return mounted('/r2', [
    ...all,
    ...keyRoutes(options),
    ...ofBuckets.map((route) => withBucket(options, '/buckets', route)),
  ])
}

/** `/client/v4/accounts/:account/event_notifications/r2`. */
export function notificationsApi(options: ApiOptions): ApiMount {
  const routes = notificationRoutes(options).map((route) => withBucket(options, '', route))
  return mounted('/event_notifications/r2', routes)
}

function withBucket(
  { buckets }: ApiOptions,
  root: string,
  [method, path, run]: Route<BucketOperation>,
): Route<Operation> {
  return [
    method,
    `${root}/:bucket${path}`,
    (operation) => {
      const { caller, param } = operation
      const bucket = buckets.get(caller.account, operation.jurisdiction, param('bucket'))
      return run({ ...operation, bucket })
    },
  ]
}

function mounted(root: string, routes: readonly Route<Operation>[]): ApiMount {
  const app = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
  for (const [method, path, run] of routes) {
    app.on(method, `${root}${path}`, (c) => {
      const request = c.req.raw
      return run({
        request,
        url: new URL(request.url),
        caller: c.env.caller,
        jurisdiction: jurisdictionOf(request),
        body: (schema) => readBody(request, schema),
        param: (name) => c.req.param(name) ?? '',
      })
    })
  }
  app.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  app.onError((error) => {
    throw error
  })
  return { path: root, handle: async (request, caller) => app.fetch(request, { caller }) }
}

function jurisdictionOf(request: Request) {
  const read = jurisdiction.safeParse(request.headers.get('cf-r2-jurisdiction') ?? 'default')
  if (!read.success) throw errors.bodyInvalid('The jurisdiction is not valid.')
  return read.data
}

/** Reads a JSON body of any content type; none is an empty object. */
async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
): Promise<z.output<Schema>> {
  const { bytes: body } = await gather(request.body ?? [], jsonBytes, jsonBytes)
  if (!body) throw errors.bodyInvalid(`The body has more than ${jsonBytes} bytes.`)
  let value: unknown
  try {
    value = body.byteLength === 0 ? {} : parseJson(textOf(body))
  } catch {
    throw errors.bodyInvalid('The body is not valid JSON.')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw errors.bodyInvalid(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`)
}
