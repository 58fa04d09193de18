import { Hono } from 'hono'
import type { z } from 'zod'
import type { ApiMount, Caller } from '#contract/binding.ts'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import * as errors from './errors.ts'
import { bodyBytes, drainBytes, page, secretsBodyBytes, secretsPerAccount } from './limits.ts'
import {
  bulkDeleteBody,
  duplicateBody,
  newSecretsBody,
  newStoreBody,
  secretBody,
  type SecretQuery,
  secretQuery,
  storeQuery,
} from './schema.ts'
import type { Secret, SecretsStore, Store } from './store.ts'

type Operation = {
  readonly url: URL
  readonly caller: Caller
  /** The body, read by a schema. Throws an `ApiError`. */
  readonly body: <Schema extends z.ZodType>(
    schema: Schema,
    limit?: number,
  ) => Promise<z.output<Schema>>
}
/** An operation on one store, which is the caller's. */
type StoreOperation = Operation & { readonly store: Store }
/** The same on what may be a secret of it. */
type SecretOperation = StoreOperation & { readonly id: string }

type Route<Of> = readonly [method: string, path: string, run: (of: Of) => Promise<Response>]

const root = '/secrets_store'

/** `/client/v4/accounts/:account/secrets_store`, as in the API reference of Secrets Store. */
export function secretsStoreApi(store: SecretsStore): ApiMount {
  const app = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
  const add = <Of>(
    routes: readonly Route<Of>[],
    prepare: (operation: Operation, param: (name: string) => string) => Promise<Of>,
  ): void => {
    for (const [method, path, run] of routes) {
      app.on(method, `${root}${path}`, async (c) => {
        const operation: Operation = {
          url: new URL(c.req.raw.url),
          caller: c.env.caller,
          body: (schema, limit = bodyBytes) => readBody(c.req.raw, schema, limit),
        }
        return run(await prepare(operation, (name) => c.req.param(name) ?? ''))
      })
    }
  }
  add(accountRoutes(store), async (operation) => operation)
  const ofStore = async (operation: Operation, id: string): Promise<StoreOperation> => ({
    ...operation,
    store: await store.store(operation.caller.account, id),
  })
  add(storeRoutes(store), (operation, param) => ofStore(operation, param('store')))
  add(secretRoutes(store), async (operation, param) => ({
    ...(await ofStore(operation, param('store'))),
    id: param('secret'),
  }))
  app.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  app.onError((error) => {
    throw error
  })
  return { path: root, handle: async (request, caller) => app.fetch(request, { caller }) }
}

function accountRoutes(store: SecretsStore): readonly Route<Operation>[] {
  return [
    [
      'GET',
      '/quota',
      async ({ caller }) => {
        const usage = await store.count(caller.account)
        return succeed({ secrets: { quota: secretsPerAccount, usage } })
      },
    ],
    [
      'GET',
      '/stores',
      async ({ url, caller }) => {
        const { order, direction } = readQuery(url, storeQuery, ['order', 'direction'])
        const all = (await store.stores(caller.account)).map(shownStore)
        return succeedWithPage(url, sorted(all, order, direction))
      },
    ],
    [
      'POST',
      '/stores',
      async ({ caller, body }) => {
        const given = await body(newStoreBody)
        const names = [given].flat().map(({ name }) => name)
        const made = (await store.createStores(caller.account, names)).map(shownStore)
        return succeed(Array.isArray(given) ? made : made[0])
      },
    ],
  ]
}

function storeRoutes(store: SecretsStore): readonly Route<StoreOperation>[] {
  return [
    ['GET', '/stores/:store', async (of) => succeed(shownStore(of.store))],
    [
      'DELETE',
      '/stores/:store',
      async ({ url, caller, store: { id } }) => {
        await store.deleteStore(caller.account, id, url.searchParams.get('force') === 'true')
        return succeed(null)
      },
    ],
    [
      'GET',
      '/stores/:store/secrets',
      async ({ url, store: of }) => {
        const query = readQuery(url, secretQuery, ['order', 'direction', 'search'])
        return succeedWithPage(url, found(await store.secrets(of), query))
      },
    ],
    [
      'POST',
      '/stores/:store/secrets',
      async ({ store: of, body }) => {
        const made = await store.createSecrets(of, await body(newSecretsBody, secretsBodyBytes))
        return succeed(made.map(shownSecret))
      },
    ],
    [
      'DELETE',
      '/stores/:store/secrets',
      async ({ store: of, body }) => {
        await store.deleteSecrets(of, await body(bulkDeleteBody))
        return succeed(null)
      },
    ],
  ]
}

