import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import { workerName } from '#contract/ids.ts'
import * as limits from './limits.ts'

const hexId = z.string().regex(/^[0-9a-f]{32}$/)
export const queueId = hexId.brand<'QueueId'>()
export type QueueId = z.output<typeof queueId>
export const consumerId = hexId.brand<'ConsumerId'>()
export type ConsumerId = z.output<typeof consumerId>
export const subscriptionId = hexId.brand<'SubscriptionId'>()
export type SubscriptionId = z.output<typeof subscriptionId>

export const queueName = z
  .string()
  .max(limits.nameLength)
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/)

/** An entry of upload metadata. A queue that is not there is told by `admit`, in Cloudflare's words. */
export const queueEntry = z.object({
  type: z.literal('queue'),
  name: bindingName,
  queue_name: z.string().max(limits.textLength),
  /** Seconds: of messages that name none. Older wranglers send it. */
  delivery_delay: z.int().min(0).max(limits.longestDelay).exactOptional(),
})

/** What `wiring` says of a grant: queues are found by name, as often as they are called. */
export const queueResource = z.object({
  queue: z.string(),
  delaySeconds: z.number().nullable(),
})

export const messageFormat = z.enum(['text', 'json', 'bytes', 'v8'])

// Settings, in words of ours, and in those of the API.

export type QueueSettings = {
  /** Seconds, of messages that name none. */
  readonly deliveryDelay: number
  readonly isPaused: boolean
  /** Seconds. */
  readonly retention: number
}

const delay = z.int().min(0).max(limits.longestDelay)

export const queueSettings = z
  .object({
    delivery_delay: delay.optional(),
    delivery_paused: z.boolean().optional(),
    message_retention_period: z
      .int()
      .min(limits.retention.least)
      .max(limits.retention.most)
      .optional(),
  })
  .transform((given) => ({
    deliveryDelay: given.delivery_delay,
    isPaused: given.delivery_paused,
    retention: given.message_retention_period,
  }))

/** Names and settings have errors of their own. */
export const newQueueBody = z.object({
  queue_name: z.string(),
  settings: z.unknown().optional(),
  /** Taken as at Cloudflare; a server has one place. */
  jurisdiction: z.enum(['eu', 'fedramp', 'us']).optional(),
})
export const queueBody = z.object({
  queue_name: z.string().optional(),
  settings: z.unknown().optional(),
})
export const purgeBody = z.object({ delete_messages_permanently: z.boolean().optional() })

/** What a consumer is set to: stored as JSON, and shown in the API's words. */
export const consumerSettings = z.object({
  batchSize: z.int(),
  maxRetries: z.int(),
  waitMs: z.int(),
  /** `null`: as many as it takes. */
  maxConcurrency: z.int().nullable(),
  retryDelay: z.int(),
  visibilityMs: z.int(),
})
export type ConsumerSettings = z.output<typeof consumerSettings>

export const givenSettings = z
  .object({
    batch_size: z.int().min(1).max(limits.batchSize.most).nullish(),
    max_retries: z.int().min(0).max(limits.retries.most).nullish(),
    max_wait_time_ms: z.int().min(0).max(limits.batchWaitMs.most).nullish(),
    max_concurrency: z.int().min(1).max(limits.concurrency).nullish(),
    retry_delay: delay.nullish(),
    visibility_timeout_ms: z.int().min(1).max(limits.visibilityMs.most).nullish(),
  })
  .transform((given): ConsumerSettings => ({
    batchSize: given.batch_size ?? limits.batchSize.usual,
    maxRetries: given.max_retries ?? limits.retries.usual,
    waitMs: given.max_wait_time_ms ?? limits.batchWaitMs.usual,
    maxConcurrency: given.max_concurrency ?? null,
    retryDelay: given.retry_delay ?? 0,
    visibilityMs: given.visibility_timeout_ms ?? limits.visibilityMs.usual,
  }))

const text = z.string().max(limits.textLength)

export const consumerBody = z.object({
  type: z.enum(['worker', 'http_pull']),
  script_name: text.optional(),
  environment_name: text.optional(),
  /** Ours: a named export that is given the batches. */
  entrypoint: text.optional(),
  dead_letter_queue: text.nullish(),
  settings: z.unknown().optional(),
})
export const scriptName = workerName

// Messages by the REST API.

const sendable = {
  body: z.unknown(),
  content_type: z.enum(['text', 'json']).optional(),
  delay_seconds: z.number().optional(),
}
export const sendBody = z.object(sendable)
export const sendBatchBody = z.object({
  messages: z.array(z.object(sendable)),
  delay_seconds: z.number().optional(),
})
export type Sendable = z.output<typeof sendBody>

export const pullBody = z.object({
  batch_size: z.int().min(1).max(limits.pullSize.most).optional(),
  visibility_timeout_ms: z.int().min(0).max(limits.visibilityMs.most).optional(),
  visibility_timeout: z.int().min(0).max(limits.visibilityMs.most).optional(),
})
const leases = z.array(z.object({ lease_id: z.string().max(limits.textLength) })).max(1_000)
export const ackBody = z.object({
  acks: leases.optional(),
  retries: z
    .array(
      z.object({ lease_id: z.string().max(limits.textLength), delay_seconds: delay.optional() }),
    )
    .max(1_000)
    .optional(),
})
export const peekBody = z.object({
  batch_size: z.int().min(1).max(limits.pullSize.most).optional(),
})
export const purgeRefsBody = z.object({
  refs: z.array(z.object({ ref: z.string().max(limits.textLength) })).max(1_000),
})

// Event subscriptions.

export const subscriptionBody = z.object({
  name: text.min(1),
  enabled: z.boolean().optional(),
  source: z.looseObject({ type: text }),
  destination: z.object({ type: z.literal('queues.queue'), queue_id: z.string() }),
  events: z.array(text).min(1).max(100),
})
export const subscriptionPatch = subscriptionBody.partial().omit({ source: true })
export type SubscriptionBody = z.output<typeof subscriptionBody>

// The native binding: `sendBatch`.

export const nativeBatch = z.object({
  messages: z.array(
    z.object({
      /** Base64. */
      body: z.string(),
      contentType: z.string().optional(),
      delaySecs: z.number().optional(),
    }),
  ),
})
