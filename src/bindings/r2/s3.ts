import type { BackendReply, BackendRequest, Protocol } from '#contract/backend.ts'
import { messageOf } from '#contract/errors.ts'
import { Body } from './body.ts'
import { corsHeaders, preflightHeaders } from './cors.ts'
import { openToken } from './credentials.ts'
import { internal } from './errors.ts'
import type { Credentials, Permission } from './key-store.ts'
import { s3DrainBytes } from './limits.ts'
import type { Parts } from './parts.ts'
import type { Bucket } from './records.ts'
import { bucketNamed, checkKeyAllowed, jurisdiction, type S3Call } from './s3-call.ts'
import { readChunks, readHashed } from './s3-chunks.ts'
import {
  accessKeyUnknown,
  authorizationMalformed,
  authorizationMissing,
  corsForbidden,
  forbidden,
  s3ErrorOf,
  tokenInvalid,
} from './s3-errors.ts'
import { type Need, type Operation, operationOf, type Target } from './s3-operations.ts'
import { readHead, type S3Head } from './s3-request.ts'
import {
  type Claim,
  isSigned,
  readClaim,
  signedChunks,
  signedChunksAndTrailer,
  type Signer,
  unsignedChunksAndTrailer,
  unsignedPayload,
  verify,
} from './s3-signature.ts'
import { writeErrorXml } from './s3-xml.ts'

/** What stands in a host between the name of a bucket and that of the server. */
const hostMark = '.s3.'

/**
 * The S3 API, on the listener of the REST API. Who calls follows from the access key, and with it the
 * account. A bucket is named by the path (`/bucket/key`), or by a host `bucket.s3.<anything>`.
 */
export function s3Protocol(options: Parts): Protocol {
  return {
    speaks: (request) =>
      isSigned(request) ||
      isPreflight(request) ||
      (!isOfRest(request) && bucketOfHost(request.headers) !== undefined),
    handle: (request) => answer(options, request),
  }
}

/** The REST API is asked by no page of another site. */
function isPreflight({ method, headers, url }: Omit<BackendRequest, 'body'>): boolean {
  const isAsked = headers['access-control-request-method'] !== undefined
  return method === 'OPTIONS' && isAsked && !isOfRest({ url })
}

function isOfRest({ url }: Pick<BackendRequest, 'url'>): boolean {
  return url.startsWith('/client/v4/') || url === '/health'
}

function bucketOfHost(headers: BackendRequest['headers']): string | undefined {
  const { host } = headers
  if (typeof host !== 'string') return undefined
  const end = host.toLowerCase().indexOf(hostMark)
  return end < 1 ? undefined : host.slice(0, end).toLowerCase()
}

async function answer(options: Parts, request: BackendRequest): Promise<BackendReply> {
  const body = new Body(request.body)
  try {
    const head = readHead(request)
    const target = targetOf(head)
    if (isPreflight(request)) return preflight(options, head, target)
    const { credentials, claim, signer } = await authenticate(options, head)
    const operation = operationOf(head, target)
    demand(credentials, operation.need)
    if (target.key !== undefined) checkKeyAllowed(credentials, target.key)
    const decoded = decode(body, { head, claim, signer })
    const call: S3Call = { ...options, ...decoded, head, credentials }
    const reply = await run(call, operation, target)
    return withCors(options, { head, target, credentials, reply })
  } catch (error) {
    if (body.isBroken && !s3ErrorOf(error)) throw error
    // Who is still sending would not hear the answer.
    await body.drain(s3DrainBytes)
    return refusal(options, request, error)
  }
}

/** Which bucket, and which object in it. */
function targetOf({ path, headers }: S3Head): Target {
  const named = bucketOfHost(headers)
  if (named !== undefined) return { bucket: named, key: path.slice(1) || undefined }
  const slash = path.indexOf('/', 1)
  const bucket = (slash < 0 ? path.slice(1) : path.slice(1, slash)) || undefined
  return { bucket, key: slash < 0 ? undefined : path.slice(slash + 1) || undefined }
}

async function authenticate(
  { keys, clock }: Parts,
  head: S3Head,
): Promise<{
  readonly credentials: Credentials
  readonly claim: Claim
  readonly signer: Signer
}> {
  const isClaimed = head.header('authorization') !== undefined
  if (!isClaimed && head.param('X-Amz-Algorithm') === undefined) throw authorizationMissing()
  const claim = readClaim(head, clock.now())
  const known = await keys.find(claim.accessKeyId)
  if (!known) throw accessKeyUnknown()
  const { sessionToken } = claim
  const credentials =
    sessionToken === undefined ? known : openToken(known, sessionToken, clock.now())
  if (!credentials) throw tokenInvalid()
  return { credentials, claim, signer: verify(head, claim, credentials.secret) }
}

