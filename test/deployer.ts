import assert from 'node:assert/strict'
import { z } from 'zod'
import type { TestServer } from '#test/server.ts'

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number(), message: z.string() })),
  result: z.unknown(),
})

/** Where a client is pointed: an account, and a token that is good for it. */
export type Place = {
  readonly apiUrl: string
  readonly account: string
  readonly token: string
  /** What follows the name of a Worker in its host, without the domain. */
  readonly subdomain?: string
}

/** The first account of a server, as its administrator. */
export function placeOf(server: TestServer): Place {
  const { CLOUDFLARE_ACCOUNT_ID: account = '', CLOUDFLARE_API_TOKEN: token = '' } =
    server.environment
  return { apiUrl: server.apiUrl, account, token }
}

/** Another account of a server, with a token for it alone. */
export async function otherAccount(server: TestServer, name: string): Promise<Place> {
  const admin = placeOf(server)
  const made = z
    .object({ id: z.string(), subdomain: z.string() })
    .parse(await call(admin, 'POST', '/accounts', { name }))
  const token = z
    .object({ value: z.string() })
    .parse(await call(admin, 'POST', '/user/tokens', { name, account_id: made.id }))
  return { ...admin, account: made.id, token: token.value, subdomain: made.subdomain }
}

type Asked = readonly [method: string, path: string, body?: unknown]

/** Calls the API and gives its `result`; fails the test if it refuses. `~` is the account's path. */
export async function call(place: Place, ...asked: Asked): Promise<unknown> {
  const answer = await ask(place, ...asked)
  assert.ok(answer.success, `${asked[0]} ${asked[1]}: ${JSON.stringify(answer.errors)}`)
  return answer.result
}

/** The same, for calls that may be refused. */
export async function ask(
  place: Place,
  ...[method, path, body]: Asked
): Promise<z.output<typeof envelope> & { readonly status: number }> {
  const response = await fetch(place.apiUrl + path.replace(/^~/, `/accounts/${place.account}`), {
    method,
    headers: {
      authorization: `Bearer ${place.token}`,
      ...(body !== undefined &&
        !(body instanceof FormData) && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  })
  return { status: response.status, ...envelope.parse(await response.json()) }
}

export type Upload = {
  /** The main module. */
  readonly code: string
  readonly bindings?: readonly object[]
  readonly metadata?: object
}

/** Uploads a Worker and deploys it, as `wrangler deploy` does the first time. */
export async function deploy(place: Place, name: string, upload: Upload): Promise<void> {
  await call(place, 'PUT', `~/workers/scripts/${name}`, formOf(upload))
  await call(place, 'POST', `~/workers/scripts/${name}/subdomain`, { enabled: true })
}

export function formOf({ code, bindings = [], metadata = {} }: Upload): FormData {
  const form = new FormData()
  const base = { main_module: 'index.js', compatibility_date: '2026-11-01', bindings }
  form.set('metadata', JSON.stringify({ ...base, ...metadata }))
  form.set('index.js', new File([code], 'index.js', { type: 'application/javascript+module' }))
  return form
}

/** Makes a KV namespace; gives its id. */
export async function namespace(place: Place, title: string): Promise<string> {
  const made = await call(place, 'POST', '~/storage/kv/namespaces', { title })
  return z.object({ id: z.string() }).parse(made).id
}
