import { z } from 'zod'
import { jsonValue } from '#contract/binding.ts'
import { succeed } from '#contract/envelope.ts'
import { workerName } from '#contract/ids.ts'
import type { Blob } from '#contract/ports/blob.ts'
import { readMetadata } from '#deploy/metadata.ts'
import { readUpload } from '#deploy/upload.ts'
import { readForm, readJson } from './body.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import { contentOf } from './content.ts'
import { noVersions, workerNameInvalid } from './errors.ts'
import type { Version } from './records.ts'
import type { Registry } from './registry.ts'
import { settingsBody, typesOf, workerLevelOf } from './settings.ts'
import { shownScript, shownScriptSettings, shownSettings } from './views.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'
import type { Workers } from './workers.ts'

export type WorkersApiOptions = {
  readonly workers: Workers
  readonly store: WorkerStore
  readonly registry: Registry
  readonly blob: Blob
  /** Where visitors reach a Worker. */
  readonly urlOf: (key: WorkerKey) => Promise<string>
  /** Where visitors reach a preview, by its name. */
  readonly previewUrlOf: (key: WorkerKey, name: string) => Promise<string>
}

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const root = '/workers/scripts'
const one = `${root}/:worker`

/** `/workers/scripts`: Workers as wrangler uploads and configures them. */
export function scriptRoutes(options: WorkersApiOptions): readonly AccountRoute[] {
  return [
    { method: 'GET', path: root, permission: 'read', run: list(options) },
    { method: 'GET', path: one, permission: 'read', run: content(options) },
    { method: 'PUT', path: one, permission: 'write', run: upload(options) },
    { method: 'DELETE', path: one, permission: 'write', run: remove(options) },
    { method: 'GET', path: `${one}/content/v2`, permission: 'read', run: content(options) },
    { method: 'PUT', path: `${one}/content`, permission: 'write', run: setContent(options) },
    { method: 'GET', path: `${one}/settings`, permission: 'read', run: settings(options) },
    { method: 'PATCH', path: `${one}/settings`, permission: 'write', run: setSettings(options) },
    { method: 'GET', path: `${one}/script-settings`, permission: 'read', run: own(options) },
    { method: 'PATCH', path: `${one}/script-settings`, permission: 'write', run: setOwn(options) },
    { method: 'GET', path: `${one}/subdomain`, permission: 'read', run: subdomain(options) },
    { method: 'POST', path: `${one}/subdomain`, permission: 'write', run: setSubdomain(options) },
    { method: 'DELETE', path: `${one}/subdomain`, permission: 'write', run: leave(options) },
    { method: 'GET', path: `${one}/references`, permission: 'read', run: references(options) },
  ]
}

function list({ store }: WorkersApiOptions): Run {
  return async ({ account }) => {
    const latest = new Map(
      (await store.latestVersions(account)).map((version) => [version.worker, version]),
    )
    const workers = await store.workers(account)
    return succeed(workers.map((worker) => shownScript(worker, latest.get(worker.name))))
  }
}

function upload({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    if (!workerName.safeParse(call.param('worker')).success) throw workerNameInvalid()
    const form = readUpload(await readForm(call.request))
    const change = {
      key: keyOf(call),
      author: call.author,
      annotations: { 'workers/triggered_by': 'upload' },
    }
    const isStrict = call.url.searchParams.get('bindings_inherit') === 'strict'
    const how = { isDeployed: true, isStrict }
    const { worker, version, reconciliation } = await workers.upload(change, form, how)
    return succeed({
      ...shownScript(worker, version),
      deployment_id: version.id,
      pipeline_hash: null,
      startup_time_ms: version.startupTimeMs,
      ...(reconciliation !== undefined && { exports_reconciliation: reconciliation }),
    })
  }
}

export function remove({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const isForced = call.url.searchParams.get('force') === 'true'
    await workers.remove(keyOf(call), { isForced })
    return succeed(null)
  }
}

/** The code of the newest version, or of the one that is asked for. */
export function content(options: WorkersApiOptions): Run {
  return async (call) => {
    const asked = call.url.searchParams.get('version')
    const version =
      asked === null
        ? await latestOf(options, call)
        : await options.workers.version(keyOf(call), asked)
    if (!version) throw noVersions()
    return contentOf(version, options.blob)
  }
}

