import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { type ObjectId, objectId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { ObjectAlarm, ObjectPlace, StoredObject } from '#contract/ports/object-files.ts'
import { writeTar } from '#contract/tar.ts'
import type { AccountCall, Route } from './call.ts'
import { cursorInvalid, objectNamespaceNotFound, objectNotFound } from './errors.ts'
import { discardedBytes, objectsPerPage } from './limits.ts'
import {
  copyOf,
  entriesOf,
  importObjects,
  type ListedNamespace,
  type ObjectTransferOptions,
} from './object-transfer.ts'
import { demandOfServer } from './tokens.ts'

export type ObjectsApiOptions = ObjectTransferOptions & { readonly clock: Clock }

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

/** A call about a namespace of the account. */
type NamespaceCall = {
  readonly call: AccountCall
  readonly namespace: ListedNamespace
  readonly place: ObjectPlace
}

const root = '/workers/durable_objects/namespaces'
const one = `${root}/:namespace`
const defaultObjects = 1_000

/**
 * `/workers/durable_objects`: which namespaces and objects there are. Export and import are ours:
 * Cloudflare has none.
 */
export function objectRoutes(options: ObjectsApiOptions): readonly AccountRoute[] {
  const of = (run: (call: NamespaceCall) => Promise<Response>): Run => inNamespace(options, run)
  return [
    { method: 'GET', path: root, permission: 'read', run: list(options) },
    { method: 'GET', path: one, permission: 'read', run: of(get(options)) },
    { method: 'GET', path: `${one}/objects`, permission: 'read', run: of(objects(options)) },
    {
      method: 'GET',
      path: `${one}/objects/:object/export`,
      permission: 'read',
      run: of(exportObject(options)),
    },
    { method: 'GET', path: `${one}/export`, permission: 'read', run: of(exportAll(options)) },
    { method: 'POST', path: `${one}/import`, permission: 'admin', run: of(importAll(options)) },
  ]
}

/** Finds the namespace of the path among those of the account. */
function inNamespace(
  { directory }: ObjectsApiOptions,
  run: (call: NamespaceCall) => Promise<Response>,
): Run {
  return async (call) => {
    const { account } = call
    const wanted = call.param('namespace')
    const namespace = (await directory.namespaces(account)).find(({ id }) => id === wanted)
    if (!namespace) throw objectNamespaceNotFound()
    return run({ call, namespace, place: { account, namespace: namespace.id } })
  }
}

function list({ directory }: ObjectsApiOptions): Run {
  return async ({ account, url }) => {
    const all = await directory.namespaces(account)
    const query = pageQuery(url, { perPage: 20, most: 1_000 })
    const page = all.slice(query.offset, query.offset + query.perPage)
    return succeed(page.map(shownNamespace), pageInfo(query, page.length, all.length))
  }
}

function get({ files }: ObjectsApiOptions) {
  return async ({ namespace, place }: NamespaceCall): Promise<Response> => {
    const { objects: count, bytes } = await files.sizeOf(place)
    return succeed({ ...shownNamespace(namespace), objects: count, size_bytes: bytes })
  }
}

function objects({ files }: ObjectsApiOptions) {
  return async ({ call, place }: NamespaceCall): Promise<Response> => {
    const limit = limitOf(call.url)
    const page = await files.list(place, { after: cursorOf(call.url), limit })
    const alarms = await files.alarms(place)
    const after = page.length < limit ? '' : (page.at(-1)?.id ?? '')
    return succeed(
      page.map((stored) => shownObject(stored, alarms.get(stored.id))),
      // Clients read either of the two, by their age.
      { count: page.length, cursor: after, cursors: { after } },
    )
  }
}

/** The object's own database, as a file; how many facets it has besides is in a header. */
function exportObject(options: ObjectsApiOptions) {
  return async ({ call, place }: NamespaceCall): Promise<Response> => {
    const object = objectId.safeParse(call.param('object'))
    const copy = object.success ? await copyOf(options, place, object.data) : undefined
    const [file] = copy?.files ?? []
    if (!copy || !file) throw objectNotFound()
    const facets = copy.files.filter(({ name }) => /\.\d+\.sqlite$/.test(name)).length
    const headers = {
      'content-type': 'application/vnd.sqlite3',
      'content-length': `${file.sizeBytes}`,
      'content-disposition': `attachment; filename="${file.name}"`,
      'x-bindery-facets': `${facets}`,
    }
    const content = (async function* () {
      await using _ = copy
      if (call.request.method === 'GET') yield* file.bytes
    })()
    return new Response(streamOf(content), { headers })
  }
}

function exportAll(options: ObjectsApiOptions) {
  return async ({ call, namespace, place }: NamespaceCall): Promise<Response> => {
    const only = await onlyOf(options, { call, place })
    const at = options.clock.now()
    const archive = writeTar(entriesOf(options, { place, namespace, only, at }), at)
    return new Response(streamOf(archive), {
      headers: {
        'content-type': 'application/x-tar',
        'content-disposition': `attachment; filename="${namespace.id}.tar"`,
      },
    })
  }
}

function importAll(options: ObjectsApiOptions) {
  return async ({ call, place }: NamespaceCall): Promise<Response> => {
    // Databases that somebody else made are opened by this very process.
    demandOfServer(call.token, 'admin')
    const body = bodyOf(call.request)
    try {
      return succeed({ objects: await importObjects(options, place, body) })
    } catch (error) {
      // Who still sends would not hear why.
      await discard(body)
      throw error
    }
  }
}

function shownNamespace({ id, worker, className, storage }: ListedNamespace) {
  return {
    id,
    name: `${worker}_${className}`,
    script: worker,
    class: className,
    use_sqlite: storage === 'sqlite',
  }
}

function shownObject(
  { id, hasStoredData, sizeBytes, modifiedAt }: StoredObject,
  alarm?: ObjectAlarm,
) {
  return {
    id,
    hasStoredData,
    size_bytes: sizeBytes,
    modified_on: new Date(modifiedAt).toISOString(),
    alarm_on: alarm ? new Date(alarm.at).toISOString() : null,
  }
}

/** The one object that is asked for; none if all are. */
async function onlyOf(
  { files }: ObjectsApiOptions,
  { call, place }: Pick<NamespaceCall, 'call' | 'place'>,
): Promise<ObjectId | undefined> {
  const text = call.url.searchParams.get('object')
  if (text === null) return undefined
  const id = objectId.safeParse(text)
  if (!id.success || !(await files.has(place, id.data))) throw objectNotFound()
  return id.data
}

function limitOf(url: URL): number {
  const limit = Number(url.searchParams.get('limit') ?? defaultObjects)
  return Number.isInteger(limit) && limit >= 1 ? Math.min(limit, objectsPerPage) : defaultObjects
}

/** A cursor is the id of the last object that the client has. */
function cursorOf(url: URL): ObjectId | undefined {
  const text = url.searchParams.get('cursor') ?? ''
  if (text === '') return undefined
  const id = objectId.safeParse(text)
  if (!id.success) throw cursorInvalid()
  return id.data
}

async function* bodyOf(request: Request): AsyncGenerator<Uint8Array> {
  if (request.body) yield* request.body
}

async function discard(body: AsyncGenerator<Uint8Array>): Promise<void> {
  let size = 0
  try {
    for (;;) {
      const { done, value } = await body.next()
      size += value?.byteLength ?? 0
      if (done || size > discardedBytes) return
    }
  } catch {
    // It ended early: nobody listens.
  }
}

function streamOf(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await chunks.return(undefined)
    },
  })
}
