import { Hono, type Context } from 'hono'
import type { ApiMount, GuardedMount } from '#contract/binding.ts'
import { fail } from '#contract/envelope.ts'
import { ApiError, messageOf } from '#contract/errors.ts'
import { accountId } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { authorOf } from './author.ts'
import { type AccountCall, type Call, callerOf, type Route } from './call.ts'
import { accountNotFound, internal, routeNotFound } from './errors.ts'
import type { IdentityStore } from './identity-store.ts'
import type { Token } from './records.ts'
import { demand, demandAccount, demandOfServer, type Tokens } from './tokens.ts'

export type AppOptions = {
  readonly tokens: Tokens
  readonly identities: IdentityStore
  readonly routes: readonly Route[]
  readonly accountRoutes: readonly Route<AccountCall>[]
  readonly mounts: readonly ApiMount[]
  readonly guardedMounts: readonly GuardedMount[]
  readonly domain: string
  readonly log: Log
}

type Environment = { Variables: { token: Token } }

const base = '/client/v4'
const ofAccount = `${base}/accounts/:account`

/** Everything below `/client/v4`: who calls, whether they may, and what answers. */
export function createApp(options: AppOptions): (request: Request) => Promise<Response> {
  const app = new Hono<Environment>({ strict: false })
  for (const mount of options.guardedMounts) {
    for (const path of [mount.path, `${mount.path}/*`]) {
      app.all(ofAccount + path, (c) => {
        const account = c.req.param('account') ?? ''
        return mount.handle(ownRequest(c.req.raw, account), account)
      })
    }
  }
  app.use(`${base}/*`, async (c, next) => {
    c.set('token', await options.tokens.authenticate(c.req.raw.headers))
    // To remove a secret named ".." clients send `DELETE …/<worker>/`: not for the Worker itself.
    const path = pathOf(c.req.raw)
    const isWorker = path.includes('/workers/')
    if (isWorker && c.req.method === 'DELETE' && path.endsWith('/')) throw routeNotFound(path)
    await next()
  })
  for (const { method, path, permission, run } of options.routes) {
    app.on(method, base + path, async (c) => {
      demandOfServer(c.get('token'), permission)
      return run(callOf(c, options))
    })
  }
  for (const { method, path, permission, run } of options.accountRoutes) {
    app.on(method, ofAccount + path, async (c) => {
      demand(c.get('token'), permission)
      return run(await accountCallOf(c, options))
    })
  }
  for (const mount of options.mounts) {
    for (const path of [mount.path, `${mount.path}/*`]) {
      app.all(ofAccount + path, (c) => answerMounted(c, mount, options))
    }
  }
  app.notFound((c) => fail(routeNotFound(pathOf(c.req.raw))))
  app.onError((error, c) => {
    if (error instanceof ApiError) return fail(error)
    const { method } = c.req
    options.log.error('the API failed', { method, path: c.req.path, error: error.stack ?? '' })
    return fail(internal())
  })
  return async (request) => app.fetch(withoutDoubledSlash(request))
}

function callOf(c: Context<Environment>, { domain }: AppOptions): Call {
  const request = c.req.raw
  const token = c.get('token')
  return {
    request,
    url: new URL(request.url),
    token,
    author: authorOf(token, { userAgent: request.headers.get('user-agent') ?? '', domain }),
    param: (name) => c.req.param(name) ?? '',
  }
}

async function accountCallOf(c: Context<Environment>, options: AppOptions): Promise<AccountCall> {
  const text = c.req.param('account') ?? ''
  const id = accountId.safeParse(text)
  if (!id.success) throw accountNotFound(text)
  // Whether another's account exists is nobody's business.
  demandAccount(c.get('token'), id.data)
  if (!(await options.identities.account(id.data))) throw accountNotFound(text)
  return { ...callOf(c, options), account: id.data }
}

/** A binding's own resources: it gets a request that begins with its own path. */
async function answerMounted(
  c: Context<Environment>,
  mount: ApiMount,
  options: AppOptions,
): Promise<Response> {
  const call = await accountCallOf(c, options)
  const { method } = call.request
  const own = ownRequest(call.request, call.account)
  const isRead = method === 'GET' || method === 'HEAD' || mount.isRead?.(own)
  demand(call.token, isRead ? 'read' : 'write')
  return mount.handle(own, callerOf(call))
}

/** A request as a binding knows it: its path begins behind the account. */
function ownRequest(request: Request, account: string): Request {
  const url = new URL(request.url)
  const cut = new URL(url.pathname.slice(`${base}/accounts/${account}`.length) + url.search, url)
  const { method, headers, body } = request
  return new Request(cut, { method, headers, ...(body && { body, duplex: 'half' }) })
}

/** A base URL that ends with a slash makes clients ask for `/client/v4//user`. */
function withoutDoubledSlash(request: Request): Request {
  const url = new URL(request.url)
  if (!url.pathname.startsWith(`${base}//`)) return request
  url.pathname = url.pathname.replace(/^\/client\/v4\/+/, `${base}/`)
  const { method, headers, body } = request
  return new Request(url, { method, headers, ...(body && { body, duplex: 'half' }) })
}

function pathOf(request: Request): string {
  try {
    return new URL(request.url).pathname.replace(base, '') || '/'
  } catch (error) {
    return messageOf(error)
  }
}
