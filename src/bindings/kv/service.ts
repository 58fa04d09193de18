import type { BackendHandler, BackendReply, BackendRequest, Grant } from '#contract/backend.ts'
import { headerOfUtf8, reasonPhrase, utf8OfHeader } from '#contract/backend.ts'
import { ApiError } from '#contract/errors.ts'
import { gather, joinBytes } from '#contract/gather.ts'
import type { Json, JsonObject } from '#contract/json.ts'
import type { Clock } from '#contract/ports/clock.ts'
import * as errors from './errors.ts'
import { bulkReadBytes, bulkReadKeys, drainBytes, inlineBytes, valueLimit } from './limits.ts'
import {
  type BulkRead,
  bulkReadBody,
  checkCacheTtl,
  cursorOfKey,
  expiryOf,
  keyOfPath,
  keyOfText,
  kvResource,
  listRange,
  metadataOf,
  type NamespaceId,
  textOf,
} from './schema.ts'
import type { Found, KvStore } from './store.ts'

export type ServiceOptions = {
  readonly store: KvStore
  readonly clock: Clock
  /** Says whether a key may be written now. Every write is let through if absent. */
  readonly mayWrite?: ((namespace: NamespaceId, key: Uint8Array) => boolean) | undefined
}

type Call = ServiceOptions & {
  readonly namespace: NamespaceId
  readonly request: BackendRequest
  /** As they stand in the URL. */
  readonly path: string
  readonly query: string
}

/** What workerd sends with each call of a key and no option. */
const plainQuery = 'urlencoded=true'

/**
 * Answers the native KV client of one binding. Whether the namespace is the account's is decided
 * here once; a call only asks whether it still exists.
 */
export function serveKv(options: ServiceOptions, grant: Grant): BackendHandler {
  const { namespace } = kvResource.parse(grant.resource)
  if (options.store.ownerOf(namespace) !== grant.account) {
    // A 404 would read as "no such key".
    return async () => ({ status: 403, reason: 'namespace not found' })
  }
  return async (request) => {
    if (options.store.ownerOf(namespace) === undefined) {
      return { status: 403, reason: 'namespace not found' }
    }
    const { url } = request
    const mark = url.indexOf('?')
    const path = mark === -1 ? url.slice(1) : url.slice(1, mark)
    const query = mark === -1 ? '' : url.slice(mark + 1)
    try {
      return await answer({ ...options, namespace, request, path, query })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      return { status: error.status, reason: reasonPhrase(error.message.slice(0, 500)) }
    }
  }
}

async function answer(call: Call): Promise<BackendReply> {
  const { method } = call.request
  if (method === 'GET') return call.path === '' ? list(call) : get(call)
  if (method === 'PUT') return put(call)
  if (method === 'DELETE') return remove(call)
  if (method === 'POST' && call.path === 'bulk/get') return getBulk(call)
  return { status: 405 }
}

async function get({ store, namespace, path, query }: Call): Promise<BackendReply> {
  if (query !== plainQuery) {
    const cacheTtl = new URLSearchParams(query).get('cache_ttl')
    if (cacheTtl !== null) checkCacheTtl(cacheTtl)
  }
  const found = await store.get(namespace, keyOfPath(path))
  if (!found) return { status: 404 }
  const { value, size, metadata } = found
  const body = value instanceof Uint8Array ? value : value.stream()
  if (metadata === null && value === body) return { status: 200, body }
  const headers: Record<string, string> = {}
  if (metadata !== null) headers['CF-KV-Metadata'] = headerOfUtf8(metadata)
  if (value !== body) headers['Content-Length'] = `${size}`
  return { status: 200, headers, body }
}

async function put(call: Call): Promise<BackendReply> {
  const { store, clock, namespace, path, query, request } = call
  const key = keyOfPath(path)
  let expiresAt: number | null = null
  if (query !== plainQuery) {
    const parameters = new URLSearchParams(query)
    const expirationTtl = parameters.get('expiration_ttl')
    expiresAt = expiryOf({ expiration: parameters.get('expiration'), expirationTtl }, clock.now())
  }
  const header = request.headers['cf-kv-metadata']
  const metadata = typeof header === 'string' ? metadataOf(utf8OfHeader(header)) : null
  checkRate(call, key)
  const length = request.headers['content-length']
  const value = await readValue(request.body, typeof length === 'string' ? Number(length) : NaN)
  await store.put(namespace, key, { value, metadata, expiresAt })
  return { status: 200 }
}

async function remove(call: Call): Promise<BackendReply> {
  const key = keyOfPath(call.path)
  checkRate(call, key)
  await call.store.delete(call.namespace, key)
  return { status: 200 }
}

function checkRate({ mayWrite, namespace }: Call, key: Uint8Array): void {
  if (mayWrite && !mayWrite(namespace, key)) throw errors.tooManyRequests()
}

async function list({ store, namespace, query }: Call): Promise<BackendReply> {
  const parameters = new URLSearchParams(query)
  const { keys, next } = await store.list(
    namespace,
    listRange({
      limit: parameters.get('key_count_limit'),
      prefix: parameters.get('prefix'),
      cursor: parameters.get('cursor'),
    }),
  )
  const listed = keys.map(({ key, expiresAt, metadata }) => ({
    name: textOf(key),
    ...(expiresAt !== null && { expiration: expiresAt }),
    // The native client wants JSON text here, not JSON.
    ...(metadata !== null && { metadata }),
  }))
  const end = next ? { list_complete: false, cursor: cursorOfKey(next) } : { list_complete: true }
  return json({ keys: listed, ...end })
}