const mayByPermission: Readonly<Record<Permission, readonly Need[]>> = {
  'admin-read-write': ['bucket-read', 'bucket-write', 'object-read', 'object-write'],
  'admin-read-only': ['bucket-read', 'object-read'],
  'object-read-write': ['object-read', 'object-write'],
  'object-read-only': ['object-read'],
}

function demand({ permission }: Credentials, need: Need): void {
  if (!mayByPermission[permission].includes(need)) throw forbidden()
}

/** The body as its client means it. */
function decode(
  body: Body,
  signed: { readonly head: S3Head; readonly claim: Claim; readonly signer: Signer },
): Pick<S3Call, 'body' | 'trailer'> {
  const { payload } = signed.claim
  let fields: ReadonlyMap<string, string> = new Map()
  const trailer = (): ReadonlyMap<string, string> => fields
  if (payload === unsignedPayload) return { body: body.rest(), trailer }
  const isSignedChunks = payload === signedChunks || payload === signedChunksAndTrailer
  if (isSignedChunks || payload === unsignedChunksAndTrailer) {
    const chunks = readChunks(body.rest(), {
      signer: isSignedChunks ? signed.signer : undefined,
      hasTrailer: payload !== signedChunks,
      onTrailer: (read) => (fields = read),
    })
    return { body: chunks, trailer }
  }
  if (!/^[0-9a-f]{64}$/i.test(payload)) {
    throw authorizationMalformed('x-amz-content-sha256 is not known')
  }
  return { body: readHashed(body.rest(), payload.toLowerCase()), trailer }
}

async function run(
  call: S3Call,
  operation: Operation,
  { bucket: name = '', key = '' }: Target,
): Promise<BackendReply> {
  switch (operation.of) {
    case 'account':
      return operation.run(call)
    case 'name':
      return operation.run(call, name)
    case 'bucket':
      return operation.run({ ...call, bucket: bucketNamed(call, name) })
    case 'object':
      return operation.run({ ...call, key, bucket: await bucketOf(call, name) })
  }
}

/** R2 makes a missing bucket for an object if it is told to. */
async function bucketOf(call: S3Call, name: string): Promise<Bucket> {
  const { buckets, credentials, head } = call
  const isWanted = head.method === 'PUT' && head.header('cf-create-bucket-if-missing') === 'true'
  if (isWanted && !buckets.find(credentials.account, jurisdiction, name)) {
    demand(credentials, 'bucket-write')
    return buckets.create({ account: credentials.account, jurisdiction, name })
  }
  return bucketNamed(call, name)
}

// ---- pages of other sites

/** Who asks is not known yet: a bucket of this name says whether it may be asked. */
function preflight({ buckets }: Parts, head: S3Head, { bucket }: Target): BackendReply {
  const asked = {
    origin: head.header('origin'),
    method: head.header('access-control-request-method') ?? '',
    headers: head.header('access-control-request-headers'),
  }
  for (const { name, settings } of buckets.all) {
    const headers = name === bucket && preflightHeaders(settings.cors, asked)
    if (headers) return { status: 204, headers }
  }
  throw corsForbidden()
}

function withCors(
  { buckets }: Parts,
  answered: {
    readonly head: S3Head
    readonly target: Target
    readonly credentials: Credentials
    readonly reply: BackendReply
  },
): BackendReply {
  const { head, target, credentials, reply } = answered
  if (target.bucket === undefined) return reply
  const bucket = buckets.find(credentials.account, jurisdiction, target.bucket)
  if (!bucket) return reply
  const asked = { origin: head.header('origin'), method: head.method }
  return { ...reply, headers: { ...reply.headers, ...corsHeaders(bucket.settings.cors, asked) } }
}

function refusal({ log }: Parts, request: BackendRequest, error: unknown): BackendReply {
  const known = s3ErrorOf(error) ?? s3ErrorOf(internal())
  if (!known) throw error
  if (!s3ErrorOf(error)) {
    log.error('S3 failed', { method: request.method, url: request.url, error: messageOf(error) })
  }
  const { status, code, message } = known
  const document = writeErrorXml([
    ['Code', code],
    ['Message', message],
  ])
  // What is left of a longer body is no request.
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  const isLong = coding !== undefined || Number(length ?? 0) > s3DrainBytes
  return {
    status,
    headers: { 'Content-Type': 'application/xml', ...(isLong && { connection: 'close' }) },
    body: document,
  }
}
