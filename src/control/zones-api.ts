import { z } from 'zod'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { accountId, workerName } from '#contract/ids.ts'
import { readJson } from './body.ts'
import type { AccountCall, Route } from './call.ts'
import { accountNotFound, zoneNotFound } from './errors.ts'
import type { IdentityStore } from './identity-store.ts'
import type { Routes } from './routes.ts'
import { demandAccount } from './tokens.ts'
import type { Zone, ZoneStore } from './zone-store.ts'
import { type Shown, shownRoute, shownZone } from './zone-views.ts'
import type { Zones } from './zones.ts'

export type ZonesApiOptions = {
  readonly zones: Zones
  readonly routes: Routes
  readonly zoneStore: ZoneStore
  readonly identityStore: IdentityStore
}

/** A call below `/zones/:zone`, of an account that its token is good for. */
type ZoneCall = AccountCall & { readonly zone: Zone }

const one = '/zones/:zone'

/** `/zones`: the hosts that the operator has given to accounts, and the routes in them. */
export function zoneRoutes(options: ZonesApiOptions): readonly Route[] {
  const inZone = (run: (call: ZoneCall) => Promise<Response>) => inZoneOf(options, run)
  const routes = `${one}/workers/routes`
  const route = `${routes}/:route`
  return [
    { method: 'GET', path: '/zones', permission: 'read', run: list(options) },
    { method: 'POST', path: '/zones', permission: 'admin', run: add(options) },
    { method: 'GET', path: one, permission: 'read', run: inZone(view(options)) },
    { method: 'DELETE', path: one, permission: 'admin', run: inZone(remove(options)) },
    { method: 'GET', path: routes, permission: 'read', run: inZone(listRoutes(options)) },
    { method: 'POST', path: routes, permission: 'write', run: inZone(putRoute(options)) },
    { method: 'GET', path: route, permission: 'read', run: inZone(viewRoute(options)) },
    { method: 'PUT', path: route, permission: 'write', run: inZone(putRoute(options)) },
    { method: 'DELETE', path: route, permission: 'write', run: inZone(removeRoute(options)) },
  ]
}

/** Finds the zone. One of an account that the token is not good for is as none. */
function inZoneOf(
  { zoneStore }: ZonesApiOptions,
  run: (call: ZoneCall) => Promise<Response>,
): Route['run'] {
  return async (call) => {
    const zone = await zoneStore.zone(call.param('zone'))
    const { account: own } = call.token
    if (!zone || (own !== null && own !== zone.account)) throw zoneNotFound()
    return run({ ...call, account: zone.account, zone })
  }
}

/** `?name=`, `?account.id=` and pages. */
function list(options: ZonesApiOptions): Route['run'] {
  return async ({ url, token }) => {
    const name = url.searchParams.get('name')?.toLowerCase() ?? null
    const account = url.searchParams.get('account.id')
    const found = (await options.zoneStore.allZones()).filter(
      (zone) =>
        (token.account === null || token.account === zone.account) &&
        (account === null || account === zone.account) &&
        (name === null || name === zone.name),
    )
    const query = pageQuery(url, { perPage: 20, most: 1_000 })
    const page = found.slice(query.offset, query.offset + query.perPage)
    const rows = await Promise.all(page.map((zone) => shown(options, zone)))
    return succeed(rows, pageInfo(query, rows.length, found.length))
  }
}

const zoneBody = z.object({
  name: z.string().min(1).max(1_000),
  account: z.object({ id: accountId }),
})

function add(options: ZonesApiOptions): Route['run'] {
  return async (call) => {
    const { name, account } = await readJson(call.request, zoneBody)
    demandAccount(call.token, account.id)
    if (!(await options.identityStore.account(account.id))) throw accountNotFound(account.id)
    return succeed(await shown(options, await options.zones.add(account.id, name)))
  }
}

function view(options: ZonesApiOptions) {
  return async ({ zone }: ZoneCall) => succeed(await shown(options, zone))
}

function remove({ zones }: ZonesApiOptions) {
  return async ({ zone }: ZoneCall) => {
    await zones.remove(zone)
    return succeed({ id: zone.id })
  }
}

async function shown({ identityStore }: ZonesApiOptions, zone: Zone): Promise<Shown> {
  const account = await identityStore.account(zone.account)
  return shownZone(zone, account?.name ?? '')
}

function listRoutes({ zoneStore }: ZonesApiOptions) {
  return async ({ zone }: ZoneCall) => succeed((await zoneStore.routesIn(zone)).map(shownRoute))
}

function viewRoute({ routes }: ZonesApiOptions) {
  return async ({ zone, param }: ZoneCall) =>
    succeed(shownRoute(await routes.get(zone, param('route'))))
}

const routeBody = z.object({
  pattern: z.string(),
  /** Without it, or with an empty one, no Worker runs where the pattern matches. */
  script: z
    .union([workerName, z.literal('')])
    .nullish()
    .transform((name) => name || null),
})

/** Adds a route, or changes the one that the path names. */
function putRoute({ routes }: ZonesApiOptions) {
  return async (call: ZoneCall) => {
    const { zone } = call
    const id = call.param('route')
    const before = id === '' ? undefined : await routes.get(zone, id)
    const { pattern, script: worker } = await readJson(call.request, routeBody)
    return succeed(shownRoute(await routes.put(zone, { pattern, worker }, before)))
  }
}

function removeRoute({ routes }: ZonesApiOptions) {
  return async ({ zone, param }: ZoneCall) => {
    const route = await routes.get(zone, param('route'))
    await routes.remove(route)
    return succeed({ id: route.id })
  }
}
