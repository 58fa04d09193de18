import { defineError } from '#contract/errors.ts'
import {
  longestDelay,
  messageBytes,
  nameLength,
  queuesPerAccount,
  retention,
  sendBytes,
  sendMessages,
} from './limits.ts'

// Codes of what a producer does: developers.cloudflare.com/queues/reference/error-codes. A Worker is
// told code and sentence in headers (`service.ts`), a client of the REST API as an `ApiError`.

export const messageTooLong = defineError(
  10_204,
  413,
  (bytes: number) => `message length of ${bytes} bytes exceeds limit of ${messageBytes}`,
)
export const messageInBatchTooLong = defineError(
  10_204,
  413,
  (bytes: number) =>
    `message in batch has length ${bytes} bytes which exceeds single message size limit of ${messageBytes}`,
)
export const tooManyMessages = defineError(
  10_206,
  413,
  (count: number) => `batch message count of ${count} exceeds limit of ${sendMessages}`,
)
export const batchTooLong = defineError(
  10_205,
  413,
  (bytes: number) => `batch size of ${bytes} bytes exceeds limit of ${sendBytes}`,
)
export const formatInvalid = defineError(
  10_203,
  400,
  (format: string) =>
    `message content type ${format} is invalid; if specified, must be one of 'text', 'json', 'bytes', or 'v8'`,
)
const delayRule = `must be a whole number of seconds from 0 to ${longestDelay}`
export const messageDelayInvalid = defineError(
  10_203,
  400,
  (delay: string) => `message delay ${delay} is invalid: ${delayRule}`,
)
export const batchDelayInvalid = defineError(
  10_202,
  400,
  (delay: string) => `message delay ${delay} is invalid: ${delayRule}`,
)
export const batchInvalid = defineError(10_208, 400, (why: string) => `invalid batch: ${why}`)
export const queueMissing = defineError(10_104, 404, () => 'Queue not found')
export const overloaded = defineError(10_250, 429, () => 'Too Many Requests')
export const storageFull = defineError(10_251, 429, () => 'Queue storage limit exceeded')
export const internalError = defineError(15_000, 500, () => 'Unknown Internal Error')

// The REST API.

export const bodyInvalid = defineError(10_026, 400, (why: string) => why)
export const bodyTooLarge = defineError(
  10_026,
  413,
  (bytes: number) => `The body has more than ${bytes} bytes.`,
)
export const queueNotFound = defineError(
  10_104,
  404,
  (what: string) => `The specified queue does not exist: ${what}`,
)
export const queueTaken = defineError(
  11_009,
  409,
  (name: string) => `Queue name '${name}' is already taken. Please use a different name.`,
)
export const nameInvalid = defineError(
  11_003,
  400,
  () =>
    `A queue's name is 1 to ${nameLength} lower-case letters, digits and hyphens, and begins and ends with none of the last.`,
)
export const tooManyQueues = defineError(
  11_005,
  400,
  () => `An account can have no more than ${queuesPerAccount} queues.`,
)
/** wrangler knows this code. */
export const queueSettingsInvalid = defineError(
  100_128,
  400,
  (why: string) => `invalid queue settings: ${why}`,
)
/** wrangler knows this code. */
export const consumerSettingsInvalid = defineError(
  100_127,
  400,
  (why: string) => `invalid consumer settings: ${why}`,
)
export const retentionRule = `message_retention_period is ${retention.least} to ${retention.most} seconds`
export const consumerNotFound = defineError(
  11_006,
  404,
  () => 'The specified consumer does not exist.',
)
export const consumerTaken = defineError(
  11_004,
  409,
  (what: string) => `The queue already has a consumer: ${what}.`,
)
export const tooManyConsumers = defineError(
  11_007,
  400,
  (most: number) => `A queue can have no more than ${most} consumers.`,
)
export const scriptNotFound = defineError(
  10_007,
  404,
  (script: string) => `This Worker does not exist on your account: ${script}.`,
)
export const deadLetterCycle = defineError(
  11_008,
  400,
  (path: string) => `The dead letter queue leads back to where it came from: ${path}.`,
)
export const notPullable = defineError(
  11_010,
  405,
  () => 'The queue has no HTTP pull consumer: add one to pull messages from it.',
)
export const deliveryPaused = defineError(
  10_252,
  409,
  () => 'queue_delivery_paused: delivery of this queue is paused',
)
export const subscriptionNotFound = defineError(
  11_011,
  404,
  () => 'The specified subscription does not exist.',
)
export const tooManySubscriptions = defineError(
  11_012,
  400,
  (most: number) => `An account can have no more than ${most} event subscriptions.`,
)
export const sourceUnknown = defineError(
  11_013,
  400,
  (type: string) => `There are no events of sources of type '${type}'.`,
)
export const routeNotFound = defineError(7003, 404, (path: string) => `Could not route to ${path}`)

/** A binding to a queue that the account does not have. */
export const boundQueueNotFound = defineError(
  100_131,
  400,
  (name: string) => `Queue "${name}" does not exist. Create it with wrangler queues create.`,
)
