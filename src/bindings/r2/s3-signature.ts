import { Buffer } from 'node:buffer'
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import {
  authorizationMalformed,
  authorizationMissing,
  headerUnsigned,
  regionInvalid,
  requestExpired,
  signatureDiffers,
  timeSkewed,
} from './s3-errors.ts'
import { encode, type S3Head } from './s3-request.ts'

// AWS Signature Version 4: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html

/** What a request says of who signed it. Nothing of it is believed yet. */
export type Claim = {
  readonly accessKeyId: string
  /** As it was signed: `20261128T010203Z`. */
  readonly date: string
  readonly scope: Scope
  /** Lower case, in their order. */
  readonly signedHeaders: readonly string[]
  readonly signature: string
  /** What stands for the body: its SHA-256 in hex, or how it is signed. */
  readonly payload: string
  /** Of temporary credentials. */
  readonly sessionToken: string | undefined
  /** Seconds for which a URL is good; absent for a request that was signed by headers. */
  readonly expires?: number
}

type Scope = { readonly day: string; readonly region: string }

/** Headers that change what a request does. */
const actsUpon = /^(x-amz-(?!content-sha256|user-agent)|cf-copy-destination-|cf-create-bucket-)/

const algorithm = 'AWS4-HMAC-SHA256'
const service = 's3'
const regions: readonly string[] = ['auto', 'us-east-1', '']
/** How far a request's time may be from ours: as at AWS. */
const skewMs = 15 * 60_000
/** Seconds that a URL may be good for: developers.cloudflare.com/r2/api/s3/presigned-urls. */
const longestExpires = 7 * 24 * 3600

/** Whether a request says that it is signed in this way. */
export function isSigned(head: Pick<S3Head, 'headers'> & { readonly url: string }): boolean {
  const { authorization } = head.headers
  if (typeof authorization === 'string' && authorization.startsWith('AWS4-')) return true
  return /[?&]X-Amz-(Algorithm|Signature|Credential)=/.test(head.url)
}

/** Reads what a request claims. Throws an `S3Error` if that can't be right at this time. */
export function readClaim(head: S3Head, now: number): Claim {
  const claim = head.header('authorization') === undefined ? byQuery(head) : byHeaders(head)
  if (!regions.includes(claim.scope.region)) throw regionInvalid(claim.scope.region)
  const time = timeOf(claim.date)
  if (!claim.date.startsWith(claim.scope.day)) throw authorizationMalformed('its dates differ')
  if (!claim.signedHeaders.includes('host')) throw authorizationMalformed('host is not signed')
  // Whoever was given a signed URL must not make another request of it.
  const unsigned = Object.keys(head.headers).find(
    (name) => actsUpon.test(name) && !claim.signedHeaders.includes(name),
  )
  if (unsigned !== undefined) throw headerUnsigned(unsigned)
  if (claim.expires === undefined) {
    if (Math.abs(time - now) > skewMs) throw timeSkewed()
  } else {
    if (time - now > skewMs) throw timeSkewed()
    if (now >= time + claim.expires * 1000) throw requestExpired()
  }
  return claim
}

function byHeaders(head: S3Head): Claim {
  const text = head.header('authorization') ?? ''
  if (!text.startsWith(`${algorithm} `)) throw authorizationMissing()
  const fields = new Map(
    text
      .slice(algorithm.length)
      .split(',')
      .map((field) => {
        const [name = '', ...value] = field.trim().split('=')
        return [name, value.join('=')] as const
      }),
  )
  const date = head.header('x-amz-date')
  const payload = head.header('x-amz-content-sha256')
  if (date === undefined) throw authorizationMalformed('there is no x-amz-date')
  if (payload === undefined) throw authorizationMalformed('there is no x-amz-content-sha256')
  return {
    ...credentialOf(fields.get('Credential')),
    date,
    signedHeaders: headersOf(fields.get('SignedHeaders')),
    signature: signatureOf(fields.get('Signature')),
    payload,
    sessionToken: head.header('x-amz-security-token'),
  }
}