async function getBulk({ store, namespace, request }: Call): Promise<BackendReply> {
  const text = textOf(await readBounded(request.body, bulkReadBytes))
  const body = bulkReadBody.safeParse(parseJson(text))
  if (!body.success) throw errors.bodyInvalid('Invalid bulk request.')
  return json(await readMany(store, namespace, body.data))
}

function json(value: Json): BackendReply {
  const headers = { 'Content-Type': 'application/json' }
  return { status: 200, headers, body: JSON.stringify(value) }
}

/** Reads up to 100 keys: an object of values, or of objects with value, metadata and expiration. */
export async function readMany(
  store: KvStore,
  namespace: NamespaceId,
  {
    keys,
    type = 'text',
    withMetadata = false,
    cacheTtl,
    withExpiration = false,
  }: BulkRead & {
    readonly withExpiration?: boolean
  },
): Promise<JsonObject> {
  if (keys.length > bulkReadKeys) throw errors.bulkTooMany()
  if (keys.length === 0) throw errors.bulkTooFew()
  if (type !== 'text' && type !== 'json') throw errors.bulkTypeInvalid(type)
  if (cacheTtl !== undefined) checkCacheTtl(String(cacheTtl))
  const asked = new Map(keys.map((key) => [key, keyOfText(key)]))
  const values: [string, Json][] = []
  let total = 0
  for (const [name, key] of asked) {
    const found = await store.get(namespace, key)
    total += found?.size ?? 0
    if (total > valueLimit) {
      await dispose(found)
      throw errors.bulkTooLarge()
    }
    const value = found ? await readAs(found, type) : null
    if (!found || !withMetadata) values.push([name, value])
    else {
      const metadata = found.metadata === null ? null : jsonOf(found.metadata)
      const expiration = withExpiration && found.expiresAt
      values.push([name, { value, metadata, ...(expiration && { expiration }) }])
    }
  }
  return Object.fromEntries(values)
}

async function readAs({ value }: Found, type: 'text' | 'json'): Promise<Json> {
  const text = textOf(value instanceof Uint8Array ? value : await value.bytes())
  if (type === 'text') return text
  const parsed = parseJson(text)
  if (parsed === undefined) throw errors.bulkNotJson()
  return parsed
}

async function dispose(found: Found | undefined): Promise<void> {
  if (found && !(found.value instanceof Uint8Array)) await found.value[Symbol.asyncDispose]()
}

function parseJson(text: string): Json | undefined {
  try {
    return jsonOf(text)
  } catch {
    return undefined
  }
}

function jsonOf(text: string): Json {
  const value: Json = JSON.parse(text)
  return value
}

/**
 * The value of a put: whole if it is small, else a stream that fails when the body does, or when it
 * exceeds the limit. `length` is the declared one, or `NaN`. What is too large is read to its end
 * (within a bound) and dropped: a caller that is still sending would not hear the answer.
 */
export async function readValue(
  body: AsyncIterable<Uint8Array>,
  length: number,
): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
  // Leaving a `for await` early would end the connection, hence by hand.
  const iterator = body[Symbol.asyncIterator]()
  if (length > valueLimit) {
    await drain(iterator)
    throw errors.valueTooLarge(length)
  }
  const chunks: Uint8Array[] = []
  let size = 0
  while (size <= inlineBytes) {
    const { done, value } = await iterator.next()
    if (done) return joinBytes(chunks, size)
    chunks.push(value)
    size += value.byteLength
  }
  return limited(chunks, iterator)
}

async function* limited(
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let size = 0
  for (const chunk of head) {
    size += chunk.byteLength
    if (size <= valueLimit) yield chunk
  }
  for (;;) {
    if (size > valueLimit) throw errors.valueTooLarge(size + (await drain(rest)))
    const { done, value } = await rest.next()
    if (done) return
    size += value.byteLength
    if (size <= valueLimit) yield value
  }
}

async function drain(iterator: AsyncIterator<Uint8Array>): Promise<number> {
  let size = 0
  while (size <= drainBytes) {
    const { done, value } = await iterator.next()
    if (done) break
    size += value.byteLength
  }
  return size
}

/** All of a body, refused beyond `limit` bytes. */
export async function readBounded(
  body: AsyncIterable<Uint8Array>,
  limit: number,
): Promise<Uint8Array> {
  const { bytes } = await gather(body, limit, drainBytes)
  if (!bytes) throw errors.bodyTooLarge(limit)
  return bytes
}

/** One write a second to a key, as Cloudflare has it: for those who test what they do then. */
export function oneWritePerSecond(
  clock: Clock,
): (namespace: NamespaceId, key: Uint8Array) => boolean {
  const most = 100_000
  const last = new Map<string, number>()
  return (namespace, key) => {
    const id = `${namespace}/${textOf(key)}`
    const now = clock.now()
    if (now - (last.get(id) ?? -Infinity) < 1000) return false
    // The map's order is that of the writes: the first is the oldest.
    last.delete(id)
    last.set(id, now)
    for (const [old, time] of last) {
      if (last.size <= most && now - time < 1000) break
      last.delete(old)
    }
    return true
  }
}
