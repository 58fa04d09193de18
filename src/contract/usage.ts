import type { Entry } from './binding.ts'
import type { AccountId, WorkerName } from './ids.ts'

/** What deployed Workers are bound to, whatever state their processes are in. Implemented by `control/`. */
export interface Usage {
  /** The Workers of which a version that has traffic has such an entry. An entry is as `admit` stored it. */
  usersOf(account: AccountId, isMeant: (entry: Entry) => boolean): Promise<readonly WorkerName[]>

  /**
   * Runs `run` if there are no such Workers; gives those that there are. Nothing of the account is
   * deployed meanwhile: whoever is deployed next finds what `run` did.
   */
  unlessUsed(
    account: AccountId,
    isMeant: (entry: Entry) => boolean,
    run: () => Promise<void>,
  ): Promise<readonly WorkerName[]>
}