function secretRoutes(store: SecretsStore): readonly Route<SecretOperation>[] {
  const path = '/stores/:store/secrets/:secret'
  return [
    ['GET', path, async ({ store: of, id }) => succeed(shownSecret(await store.secret(of, id)))],
    [
      'PATCH',
      path,
      async ({ store: of, id, body }) => {
        const { name, ...change } = await body(secretBody)
        const before = await store.secret(of, id)
        if (name !== undefined && name !== before.name) {
          throw errors.inputInvalid('secret_name_immutable: bindings are by name; duplicate it')
        }
        const isChanged = Object.values(change).some((value) => value !== undefined)
        const after = isChanged ? await store.updateSecret(of, id, change) : before
        return succeed(shownSecret(after))
      },
    ],
    [
      'DELETE',
      path,
      async ({ store: of, id }) => {
        await store.deleteSecrets(of, [id])
        return succeed(null)
      },
    ],
    [
      'POST',
      `${path}/duplicate`,
      async ({ store: of, id, body }) => {
        const made = await store.duplicateSecret(of, id, await body(duplicateBody))
        return succeed(made.map(shownSecret)[0])
      },
    ],
  ]
}

function shownStore({ id, account, name, createdAt }: Store) {
  const created = new Date(createdAt).toISOString()
  return { id, account_id: account, name, created, modified: created }
}

function shownSecret({ id, store, name, comment, scopes, createdAt, modifiedAt }: Secret) {
  return {
    id,
    store_id: store,
    name,
    comment,
    scopes,
    created: new Date(createdAt).toISOString(),
    modified: new Date(modifiedAt).toISOString(),
    status: 'active',
  }
}

/** Those that are asked for, in the order that is. */
function found(secrets: readonly Secret[], query: SecretQuery) {
  const { order, direction, scopes } = query
  const search = query.search.toLowerCase()
  const matching = secrets
    .filter((secret) => scopes.every((scope) => secret.scopes.includes(scope)))
    .filter(({ name, comment }) => `${name}\n${comment}`.toLowerCase().includes(search))
    .map(shownSecret)
  const all = sorted(matching, order ?? 'created', direction)
  if (order !== undefined || search === '') return all
  // Clients search for a name and look for it in the first page.
  const isExact = ({ name }: { readonly name: string }): boolean => name === query.search
  return [...all.filter(isExact), ...all.filter((each) => !isExact(each))]
}

function sorted<Item extends { readonly id: string }>(
  items: readonly Item[],
  order: keyof Item,
  direction: 'asc' | 'desc',
): readonly Item[] {
  const sign = direction === 'desc' ? -1 : 1
  return items.toSorted((a, b) => {
    if (a[order] !== b[order]) return a[order] < b[order] ? -sign : sign
    return a.id < b.id ? -1 : 1
  })
}

function succeedWithPage(url: URL, all: readonly object[]): Response {
  const query = pageQuery(url, { perPage: page.usual, most: page.most })
  const items = all.slice(query.offset, query.offset + query.perPage)
  return succeed(items, pageInfo(query, items.length, all.length))
}

/** Reads the fields of a query that are there, and `scopes`, however a list is written. */
function readQuery<Schema extends z.ZodType>(
  { searchParams }: URL,
  schema: Schema,
  fields: readonly string[],
): z.output<Schema> {
  const given = fields.map((field) => [field, searchParams.get(field) ?? undefined])
  const lists = [...searchParams.getAll('scopes'), ...searchParams.getAll('scopes[]')]
  const scopes = lists.flatMap((list) => list.split(',')).filter((scope) => scope !== '')
  return parsed({ ...Object.fromEntries(given), scopes }, schema, 'invalid_query')
}

/** Reads a JSON body of any content type. */
async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  limit: number,
): Promise<z.output<Schema>> {
  const { bytes } = await gather(request.body ?? [], limit, drainBytes)
  if (!bytes) throw errors.bodyTooLarge(limit)
  let value: unknown
  try {
    value = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    // What the parser says would quote what was sent.
    throw errors.inputInvalid('invalid_json_body: it is not JSON in UTF-8')
  }
  return parsed(value, schema, 'invalid_json_body')
}

/** Says what is wrong in the word of the schema, if it has one, or where the value differs from it. */
function parsed<Schema extends z.ZodType>(
  value: unknown,
  schema: Schema,
  word: string,
): z.output<Schema> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const { path, message } = deepest(result.error.issues[0])
  if (/^(store|secret)_/.test(message)) throw errors.inputInvalid(message)
  throw errors.inputInvalid(`${word}: ${path.join('.') || 'body'}: ${message}`)
}

type Issue = z.core.$ZodIssue

/** What is wrong with the part of a union that fits best. */
function deepest(issue: Issue | undefined): {
  readonly path: PropertyKey[]
  readonly message: string
} {
  if (!issue) return { path: [], message: 'invalid' }
  if (issue.code !== 'invalid_union') return issue
  const inner = issue.errors
    .flatMap((issues) => issues.slice(0, 1))
    .toSorted((a, b) => b.path.length - a.path.length)[0]
  const { path, message } = deepest(inner)
  return { path: [...issue.path, ...path], message }
}
