import { Buffer } from 'node:buffer'
import type { BackendHandler, BackendReply, BackendRequest, Grant } from '#contract/backend.ts'
import { headerOfUtf8, reasonPhrase } from '#contract/backend.ts'
import { ApiError } from '#contract/errors.ts'
import type { QueueMetrics } from '#contract/events.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import { messageFormat, nativeBatch, queueResource } from './schema.ts'
import { checkBatch, checkDelay, type Draft, type Sender } from './sender.ts'
import type { Queue, QueueStore } from './store.ts'

export type ServiceOptions = { readonly store: QueueStore; readonly sender: Sender }

type Call = ServiceOptions & {
  readonly request: BackendRequest
  readonly queue: Queue
  /** Seconds, of messages that name none: the binding's own. */
  readonly delaySeconds: number | undefined
}

/** What workerd takes for formats that are not named: old Workers'. */
const unnamedFormat = 'v8'

/**
 * Answers the native producer of one binding. The queue is looked for at each call: one that is
 * deleted and made again is the same to a Worker.
 */
export function serveQueue(options: ServiceOptions, grant: Grant): BackendHandler {
  const { queue: name, delaySeconds } = queueResource.parse(grant.resource)
  return async (request) => {
    try {
      const queue = options.store.named(grant.account, name)
      if (!queue) {
        await discard(request.body)
        throw errors.queueMissing()
      }
      return await answer({ ...options, request, queue, delaySeconds: delaySeconds ?? undefined })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      return refusal(error)
    }
  }
}

/** An error has no body: workerd would not read it, and close the connection. */
function refusal({ status, code, message }: ApiError): BackendReply {
  const headers = {
    'CF-Queues-Error-Code': String(code),
    'CF-Queues-Error-Cause': headerOfUtf8(message.replaceAll(/\p{Cc}+/gu, ' ')),
  }
  return { status, reason: reasonPhrase(message), headers }
}

async function answer(call: Call): Promise<BackendReply> {
  const { method, url } = call.request
  if (method === 'GET' && url === '/metrics') {
    return json(shown(await call.sender.metrics(call.queue)))
  }
  if (method === 'POST' && url === '/message') return sendOne(call)
  if (method === 'POST' && url === '/batch') return sendMany(call)
  return { status: 405 }
}

async function sendOne({ request, queue, sender, delaySeconds }: Call): Promise<BackendReply> {
  const { bytes: body, size } = await gather(request.body, limits.messageBytes, limits.drainBytes)
  if (!body) throw errors.messageTooLong(size)
  const format = formatOf(headerOf(request, 'x-msg-fmt'))
  const own = checkDelay(numberOf(headerOf(request, 'x-msg-delay-secs')))
  const draft = { format, body, delaySeconds: own ?? delaySeconds }
  return sent(await sender.send(queue, [draft], 'worker'))
}

async function sendMany({ request, queue, sender, delaySeconds }: Call): Promise<BackendReply> {
  const { bytes: body, size } = await gather(request.body, limits.sendBodyBytes, limits.drainBytes)
  if (!body) throw tooMuch(request, size)
  const batchDelay = checkDelay(
    numberOf(headerOf(request, 'x-msg-delay-secs')),
    errors.batchDelayInvalid,
  )
  const { messages } = batchOf(new TextDecoder().decode(body))
  const drafts = messages.map(({ body: base64, contentType, delaySecs }): Draft => ({
    format: formatOf(contentType),
    body: bytesOf(base64),
    delaySeconds: checkDelay(delaySecs, errors.batchDelayInvalid) ?? batchDelay ?? delaySeconds,
  }))
  checkBatch(drafts.map((draft) => draft.body.byteLength))
  return sent(await sender.send(queue, drafts, 'worker'))
}

/** What is too much of a batch whose body was not kept: the headers say. */
function tooMuch(request: BackendRequest, size: number): ApiError {
  const count = numberOf(headerOf(request, 'cf-queue-batch-count')) ?? 0
  const largest = numberOf(headerOf(request, 'cf-queue-largest-msg')) ?? 0
  if (count > limits.sendMessages) return errors.tooManyMessages(count)
  if (largest > limits.messageBytes) return errors.messageInBatchTooLong(largest)
  return errors.batchTooLong(numberOf(headerOf(request, 'cf-queue-batch-bytes')) ?? size)
}

function batchOf(text: string): { messages: readonly Native[] } {
  let value: unknown
  try {
    value = parseJson(text)
  } catch {
    throw errors.batchInvalid('the body is not valid JSON')
  }
  const parsed = nativeBatch.safeParse(value)
  if (!parsed.success) throw errors.batchInvalid(parsed.error.issues[0]?.message ?? 'bad shape')
  if (parsed.data.messages.length === 0) throw errors.batchInvalid('it has no messages')
  return parsed.data
}

type Native = {
  readonly body: string
  readonly contentType?: string | undefined
  readonly delaySecs?: number | undefined
}

function formatOf(text: string | undefined): Draft['format'] {
  if (text === undefined) return unnamedFormat
  const format = messageFormat.safeParse(text)
  if (!format.success) throw errors.formatInvalid(text)
  return format.data
}

function headerOf({ headers }: BackendRequest, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text)
}

function bytesOf(base64: string): Uint8Array {
  const isBase64 = base64.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(base64)
  if (!isBase64) throw errors.batchInvalid('a body is not valid Base64')
  // Many times as fast as `atob`, and lenient: what it would pass over has been refused.
  return Buffer.from(base64, 'base64')
}

function sent(metrics: QueueMetrics): BackendReply {
  return json({ metadata: { metrics: shown(metrics) } })
}

/** As the native client reads it: a time of 0 stands for none. */
function shown({ backlogCount, backlogBytes, oldestMessageTimestampMs = 0 }: QueueMetrics) {
  return { backlogCount, backlogBytes, oldestMessageTimestamp: oldestMessageTimestampMs }
}

function json(value: object): BackendReply {
  const headers = { 'Content-Type': 'application/json' }
  return { status: 200, headers, body: JSON.stringify(value) }
}

async function discard(stream: AsyncIterable<Uint8Array>): Promise<void> {
  await gather(stream, 0, limits.drainBytes)
}
