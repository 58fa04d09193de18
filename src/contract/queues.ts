import type { AccountId } from './ids.ts'
import type { Json } from './json.ts'

/** Queues, as other products see them: what happens there is a message here. */
export interface QueuePort {
  /**
   * Sends JSON values to a queue by its id; resolves when they are on disk. Throws an `ApiError` if
   * the account has no such queue, or it takes no more.
   */
  send(
    to: { readonly account: AccountId; readonly queue: string },
    bodies: readonly Json[],
  ): Promise<void>
  /** What the account's queue of this id is called; `undefined` if there is none. */
  nameOf(to: { readonly account: AccountId; readonly queue: string }): string | undefined
}
