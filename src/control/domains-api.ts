import { z } from 'zod'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { workerName } from '#contract/ids.ts'
import { readJson } from './body.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import type { Domains } from './domains.ts'
import { environmentNotFound } from './errors.ts'
import * as limits from './limits.ts'
import type { Routes } from './routes.ts'
import type { ZoneStore } from './zone-store.ts'
import { shownDomain } from './zone-views.ts'

export type DomainsApiOptions = {
  readonly domains: Domains
  readonly routes: Routes
  readonly zoneStore: ZoneStore
}

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const script = '/workers/scripts/:worker'

/** What a Worker has in the zones of its account: `triggers deploy` sets it. */
export function domainRoutes(options: DomainsApiOptions): readonly AccountRoute[] {
  // The longer one first: `records` is no id of the shorter one.
  const roots = ['/workers/domains/records', '/workers/domains']
  const changeset = `${script}/domains/changeset`
  const records = `${script}/domains/records`
  return [
    { method: 'PUT', path: `${script}/routes`, permission: 'write', run: setRoutes(options) },
    { method: 'POST', path: changeset, permission: 'read', run: changes(options) },
    { method: 'PUT', path: records, permission: 'write', run: setDomains(options) },
    { method: 'PUT', path: '/workers/domains', permission: 'write', run: add(options) },
    ...roots.flatMap((root): readonly AccountRoute[] => [
      { method: 'GET', path: root, permission: 'read', run: list(options) },
      { method: 'GET', path: `${root}/:id`, permission: 'read', run: view(options) },
      { method: 'DELETE', path: `${root}/:id`, permission: 'write', run: remove(options) },
    ]),
  ]
}

const zoneName = { zone_id: z.string().nullish(), zone_name: z.string().nullish() }
const named = <Body extends z.output<z.ZodObject<typeof zoneName>>>({
  zone_id: id,
  zone_name: name,
  ...body
}: Body) => ({ ...body, zone_id: id ?? undefined, zone_name: name ?? undefined })

const routesBody = z
  .array(z.object({ pattern: z.string(), ...zoneName }).transform(named))
  .max(limits.routesPerZone)

function setRoutes({ routes }: DomainsApiOptions): Run {
  return async (call) => {
    const wanted = await readJson(call.request, routesBody)
    const stored = await routes.replace(keyOf(call), wanted)
    return succeed(stored.map(({ pattern }) => pattern))
  }
}

const domainBody = z.object({
  hostname: z.string(),
  ...zoneName,
  enabled: z.boolean().exactOptional(),
  previews_enabled: z.boolean().exactOptional(),
})
const domainsBody = z.array(domainBody.transform(named)).max(limits.domainsPerZone)

/** What `PUT .../domains/records` would change. `?replace_state=true`: others of the Worker go. */
function changes({ domains, zoneStore }: DomainsApiOptions): Run {
  return async (call) => {
    const wanted = await readJson(call.request, domainsBody)
    const { added, removed, updated } = await domains.changes(keyOf(call), wanted)
    const zones = await zoneStore.allZones()
    const replaces = call.url.searchParams.get('replace_state') === 'true'
    return succeed({
      added: added.map((each) => shownDomain(each, zones)),
      removed: replaces ? removed.map((each) => shownDomain(each, zones)) : [],
      updated: updated.map(({ domain, isModified }) => ({
        ...shownDomain(domain, zones),
        modified: isModified,
      })),
      // Records of DNS, of which there are none here.
      conflicting: [],
    })
  }
}

const recordsBody = z.object({
  override_existing_origin: z.boolean().default(false),
  origins: domainsBody,
})

function setDomains({ domains, zoneStore }: DomainsApiOptions): Run {
  return async (call) => {
    const body = await readJson(call.request, recordsBody)
    const takesOver = body.override_existing_origin
    const set = await domains.replace(keyOf(call), body.origins, { takesOver })
    const zones = await zoneStore.allZones()
    return succeed(set.map((each) => shownDomain(each, zones)))
  }
}

const addedBody = domainBody.extend({
  service: workerName,
  environment: z.string().default('production'),
  override_existing_origin: z.boolean().default(false),
})

function add({ domains, zoneStore }: DomainsApiOptions): Run {
  return async ({ account, request }) => {
    const {
      service,
      environment,
      override_existing_origin: takesOver,
      ...body
    } = await readJson(request, addedBody)
    if (environment !== 'production') throw environmentNotFound(environment)
    const added = await domains.add({ account, worker: service }, named(body), { takesOver })
    return succeed(shownDomain(added, await zoneStore.allZones()))
  }
}

const filters = ['hostname', 'service', 'zone_id', 'zone_name', 'environment'] as const

function list({ zoneStore }: DomainsApiOptions): Run {
  return async ({ account, url }) => {
    const zones = await zoneStore.allZones()
    const all = (await zoneStore.domains(account)).map((each) => shownDomain(each, zones))
    const found = all.filter((domain) =>
      filters.every((name) => {
        const asked = url.searchParams.get(name)
        return asked === null || asked === '' || asked === domain[name]
      }),
    )
    // wrangler counts from 0 here.
    const query = pageQuery(url, { perPage: 1_000, most: 1_000 })
    const page = found.slice(query.offset, query.offset + query.perPage)
    return succeed(page, pageInfo(query, page.length, found.length))
  }
}

function view({ domains, zoneStore }: DomainsApiOptions): Run {
  return async ({ account, param }) =>
    succeed(shownDomain(await domains.get(account, param('id')), await zoneStore.allZones()))
}

function remove({ domains }: DomainsApiOptions): Run {
  return async ({ account, param }) => {
    const domain = await domains.get(account, param('id'))
    await domains.remove(domain)
    return succeed({ id: domain.id })
  }
}
