import type { AccountId } from '#contract/ids.ts'

/**
 * The `Vault` port: encrypts what must not be readable at rest. Each account has a data key of its
 * own, kept under a master key that is not in the database. A sealed text names the key it was
 * sealed with, so that keys can be rotated.
 */
export interface Vault {
  /** Encrypts `text`. `context` says what it is; opening it under another context fails. */
  seal(account: AccountId, text: string, context: string): Promise<string>
  /** Decrypts, or throws if the account, the context or a bit of it differs. */
  open(account: AccountId, sealed: string, context: string): Promise<string>
}
