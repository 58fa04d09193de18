import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import { Body } from './body.ts'
import { type Conditions, judge } from './conditions.ts'
import type { Content, Opened } from './content-store.ts'
import { argumentInvalid, keyInvalid, keyNotFound } from './errors.ts'
import { conditionsOfHeaders, httpOfHeaders, metadataHeaders } from './http.ts'
import { deleteKeys, drainBytes, listLimit, restUploadLimit } from './limits.ts'
import type { ObjectStore } from './object-store.ts'
import { type ApiOptions, type BucketOperation, type Route, succeedWith } from './operation.ts'
import { storageClass, type StorageClass, type StoredObject } from './records.ts'
import { checkKey } from './schema.ts'

const keysBody = z.array(z.string()).max(deleteKeys)

export function objectRoutes({ objects }: ApiOptions): readonly Route<BucketOperation>[] {
  return [
    ['GET', '/objects', (operation) => list(objects, operation)],
    ['DELETE', '/objects', removeMany],
    ['GET', '/objects/*', get],
    ['PUT', '/objects/*', put],
    ['DELETE', '/objects/*', remove],
  ]

  async function get(operation: BucketOperation): Promise<Response> {
    const { bucket, request } = operation
    const header = (name: string): string | undefined => request.headers.get(name) ?? undefined
    const conditions: Conditions = conditionsOfHeaders(header)
    const found = await objects.get(bucket, keyOf(operation), {
      ssecKey: undefined,
      wanted: (object) => {
        const { isExpected, isNew } = judge(conditions, object)
        const status = !isExpected ? 412 : isNew ? 200 : 304
        const range = status === 200 ? { offset: 0, length: object.size } : undefined
        return { status, range }
      },
    })
    if (!found) throw keyNotFound()
    const { object, wanted, opened } = found
    const headers = new Headers(metadataHeaders(object))
    if (wanted.status !== 200) return new Response(null, { status: wanted.status, headers })
    headers.set('content-length', `${object.size}`)
    return new Response(bodyOf(opened), { headers })
  }

  async function put(operation: BucketOperation): Promise<Response> {
    const { bucket, request } = operation
    const { headers } = request
    const content = contentOf(request)
    try {
      const object = await objects.put(bucket, {
        key: keyOf(operation),
        storageClass: classOf(headers.get('cf-r2-storage-class'), bucket.settings.storageClass),
        http: httpOfHeaders((name) => headers.get(name) ?? undefined),
        custom: [],
        content,
      })
      return succeed(uploaded(object))
    } catch (error) {
      if (!content.body.isBroken) await content.body.drain(drainBytes)
      throw error
    }
  }

  async function remove(operation: BucketOperation): Promise<Response> {
    const key = keyOf(operation)
    await objects.delete(operation.bucket, [key])
    return succeed({ key })
  }

  async function removeMany({ bucket, body }: BucketOperation): Promise<Response> {
    const keys = await body(keysBody)
    await objects.delete(bucket, keys.map(checkKey))
    return succeed(keys.map((key) => ({ key })))
  }
}

async function list(objects: ObjectStore, { bucket, url }: BucketOperation): Promise<Response> {
  const query = url.searchParams
  const limit = Number(query.get('per_page') ?? listLimit)
  const page = await objects.list(bucket, {
    limit,
    prefix: query.get('prefix') ?? undefined,
    delimiter: query.get('delimiter') ?? undefined,
    startAfter: query.get('start_after') ?? undefined,
    cursor: query.get('cursor') ?? undefined,
  })
  return succeedWith(page.objects.map(listed), {
    cursor: page.cursor ?? '',
    is_truncated: page.cursor !== undefined,
    delimited: page.prefixes,
    per_page: limit,
  })
}

function contentOf({ body, headers }: Request): Content {
  const length = headers.get('content-length')
  return {
    body: new Body(body ?? new ReadableStream({ start: (controller) => controller.close() })),
    length: length === null ? (body ? undefined : 0) : Number(length),
    limit: restUploadLimit,
    mayInline: true,
  }
}

/** The key is what follows, slashes and all: routers decode paths in ways of their own. */
function keyOf({ url }: BucketOperation): string {
  const encoded = /^\/r2\/buckets\/[^/]+\/objects\/(.*)$/s.exec(url.pathname)?.[1] ?? ''
  try {
    return checkKey(decodeURIComponent(encoded))
  } catch {
    throw keyInvalid()
  }
}

function classOf(text: string | null, otherwise: StorageClass): StorageClass {
  if (text === null) return otherwise
  const read = storageClass.safeParse(text)
  if (!read.success) throw argumentInvalid('The storage class is not valid.')
  return read.data
}

function bodyOf(opened: Opened): ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer> {
  if (opened instanceof Uint8Array) return new Uint8Array(opened)
  const iterator = opened[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await iterator.return?.()
    },
  })
}

function uploaded({ key, etag, size, version, uploadedAt, storageClass: kind }: StoredObject) {
  return {
    key,
    etag,
    size: String(size),
    version,
    uploaded: new Date(uploadedAt).toISOString(),
    storage_class: kind,
  }
}

function listed(object: StoredObject): object {
  const { contentType, cacheExpiry, ...http } = object.http
  return {
    key: object.key,
    etag: object.etag,
    size: object.size,
    last_modified: new Date(object.uploadedAt).toISOString(),
    http_metadata: {
      ...(contentType !== undefined && { contentType }),
      ...http,
      ...(cacheExpiry !== undefined && { cacheExpiry: new Date(cacheExpiry).toISOString() }),
    },
    custom_metadata: Object.fromEntries(object.custom),
    storage_class: object.storageClass,
    ssec: object.keyMd5 !== undefined,
  }
}
