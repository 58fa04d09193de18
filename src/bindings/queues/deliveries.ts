import type { EventPort } from '#contract/events.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { Delivery, type Place } from './delivery.ts'
import { retention } from './limits.ts'
import type { DeadLetters, MessageStore } from './message-store.ts'
import type { ConsumerId, QueueId } from './schema.ts'
import type { ConsumerTarget, Consumer, Queue, QueueStore } from './store.ts'

export type DeliveriesOptions = {
  readonly store: QueueStore
  readonly messages: MessageStore
  readonly clock: Clock
  readonly log: Log
}

/** How long batches may go on when the server stops. */
const stopMs = 15_000

/** The deliveries of all push consumers, once there is somebody to deliver to. */
export class Deliveries {
  readonly #options: DeliveriesOptions
  readonly #all = new Map<ConsumerId, { readonly queue: QueueId; readonly delivery: Delivery }>()
  #events: EventPort | undefined

  constructor(options: DeliveriesOptions) {
    this.#options = options
  }

  /** Begins. Disposing of what it returns ends it: what is under way has a while to finish. */
  start(events: EventPort): AsyncDisposable {
    this.#events = events
    this.lookAtAll()
    return { [Symbol.asyncDispose]: () => this.#stop() }
  }

  /** A queue has more messages, other settings, other consumers, or is gone. */
  look(id: QueueId): void {
    const queue = this.#options.store.get(id)
    for (const consumer of queue?.consumers ?? []) {
      if (consumer.target) this.#of(id, consumer)?.look()
    }
    const isThere = new Set(queue?.consumers.map((consumer) => consumer.id))
    for (const [own, { queue: of, delivery }] of this.#all) {
      if (of !== id || isThere.has(own)) continue
      this.#all.delete(own)
      void delivery.stop()
    }
  }

  lookAtAll(): void {
    for (const { id, consumers } of this.#options.store.all) if (consumers.length > 0) this.look(id)
  }

  /** The queue of this name for dead letters of another one: made if it is missing. */
  async deadLetters({ account }: Queue, name: string): Promise<DeadLetters | undefined> {
    if (name === '') return undefined
    const { store, clock } = this.#options
    const settings = { deliveryDelay: 0, isPaused: false, retention: retention.usual }
    const queue =
      store.named(account, name) ??
      (await store
        .create(account, name, settings)
        // Somebody else made it meanwhile.
        .catch(() => store.named(account, name)))
    if (!queue) throw new Error(`the dead letter queue ${name} can't be made`)
    return { queue: queue.id, visibleAt: clock.now() + queue.settings.deliveryDelay * 1000 }
  }

  #of(queue: QueueId, { id }: Consumer): Delivery | undefined {
    const known = this.#all.get(id)?.delivery
    if (known || !this.#events) return known
    const delivery = new Delivery({
      ...this.#options,
      events: this.#events,
      find: () => this.#place(queue, id),
      deadLetters: (of, name) => this.deadLetters(of, name),
      onSent: (of) => this.look(of),
    })
    this.#all.set(id, { queue, delivery })
    return delivery
  }

  #place(id: QueueId, own: ConsumerId): Place | undefined {
    const queue = this.#options.store.get(id)
    const consumer = queue?.consumers.find((each) => each.id === own)
    return queue && consumer && hasTarget(consumer) ? { queue, consumer } : undefined
  }

  async #stop(): Promise<void> {
    this.#events = undefined
    const all = [...this.#all.values()].map(({ delivery }) => delivery)
    this.#all.clear()
    const deadline = setTimeout(() => {
      for (const delivery of all) delivery.cut()
    }, stopMs)
    await Promise.all(all.map((delivery) => delivery.stop()))
    clearTimeout(deadline)
  }
}

function hasTarget(consumer: Consumer): consumer is Consumer & { readonly target: ConsumerTarget } {
  return consumer.target !== undefined
}
