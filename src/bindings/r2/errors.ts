import { defineError } from '#contract/errors.ts'
import { listLimit } from './limits.ts'

// To a Worker, code and sentence go out in the header `CF-R2-Error`; to a client of the REST API in
// the envelope; to one of S3 by the name that `s3-errors.ts` gives the code.
// developers.cloudflare.com/r2/api/error-codes.

export const internal = defineError(
  10_001,
  500,
  () => 'We encountered an internal error. Please try again.',
)
export const accessDenied = defineError(10_003, 403, () => 'Access Denied.')
export const ssecKeyNeeded = defineError(
  10_029,
  400,
  () =>
    'The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.',
)
export const bucketNameInvalid = defineError(
  10_005,
  400,
  () => 'The specified bucket name is not valid.',
)
export const bucketNotFound = defineError(10_006, 404, () => 'The specified bucket does not exist.')
export const keyNotFound = defineError(10_007, 404, () => 'The specified key does not exist.')
export const bucketNotEmpty = defineError(
  10_008,
  409,
  () => 'The bucket you tried to delete is not empty.',
)
export const tooManyBuckets = defineError(
  10_009,
  400,
  () => 'You have attempted to create more buckets than allowed.',
)
export const partTooSmall = defineError(
  10_011,
  400,
  () => 'Your proposed upload is smaller than the minimum allowed object size.',
)
export const metadataTooLarge = defineError(
  10_012,
  400,
  () => 'Your metadata headers exceed the maximum allowed metadata size.',
)
export const bodyIncomplete = defineError(
  10_013,
  400,
  () => 'You did not provide the number of bytes specified by the Content-Length HTTP header.',
)
export const digestInvalid = defineError(
  10_014,
  400,
  () => 'The checksum you specified is not valid.',
)
export const keyInvalid = defineError(10_020, 400, () => 'The specified object name is not valid.')
export const listLimitInvalid = defineError(
  10_022,
  400,
  () => `MaxKeys params must be positive integer <= ${listLimit}.`,
)
export const uploadNotFound = defineError(
  10_024,
  404,
  () => 'The specified multipart upload does not exist.',
)
export const partNotFound = defineError(
  10_025,
  400,
  () => 'One or more of the specified parts could not be found.',
)
export const argumentInvalid = defineError(10_029, 400, (what: string) => what)
export const preconditionFailed = defineError(
  10_031,
  412,
  () => 'At least one of the pre-conditions you specified did not hold.',
)
export const lengthMissing = defineError(
  10_033,
  411,
  () => 'You must provide the Content-Length HTTP header.',
)
export const digestDiffers = defineError(
  10_037,
  400,
  (name: string, given: string, actual: string) =>
    `The ${name} checksum you specified did not match what we received.\n` +
    `You provided a ${name} checksum with value: ${given}\nActual ${name} was: ${actual}`,
)
export const rangeInvalid = defineError(10_039, 416, () => 'The requested range is not satisfiable')
export const unavailable = defineError(
  10_043,
  503,
  () => 'There is no space left to store this object. Please try again later.',
)
export const uploadInvalid = defineError(
  10_048,
  400,
  () => 'There was a problem with the multipart upload.',
)
export const objectLocked = defineError(
  10_069,
  403,
  () => 'The object is locked by the bucket policy.',
)
export const bucketExists = defineError(
  10_004,
  409,
  () => 'The bucket you tried to create already exists, and you own it.',
)
export const corsNotFound = defineError(10_059, 404, () => 'The CORS configuration does not exist.')
export const bodyInvalid = defineError(10_040, 400, (what: string) => what)
export const queueNotFound = defineError(
  11_003,
  404,
  (queue: string) => `The queue ${queue} does not exist.`,
)
export const rulesOverlap = defineError(
  11_020,
  400,
  () => 'A rule would overlap with another one for the same action.',
)
export const tooManyRules = defineError(
  11_021,
  400,
  (limit: number) => `A bucket can have no more than ${limit} event notification rules.`,
)
export const domainNotFound = defineError(
  10_060,
  404,
  (domain: string) => `The bucket has no domain ${domain}.`,
)
export const domainTaken = defineError(
  10_062,
  409,
  (domain: string) => `The domain ${domain} is another bucket’s.`,
)
export const domainOutsideZone = defineError(
  10_063,
  400,
  (domain: string) => `The domain ${domain} is in no zone of this account.`,
)
export const tooLarge = defineError(
  100_100,
  400,
  () => 'Your proposed upload exceeds the maximum allowed object size.',
)
export const routeNotFound = defineError(7003, 404, (path: string) => `Could not route to ${path}`)
/** A binding to a bucket that the account does not have. */
export const boundBucketNotFound = defineError(
  10_085,
  400,
  (name: string) => `R2 bucket '${name}' not found. Please use a different name and try again.`,
)
export const accessKeyNotFound = defineError(
  10_090,
  404,
  (id: string) => `There is no access key ${id} on your account.`,
)
export const tooManyAccessKeys = defineError(
  10_091,
  400,
  (limit: number) => `The account has ${limit} access keys, which is the limit.`,
)