function byQuery(head: S3Head): Claim {
  if (head.param('X-Amz-Algorithm') !== algorithm) throw authorizationMissing()
  const expires = head.param('X-Amz-Expires') ?? ''
  if (!/^\d{1,7}$/.test(expires) || Number(expires) < 1 || Number(expires) > longestExpires) {
    throw authorizationMalformed(`X-Amz-Expires is 1 to ${longestExpires} seconds`)
  }
  return {
    ...credentialOf(head.param('X-Amz-Credential')),
    date: head.param('X-Amz-Date') ?? '',
    signedHeaders: headersOf(head.param('X-Amz-SignedHeaders')),
    signature: signatureOf(head.param('X-Amz-Signature')),
    payload: head.param('X-Amz-Content-Sha256') ?? unsignedPayload,
    sessionToken: head.param('X-Amz-Security-Token'),
    expires: Number(expires),
  }
}

function credentialOf(text = ''): Pick<Claim, 'accessKeyId' | 'scope'> {
  const [accessKeyId, day, region, of, end, ...more] = text.split('/')
  const isWhole = of === service && end === 'aws4_request' && more.length === 0
  if (!accessKeyId || !day || region === undefined || !isWhole) {
    throw authorizationMalformed('the credential is KEY/DAY/REGION/s3/aws4_request')
  }
  return { accessKeyId, scope: { day, region } }
}

function headersOf(text = ''): readonly string[] {
  const names = text.split(';')
  if (names.length > 100 || names.some((name) => !/^[\w!#$%&'*+.^`|~-]+$/.test(name))) {
    throw authorizationMalformed('the signed headers are not a list of names')
  }
  return names
}

function signatureOf(text = ''): string {
  if (!/^[0-9a-f]{64}$/.test(text))
    throw authorizationMalformed('the signature is not 64 hex digits')
  return text
}

function timeOf(date: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date)
  if (!match) throw authorizationMalformed('the time is not YYYYMMDDTHHMMSSZ')
  const [, year, month, day, hour, minute, second] = match
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

// ---- how a body is signed

/** It is not: TLS is to keep it. */
export const unsignedPayload = 'UNSIGNED-PAYLOAD'
/** In chunks, each with a signature that follows from the one before. */
export const signedChunks = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
/** The same, with fields behind the last chunk that are signed as well. */
export const signedChunksAndTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
/** In chunks without signatures, with fields behind the last. */
export const unsignedChunksAndTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

/** Signs what follows a request's head. */
export type Signer = {
  /** The signature of the head: the chain of chunks begins with it. */
  readonly seed: string
  chunk(before: string, sha256: string): string
  trailer(before: string, sha256: string): string
}

/** Checks a request's signature. Throws `signatureDiffers`. */
export function verify(head: S3Head, claim: Claim, secret: string): Signer {
  const { day, region } = claim.scope
  const scope = `${day}/${region}/${service}/aws4_request`
  const key = [day, region, service, 'aws4_request'].reduce<string | Uint8Array>(
    (own, part) => hmac(own, part),
    `AWS4${secret}`,
  )
  const sign = (...lines: readonly string[]): string =>
    Buffer.from(hmac(key, lines.join('\n'))).toString('hex')
  const expected = sign(algorithm, claim.date, scope, sha256Of(canonicalOf(head, claim)))
  if (!isSame(expected, claim.signature)) throw signatureDiffers()
  return {
    seed: expected,
    chunk: (before, sha256) =>
      sign(`${algorithm}-PAYLOAD`, claim.date, scope, before, sha256Of(''), sha256),
    trailer: (before, sha256) => sign(`${algorithm}-TRAILER`, claim.date, scope, before, sha256),
  }
}

/** The request as both sides write it down. */
function canonicalOf(head: S3Head, { signedHeaders, payload }: Claim): string {
  const query = head.query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .toSorted((a, b) => (a < b ? -1 : 1))
  const headers = signedHeaders.map((name) => {
    const value = head.headers[name] ?? ''
    const text = typeof value === 'string' ? value : value.join(',')
    // What is signed are the bytes that were sent, and Node reads those as latin1.
    return `${name}:${latin1AsBytes(text).trim().replaceAll(/ +/g, ' ')}\n`
  })
  return [
    head.method,
    head.rawPath.split('/').map(reencode).join('/'),
    query.join('&'),
    headers.join(''),
    signedHeaders.join(';'),
    payload,
  ].join('\n')
}

/** Both sides escape in the same way, whichever way it was sent. */
function reencode(segment: string): string {
  return encode(decodeURIComponent(segment))
}

function latin1AsBytes(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8')
}

function hmac(key: string | Uint8Array, text: string): Uint8Array {
  return createHmac('sha256', key).update(text).digest()
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.byteLength === right.byteLength && timingSafeEqual(left, right)
}
