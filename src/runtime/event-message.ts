import { z } from 'zod'
import type {
  MessageFormat,
  QueueBatch,
  QueueMetrics,
  QueueResult,
  Retry,
  ScheduledEvent,
} from '#contract/events.ts'

// What the server and the agent of a cell say to each other of events. An event is one line of JSON,
// then the bodies of its messages, one after the other. The reply is JSON.

export type EventHead =
  | (ScheduledEvent & { readonly type: 'scheduled'; readonly receiver: string })
  | {
      readonly type: 'queue'
      readonly receiver: string
      readonly queue: string
      readonly messages: readonly MessageHead[]
      readonly metrics: QueueMetrics
    }

export type MessageHead = {
  readonly id: string
  readonly timestampMs: number
  readonly attempts: number
  readonly format: MessageFormat
  /** Bytes of its body. */
  readonly size: number
}

const retry = z.object({ delaySeconds: z.number().optional() })

/** `result` is workerd's, and absent if there was no message to deliver. */
const eventReply = z.discriminatedUnion('type', [
  z.object({ type: z.literal('scheduled'), outcome: z.string(), noRetry: z.boolean() }),
  z.object({
    type: z.literal('queue'),
    undecodable: z.array(z.string()).readonly(),
    result: z
      .object({
        outcome: z.string(),
        ackAll: z.boolean(),
        retryBatch: retry.extend({ retry: z.boolean() }),
        explicitAcks: z.array(z.string()).readonly(),
        retryMessages: z.array(retry.extend({ msgId: z.string() })).readonly(),
      })
      .optional(),
  }),
])
export type EventReply = z.input<typeof eventReply>

/** The name under which the agent is bound to an entrypoint that takes events. */
export function receiverName(slot: string, entrypoint: string | undefined): string {
  return `${slot}>${entrypoint ?? ''}`
}

export function writeScheduled(receiver: string, event: ScheduledEvent): Uint8Array {
  const { cron, scheduledTime } = event
  return written({ type: 'scheduled', receiver, cron, scheduledTime }, [])
}

export function writeBatch(receiver: string, { queue, messages, metrics }: QueueBatch): Uint8Array {
  const heads = messages.map(({ id, timestampMs, attempts, format, body }) => {
    return { id, timestampMs, attempts, format, size: body.byteLength }
  })
  return written(
    { type: 'queue', receiver, queue, messages: heads, metrics },
    messages.map(({ body }) => body),
  )
}

function written(head: EventHead, bodies: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...bodies])
}

/** What became of a tick. Throws if the reply is none. */
export function readScheduled(reply: string): { outcome: string; noRetry: boolean } {
  const read = eventReply.parse(JSON.parse(reply))
  if (read.type !== 'scheduled') throw new Error('the agent answered something else')
  return { outcome: read.outcome, noRetry: read.noRetry }
}

/** What became of a batch. Throws if the reply is none. */
export function readBatchResult(reply: string): QueueResult {
  const read = eventReply.parse(JSON.parse(reply))
  if (read.type !== 'queue') throw new Error('the agent answered something else')
  const { undecodable, result } = read
  return {
    type: 'ended',
    outcome: result?.outcome ?? 'ok',
    ackAll: result?.ackAll ?? false,
    retryAll: result?.retryBatch.retry ? retryOf(result.retryBatch) : undefined,
    acked: new Set(result?.explicitAcks),
    retried: new Map(result?.retryMessages.map((each) => [each.msgId, retryOf(each)])),
    undecodable: new Set(undecodable),
  }
}

function retryOf({ delaySeconds }: { delaySeconds?: number | undefined }): Retry {
  return delaySeconds === undefined ? {} : { delaySeconds }
}
