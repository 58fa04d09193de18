import { ApiError, defineError } from '#contract/errors.ts'
import {
  bulkReadKeys,
  keyLimit,
  listLimit,
  metadataLimit,
  minimumCacheTtl,
  minimumTtl,
  valueLimit,
} from './limits.ts'

// To a Worker, status and sentence go out as status and reason phrase; to a client of the REST API
// as an `ApiError` whose message says which operation it was (`inOperation`).

const badInput = 10_001

export const expirationTtlNotPositive = defineError(
  badInput,
  400,
  (value: string) => `Invalid expiration_ttl of ${value}. Please specify integer greater than 0.`,
)
export const expirationTtlTooShort = defineError(
  badInput,
  400,
  (value: string) =>
    `Invalid expiration_ttl of ${value}. Expiration TTL must be at least ${minimumTtl}.`,
)
export const expirationInPast = defineError(
  badInput,
  400,
  (value: string) =>
    `Invalid expiration of ${value}. Please specify integer greater than the current number of seconds since the UNIX epoch.`,
)
export const expirationTooSoon = defineError(
  badInput,
  400,
  (value: string) =>
    `Invalid expiration of ${value}. Expiration times must be at least ${minimumTtl} seconds in the future.`,
)
export const valueTooLarge = defineError(
  badInput,
  413,
  (length: number) => `Value length of ${length} exceeds limit of ${valueLimit}.`,
)
export const metadataTooLarge = defineError(
  badInput,
  413,
  (length: number) => `Metadata length of ${length} exceeds limit of ${metadataLimit}.`,
)
export const metadataNotJson = defineError(badInput, 400, () => 'Metadata must be valid JSON.')
export const cacheTtlInvalid = defineError(
  badInput,
  400,
  (value: string) =>
    `Invalid cache_ttl of ${value}. Cache TTL must be at least ${minimumCacheTtl}.`,
)
export const listLimitTooSmall = defineError(
  badInput,
  400,
  (value: string) =>
    `Invalid key_count_limit of ${value}. Please specify an integer greater than 0.`,
)
export const listLimitTooLarge = defineError(
  badInput,
  400,
  (value: string) =>
    `Invalid key_count_limit of ${value}. Please specify an integer less than ${listLimit}.`,
)
export const cursorInvalid = defineError(badInput, 400, () => 'Invalid cursor.')
export const keyTooLong = defineError(
  badInput,
  414,
  (length: number) => `UTF-8 encoded length of ${length} exceeds key length limit of ${keyLimit}.`,
)
export const keyEmpty = defineError(badInput, 400, () => 'Key names must not be empty')
export const keyIllegal = defineError(
  badInput,
  400,
  (key: string) => `Illegal key name "${key}". Please use a different name.`,
)
export const keyNotUtf8 = defineError(badInput, 400, () => 'Key names must be UTF-8.')
export const bulkTooMany = defineError(
  badInput,
  400,
  () => `You can request a maximum of ${bulkReadKeys} keys`,
)
export const bulkTooFew = defineError(badInput, 400, () => 'You must request a minimum of 1 key')
export const bulkTypeInvalid = defineError(
  badInput,
  400,
  (type: string) => `"${type}" is not a valid type. Use "json" or "text"`,
)
export const bulkNotJson = defineError(
  badInput,
  400,
  () => 'At least one of the requested keys corresponds to a non-json value',
)
export const bulkTooLarge = defineError(
  badInput,
  413,
  () => 'Total size of request exceeds the limit of 25MB',
)
export const tooManyRequests = defineError(10_048, 429, () => 'Too Many Requests')

export const bodyInvalid = defineError(badInput, 400, (what: string) => what)
export const bodyTooLarge = defineError(
  badInput,
  413,
  (limit: number) => `The body exceeds the limit of ${limit} bytes.`,
)
export const keyNotFound = defineError(10_009, 404, () => 'key not found')
export const namespaceNotFound = defineError(10_013, 404, () => 'namespace not found')
export const namespaceExists = defineError(
  10_014,
  400,
  () => 'a namespace with this account ID and title already exists',
)
export const tooManyNamespaces = defineError(
  badInput,
  400,
  (limit: number) => `an account can have no more than ${limit} namespaces`,
)
export const routeNotFound = defineError(7003, 404, (path: string) => `Could not route to ${path}`)
/** A binding to a namespace that the account does not have. */
export const boundNamespaceNotFound = defineError(
  10_041,
  400,
  (id: string) => `KV namespace '${id}' not found.`,
)

/** As the API words it: `get: 'key not found'`. */
export function inOperation(operation: string, error: ApiError): ApiError {
  const { code, status, message } = error
  return new ApiError({ code, status, message: `${operation}: '${message}'` })
}
