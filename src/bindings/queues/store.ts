import { type AccountId, accountId, type WorkerName, workerName } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import {
  integerColumn,
  integerColumnOrNull,
  type Row,
  sql,
  type Statement,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import * as errors from './errors.ts'
import { consumersPerQueue, queuesPerAccount } from './limits.ts'
import {
  type ConsumerId,
  consumerId,
  type ConsumerSettings,
  consumerSettings,
  type QueueId,
  queueId,
  type QueueSettings,
} from './schema.ts'

/** A queue as it is now: a change makes another object of it. Times are in ms since 1970. */
export type Queue = {
  readonly id: QueueId
  readonly account: AccountId
  readonly name: string
  readonly createdAt: number
  readonly modifiedAt: number
  readonly purgedAt: number | null
  readonly settings: QueueSettings
  readonly consumers: readonly Consumer[]
  /** Where its messages wait: one for each consumer, and one if there is none. */
  readonly lines: readonly number[]
}

export type Consumer = NewConsumer & {
  readonly id: ConsumerId
  readonly line: number
  readonly createdAt: number
}

export type NewConsumer = {
  /** Who is given batches; absent for one that pulls. */
  readonly target: ConsumerTarget | undefined
  readonly environment: string
  /** The name of a queue, or `""`. */
  readonly deadLetterQueue: string
  readonly settings: ConsumerSettings
}

export type ConsumerTarget = { readonly worker: WorkerName; readonly entrypoint?: string }

type Changes = { readonly name?: string; readonly settings?: QueueSettings }

export async function openStore(ports: Ports): Promise<QueueStore> {
  const store = new QueueStore(ports)
  await store.load()
  return store
}

/**
 * Queues and their consumers. All are in memory as well: calls of the data path ask there. Changes of
 * them are made one after the other.
 */
export class QueueStore {
  readonly #ports: Ports
  readonly #queues = new Map<QueueId, Queue>()
  readonly #names = new Map<string, QueueId>()
  #nextLine = 1
  #last: Promise<unknown> = Promise.resolve()
  #listener: (queue: QueueId) => void = () => undefined

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Has somebody told of each queue that has changed, or is gone. */
  onChange(listener: (queue: QueueId) => void): void {
    this.#listener = listener
  }

  async load(): Promise<void> {
    const { sql: database } = this.#ports
    const lines = await database.read(sql`SELECT id, queue, is_removed FROM line`)
    const consumers = await database.read(sql`SELECT * FROM consumer ORDER BY created_at, line`)
    const byQueue = Map.groupBy(consumers, (row) => textColumn(row, 'queue'))
    const linesOf = Map.groupBy(
      lines.filter((row) => integerColumn(row, 'is_removed') === 0),
      (row) => textColumn(row, 'queue'),
    )
    for (const row of await database.read(sql`SELECT * FROM queue`)) {
      const id = textColumn(row, 'id')
      const own = (linesOf.get(id) ?? []).map((line) => integerColumn(line, 'id'))
      this.#keep(queueOf(row, (byQueue.get(id) ?? []).map(consumerOf), own))
    }
    for (const row of lines) this.#nextLine = Math.max(this.#nextLine, integerColumn(row, 'id') + 1)
  }

  get all(): Iterable<Queue> {
    return this.#queues.values()
  }

  get(id: QueueId): Queue | undefined {
    return this.#queues.get(id)
  }

  named(account: AccountId, name: string): Queue | undefined {
    const id = this.#names.get(`${account}/${name}`)
    return id && this.#queues.get(id)
  }

  /** An account's queues, by their names. */
  of(account: AccountId): readonly Queue[] {
    return [...this.#queues.values()]
      .filter((queue) => queue.account === account)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  create(account: AccountId, name: string, settings: QueueSettings): Promise<Queue> {
    return this.#inTurn(async () => {
      if (this.named(account, name)) throw errors.queueTaken(name)
      return this.#create(account, name, settings)
    })
  }

  /** The queue of a name: made with these settings if it is not there. */
  ensure(account: AccountId, name: string, settings: QueueSettings): Promise<Queue> {
    return this.#inTurn(async () => {
      return this.named(account, name) ?? this.#create(account, name, settings)
    })
  }

  async #create(account: AccountId, name: string, settings: QueueSettings): Promise<Queue> {
    if (this.#countOf(account) >= queuesPerAccount) throw errors.tooManyQueues()
    const id = queueId.parse(this.#ports.random.hex(16))
    const now = this.#ports.clock.now()
    const line = this.#nextLine++
    const { deliveryDelay, retention, isPaused } = settings
    await this.#ports.sql.write([
      sql`INSERT INTO queue
              (id, account, name, created_at, modified_at, delivery_delay, retention, is_paused)
            VALUES
              (${id}, ${account}, ${name}, ${now}, ${now}, ${deliveryDelay}, ${retention}, ${isPaused ? 1 : 0})`,
      insertLine(line, id),
    ])
    const times = { createdAt: now, modifiedAt: now, purgedAt: null }
    return this.#changed({ id, account, name, ...times, settings, consumers: [], lines: [line] })
  }

  update(id: QueueId, changes: Changes): Promise<Queue> {
    return this.#inTurn(async () => {
      const queue = this.#find(id)
      const { name = queue.name, settings = queue.settings } = changes
      if (name !== queue.name && this.named(queue.account, name)) throw errors.queueTaken(name)
      const modifiedAt = this.#ports.clock.now()
      const { deliveryDelay, retention, isPaused } = settings
      await this.#ports.sql.write([
        sql`UPDATE queue SET name = ${name}, modified_at = ${modifiedAt},
              delivery_delay = ${deliveryDelay}, retention = ${retention},
              is_paused = ${isPaused ? 1 : 0}
            WHERE id = ${id}`,
      ])
      return this.#changed({ ...queue, name, settings, modifiedAt })
    })
  }

  /** Gone at once, with its consumers; its messages are removed behind that. */
  remove(id: QueueId): Promise<void> {
    return this.#inTurn(async () => {
      const queue = this.#find(id)
      await this.#ports.sql.write([
        sql`DELETE FROM consumer WHERE queue = ${id}`,
        sql`UPDATE line SET is_removed = 1 WHERE queue = ${id}`,
        sql`DELETE FROM queue WHERE id = ${id}`,
      ])
      this.#forget(queue)
      this.#listener(id)
    })
  }

  /** Has a queue begin anew. What was in it is removed behind that. */
  purge(id: QueueId): Promise<Queue> {
    return this.#inTurn(async () => {
      const queue = this.#find(id)
      const purgedAt = this.#ports.clock.now()
      const renewed = new Map(queue.lines.map((line) => [line, this.#nextLine++]))
      const added = [...renewed].flatMap(([old, line]): Statement[] => [
        insertLine(line, id),
        sql`UPDATE consumer SET line = ${line} WHERE line = ${old}`,
      ])
      await this.#ports.sql.write([
        sql`UPDATE line SET is_removed = 1 WHERE queue = ${id}`,
        ...added,
        sql`UPDATE queue SET purged_at = ${purgedAt} WHERE id = ${id}`,
      ])
      const consumers = queue.consumers.map((consumer) => {
        return { ...consumer, line: renewed.get(consumer.line) ?? consumer.line }
      })
      return this.#changed({ ...queue, purgedAt, lines: [...renewed.values()], consumers })
    })
  }

  /** The first consumer takes over what waits; any other begins with what is sent from now on. */
  addConsumer(id: QueueId, added: NewConsumer): Promise<Consumer> {
    return this.#inTurn(async () => {
      const queue = this.#find(id)
      this.#refuseTwice(queue, added)
      if (queue.consumers.length >= consumersPerQueue) {
        throw errors.tooManyConsumers(consumersPerQueue)
      }
      const [free] = queue.consumers.length === 0 ? queue.lines : []
      const line = free ?? this.#nextLine++
      const own = consumerId.parse(this.#ports.random.hex(16))
      const createdAt = this.#ports.clock.now()
      const { target, environment, deadLetterQueue, settings } = added
      await this.#ports.sql.write([
        ...(free === undefined ? [insertLine(line, id)] : []),
        sql`INSERT INTO consumer (id, queue, line, account, worker, entrypoint, environment,
              dead_letter_queue, settings, created_at)
            VALUES (${own}, ${id}, ${line}, ${queue.account}, ${target?.worker ?? null},
              ${target?.entrypoint ?? null}, ${environment}, ${deadLetterQueue},
              ${JSON.stringify(settings)}, ${createdAt})`,
      ])
      const consumer = { ...added, id: own, line, createdAt }
      const lines = free === undefined ? [...queue.lines, line] : queue.lines
      this.#changed({ ...queue, lines, consumers: [...queue.consumers, consumer] })
      return consumer
    })
  }

  replaceConsumer(id: QueueId, own: ConsumerId, next: NewConsumer): Promise<Consumer> {
    return this.#inTurn(async () => {
      const queue = this.#find(id)
      const before = consumerIn(queue, own)
      this.#refuseTwice(queue, next, own)
      const { target, environment, deadLetterQueue, settings } = next
      await this.#ports.sql.write([
        sql`UPDATE consumer SET worker = ${target?.worker ?? null},
              entrypoint = ${target?.entrypoint ?? null}, environment = ${environment},
              dead_letter_queue = ${deadLetterQueue}, settings = ${JSON.stringify(settings)}
            WHERE id = ${own}`,
      ])
      const consumer = { ...before, ...next }
      const consumers = queue.consumers.map((each) => (each.id === own ? consumer : each))
      this.#changed({ ...queue, consumers })
      return consumer
    })
  }

  /** What the last consumer leaves undone waits for another; what others leave is not missed. */
  removeConsumer(id: QueueId, own: ConsumerId): Promise<void> {
    return this.#inTurn(async () => {
      const queue = this.#find(id)
      const { line } = consumerIn(queue, own)
      const consumers = queue.consumers.filter((each) => each.id !== own)
      const isLast = consumers.length === 0
      await this.#ports.sql.write([
        sql`DELETE FROM consumer WHERE id = ${own}`,
        ...(isLast ? [] : [sql`UPDATE line SET is_removed = 1 WHERE id = ${line}`]),
      ])
      const lines = isLast ? queue.lines : queue.lines.filter((each) => each !== line)
      this.#changed({ ...queue, consumers, lines })
    })
  }

  /** Waits for changes that are under way. */
  async idle(): Promise<void> {
    await this.#last
  }

  #refuseTwice({ consumers }: Queue, added: NewConsumer, own?: ConsumerId): void {
    const isSame = ({ id, target }: Consumer): boolean =>
      id !== own &&
      target?.worker === added.target?.worker &&
      target?.entrypoint === added.target?.entrypoint
    if (consumers.some(isSame)) throw errors.consumerTaken(added.target?.worker ?? 'http_pull')
  }

  #countOf(account: AccountId): number {
    let count = 0
    for (const queue of this.#queues.values()) if (queue.account === account) count++
    return count
  }

  #find(id: QueueId): Queue {
    const queue = this.#queues.get(id)
    if (!queue) throw errors.queueNotFound(id)
    return queue
  }

  #changed(queue: Queue): Queue {
    const before = this.#queues.get(queue.id)
    if (before) this.#forget(before)
    this.#keep(queue)
    this.#listener(queue.id)
    return queue
  }

  #keep(queue: Queue): void {
    this.#queues.set(queue.id, queue)
    this.#names.set(`${queue.account}/${queue.name}`, queue.id)
  }

  #forget({ id, account, name }: Queue): void {
    this.#queues.delete(id)
    this.#names.delete(`${account}/${name}`)
  }

  #inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(run)
    this.#last = done.catch(() => undefined)
    return done
  }
}

