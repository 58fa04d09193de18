import type { SiteReply, SiteRequest } from '#contract/assets.ts'
import { ApiError, messageOf } from '#contract/errors.ts'
import type { HostAnswer, HostServer } from '#contract/hosts.ts'
import type { Log } from '#contract/ports/log.ts'
import type { ZoneOwner } from '#contract/snapshot.ts'
import type { BucketStore } from './bucket-store.ts'
import { judge } from './conditions.ts'
import { corsHeaders, preflightHeaders } from './cors.ts'
import { keyInvalid, keyNotFound } from './errors.ts'
import { conditionsOfHeaders, metadataHeaders } from './http.ts'
import type { ObjectStore } from './object-store.ts'
import { type Range, rangeOfHeader } from './range.ts'
import type { Bucket, StoredObject } from './records.ts'
import { checkKey } from './schema.ts'

export type PublicOptions = {
  readonly buckets: BucketStore
  readonly objects: ObjectStore
  readonly log: Log
  /** Below which public buckets answer; `undefined` until that is known. */
  readonly domain: () => string | undefined
  /** Whose a host is. */
  readonly ownerOf: (host: string) => ZoneOwner | undefined
}

/** Where a bucket answers that is public. */
export function publicHostOf(publicId: string, domain: string): string {
  return `pub-${publicId}.r2.${domain}`
}

/** Buckets that everybody may read, each at a host of its own. */
export class PublicBuckets implements HostServer {
  readonly #options: PublicOptions

  constructor(options: PublicOptions) {
    this.#options = options
  }

  find(hostname: string): HostAnswer | undefined {
    const bucket = this.#ofDomain(hostname) ?? this.#ofLabel(hostname)
    return bucket && ((request) => this.#answer(bucket, request))
  }

  /** A zone may have been given to somebody else since. */
  #ofDomain(hostname: string): Bucket | undefined {
    const bucket = this.#options.buckets.findDomain(hostname)
    if (!bucket) return undefined
    const isEnabled = bucket.settings.domains.some(
      ({ domain, enabled }) => domain === hostname && enabled,
    )
    return isEnabled && this.#options.ownerOf(hostname)?.account === bucket.account
      ? bucket
      : undefined
  }

  #ofLabel(hostname: string): Bucket | undefined {
    // Most hosts are a Worker's, and begin with something else.
    if (!hostname.startsWith('pub-')) return undefined
    const { buckets, domain } = this.#options
    const bucket = buckets.findPublic(hostname.slice(4, 36))
    const below = domain()
    const isOurs =
      bucket?.settings.isPublic === true &&
      below !== undefined &&
      hostname === publicHostOf(bucket.settings.publicId, below)
    return isOurs ? bucket : undefined
  }

  async #answer(bucket: Bucket, request: SiteRequest): Promise<SiteReply> {
    const { method, header } = request
    const { cors } = bucket.settings
    const origin = header('origin')
    if (method === 'OPTIONS') return preflight(bucket, request)
    if (method !== 'GET' && method !== 'HEAD') {
      return text(405, 'This bucket can only be read.', { allow: 'GET, HEAD, OPTIONS' })
    }
    const extra = corsHeaders(cors, { origin, method })
    try {
      return await this.#read(bucket, request, extra)
    } catch (error) {
      if (error instanceof ApiError) return text(error.status, error.message, extra)
      const { account, name } = bucket
      this.#options.log.error('a public bucket failed', {
        account,
        bucket: name,
        error: messageOf(error),
      })
      return text(500, 'We encountered an internal error. Please try again.', extra)
    }
  }

  async #read(
    bucket: Bucket,
    { method, url, header }: SiteRequest,
    extra: Readonly<Record<string, string>>,
  ): Promise<SiteReply> {
    const conditions = conditionsOfHeaders(header)
    const found = await this.#options.objects.get(bucket, keyOf(url), {
      ssecKey: undefined,
      wanted: (object) => {
        const { isExpected, isNew } = judge(conditions, object)
        if (!isExpected) return nothing(412)
        if (!isNew) return nothing(304)
        return partOf(object, method, header)
      },
    })
    if (!found) throw keyNotFound()
    const { object, wanted, opened } = found
    const headers = { ...metadataHeaders(object), 'accept-ranges': 'bytes', ...extra }
    if (wanted.status === 416) {
      return reply(416, {
        ...extra,
        'content-range': `bytes */${object.size}`,
        'content-length': '0',
      })
    }
    if (wanted.length === undefined) return reply(wanted.status, headers)
    const { range = { offset: 0, length: wanted.length } } = wanted
    const sized = {
      ...headers,
      'content-length': `${wanted.length}`,
      ...(wanted.status === 206 && {
        'content-range': `bytes ${range.offset}-${range.offset + range.length - 1}/${object.size}`,
      }),
    }
    return method === 'HEAD' ? reply(200, sized) : { ...reply(wanted.status, sized), body: opened }
  }
}

type Wanted = {
  readonly status: number
  readonly range: Range | undefined
  /** What `Content-Length` says; absent where an answer has none. */
  readonly length: number | undefined
}

function nothing(status: number): Wanted {
  return { status, range: undefined, length: undefined }
}

/** What is to be sent of an object that is to be sent. */
function partOf(object: StoredObject, method: string, header: SiteRequest['header']): Wanted {
  const { size, etag, uploadedAt } = object
  const all = { offset: 0, length: size }
  if (method === 'HEAD') return { status: 200, range: undefined, length: size }
  const asked = header('range')
  const since = header('if-range')
  // RFC 9110 §13.1.5: what has changed is sent whole.
  const isSame =
    since === undefined ||
    since === `"${etag}"` ||
    Date.parse(since) === Math.floor(uploadedAt / 1000) * 1000
  const range = asked !== undefined && isSame ? rangeOfHeader(asked, size) : undefined
  if (range === 'unsatisfiable') return nothing(416)
  if (!range) return { status: 200, range: all, length: size }
  return { status: 206, range, length: range.length }
}

function preflight({ settings }: Bucket, { header }: SiteRequest): SiteReply {
  const headers = preflightHeaders(settings.cors, {
    origin: header('origin'),
    method: header('access-control-request-method') ?? '',
    headers: header('access-control-request-headers'),
  })
  return headers ? reply(204, headers) : text(403, 'No rule of CORS allows this.', {})
}

function keyOf(url: string): string {
  const [path = ''] = url.slice(1).split('?')
  try {
    return checkKey(decodeURIComponent(path))
  } catch {
    throw path === '' ? keyNotFound() : keyInvalid()
  }
}

function text(status: number, sentence: string, headers: Record<string, string>): SiteReply {
  const body = new TextEncoder().encode(`${sentence}\n`)
  const type = {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': `${body.byteLength}`,
  }
  return { ...reply(status, { ...headers, ...type }), body }
}

function reply(status: number, headers: Readonly<Record<string, string>>): SiteReply {
  return { status, headers: Object.entries(headers).flat() }
}
