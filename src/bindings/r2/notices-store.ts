import { type AccountId, accountId } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import { integerColumn, sql, type Statement, textColumn } from '#contract/ports/sql.ts'
import type { Action, Bucket, StoredObject } from './records.ts'
import { queuesToTell } from './rules.ts'

/** What a queue is to be told. */
export type Notice = {
  readonly id: number
  readonly account: AccountId
  readonly queue: string
  readonly body: Json
}

type Subject = Pick<StoredObject, 'key' | 'uploadedAt'> &
  Partial<Pick<StoredObject, 'size' | 'etag'>> & {
    readonly copySource?: { readonly bucket: string; readonly object: string } | undefined
  }

/**
 * Writes down what queues are to be told of a change: in its own transaction, so that what is
 * acknowledged is told, at least once.
 */
export function noticesOf(bucket: Bucket, action: Action, subject: Subject): readonly Statement[] {
  const queues = queuesToTell(bucket.settings, action, subject.key)
  if (queues.length === 0) return []
  const { key, size, etag, uploadedAt, copySource } = subject
  const body = JSON.stringify({
    account: bucket.account,
    action,
    bucket: bucket.name,
    object: { key, ...(size !== undefined && { size }), ...(etag !== undefined && { eTag: etag }) },
    eventTime: new Date(uploadedAt).toISOString(),
    ...(copySource && { copySource }),
  })
  return queues.map(
    (queue) =>
      sql`INSERT INTO notification (account, queue, body) VALUES (${bucket.account}, ${queue}, ${body})`,
  )
}

/** What is written down and not told yet, the oldest first. */
export class NoticesStore {
  readonly #ports: Ports

  constructor(ports: Ports) {
    this.#ports = ports
  }

  async next(limit: number): Promise<readonly Notice[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT id, account, queue, body FROM notification ORDER BY id LIMIT ${limit}`,
    )
    return rows.map((row) => {
      const body: Json = JSON.parse(textColumn(row, 'body'))
      return {
        id: integerColumn(row, 'id'),
        account: accountId.parse(textColumn(row, 'account')),
        queue: textColumn(row, 'queue'),
        body,
      }
    })
  }

  async remove(notices: readonly Notice[]): Promise<void> {
    await this.#ports.sql.write(
      notices.map(({ id }) => sql`DELETE FROM notification WHERE id = ${id}`),
    )
  }
}
