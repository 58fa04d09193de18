import type { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import type { ApiOptions, QueueOperation, Route } from './api.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import { shownMessage, shownMetrics } from './message-api.ts'
import type { Message } from './message-store.ts'
import { ackBody, pullBody } from './schema.ts'
import { isSpent, pulled, type Verdict } from './settle.ts'
import type { Consumer, Queue } from './store.ts'

/** A message that a client has for a while. */
type Held = { readonly seq: number; readonly lease: number }

/** Whose messages, and how they are given. */
type Pull = { readonly queue: Queue; readonly consumer: Consumer; readonly options: ApiOptions }

/** For clients that fetch messages themselves. */
export function pullRoutes(options: ApiOptions): readonly Route<QueueOperation>[] {
  return [
    [
      'POST',
      '/messages/pull',
      async ({ body, queue }) => {
        const given = await body(pullBody)
        const pull = { queue, consumer: pullConsumerOf(queue), options }
        const taken = await take(pull, given)
        const metrics = await options.sender.metrics(queue)
        return succeed({
          message_backlog_count: metrics.backlogCount,
          messages: taken,
          metadata: { metrics: shownMetrics(metrics) },
        })
      },
    ],
    [
      'POST',
      '/messages/ack',
      async ({ body, queue }) => {
        const { acks = [], retries = [] } = await body(ackBody)
        const pull = { queue, consumer: pullConsumerOf(queue), options }
        const { settings } = pull.consumer
        const settlements = [
          ...acks.map(({ lease_id: id }) => settle(pull, id, () => ({ type: 'done' }))),
          ...retries.map(({ lease_id: id, delay_seconds: delay }) =>
            settle(pull, id, (attempts) => pulled(attempts, delay, settings)),
          ),
        ]
        const warnings = await Promise.all(settlements)
        const ids = [...acks, ...retries].map(({ lease_id: id }) => id)
        return succeed({
          ackCount: countOf(warnings.slice(0, acks.length)),
          retryCount: countOf(warnings.slice(acks.length)),
          warnings: Object.fromEntries(
            ids.flatMap((id, index) =>
              warnings[index] === undefined ? [] : [[id, warnings[index]]],
            ),
          ),
        })
      },
    ],
  ]
}

async function take(pull: Pull, given: z.output<typeof pullBody>): Promise<readonly object[]> {
  const { consumer, options } = pull
  const now = options.clock.now()
  const visibleMs = given.visibility_timeout_ms ?? given.visibility_timeout
  const leased = await options.messages.lease(consumer.line, {
    count: given.batch_size ?? limits.pullSize.usual,
    bytes: limits.batchBytes,
    now,
    until: now + (visibleMs ?? consumer.settings.visibilityMs),
  })
  if (!leased) return []
  const { lease, messages } = leased
  const spent = messages.filter(({ attempts }) => isSpent(attempts, consumer.settings))
  for (const { seq } of spent) await write(pull, { seq, lease }, { type: 'dead' })
  return messages
    .filter((message) => !spent.includes(message))
    .map((message) => ({ ...shownMessage(message), lease_id: leaseId(message, lease) }))
}

/** Settles one message, and says why it could not. */
async function settle(
  pull: Pull,
  id: string,
  verdictOf: (attempts: number) => Verdict,
): Promise<string | undefined> {
  const { consumer, options } = pull
  const held = heldOf(id)
  if (!held) return 'this is no lease_id'
  const attempts = await options.messages.attemptsOf(consumer.line, held.seq, held.lease)
  const isTheirs = attempts !== undefined && (await write(pull, held, verdictOf(attempts)))
  return isTheirs ? undefined : 'the lease has ended'
}

async function write({ queue, consumer, options }: Pull, held: Held, verdict: Verdict) {
  const { messages, deliveries, clock } = options
  const { line, deadLetterQueue } = consumer
  const grave =
    verdict.type === 'dead' ? await deliveries.graveOf(queue, deadLetterQueue) : 'nowhere'
  const rules = { line, lease: held.lease, now: clock.now(), grave }
  const isTheirs = await messages.settleOne({ seq: held.seq, verdict }, rules)
  if (typeof grave === 'object') deliveries.look(grave.queue)
  return isTheirs
}

/** Throws `notPullable`, or `deliveryPaused`. */
function pullConsumerOf({ consumers, settings }: Queue): Consumer {
  const consumer = consumers.find(({ target }) => target === undefined)
  if (!consumer) throw errors.notPullable()
  if (settings.isPaused) throw errors.deliveryPaused()
  return consumer
}

function countOf(warnings: readonly (string | undefined)[]): number {
  return warnings.filter((warning) => warning === undefined).length
}

function leaseId({ seq }: Message, lease: number): string {
  return `${seq.toString(36)}.${lease.toString(36)}`
}

function heldOf(id: string): Held | undefined {
  const [, seq = '', lease = ''] = /^([0-9a-z]{1,10})\.([0-9a-z]{1,10})$/.exec(id) ?? []
  if (seq === '') return undefined
  return { seq: Number.parseInt(seq, 36), lease: Number.parseInt(lease, 36) }
}
