import { messageOf } from '#contract/errors.ts'
import type { EventPort } from '#contract/events.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { Delivery, type Place } from './delivery.ts'
import { retention } from './limits.ts'
import type { Grave, MessageStore } from './message-store.ts'
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
    const deployed = events.onDeployed((account) => this.#resume(account))
    this.lookAtAll()
    return {
      [Symbol.asyncDispose]: () => {
        deployed[Symbol.dispose]()
        return this.#stop()
      },
    }
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

  /**
   * Where dead letters of a queue go: the queue of this name, made if it is missing; nowhere if there
   * is no name. `unavailable`: it can't be made, which is logged.
   */
  async graveOf(of: Queue, name: string): Promise<Grave> {
    if (name === '') return 'nowhere'
    const { store, clock, log } = this.#options
    const usual = { deliveryDelay: 0, isPaused: false, retention: retention.usual }
    try {
      const queue = store.named(of.account, name) ?? (await store.ensure(of.account, name, usual))
      return { queue: queue.id, visibleAt: clock.now() + queue.settings.deliveryDelay * 1000 }
    } catch (cause) {
      const error = messageOf(cause)
      log.error('a dead letter queue can not be made', { queue: of.name, deadLetters: name, error })
      return 'unavailable'
    }
  }

  /** Other versions are deployed: a Worker that took nothing may take something now. */
  #resume(account: AccountId): void {
    for (const { queue, delivery } of this.#all.values()) {
      if (this.#options.store.get(queue)?.account === account) delivery.resume()
    }
  }

  #of(queue: QueueId, { id }: Consumer): Delivery | undefined {
    const known = this.#all.get(id)?.delivery
    if (known || !this.#events) return known
    const delivery = new Delivery({
      ...this.#options,
      events: this.#events,
      find: () => this.#place(queue, id),
      graveOf: (of, name) => this.graveOf(of, name),
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
