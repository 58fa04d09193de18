import { Hono } from 'hono'
import type { z } from 'zod'
import type { ApiMount, Caller } from '#contract/binding.ts'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { ApiError } from '#contract/errors.ts'
import { parseJson } from '#contract/json-text.ts'
import type { Clock } from '#contract/ports/clock.ts'
import * as errors from './errors.ts'
import { bulkReadBytes, bulkWriteBytes, multipartBytes, valueLimit } from './limits.ts'
import {
  bulkDeleteBody,
  bulkReadBody,
  bulkWriteBody,
  cursorOfKey,
  expiryOf,
  keyOfPath,
  keyOfText,
  listRange,
  metadataOf,
  namespaceBody,
  type NamespaceId,
  namespaceId,
  newNamespaceBody,
  textOf,
  utf8,
} from './schema.ts'
import { readBounded, readMany, readValue } from './service.ts'
import { type KvStore, type Namespace, type NewEntry } from './store.ts'

export type ApiOptions = { readonly store: KvStore; readonly clock: Clock }

type Operation = {
  readonly request: Request
  readonly url: URL
  readonly caller: Caller
  /** The namespace of the path, which is the caller's. */
  readonly namespace: NamespaceId
}

const root = '/storage/kv/namespaces'
/** Writes of a bulk that are on their way at a time. */
const bulkStep = 500

/** `/client/v4/accounts/:account/storage/kv/namespaces`, as in the API reference of Workers KV. */
export function kvApi(options: ApiOptions): ApiMount {
  const app = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
  const { store } = options
  const namespaces = namespaceRoutes(store)
  const entries = entryRoutes(options)
  const bulk = bulkRoutes(options)

  app.get('/', (c) => namespaces.list(c.req.raw, c.env.caller))
  app.post('/', (c) => named('create namespace', () => namespaces.create(c.req.raw, c.env.caller)))
  const routes: readonly [string, string, string, (operation: Operation) => Promise<Response>][] = [
    ['get namespace', 'GET', '/:ns', namespaces.get],
    ['rename namespace', 'PUT', '/:ns', namespaces.rename],
    ['remove namespace', 'DELETE', '/:ns', namespaces.remove],
    ['list keys', 'GET', '/:ns/keys', entries.list],
    ['get', 'GET', '/:ns/values/*', entries.get],
    ['put', 'PUT', '/:ns/values/*', entries.put],
    ['delete', 'DELETE', '/:ns/values/*', entries.remove],
    ['get metadata', 'GET', '/:ns/metadata/*', entries.metadata],
    ['bulk put', 'PUT', '/:ns/bulk', bulk.put],
    ['bulk delete', 'DELETE', '/:ns/bulk', bulk.remove],
    ['bulk delete', 'POST', '/:ns/bulk/delete', bulk.remove],
    ['bulk get', 'POST', '/:ns/bulk/get', bulk.get],
  ]
  for (const [operation, method, path, run] of routes) {
    app.on(method, path, (c) =>
      named(operation, () => {
        const namespace = namespaceId.safeParse(c.req.param('ns'))
        const { caller } = c.env
        if (!namespace.success || store.ownerOf(namespace.data) !== caller.account) {
          throw errors.namespaceNotFound()
        }
        const url = new URL(c.req.raw.url)
        return run({ request: c.req.raw, url, caller, namespace: namespace.data })
      }),
    )
  }
  app.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  app.onError((error) => {
    throw error
  })
  const mounted = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
    .onError((error) => {
      throw error
    })
    .route(root, app)
  mounted.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  return {
    path: root,
    isRead: ({ method, url }) => method === 'POST' && /\/bulk\/get\/?$/.test(new URL(url).pathname),
    handle: async (request, caller) => mounted.fetch(request, { caller }),
  }
}

/** What is the client's fault says in which operation. */
async function named(operation: string, run: () => Promise<Response>): Promise<Response> {
  try {
    return await run()
  } catch (error) {
    throw error instanceof ApiError ? errors.inOperation(operation, error) : error
  }
}

type Routes = Readonly<Record<string, (operation: Operation) => Promise<Response>>>

