import { ApiError } from '#contract/errors.ts'

// What S3 clients are told. Most of it is said of R2 in general and has its sentence in `errors.ts`:
// here it gets the name by which S3 knows it. developers.cloudflare.com/r2/api/error-codes.

/** An error that only S3 has. */
export class S3Error extends Error {
  readonly code: string
  readonly status: number

  constructor(code: string, status: number, message: string) {
    super(message)
    this.name = 'S3Error'
    this.code = code
    this.status = status
  }
}

function defineS3Error<const Values extends readonly unknown[]>(
  code: string,
  status: number,
  sentence: (...values: Values) => string,
): (...values: Values) => S3Error {
  return (...values) => new S3Error(code, status, sentence(...values))
}

export const authorizationMissing = defineS3Error(
  'InvalidArgument',
  400,
  () => 'Authorization: a request has to be signed with AWS Signature Version 4.',
)
export const authorizationMalformed = defineS3Error(
  'AuthorizationHeaderMalformed',
  400,
  (what: string) => `The authorization is malformed: ${what}.`,
)
export const headerUnsigned = defineS3Error(
  'AccessDenied',
  403,
  (name: string) => `There were headers present in the request which were not signed: ${name}`,
)
export const accessKeyUnknown = defineS3Error(
  'InvalidAccessKeyId',
  403,
  () => 'The access key ID that you provided does not exist in our records.',
)
export const signatureDiffers = defineS3Error(
  'SignatureDoesNotMatch',
  403,
  () =>
    'The request signature we calculated does not match the signature you provided. Check your secret access key and signing method.',
)
export const timeSkewed = defineS3Error(
  'RequestTimeTooSkewed',
  403,
  () => 'The difference between the request time and the time of the server is too large.',
)
export const requestExpired = defineS3Error('ExpiredRequest', 403, () => 'Request has expired.')
export const tokenInvalid = defineS3Error(
  'InvalidToken',
  400,
  () => 'The session token that you provided is not valid, or has expired.',
)
export const regionInvalid = defineS3Error(
  'InvalidRegionName',
  400,
  (name: string) => `The region name '${name}' is not valid. Must be one of: auto, us-east-1`,
)
export const forbidden = defineS3Error('AccessDenied', 403, () => 'Access Denied')
export const payloadDiffers = defineS3Error(
  'XAmzContentSHA256Mismatch',
  400,
  () => "The provided 'x-amz-content-sha256' header does not match what was computed.",
)
export const notImplemented = defineS3Error(
  'NotImplemented',
  501,
  (what: string) => `${what} is not implemented.`,
)
export const routeNotFound = defineS3Error(
  'RouteNotFound',
  404,
  () => 'No route matches this request.',
)
export const uriInvalid = defineS3Error(
  'InvalidURI',
  400,
  () => "Couldn't parse the specified URI.",
)
export const xmlMalformed = defineS3Error(
  'MalformedXML',
  400,
  () =>
    'The XML you provided was not well formed or did not validate against our published schema.',
)
export const requestInvalid = defineS3Error('InvalidRequest', 400, (what: string) => what)
export const corsMissing = defineS3Error(
  'NoSuchCORSConfiguration',
  404,
  () => 'The CORS configuration does not exist.',
)
export const lifecycleMissing = defineS3Error(
  'NoSuchLifecycleConfiguration',
  404,
  () => 'The lifecycle configuration does not exist.',
)
export const corsForbidden = defineS3Error(
  'CORSForbidden',
  403,
  () => 'This CORS request is not allowed.',
)

/** Names of S3, by code. */
const names: Readonly<Record<number, string>> = {
  10_001: 'InternalError',
  10_003: 'AccessDenied',
  10_004: 'BucketAlreadyOwnedByYou',
  10_005: 'InvalidBucketName',
  10_006: 'NoSuchBucket',
  10_007: 'NoSuchKey',
  10_008: 'BucketNotEmpty',
  10_009: 'TooManyBuckets',
  10_011: 'EntityTooSmall',
  10_012: 'MetadataTooLarge',
  10_013: 'IncompleteBody',
  10_014: 'InvalidDigest',
  10_020: 'InvalidObjectName',
  10_022: 'InvalidMaxKeys',
  10_024: 'NoSuchUpload',
  10_025: 'InvalidPart',
  10_029: 'InvalidArgument',
  10_031: 'PreconditionFailed',
  10_033: 'MissingContentLength',
  10_037: 'BadDigest',
  10_039: 'InvalidRange',
  10_043: 'ServiceUnavailable',
  10_048: 'InvalidPart',
  10_069: 'ObjectLockedByBucketPolicy',
  100_100: 'EntityTooLarge',
}

/** How S3 says an error; `undefined` for what is nobody's to know. */
export function s3ErrorOf(error: unknown): S3Error | undefined {
  if (error instanceof S3Error) return error
  if (!(error instanceof ApiError)) return undefined
  const { code, status, message } = error
  return new S3Error(names[code] ?? 'InvalidRequest', status, message)
}
