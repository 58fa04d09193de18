import { succeed } from '#contract/envelope.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import { workerNotFound } from './errors.ts'
import * as scripts from './scripts-api.ts'
import type { WorkersApiOptions } from './scripts-api.ts'
import * as secrets from './secrets-api.ts'
import { shownScript } from './views.ts'
import type { ZoneStore } from './zone-store.ts'
import { shownRoute } from './zone-views.ts'

export type ServicesApiOptions = WorkersApiOptions & { readonly zoneStore: ZoneStore }

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const root = '/workers/services/:worker'
const environment = `${root}/environments/:environment`

/** The one environment that every Worker has. Others are Workers of their own, `<name>-<environment>`. */
const production = 'production'

/** `/workers/services`: the oldest half of the API, in which a Worker has environments. */
export function serviceRoutes(options: ServicesApiOptions): readonly AccountRoute[] {
  return [
    { method: 'GET', path: root, permission: 'read', run: service(options) },
    { method: 'DELETE', path: root, permission: 'write', run: scripts.remove(options) },
    inProduction('', environmentOf(options)),
    inProduction('/bindings', bindings(options)),
    inProduction('/content', scripts.content(options)),
    inProduction('/content/v2', scripts.content(options)),
    inProduction('/settings', scripts.settings(options)),
    inProduction('/secrets', secrets.list(options)),
    inProduction('/subdomain', scripts.subdomain(options)),
    inProduction('/routes', routes(options)),
  ]
}

function inProduction(path: string, run: Run): AccountRoute {
  const ofProduction: Run = async (call) => {
    if (call.param('environment') !== production) throw workerNotFound()
    return run(call)
  }
  return { method: 'GET', path: environment + path, permission: 'read', run: ofProduction }
}

function service({ workers, store }: WorkersApiOptions): Run {
  return async (call) => {
    const worker = await workers.get(keyOf(call))
    const times = { created_on: worker.createdAt, modified_on: worker.modifiedAt }
    const script = shownScript(worker, await store.latestVersion(keyOf(call)))
    return succeed({
      id: worker.name,
      ...times,
      default_environment: { environment: production, ...times, script },
      environments: [{ environment: production, ...times }],
    })
  }
}

function environmentOf({ workers, store }: WorkersApiOptions): Run {
  return async (call) => {
    const worker = await workers.get(keyOf(call))
    const script = shownScript(worker, await store.latestVersion(keyOf(call)))
    return succeed({ environment: production, script })
  }
}

function bindings(options: WorkersApiOptions): Run {
  return async (call) => {
    const latest = await scripts.latestOf(options, call)
    return succeed(latest?.bindings.map((stored) => options.registry.reveal(stored)) ?? [])
  }
}

/** `?show_zonename=true` is what everybody asks for, so it is what everybody gets. */
function routes({ workers, zoneStore }: ServicesApiOptions): Run {
  return async (call) => {
    await workers.get(keyOf(call))
    const zones = new Map((await zoneStore.allZones()).map(({ id, name }) => [id, name]))
    const own = await zoneStore.routesOf(keyOf(call))
    return succeed(own.map((route) => ({ ...shownRoute(route), zone_name: zones.get(route.zone) })))
  }
}
