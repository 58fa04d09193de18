import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import type { ApiOptions, QueueOperation, Route } from './api.ts'
import * as errors from './errors.ts'
import {
  consumerBody,
  type ConsumerId,
  consumerId,
  type ConsumerSettings,
  givenSettings,
  queueName,
  scriptName,
} from './schema.ts'
import {
  type Consumer,
  consumerIn,
  type ConsumerTarget,
  type NewConsumer,
  type Queue,
  type QueueStore,
} from './store.ts'

/** What the API has of a queue's consumers. */
export function consumerRoutes(options: ApiOptions): readonly Route<QueueOperation>[] {
  const { store } = options
  const given = async ({ body, queue }: QueueOperation): Promise<NewConsumer> =>
    newConsumer(await body(consumerBody), { queue, options })
  return [
    [
      'GET',
      '/consumers',
      async ({ queue }) => succeed(queue.consumers.map((each) => shownConsumer(queue, each))),
    ],
    [
      'POST',
      '/consumers',
      async (operation) => {
        const { queue } = operation
        return succeed(
          shownConsumer(queue, await store.addConsumer(queue.id, await given(operation))),
        )
      },
    ],
    [
      'GET',
      '/consumers/:consumer',
      async ({ queue, param }) =>
        succeed(shownConsumer(queue, consumerIn(queue, idOf(param('consumer'))))),
    ],
    [
      'PUT',
      '/consumers/:consumer',
      async (operation) => {
        const { queue, param } = operation
        const { id } = consumerIn(queue, idOf(param('consumer')))
        const next = await given(operation)
        return succeed(shownConsumer(queue, await store.replaceConsumer(queue.id, id, next)))
      },
    ],
    [
      'DELETE',
      '/consumers/:consumer',
      async ({ queue, param }) => {
        await store.removeConsumer(queue.id, idOf(param('consumer')))
        return succeed(null)
      },
    ],
  ]
}

/** A consumer in the API's words. wrangler reads `script`, the SDK `script_name`. */
export function shownConsumer({ name }: Queue, consumer: Consumer): object {
  const { id, target, environment, deadLetterQueue, settings, createdAt } = consumer
  return {
    consumer_id: id,
    type: target ? 'worker' : 'http_pull',
    ...(target && {
      script: target.worker,
      script_name: target.worker,
      ...(target.entrypoint !== undefined && { entrypoint: target.entrypoint }),
    }),
    ...(environment !== '' && { environment_name: environment }),
    settings: target ? shownPush(settings) : shownPull(settings),
    dead_letter_queue: deadLetterQueue,
    queue_name: name,
    created_on: new Date(createdAt).toISOString(),
  }
}

function shownPush(settings: ConsumerSettings): object {
  return {
    batch_size: settings.batchSize,
    max_retries: settings.maxRetries,
    max_wait_time_ms: settings.waitMs,
    max_concurrency: settings.maxConcurrency,
    retry_delay: settings.retryDelay,
  }
}

function shownPull(settings: ConsumerSettings): object {
  return {
    batch_size: settings.batchSize,
    max_retries: settings.maxRetries,
    visibility_timeout_ms: settings.visibilityMs,
    retry_delay: settings.retryDelay,
  }
}

function newConsumer(
  given: z.output<typeof consumerBody>,
  { queue, options }: { readonly queue: Queue; readonly options: ApiOptions },
): NewConsumer {
  const parsed = givenSettings.safeParse(given.settings ?? {})
  if (!parsed.success) throw errors.consumerSettingsInvalid(z.prettifyError(parsed.error))
  const deadLetterQueue = given.dead_letter_queue ?? ''
  if (deadLetterQueue !== '') {
    if (!queueName.safeParse(deadLetterQueue).success) {
      throw errors.consumerSettingsInvalid(`no queue can be called '${deadLetterQueue}'`)
    }
    refuseCycle(options.store, queue, deadLetterQueue)
  }
  return {
    target: given.type === 'worker' ? targetOf(given, { queue, options }) : undefined,
    environment: given.environment_name ?? '',
    deadLetterQueue,
    settings: parsed.data,
  }
}

/** Throws `scriptNotFound` for a Worker that is not deployed. */
function targetOf(
  { script_name: script = '', entrypoint }: z.output<typeof consumerBody>,
  { queue: { account }, options }: { readonly queue: Queue; readonly options: ApiOptions },
): ConsumerTarget {
  const worker = scriptName.safeParse(script)
  if (!worker.success) throw errors.scriptNotFound(script)
  const target = { worker: worker.data, ...(entrypoint !== undefined && { entrypoint }) }
  const host = options.host()
  if (host && host.events.handles({ account, worker: worker.data }, 'queue') === undefined) {
    throw errors.scriptNotFound(script)
  }
  return target
}

/** Dead letters that come back to where they died would never end. */
function refuseCycle(store: QueueStore, from: Queue, deadLetterQueue: string): void {
  const path = [from.name]
  const next = [deadLetterQueue]
  const seen = new Set<string>()
  for (let name = next.pop(); name !== undefined; name = next.pop()) {
    if (name === from.name) throw errors.deadLetterCycle([...path, ...seen, name].join(' -> '))
    if (seen.has(name)) continue
    seen.add(name)
    const consumers = store.named(from.account, name)?.consumers ?? []
    next.push(...consumers.flatMap(({ deadLetterQueue: of }) => (of === '' ? [] : [of])))
  }
}

/** Throws `consumerNotFound`. */
function idOf(text: string): ConsumerId {
  const id = consumerId.safeParse(text)
  if (!id.success) throw errors.consumerNotFound()
  return id.data
}