/** Throws `consumerNotFound`. */
export function consumerIn({ consumers }: Queue, id: ConsumerId): Consumer {
  const consumer = consumers.find((each) => each.id === id)
  if (!consumer) throw errors.consumerNotFound()
  return consumer
}

function insertLine(line: number, queue: QueueId): Statement {
  return sql`INSERT INTO line (id, queue) VALUES (${line}, ${queue})`
}

function queueOf(row: Row, consumers: readonly Consumer[], lines: readonly number[]): Queue {
  return {
    id: queueId.parse(textColumn(row, 'id')),
    account: accountId.parse(textColumn(row, 'account')),
    name: textColumn(row, 'name'),
    createdAt: integerColumn(row, 'created_at'),
    modifiedAt: integerColumn(row, 'modified_at'),
    purgedAt: integerColumnOrNull(row, 'purged_at'),
    settings: {
      deliveryDelay: integerColumn(row, 'delivery_delay'),
      retention: integerColumn(row, 'retention'),
      isPaused: integerColumn(row, 'is_paused') === 1,
    },
    consumers,
    lines,
  }
}

function consumerOf(row: Row): Consumer {
  const worker = textColumnOrNull(row, 'worker')
  const entrypoint = textColumnOrNull(row, 'entrypoint')
  const target = worker === null ? undefined : { worker: workerName.parse(worker) }
  return {
    id: consumerId.parse(textColumn(row, 'id')),
    line: integerColumn(row, 'line'),
    target: target && { ...target, ...(entrypoint !== null && { entrypoint }) },
    environment: textColumn(row, 'environment'),
    deadLetterQueue: textColumn(row, 'dead_letter_queue'),
    settings: consumerSettings.parse(JSON.parse(textColumn(row, 'settings'))),
    createdAt: integerColumn(row, 'created_at'),
  }
}
