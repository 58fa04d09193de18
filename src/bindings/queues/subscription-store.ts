import type { AccountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { integerColumn, type Row, sql, textColumn } from '#contract/ports/sql.ts'
import { subscriptionNotFound, tooManySubscriptions } from './errors.ts'
import { subscriptionsPerAccount } from './limits.ts'
import {
  type SubscriptionBody,
  subscriptionBody,
  type SubscriptionId,
  subscriptionId,
} from './schema.ts'

/** Who wants to be told of what, in which queue. Times are in ms since 1970. */
export type Subscription = {
  readonly id: SubscriptionId
  readonly createdAt: number
  readonly modifiedAt: number
  readonly body: SubscriptionBody
}

export class SubscriptionStore {
  readonly #ports: Ports

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** All of an account, the oldest first. */
  async of(account: AccountId): Promise<readonly Subscription[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT id, created_at, modified_at, body FROM subscription
          WHERE account = ${account} ORDER BY created_at, id`,
    )
    return rows.map(subscriptionOf)
  }

  async get(account: AccountId, id: SubscriptionId): Promise<Subscription> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, created_at, modified_at, body FROM subscription
          WHERE id = ${id} AND account = ${account}`,
    )
    if (!row) throw subscriptionNotFound()
    return subscriptionOf(row)
  }

  async add(account: AccountId, body: SubscriptionBody): Promise<Subscription> {
    const id = subscriptionId.parse(this.#ports.random.hex(16))
    const now = this.#ports.clock.now()
    const queue = body.destination.queue_id
    const [added] = await this.#ports.sql.write([
      sql`INSERT INTO subscription (id, account, queue, created_at, modified_at, body)
          SELECT ${id}, ${account}, ${queue}, ${now}, ${now}, ${JSON.stringify(body)}
          WHERE (SELECT count(*) FROM subscription WHERE account = ${account})
            < ${subscriptionsPerAccount}`,
    ])
    if (added?.changes !== 1) throw tooManySubscriptions(subscriptionsPerAccount)
    return { id, createdAt: now, modifiedAt: now, body }
  }

  async replace(
    account: AccountId,
    id: SubscriptionId,
    body: SubscriptionBody,
  ): Promise<Subscription> {
    const now = this.#ports.clock.now()
    const [changed] = await this.#ports.sql.write([
      sql`UPDATE subscription SET body = ${JSON.stringify(body)}, modified_at = ${now},
            queue = ${body.destination.queue_id}
          WHERE id = ${id} AND account = ${account}`,
    ])
    if (changed?.changes !== 1) throw subscriptionNotFound()
    return this.get(account, id)
  }

  async remove(account: AccountId, id: SubscriptionId): Promise<void> {
    const [removed] = await this.#ports.sql.write([
      sql`DELETE FROM subscription WHERE id = ${id} AND account = ${account}`,
    ])
    if (removed?.changes !== 1) throw subscriptionNotFound()
  }
}

function subscriptionOf(row: Row): Subscription {
  return {
    id: subscriptionId.parse(textColumn(row, 'id')),
    createdAt: integerColumn(row, 'created_at'),
    modifiedAt: integerColumn(row, 'modified_at'),
    body: subscriptionBody.parse(JSON.parse(textColumn(row, 'body'))),
  }
}
