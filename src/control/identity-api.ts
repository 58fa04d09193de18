import { z } from 'zod'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { accountId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { emailOf, userIdOf } from './author.ts'
import { readJson } from './body.ts'
import type { AccountCall, Call, Route } from './call.ts'
import { accountNotFound, tokenNotFound } from './errors.ts'
import type { Identities } from './identities.ts'
import type { IdentityStore } from './identity-store.ts'
import * as limits from './limits.ts'
import { type Account, permission, type Token } from './records.ts'
import { stateOf, type Tokens } from './tokens.ts'

export type IdentityApiOptions = {
  readonly store: IdentityStore
  readonly identities: Identities
  readonly tokens: Tokens
  readonly clock: Clock
  readonly domain: string
}

const name = z.string().min(1).max(limits.nameLength)

const newAccount = z.object({ name })
const newToken = z.object({
  name,
  permission: permission.default('write'),
  account_id: accountId.nullish(),
  expires_on: z.iso.datetime({ offset: true }).or(z.iso.date()).nullish(),
})
const subdomainBody = z.object({
  subdomain: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/),
})

const pages = { perPage: 20, most: 1_000 }

/** `/user`, `/accounts`, `/memberships`: who somebody is, and making others. */
export function identityRoutes(options: IdentityApiOptions): readonly Route[] {
  return [
    { method: 'GET', path: '/user', permission: 'read', run: user(options) },
    { method: 'GET', path: '/user/tokens/verify', permission: 'read', run: verify },
    { method: 'GET', path: '/user/tokens', permission: 'admin', run: tokens(options) },
    { method: 'POST', path: '/user/tokens', permission: 'admin', run: createToken(options) },
    { method: 'DELETE', path: '/user/tokens/:id', permission: 'admin', run: revoke(options) },
    { method: 'GET', path: '/accounts', permission: 'read', run: accounts(options) },
    { method: 'POST', path: '/accounts', permission: 'admin', run: createAccount(options) },
    { method: 'GET', path: '/memberships', permission: 'read', run: memberships(options) },
  ]
}

/** What belongs to one account as a whole. */
export function accountRoutes(options: IdentityApiOptions): readonly Route<AccountCall>[] {
  return [
    { method: 'GET', path: '', permission: 'read', run: viewAccount(options) },
    { method: 'GET', path: '/tokens/verify', permission: 'read', run: verify },
    { method: 'GET', path: '/workers/subdomain', permission: 'read', run: subdomain(options) },
    { method: 'PUT', path: '/workers/subdomain', permission: 'write', run: setSubdomain(options) },
  ]
}

function user({ domain }: IdentityApiOptions) {
  return async ({ token }: Call) =>
    succeed({
      id: userIdOf(token),
      email: emailOf(token, domain),
      username: token.name,
      two_factor_authentication_enabled: false,
    })
}

async function verify({ token }: Call): Promise<Response> {
  return succeed({ id: token.id, status: 'active' })
}

function tokens({ store, clock }: IdentityApiOptions) {
  return async ({ url }: Call) => {
    const query = pageQuery(url, pages)
    const { items, total } = await store.tokens({ offset: query.offset, limit: query.perPage })
    const shown = items.map((token) => shownToken(token, clock.now()))
    return succeed(shown, pageInfo(query, shown.length, total))
  }
}

function createToken({ store, tokens: issuer, clock }: IdentityApiOptions) {
  return async ({ request }: Call) => {
    const body = await readJson(request, newToken)
    const of = body.account_id ?? null
    if (of !== null && !(await store.account(of))) throw accountNotFound(of)
    const expiresAt = body.expires_on ? new Date(body.expires_on).toISOString() : null
    const grant = { name: body.name, permission: body.permission, account: of, expiresAt }
    const { token, value } = await issuer.issue(grant)
    return succeed({ ...shownToken(token, clock.now()), value })
  }
}

function revoke({ store, clock }: IdentityApiOptions) {
  return async ({ param }: Call) => {
    const id = param('id')
    if (!(await store.token(id))) throw tokenNotFound()
    await store.revokeToken(id, new Date(clock.now()).toISOString())
    return succeed({ id })
  }
}

function accounts({ store }: IdentityApiOptions) {
  return async ({ token, url }: Call) => {
    const query = pageQuery(url, pages)
    const range = { offset: query.offset, limit: query.perPage }
    const { items, total } = await store.accounts(token.account, range)
    return succeed(items.map(shownAccount), pageInfo(query, items.length, total))
  }
}

function createAccount({ identities }: IdentityApiOptions) {
  return async ({ request }: Call) => {
    const body = await readJson(request, newAccount)
    return succeed(shownAccount(await identities.createAccount(body.name)))
  }
}

function memberships({ store }: IdentityApiOptions) {
  return async ({ token, url }: Call) => {
    const query = pageQuery(url, pages)
    const range = { offset: query.offset, limit: query.perPage }
    const { items, total } = await store.accounts(token.account, range)
    const role = token.permission === 'read' ? 'Administrator Read Only' : 'Administrator'
    const shown = items.map((each) => ({
      id: each.id,
      status: 'accepted',
      roles: [role],
      account: shownAccount(each),
    }))
    return succeed(shown, pageInfo(query, shown.length, total))
  }
}

function viewAccount({ store }: IdentityApiOptions) {
  return async (call: AccountCall) => succeed(shownAccount(await found(store, call)))
}

function subdomain({ store }: IdentityApiOptions) {
  return async (call: AccountCall) => succeed({ subdomain: (await found(store, call)).subdomain })
}

function setSubdomain({ identities }: IdentityApiOptions) {
  return async ({ request, account: of }: AccountCall) => {
    const body = await readJson(request, subdomainBody)
    await identities.setSubdomain(of, body.subdomain)
    return succeed(body)
  }
}

async function found(store: IdentityStore, call: AccountCall): Promise<Account> {
  const known = await store.account(call.account)
  if (!known) throw accountNotFound(call.account)
  return known
}

function shownAccount(account: Account) {
  return {
    id: account.id,
    name: account.name,
    type: 'standard',
    settings: { enforce_twofactor: false },
    created_on: account.createdAt,
    // Ours: what the API of the platform tells at `/workers/subdomain` only.
    subdomain: account.subdomain,
  }
}

function shownToken(token: Token, now: number) {
  return {
    id: token.id,
    name: token.name,
    status: stateOf(token, now),
    permission: token.permission,
    account_id: token.account,
    issued_on: token.createdAt,
    expires_on: token.expiresAt,
    last_used_on: token.lastUsedAt,
  }
}
