import { succeed } from '#contract/envelope.ts'
import type { QueueMetrics } from '#contract/events.ts'
import type { ApiOptions, QueueOperation, Route } from './api.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import type { Message } from './message-store.ts'
import { peekBody, purgeRefsBody, sendBatchBody, sendBody, type Sendable } from './schema.ts'
import { checkBatch, checkDelay, checkSize, type Draft } from './sender.ts'

/** What the API has of a queue's messages. */
export function messageRoutes(options: ApiOptions): readonly Route<QueueOperation>[] {
  const { sender } = options
  return [
    [
      'POST',
      '/messages',
      async ({ body, queue }) => {
        const draft = draftOf(await body(sendBody))
        checkSize(draft.body.byteLength)
        return succeed(sent(await sender.send(queue, [draft], 'api')))
      },
    ],
    [
      'POST',
      '/messages/batch',
      async ({ body, queue }) => {
        const { messages, delay_seconds: delay } = await body(sendBatchBody)
        if (messages.length === 0) throw errors.batchInvalid('it has no messages')
        const delaySeconds = checkDelay(delay, errors.batchDelayInvalid)
        const drafts = messages.map(draftOf)
        checkBatch(drafts.map((draft) => draft.body.byteLength))
        const all = drafts.map((draft) => {
          return { ...draft, delaySeconds: draft.delaySeconds ?? delaySeconds }
        })
        return succeed(sent(await sender.send(queue, all, 'api')))
      },
    ],
    ...lookingRoutes(options),
  ]
}

/** To look at messages that nobody has leased, and to remove them. */
function lookingRoutes({ messages }: ApiOptions): readonly Route<QueueOperation>[] {
  return [
    [
      'POST',
      '/messages/peek',
      async ({ body, queue }) => {
        const { batch_size: count = limits.pullSize.usual } = await body(peekBody)
        const [line = 0] = queue.lines
        const peeked = await messages.peek(line, count)
        return succeed({
          messages: peeked.map((message) => ({ ...shownMessage(message), ref: refOf(message) })),
        })
      },
    ],
    [
      'POST',
      '/messages/purge',
      async ({ body, queue }) => {
        const { refs } = await body(purgeRefsBody)
        const failed: { message: string }[] = []
        for (const { ref } of refs) {
          const found = readRef(ref)
          const removed = found
            ? await Promise.all(
                queue.lines.map((line) => messages.removeOne(line, found.seq, found.id)),
              )
            : []
          if (!removed.includes(true)) failed.push({ message: `no message has the ref ${ref}` })
        }
        return succeed({ errors: failed, warnings: {} })
      },
    ],
  ]
}

/** A message in the API's words. */
export function shownMessage({ id, timestampMs, attempts, format, source, body }: Message): object {
  return {
    id,
    body: format === 'text' ? new TextDecoder().decode(body) : base64Of(body),
    timestamp_ms: timestampMs,
    attempts,
    metadata: { 'CF-sourceMessageSource': source, 'CF-Content-Type': format },
  }
}

export function shownMetrics(metrics: QueueMetrics): object {
  return {
    backlog_count: metrics.backlogCount,
    backlog_bytes: metrics.backlogBytes,
    oldest_message_timestamp_ms: metrics.oldestMessageTimestampMs ?? 0,
  }
}

function sent(metrics: QueueMetrics): object {
  return { metadata: { metrics: shownMetrics(metrics) } }
}

/** A message to send. Text must be text; JSON is any value. */
function draftOf({ body, content_type: type = 'json', delay_seconds: delay }: Sendable): Draft {
  if (body === undefined) throw errors.bodyInvalid('body: missing')
  const text = type === 'text' ? body : JSON.stringify(body)
  if (typeof text !== 'string') {
    throw errors.bodyInvalid('body: must be a string if content_type is text')
  }
  return {
    format: type,
    body: new TextEncoder().encode(text),
    delaySeconds: checkDelay(delay),
  }
}

function refOf({ seq, id }: Message): string {
  return `${seq}-${id}`
}

function readRef(ref: string): { readonly seq: number; readonly id: string } | undefined {
  const [, seq, id] = /^(\d{1,15})-([0-9a-f]{32})$/.exec(ref) ?? []
  return seq === undefined || id === undefined ? undefined : { seq: Number(seq), id }
}

function base64Of(bytes: Uint8Array): string {
  let latin1 = ''
  for (const byte of bytes) latin1 += String.fromCharCode(byte)
  return btoa(latin1)
}
