import type { House, LiveBinding, Owner } from '#contract/binding.ts'
import type { EventHost } from '#contract/events.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import type { QueuePort } from '#contract/queues.ts'
import { queuesApi, subscriptionsApi } from './api.ts'
import { Deliveries } from './deliveries.ts'
import { boundQueueNotFound, queueNotFound } from './errors.ts'
import { backlogBytes } from './limits.ts'
import { openMessages } from './message-store.ts'
import { queueEntry, queueId } from './schema.ts'
import { checkSize, Sender } from './sender.ts'
import { serveQueue } from './service.ts'
import { openStore, type Queue, type QueueStore } from './store.ts'
import { SubscriptionStore } from './subscription-store.ts'
import { Upkeep } from './upkeep.ts'

export type QueuesOptions = {
  /** Take no more than so many messages a second into one queue, as Cloudflare does. */
  readonly messagesPerSecond?: number
  /** Bytes that may wait in one queue, if not as many as at Cloudflare. */
  readonly backlogBytes?: number
}

/** Queues with all that belongs to them. Leases of push consumers of an earlier server are void. */
export async function openQueues(ports: Ports, options: QueuesOptions = {}): Promise<LiveBinding> {
  const { clock } = ports
  const store = await openStore(ports)
  const messages = await openMessages(ports)
  await messages.voidLeases(clock.now())
  const deliveries = new Deliveries({ ...ports, store, messages })
  const onSent = deliveries.look.bind(deliveries)
  const sender = new Sender({ backlogBytes, ...options, messages, clock, onSent })
  store.onChange((queue) => {
    if (!store.get(queue)) sender.forget(queue)
    deliveries.look(queue)
  })
  const onRewound = (): void => deliveries.lookAtAll()
  const upkeep = new Upkeep({ ...ports, store, messages, onRewound })
  const subscriptions = new SubscriptionStore(ports)
  let host: EventHost | undefined
  const parts = { store, messages, sender, deliveries, clock, host: () => host }
  return {
    async admit(entry, { account }) {
      const { queue_name: name } = queueEntry.parse(entry)
      if (!store.named(account, name)) throw boundQueueNotFound(name)
      return entry
    },
    serve: (grant) => serveQueue({ store, sender }, grant),
    api: [queuesApi(parts), subscriptionsApi({ store, subscriptions })],
    queues: queuePort(store, sender),
    start(house: House) {
      host = house
      return deliveries.start(house.events)
    },
    forget: (owner) => forget(store, owner),
    async [Symbol.asyncDispose]() {
      await upkeep[Symbol.asyncDispose]()
      await store.idle()
    },
  }
}

/** A Worker that is gone consumes nothing any more. */
async function forget(store: QueueStore, { account, worker }: Owner): Promise<void> {
  for (const { id, consumers } of store.of(account)) {
    for (const consumer of consumers) {
      if (consumer.target?.worker === worker) await store.removeConsumer(id, consumer.id)
    }
  }
}

function queuePort(store: QueueStore, sender: Sender): QueuePort {
  const find = (account: AccountId, text: string): Queue | undefined => {
    const id = queueId.safeParse(text)
    const queue = id.success ? store.get(id.data) : undefined
    return queue?.account === account ? queue : undefined
  }
  return {
    nameOf: ({ account, queue }) => find(account, queue)?.name,
    async send({ account, queue: text }, bodies) {
      const queue = find(account, text)
      if (!queue) throw queueNotFound(text)
      const drafts = bodies.map((body) => ({ format: 'json' as const, body: jsonBytes(body) }))
      for (const { body } of drafts) checkSize(body.byteLength)
      await sender.send(queue, drafts, 'event')
    },
  }
}

function jsonBytes(value: Json): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
