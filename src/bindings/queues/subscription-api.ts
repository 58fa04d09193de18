import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Operation, Route } from './api.ts'
import * as errors from './errors.ts'
import {
  queueId,
  type SubscriptionBody,
  subscriptionBody,
  subscriptionId,
  type SubscriptionId,
  subscriptionPatch,
} from './schema.ts'
import type { QueueStore } from './store.ts'
import type { Subscription, SubscriptionStore } from './subscription-store.ts'

/**
 * Products that have events: developers.cloudflare.com/queues/event-subscriptions/events-schemas. What
 * is subscribed to is kept whether or not the product is here already.
 */
const sources: ReadonlySet<string> = new Set([
  'artifacts',
  'artifacts.repo',
  'browserRun',
  'email.sending',
  'images',
  'kv',
  'r2',
  'superSlurper',
  'vectorize',
  'workersAi.model',
  'workersBuilds.worker',
  'workflows.workflow',
])

export function subscriptionRoutes({
  store,
  subscriptions,
}: {
  readonly store: QueueStore
  readonly subscriptions: SubscriptionStore
}): readonly Route<Operation>[] {
  const check = (account: AccountId, body: SubscriptionBody): SubscriptionBody => {
    const { source, destination } = body
    if (!sources.has(source.type)) throw errors.sourceUnknown(source.type)
    const id = queueId.safeParse(destination.queue_id)
    const queue = id.success ? store.get(id.data) : undefined
    if (queue?.account !== account) throw errors.queueNotFound(destination.queue_id)
    return { ...body, enabled: body.enabled ?? true }
  }
  return [
    ['GET', '', async ({ url, caller }) => list(url, await subscriptions.of(caller.account))],
    [
      'POST',
      '',
      async ({ body, caller: { account } }) => {
        const checked = check(account, await body(subscriptionBody))
        return succeed(shown(await subscriptions.add(account, checked)))
      },
    ],
    [
      'GET',
      '/:subscription',
      async ({ caller, param }) =>
        succeed(shown(await subscriptions.get(caller.account, idOf(param('subscription'))))),
    ],
    [
      'PATCH',
      '/:subscription',
      async ({ body, caller: { account }, param }) => {
        const before = await subscriptions.get(account, idOf(param('subscription')))
        const changes = await body(subscriptionPatch)
        const next = check(account, subscriptionBody.parse({ ...before.body, ...changes }))
        return succeed(shown(await subscriptions.replace(account, before.id, next)))
      },
    ],
    [
      'DELETE',
      '/:subscription',
      async ({ caller: { account }, param }) => {
        const before = await subscriptions.get(account, idOf(param('subscription')))
        await subscriptions.remove(account, before.id)
        return succeed(shown(before))
      },
    ],
  ]
}

const orders = ['name', 'enabled', 'created_at'] as const

function list(url: URL, all: readonly Subscription[]): Response {
  const queue = url.searchParams.get('queue_id')
  const asked = url.searchParams.get('order')
  const order = orders.find((each) => each === asked) ?? 'created_at'
  const sign = url.searchParams.get('direction') === 'desc' ? -1 : 1
  const found = all
    .filter(({ body }) => queue === null || body.destination.queue_id === queue)
    .map((subscription) => ({ subscription, key: keyOf(subscription, order) }))
    .toSorted((a, b) => (a.key === b.key ? 0 : a.key < b.key ? -sign : sign))
  const query = pageQuery(url, { perPage: 20, most: 100 })
  const page = found.slice(query.offset, query.offset + query.perPage)
  return succeed(
    page.map(({ subscription }) => shown(subscription)),
    pageInfo(query, page.length, found.length),
  )
}

function keyOf({ body, createdAt }: Subscription, order: (typeof orders)[number]): string {
  if (order === 'name') return body.name
  return order === 'enabled' ? String(body.enabled) : isoTime(createdAt)
}

function shown({ id, createdAt, modifiedAt, body }: Subscription): object {
  return { id, created_at: isoTime(createdAt), modified_at: isoTime(modifiedAt), ...body }
}

/** Throws `subscriptionNotFound`. */
function idOf(text: string): SubscriptionId {
  const id = subscriptionId.safeParse(text)
  if (!id.success) throw errors.subscriptionNotFound()
  return id.data
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