function namespaceRoutes(store: KvStore) {
  return {
    list: async (request: Request, caller: Caller): Promise<Response> => {
      const url = new URL(request.url)
      const query = pageQuery(url, { perPage: 20, most: 1000 })
      const { page, total } = await store.namespaces(caller.account, {
        order: url.searchParams.get('order') === 'title' ? 'title' : 'id',
        descending: url.searchParams.get('direction') === 'desc',
        offset: query.offset,
        limit: query.perPage,
      })
      return succeed(page.map(shownNamespace), pageInfo(query, page.length, total))
    },
    create: async (request: Request, caller: Caller): Promise<Response> => {
      const { title } = await readBody(request, newNamespaceBody, bulkReadBytes)
      return succeed(shownNamespace(await store.createNamespace(caller.account, title)))
    },
    get: async ({ namespace }: Operation): Promise<Response> => {
      return succeed(shownNamespace(await store.namespace(namespace)))
    },
    rename: async ({ request, namespace }: Operation): Promise<Response> => {
      const { title } = await readBody(request, namespaceBody, bulkReadBytes)
      return succeed(shownNamespace(await store.renameNamespace(namespace, title)))
    },
    remove: async ({ namespace }: Operation): Promise<Response> => {
      await store.deleteNamespace(namespace)
      return succeed(null)
    },
  }
}

function shownNamespace({ id, title }: Namespace): object {
  return { id, title, supports_url_encoding: true }
}

function entryRoutes({ store, clock }: ApiOptions) {
  return {
    list: async ({ namespace, url }: Operation): Promise<Response> => {
      const query = url.searchParams
      const range = listRange({
        limit: query.get('limit'),
        prefix: query.get('prefix'),
        cursor: query.get('cursor'),
      })
      const { keys, next } = await store.list(namespace, range)
      const shown = keys.map(({ key, expiresAt, metadata }) => ({
        name: textOf(key),
        ...(expiresAt !== null && { expiration: expiresAt }),
        ...(metadata !== null && { metadata: JSON.parse(metadata) }),
      }))
      return succeed(shown, { count: keys.length, cursor: next ? cursorOfKey(next) : '' })
    },
    get: async (operation: Operation): Promise<Response> => {
      const found = await store.get(operation.namespace, keyOf(operation, 'values'))
      if (!found) throw errors.keyNotFound()
      const headers = new Headers({
        'content-type': 'application/octet-stream',
        'content-length': `${found.size}`,
      })
      if (found.expiresAt !== null) headers.set('expiration', `${found.expiresAt}`)
      const { value } = found
      const body = value instanceof Uint8Array ? new Uint8Array(value) : streamOf(value.stream())
      return new Response(body, { headers })
    },
    put: async (operation: Operation): Promise<Response> => {
      const { request, url, namespace } = operation
      const key = keyOf(operation, 'values')
      const query = {
        expiration: url.searchParams.get('expiration'),
        expirationTtl: url.searchParams.get('expiration_ttl'),
      }
      const expiresAt = expiryOf(query, clock.now())
      const isForm = /^multipart\/form-data/i.test(request.headers.get('content-type') ?? '')
      const { value, metadata } = isForm ? await readForm(request) : await readRaw(request)
      await store.put(namespace, key, { value, metadata, expiresAt })
      return succeed({})
    },
    remove: async (operation: Operation): Promise<Response> => {
      await store.delete(operation.namespace, keyOf(operation, 'values'))
      return succeed(null)
    },
    metadata: async (operation: Operation): Promise<Response> => {
      const found = await store.get(operation.namespace, keyOf(operation, 'metadata'))
      if (!found) throw errors.keyNotFound()
      if (!(found.value instanceof Uint8Array)) await found.value[Symbol.asyncDispose]()
      return succeed(found.metadata === null ? null : JSON.parse(found.metadata))
    },
  } satisfies Routes
}

/** The key is what follows, slashes and all: routers decode paths in ways of their own. */
function keyOf({ url, namespace }: Operation, part: 'values' | 'metadata'): Uint8Array {
  return keyOfPath(url.pathname.slice(`${root}/${namespace}/${part}/`.length))
}

type Value = Pick<NewEntry, 'value' | 'metadata'>

async function readRaw(request: Request): Promise<Value> {
  const length = Number(request.headers.get('content-length') ?? NaN)
  return { value: await readValue(bodyOf(request), length), metadata: null }
}

