import { defineError } from '#contract/errors.ts'
import { secretsPerAccount, storesPerAccount } from './limits.ts'

// The REST API of upstream says one word, which programs look for: it comes first. What may help a
// person follows, where the word alone would not.

/** The request is wrong, or what it names is not there. */
const wrong = 1001
/** What is there already forbids it. */
const conflict = 1003

export const storeNotFound = defineError(wrong, 404, () => 'store_not_found')
export const secretNotFound = defineError(wrong, 404, () => 'secret_not_found')
/** `what` begins with the word. */
export const inputInvalid = defineError(wrong, 400, (what: string) => what)
export const bodyTooLarge = defineError(
  wrong,
  413,
  (limit: number) => `request_body_too_large: it exceeds ${limit} bytes`,
)
export const storeNameTaken = defineError(
  conflict,
  409,
  () => 'store_name_already_exists: a store of this account has that name',
)
export const tooManyStores = defineError(
  conflict,
  400,
  () => `maximum_stores_exceeded: an account may have ${storesPerAccount}`,
)
export const storeNotEmpty = defineError(
  conflict,
  409,
  () => 'store_not_empty: delete its secrets first, or delete it with force=true',
)
export const secretNameTaken = defineError(
  conflict,
  409,
  () => 'secret_name_already_exists: a secret of this store has that name',
)
export const tooManySecrets = defineError(
  conflict,
  400,
  () => `maximum_secrets_exceeded: an account may have ${secretsPerAccount} in all its stores`,
)
export const routeNotFound = defineError(7003, 404, (path: string) => `Could not route to ${path}`)

/** An upload with a binding to what is not there, is another account's, or may not be bound. */
export const boundSecretNotFound = defineError(
  10_182,
  400,
  (binding: string, store: string, secret: string) =>
    `Secrets Store binding '${binding}' references store '${store}' and secret '${secret}' which were not found. ` +
    'The store must be of this account, and the secret must have the scope "workers".',
)
