/**
 * Bytes of a value, as UTF-8. developers.cloudflare.com/secrets-store/manage-secrets, and
 * `MAX_SECRET_VALUE_BYTES` of wrangler.
 */
export const valueBytes = 64 * 1024

// Ours. Upstream, in its beta: one store and 100 secrets for each account.

export const storesPerAccount = 100
/** Of all its stores. */
export const secretsPerAccount = 1_000
/** Characters of the name of a store or of a secret. */
export const nameLength = 255
/** Characters. */
export const commentLength = 1_024
/** Secrets that one call makes or deletes, and stores. */
export const perCall = 100
/** Bytes of the body of a call that makes secrets: that many of full size, and what is around them. */
export const secretsBodyBytes = 8 * 1024 * 1024
/** Bytes of any other body: a value of full size, all of it escaped, and what is around it. */
export const bodyBytes = 512 * 1024
/** Bytes of a too large body that are read and dropped so that the caller hears why. */
export const drainBytes = 64 * 1024 * 1024
/** Items of a page of a list: what wrangler asks for, and the most. */
export const page = { usual: 10, most: 100 } as const
/** Data keys that are kept opened in memory. */
export const openedKeys = 1_000
/** Milliseconds for which the reads of a secret by a binding are counted before they are logged. */
export const countMs = 10_000
/** Secrets and bindings whose reads are counted at a time. */
export const counted = 10_000
