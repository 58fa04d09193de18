import { Hono } from 'hono'
import type { z } from 'zod'
import type { ApiMount, Caller } from '#contract/binding.ts'
import type { EventHost } from '#contract/events.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { consumerRoutes } from './consumer-api.ts'
import type { Deliveries } from './deliveries.ts'
import * as errors from './errors.ts'
import { drainBytes, sendBodyBytes } from './limits.ts'
import { messageRoutes } from './message-api.ts'
import type { MessageStore } from './message-store.ts'
import { pullRoutes } from './pull-api.ts'
import { listRoutes, queueRoutes } from './queue-api.ts'
import { queueId } from './schema.ts'
import type { Sender } from './sender.ts'
import type { Queue, QueueStore } from './store.ts'
import { subscriptionRoutes } from './subscription-api.ts'
import type { SubscriptionStore } from './subscription-store.ts'

export type ApiOptions = {
  readonly store: QueueStore
  readonly messages: MessageStore
  readonly sender: Sender
  readonly deliveries: Deliveries
  readonly clock: Clock
  /** Who knows what is deployed; absent until everything is back. */
  readonly host: () => EventHost | undefined
}

/** A call of the API. */
export type Operation = {
  readonly url: URL
  readonly caller: Caller
  /** The body, read by a schema. Throws an `ApiError`. */
  readonly body: <Schema extends z.ZodType>(schema: Schema) => Promise<z.output<Schema>>
  /** A part of the path; `""` if there is none of that name. */
  readonly param: (name: string) => string
}

/** The same of one queue, which is the caller's. */
export type QueueOperation = Operation & { readonly queue: Queue }

export type Route<Of> = readonly [
  method: string,
  path: string,
  run: (operation: Of) => Promise<Response>,
]

/** `/client/v4/accounts/:account/queues`, as in the API reference of Queues. */
export function queuesApi(options: ApiOptions): ApiMount {
  const { store } = options
  const ofQueues = [
    ...queueRoutes(options),
    ...consumerRoutes(options),
    ...messageRoutes(options),
    ...pullRoutes(options),
  ]
  const routes = ofQueues.map(([method, path, run]): Route<Operation> => [
    method,
    `/:queue${path}`,
    (operation) => {
      const text = operation.param('queue')
      const id = queueId.safeParse(text)
      const queue = id.success ? store.get(id.data) : undefined
      if (queue?.account !== operation.caller.account) throw errors.queueNotFound(text)
      return run({ ...operation, queue })
    },
  ])
  return { ...mounted('/queues', [...listRoutes(options), ...routes]), isRead }
}

function isRead({ method, url }: Request): boolean {
  return method === 'POST' && /\/messages\/peek\/?$/.test(new URL(url).pathname)
}

/** `/client/v4/accounts/:account/event_subscriptions/subscriptions`. */
export function subscriptionsApi(options: {
  readonly store: QueueStore
  readonly subscriptions: SubscriptionStore
}): ApiMount {
  return mounted('/event_subscriptions/subscriptions', subscriptionRoutes(options))
}

function mounted(root: string, routes: readonly Route<Operation>[]): ApiMount {
  const app = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
  for (const [method, path, run] of routes) {
    app.on(method, `${root}${path}`, (c) =>
      run({
        url: new URL(c.req.raw.url),
        caller: c.env.caller,
        body: (schema) => readBody(c.req.raw, schema),
        param: (name) => c.req.param(name) ?? '',
      }),
    )
  }
  app.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  app.onError((error) => {
    throw error
  })
  return { path: root, handle: async (request, caller) => app.fetch(request, { caller }) }
}

/** Reads a JSON body of any content type; none is an empty object. */
async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
): Promise<z.output<Schema>> {
  const { bytes } = await gather(request.body ?? [], sendBodyBytes, drainBytes)
  if (!bytes) throw errors.bodyTooLarge(sendBodyBytes)
  let value: unknown
  try {
    value = bytes.byteLength === 0 ? {} : parseJson(new TextDecoder().decode(bytes))
  } catch {
    throw errors.bodyInvalid('The body is not valid JSON.')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw errors.bodyInvalid(reasonOf(parsed.error))
}

/** What is wrong with a value, in one line. */
export function reasonOf({ issues: [issue] }: z.ZodError): string {
  return `${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`
}