/** Other code with the bindings and settings of the newest version. */
function setContent(options: WorkersApiOptions): Run {
  return async (call) => {
    const latest = await latestOf(options, call)
    if (!latest) throw noVersions()
    const form = readUpload(await readForm(call.request))
    const { compatibilityDate: date, compatibilityFlags: flags } = latest
    const { limits, placement } = latest.metadata
    const metadata = readMetadata({
      ...(limits !== undefined && { limits }),
      ...(placement !== undefined && { placement }),
      ...(date !== undefined && { compatibility_date: date }),
      compatibility_flags: flags,
      keep_bindings: typesOf(latest),
      keep_assets: latest.assets !== undefined,
    })
    const change = {
      key: keyOf(call),
      author: call.author,
      annotations: { 'workers/triggered_by': 'upload' },
    }
    const how = { isDeployed: true, isStrict: false }
    const { worker, version } = await options.workers.upload(change, { ...form, metadata }, how)
    return succeed(shownScript(worker, version))
  }
}

/** The newest version. Throws `workerNotFound`; nothing where the Worker has none. */
export async function latestOf(
  { workers, store }: WorkersApiOptions,
  call: AccountCall,
): Promise<Version | undefined> {
  await workers.get(keyOf(call))
  return store.latestVersion(keyOf(call))
}

export function settings({ workers, store, registry }: WorkersApiOptions): Run {
  return async (call) => {
    const worker = await workers.get(keyOf(call))
    const latest = await store.latestVersion(keyOf(call))
    return succeed(shownSettings({ worker, latest, registry }))
  }
}

/** Changes of bindings or of compatibility are another version, deployed; the rest is not. */
function setSettings(options: WorkersApiOptions): Run {
  return async (call) => {
    const { workers, store, registry } = options
    const key = keyOf(call)
    await workers.get(key)
    const body = await settingsBody(call.request)
    const change = {
      key,
      author: call.author,
      annotations: { ...body.annotations, 'workers/triggered_by': 'upload' },
    }
    if (body.isVersioned) await workers.amendAndDeploy(change, body.amended)
    const worker = await workers.configure(key, { settings: body.own })
    const latest = await store.latestVersion(key)
    return succeed(shownSettings({ worker, latest, registry }))
  }
}

function own({ workers }: WorkersApiOptions): Run {
  return async (call) => succeed(shownScriptSettings(await workers.get(keyOf(call))))
}

const anySettings = z.record(z.string(), jsonValue)

function setOwn({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const body = await readJson(call.request, anySettings)
    const worker = await workers.configure(keyOf(call), { settings: workerLevelOf(body) })
    return succeed(shownScriptSettings(worker))
  }
}

export function subdomain({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const { isOnSubdomain, hasPreviews } = await workers.get(keyOf(call))
    return succeed({ enabled: isOnSubdomain, previews_enabled: hasPreviews })
  }
}

const subdomainBody = z.object({
  enabled: z.boolean(),
  previews_enabled: z.boolean().exactOptional(),
})

/** Since this date an absent `previews_enabled` means the same as `enabled`. */
const previewsFollowSince = '2025-08-01'

export function setSubdomain({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const body = await readJson(call.request, subdomainBody)
    const date = call.request.headers.get('cloudflare-workers-script-api-date') ?? ''
    const hasPreviews =
      body.previews_enabled ?? (date >= previewsFollowSince ? body.enabled : undefined)
    const worker = await workers.configure(keyOf(call), {
      isOnSubdomain: body.enabled,
      ...(hasPreviews !== undefined && { hasPreviews }),
    })
    return succeed({ enabled: worker.isOnSubdomain, previews_enabled: worker.hasPreviews })
  }
}

function leave({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    await workers.configure(keyOf(call), { isOnSubdomain: false, hasPreviews: false })
    return succeed({ enabled: false, previews_enabled: false })
  }
}

function references({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    await workers.get(keyOf(call))
    const { incoming, outgoing, objects } = await workers.references(keyOf(call))
    return succeed({
      services: {
        incoming: services(incoming),
        outgoing: services(outgoing),
        pages_function: false,
      },
      durable_objects: objects.flatMap(({ id, className, workers: bound }) =>
        services(bound).map((each) => ({
          ...each,
          durable_object_namespace_id: id,
          durable_object_namespace_name: `${call.param('worker')}_${className}`,
        })),
      ),
      dispatch_outbounds: [],
    })
  }
}

function services(names: readonly string[]): readonly object[] {
  return names.map((name) => ({ name, service: name, environment: 'production' }))
}
