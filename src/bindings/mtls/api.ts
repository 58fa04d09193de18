import { Hono } from 'hono'
import type { z } from 'zod'
import type { ApiMount, Caller } from '#contract/binding.ts'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Usage } from '#contract/usage.ts'
import * as errors from './errors.ts'
import { bodyBytes, certificatesPerAccount, discardedBytes } from './limits.ts'
import { isEntryOf, listQuery, uploadBody } from './schema.ts'
import { readUpload } from './service.ts'
import type { Certificate, CertificateStore } from './store.ts'

export type ApiOptions = {
  readonly store: CertificateStore
  readonly clock: Clock
  /** Who knows which certificates are used; absent until everything is back. */
  readonly usage: () => Usage | undefined
}

const root = '/mtls_certificates'

/** `/client/v4/accounts/:account/mtls_certificates`, as in the API reference of mTLS Certificates. */
export function mtlsApi(options: ApiOptions): ApiMount {
  const app = new Hono<{ Bindings: { caller: Caller } }>({ strict: false })
  const routes = routesOf(options)
  app.get(root, (c) => routes.list(new URL(c.req.raw.url), c.env.caller))
  app.post(root, (c) => routes.upload(c.req.raw, c.env.caller))
  app.get(`${root}/:id`, async (c) =>
    succeed(shown(await routes.find(c.env.caller, c.req.param('id')))),
  )
  app.delete(`${root}/:id`, (c) => routes.remove(c.env.caller, c.req.param('id')))
  app.get(`${root}/:id/associations`, (c) => routes.associations(c.env.caller, c.req.param('id')))
  app.notFound((c) => {
    throw errors.routeNotFound(c.req.path)
  })
  app.onError((error) => {
    throw error
  })
  return { path: root, handle: async (request, caller) => app.fetch(request, { caller }) }
}

function routesOf({ store, clock, usage }: ApiOptions) {
  const find = async ({ account }: Caller, id: string): Promise<Certificate> => {
    const found = await store.find(account, id)
    if (!found) throw errors.certificateNotFound(id.slice(0, 100))
    return found
  }
  const used = (): Usage => {
    const port = usage()
    if (!port) throw errors.notReady()
    return port
  }
  return {
    find,
    async list(url: URL, { account }: Caller): Promise<Response> {
      const query = pageQuery(url, {
        perPage: certificatesPerAccount,
        most: certificatesPerAccount,
      })
      const filter = parsed(listQuery, Object.fromEntries(url.searchParams.entries()))
      const { ca: isAuthority, name, type } = filter
      const all = type.includes('custom') ? await store.list(account, { isAuthority, name }) : []
      const page = all.slice(query.offset, query.offset + query.perPage)
      return succeed(page.map(shown), pageInfo(query, page.length, all.length))
    },
    async upload(request: Request, { account }: Caller): Promise<Response> {
      const { name, ca: isAuthority, ...given } = await readBody(request, uploadBody)
      const read = readUpload(
        { certificates: given.certificates, privateKey: given.private_key, isAuthority },
        clock.now(),
      )
      return succeed(shown(await store.add({ ...read, account, name, isAuthority })))
    },
    /** One that is used stays: also by a Worker that is being deployed at this moment. */
    async remove(caller: Caller, text: string): Promise<Response> {
      const { account, id, ...certificate } = await find(caller, text)
      const users = await used().unlessUsed(account, isEntryOf(id), () => store.remove(account, id))
      if (users.length > 0) throw errors.certificateInUse(id, users)
      return succeed(shown({ account, id, ...certificate }))
    },
    async associations(caller: Caller, text: string): Promise<Response> {
      const { account, id } = await find(caller, text)
      const users = await used().usersOf(account, isEntryOf(id))
      const all = users.map((worker) => ({ service: `workers/${worker}`, status: 'active' }))
      const query = { page: 1, perPage: Math.max(all.length, 1), offset: 0 }
      return succeed(all, pageInfo(query, all.length, all.length))
    },
  }
}

/** A certificate in the API's words. Its key is nobody's to see. */
function shown(certificate: Certificate): object {
  const { id, name, isAuthority, certificates, issuer, serialNumber, signature } = certificate
  return {
    id,
    ...(name !== undefined && { name }),
    ca: isAuthority,
    type: 'custom',
    certificates,
    issuer,
    serial_number: serialNumber,
    signature,
    expires_on: isoTime(certificate.expiresAt),
    uploaded_on: isoTime(certificate.uploadedAt),
  }
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/** Reads a JSON body of any content type. */
async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
): Promise<z.output<Schema>> {
  const { bytes } = await gather(request.body ?? [], bodyBytes, discardedBytes)
  if (!bytes) throw errors.bodyTooLarge(bodyBytes)
  let value: unknown
  try {
    value = parseJson(new TextDecoder().decode(bytes))
  } catch {
    throw errors.bodyInvalid('The body is not valid JSON.')
  }
  return parsed(schema, value)
}

function parsed<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const read = schema.safeParse(value)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw errors.bodyInvalid(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`)
}
