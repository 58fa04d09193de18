import { z } from 'zod'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import type { ApiOptions, Operation, QueueOperation, Route } from './api.ts'
import { shownConsumer } from './consumer-api.ts'
import * as errors from './errors.ts'
import { retention } from './limits.ts'
import {
  newQueueBody,
  purgeBody,
  queueBody,
  queueName,
  queueResource,
  queueSettings,
  type QueueSettings,
} from './schema.ts'
import type { Queue } from './store.ts'

const usual: QueueSettings = { deliveryDelay: 0, isPaused: false, retention: retention.usual }

/** What the API has of all queues. */
export function listRoutes(options: ApiOptions): readonly Route<Operation>[] {
  const { store } = options
  return [
    [
      'GET',
      '',
      async ({ url, caller }) => {
        const names = url.searchParams.getAll('name')
        const all = store
          .of(caller.account)
          .filter(({ name }) => names.length === 0 || names.includes(name))
        const query = pageQuery(url, { perPage: 100, most: 1000 })
        const page = all.slice(query.offset, query.offset + query.perPage)
        const shown = page.map((queue) => shownQueue(queue, options))
        return succeed(shown, pageInfo(query, page.length, all.length))
      },
    ],
    [
      'POST',
      '',
      async ({ body, caller }) => {
        const { queue_name: name, settings } = await body(newQueueBody)
        const queue = await store.create(caller.account, nameOf(name), settingsOf(settings, usual))
        return succeed(shownQueue(queue, options))
      },
    ],
  ]
}

/** What the API has of one queue. */
export function queueRoutes(options: ApiOptions): readonly Route<QueueOperation>[] {
  const { store, sender, messages } = options
  const update = (before: (queue: Queue) => QueueSettings) => {
    return async ({ body, queue }: QueueOperation): Promise<Response> => {
      const { queue_name: name, settings } = await body(queueBody)
      const changed = await store.update(queue.id, {
        ...(name !== undefined && { name: nameOf(name) }),
        settings: settingsOf(settings, before(queue)),
      })
      return succeed(shownQueue(changed, options))
    }
  }
  return [
    ['GET', '', async ({ queue }) => succeed(shownQueue(queue, options))],
    ['PATCH', '', update((queue) => queue.settings)],
    ['PUT', '', update(() => usual)],
    [
      'DELETE',
      '',
      async ({ queue }) => {
        await store.remove(queue.id)
        return succeed(null)
      },
    ],
    [
      'GET',
      '/metrics',
      async ({ queue }) => {
        const { backlogCount, backlogBytes, oldestMessageTimestampMs } = await sender.metrics(queue)
        return succeed({
          backlog_count: backlogCount,
          backlog_bytes: backlogBytes,
          oldest_message_timestamp_ms: oldestMessageTimestampMs ?? 0,
        })
      },
    ],
    [
      'POST',
      '/purge',
      async ({ body, queue }) => {
        const { delete_messages_permanently: isMeant } = await body(purgeBody)
        if (isMeant !== true) {
          throw errors.bodyInvalid('delete_messages_permanently: must be true')
        }
        return succeed(shownQueue(await store.purge(queue.id), options))
      },
    ],
    [
      'GET',
      '/purge',
      async ({ queue }) => {
        const complete = !(await messages.isRemoving(queue.id))
        const startedAt = queue.purgedAt === null ? '' : isoTime(queue.purgedAt)
        return succeed({ started_at: startedAt, complete, completed: String(complete) })
      },
    ],
  ]
}

/** A queue in the API's words, with who sends to it and who takes from it. */
function shownQueue(queue: Queue, { host }: ApiOptions): object {
  const { id, account, name, createdAt, modifiedAt, settings, consumers } = queue
  const bound = host()?.bindings(account, 'queue') ?? []
  const scripts = new Set(
    bound
      .filter(({ resource }) => queueResource.safeParse(resource).data?.queue === name)
      .map(({ worker }) => worker),
  )
  return {
    queue_id: id,
    queue_name: name,
    created_on: isoTime(createdAt),
    modified_on: isoTime(modifiedAt),
    producers: [...scripts].map((script) => ({ type: 'worker', script })),
    producers_total_count: scripts.size,
    consumers: consumers.map((consumer) => shownConsumer(queue, consumer)),
    consumers_total_count: consumers.length,
    settings: {
      delivery_delay: settings.deliveryDelay,
      delivery_paused: settings.isPaused,
      message_retention_period: settings.retention,
    },
  }
}

function nameOf(text: string): string {
  const name = queueName.safeParse(text)
  if (!name.success) throw errors.nameInvalid()
  return name.data
}

/** Given settings, on top of others. */
function settingsOf(given: unknown, before: QueueSettings): QueueSettings {
  const parsed = queueSettings.safeParse(given ?? {})
  if (!parsed.success) throw errors.queueSettingsInvalid(z.prettifyError(parsed.error))
  const { deliveryDelay, isPaused, retention: seconds } = parsed.data
  return {
    deliveryDelay: deliveryDelay ?? before.deliveryDelay,
    isPaused: isPaused ?? before.isPaused,
    retention: seconds ?? before.retention,
  }
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