/** A form with the parts `value` and, if wanted, `metadata`: each a field or a file. */
async function readForm(request: Request): Promise<Value> {
  const bytes = await readBounded(bodyOf(request), valueLimit + multipartBytes)
  const type = request.headers.get('content-type') ?? ''
  const copy = new Response(new Uint8Array(bytes), { headers: { 'content-type': type } })
  const form = await copy.formData().catch(() => {
    throw errors.bodyInvalid('The body is not a valid form.')
  })
  const value = await partOf(form, 'value')
  if (!value) throw errors.bodyInvalid('The form has no part "value".')
  if (value.byteLength > valueLimit) throw errors.valueTooLarge(value.byteLength)
  const metadata = await partOf(form, 'metadata')
  return {
    value: await readValue(chunksOf(value), value.byteLength),
    metadata: metadata ? metadataOf(textOf(metadata)) : null,
  }
}

async function partOf(form: FormData, name: string): Promise<Uint8Array | undefined> {
  const part = form.get(name)
  if (part === null) return undefined
  return typeof part === 'string' ? utf8(part) : new Uint8Array(await part.arrayBuffer())
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

function bulkRoutes({ store, clock }: ApiOptions) {
  return {
    put: async ({ request, namespace }: Operation): Promise<Response> => {
      const pairs = await readBody(request, bulkWriteBody, bulkWriteBytes)
      // All are checked before the first is written. Of two with one key, the later counts.
      const entries = new Map<string, () => Promise<void>>()
      for (const pair of pairs) {
        const entry = entryOf(pair, clock.now())
        const key = keyOfText(pair.key)
        entries.delete(pair.key)
        entries.set(pair.key, async () => {
          const value = await readValue(chunksOf(entry.value), entry.value.byteLength)
          await store.put(namespace, key, { ...entry, value })
        })
      }
      return succeed(await runAll(entries, pairs.length))
    },
    remove: async ({ request, namespace }: Operation): Promise<Response> => {
      const names = await readBody(request, bulkDeleteBody, bulkWriteBytes)
      const keys = names.map((name): [string, Uint8Array] => [name, keyOfText(name)])
      const deletes = new Map(keys.map(([name, key]) => [name, () => store.delete(namespace, key)]))
      return succeed(await runAll(deletes, names.length))
    },
    get: async ({ request, namespace }: Operation): Promise<Response> => {
      const body = await readBody(request, bulkReadBody, bulkReadBytes)
      return succeed({
        values: await readMany(store, namespace, { ...body, withExpiration: true }),
      })
    },
  } satisfies Routes
}

function entryOf(
  pair: z.output<typeof bulkWriteBody>[number],
  nowMs: number,
): NewEntry & { readonly value: Uint8Array } {
  const value = pair.base64 ? bytesOfBase64(pair.value) : utf8(pair.value)
  if (value.byteLength > valueLimit) throw errors.valueTooLarge(value.byteLength)
  const { expiration = null, expiration_ttl: ttl = null, metadata = null } = pair
  const query = {
    expiration: expiration === null ? null : String(expiration),
    expirationTtl: ttl === null ? null : String(ttl),
  }
  return {
    value,
    metadata: metadata === null ? null : metadataOf(JSON.stringify(metadata)),
    expiresAt: expiryOf(query, nowMs),
  }
}

function bytesOfBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
  } catch {
    throw errors.bodyInvalid('A value is not valid Base64.')
  }
}

/** Runs them some at a time; what could not be stored is named, not fatal. */
async function runAll(
  tasks: ReadonlyMap<string, () => Promise<void>>,
  count: number,
): Promise<object> {
  const all = [...tasks]
  const failed: string[] = []
  for (let at = 0; at < all.length; at += bulkStep) {
    const step = all.slice(at, at + bulkStep)
    const settled = await Promise.allSettled(step.map(([, run]) => run()))
    for (const [index, { status }] of settled.entries()) {
      if (status === 'rejected') failed.push(step[index]?.[0] ?? '')
    }
  }
  return { successful_key_count: count - failed.length, unsuccessful_keys: failed }
}

/** Reads a JSON body of any content type. */
async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  limit: number,
): Promise<z.output<Schema>> {
  const text = textOf(await readBounded(bodyOf(request), limit))
  let value: unknown
  try {
    value = parseJson(text)
  } catch {
    throw errors.bodyInvalid('The body is not valid JSON.')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw errors.bodyInvalid(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`)
}

async function* bodyOf(request: Request): AsyncGenerator<Uint8Array> {
  if (request.body) yield* request.body
}

function streamOf(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
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
