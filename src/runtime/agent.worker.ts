import type { EventHead, EventReply, MessageHead } from './event-message.ts'

// The agent of a cell: the only door for what HTTP to a Worker can't carry. It listens on a socket
// of its own, and is bound to the hidden entrypoint of every Worker, under the names of the slots, and
// to what takes events, under names of its own.

type Hidden = Readonly<Record<string, ((argument: unknown) => Promise<unknown>) | undefined>>

/** What the flag `service_binding_extra_handlers` makes of a service binding. */
type Receiver = {
  queue(queue: string, messages: readonly object[], metadata: object): Promise<QueueResponse>
  scheduled(event: { scheduledTime: number; cron: string }): Promise<ScheduledResponse>
}

type QueueResponse = {
  readonly outcome: string
  readonly ackAll: boolean
  readonly retryBatch: { readonly retry: boolean; readonly delaySeconds?: number }
  readonly explicitAcks: readonly string[]
  readonly retryMessages: readonly { readonly msgId: string; readonly delaySeconds?: number }[]
}

type ScheduledResponse = { readonly outcome: string; readonly noRetry: boolean }

type Env = Readonly<Record<string, Hidden & Receiver>>

type Call = {
  readonly slot: string
  readonly method: string
  readonly argument?: unknown
}

export default {
  /**
   * `/` takes `Call[]`, and answers with one result each, in order; a health check is an empty list.
   * `/event` takes an event (`event-message.ts`), and answers when its handler has ended.
   */
  async fetch(request: Request, env: Env): Promise<Response> {
    if (new URL(request.url).pathname === '/event') {
      return Response.json(await deliver(new Uint8Array(await request.arrayBuffer()), env))
    }
    const calls: Call[] = await request.json()
    const results = await Promise.all(calls.map((call) => run(call, env)))
    return Response.json(results)
  },
}

async function run(call: Call, env: Env): Promise<unknown> {
  try {
    // A method of an RPC stub must be called on it: a property read alone is a call already.
    const hidden = env[call.slot]
    if (hidden === undefined) throw new Error(`no slot ${call.slot}`)
    return { ok: true, result: await hidden[call.method]?.(call.argument) }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}

async function deliver(bytes: Uint8Array, env: Env): Promise<EventReply> {
  const end = bytes.indexOf(0x0a)
  const head: EventHead = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)))
  const receiver = env[head.receiver]
  if (receiver === undefined) throw new Error(`no receiver ${head.receiver}`)
  if (head.type === 'scheduled') {
    const { cron, scheduledTime } = head
    const { outcome, noRetry } = await receiver.scheduled({ cron, scheduledTime })
    return { type: 'scheduled', outcome, noRetry }
  }
  const { messages, undecodable } = decode(head.messages, bytes.subarray(end + 1))
  if (messages.length === 0) return { type: 'queue', undecodable }
  const { backlogCount, backlogBytes, oldestMessageTimestampMs: oldest } = head.metrics
  const oldestMessageTimestamp = oldest === undefined ? undefined : new Date(oldest)
  const metrics = { backlogCount, backlogBytes, oldestMessageTimestamp }
  const { outcome, ackAll, retryBatch, explicitAcks, retryMessages } = await receiver.queue(
    head.queue,
    messages,
    { metrics },
  )
  const result = { outcome, ackAll, retryBatch, explicitAcks, retryMessages }
  return { type: 'queue', undecodable, result }
}

/** Each by itself: one that can't be read must not take the others with it. */
function decode(
  heads: readonly MessageHead[],
  bodies: Uint8Array,
): { readonly messages: readonly object[]; readonly undecodable: readonly string[] } {
  const messages: object[] = []
  const undecodable: string[] = []
  let at = 0
  for (const { id, timestampMs, attempts, format, size } of heads) {
    const body = bodies.slice(at, at + size)
    at += size
    const known = { id, timestamp: new Date(timestampMs), attempts }
    try {
      messages.push({ ...known, ...contentOf(format, body) })
    } catch {
      undecodable.push(id)
    }
  }
  return { messages, undecodable }
}

function contentOf(format: MessageHead['format'], body: Uint8Array): object {
  switch (format) {
    case 'text':
      return { body: textOf(body) }
    case 'json':
      return { body: JSON.parse(textOf(body)) }
    case 'bytes':
      return { body }
    case 'v8':
      // Read in the consumer's isolate alone.
      return { serializedBody: body }
  }
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true, fatal: false }).decode(bytes)
}
