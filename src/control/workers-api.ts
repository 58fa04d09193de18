import { z } from 'zod'
import { jsonValue } from '#contract/binding.ts'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { workerName } from '#contract/ids.ts'
import { uploadBytes, uploadParts } from '#deploy/limits.ts'
import { previewPrefix } from '#deploy/preview.ts'
import { readUpload } from '#deploy/upload.ts'
import { readJson } from './body.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import { modulesAsJson, partOfJson } from './content.ts'
import { bodyInvalid, noVersions } from './errors.ts'
import * as limits from './limits.ts'
import { hasPreview } from './previews.ts'
import { type Version, type Worker, workerSettings } from './records.ts'
import { latestOf, remove, type WorkersApiOptions } from './scripts-api.ts'
import { workerLevelOf } from './settings.ts'
import { type Shown, shownWorker, shownWorkerVersion } from './views.ts'

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const root = '/workers/workers'
const one = `${root}/:worker`

/**
 * `/workers/workers`: the newest half of the API. A Worker goes by its name or by its id there, and
 * a version is JSON. `versions/latest` is in `secrets-api.ts`, whose clients it has.
 */
export function workerRoutes(options: WorkersApiOptions): readonly AccountRoute[] {
  const versions = `${one}/versions`
  const named = (run: Run): Run => byNameOrId(options, run)
  return [
    { method: 'GET', path: root, permission: 'read', run: list(options) },
    { method: 'POST', path: root, permission: 'write', run: create(options) },
    { method: 'GET', path: one, permission: 'read', run: named(get(options)) },
    { method: 'PATCH', path: one, permission: 'write', run: named(configure(options)) },
    { method: 'PUT', path: one, permission: 'write', run: named(replace(options)) },
    { method: 'DELETE', path: one, permission: 'write', run: named(remove(options)) },
    { method: 'GET', path: versions, permission: 'read', run: named(listVersions(options)) },
    { method: 'POST', path: versions, permission: 'write', run: named(upload(options)) },
    {
      method: 'GET',
      path: `${versions}/:version`,
      permission: 'read',
      run: named(getVersion(options)),
    },
  ]
}

/** Puts the name in the place of an id. */
function byNameOrId({ store }: WorkersApiOptions, run: Run): Run {
  return async (call) => {
    const text = call.param('worker')
    const found = await store.byTag(call.account, text)
    if (!found) return run(call)
    return run({ ...call, param: (name) => (name === 'worker' ? found.name : call.param(name)) })
  }
}

async function shown(options: WorkersApiOptions, worker: Worker): Promise<object> {
  const key = { account: worker.account, worker: worker.name }
  const url = await options.urlOf(key)
  // Clients put a name before it, and https:// before that.
  const previewSuffix = (await options.previewUrlOf(key, '')).replace(/^https?:\/\//, '')
  return shownWorker(worker, { url, previewSuffix })
}

/** A version with the place where visitors reach it, if it has one. */
export async function shownWithUrls(
  { workers, registry, previewUrlOf }: WorkersApiOptions,
  version: Version,
): Promise<Shown> {
  const key = { account: version.account, worker: version.worker }
  const isReachable = hasPreview(await workers.get(key), version)
  const url = await previewUrlOf(key, previewPrefix(version.id))
  return shownWorkerVersion(version, registry, isReachable ? [url] : [])
}

function list(options: WorkersApiOptions): Run {
  return async ({ account, url }) => {
    const workers = await options.store.workers(account)
    const query = pageQuery(url, { perPage: 20, most: limits.workersPerAccount })
    const page = workers.slice(query.offset, query.offset + query.perPage)
    const rows = await Promise.all(page.map((worker) => shown(options, worker)))
    return succeed(rows, pageInfo(query, rows.length, workers.length))
  }
}

const workerBody = z
  .object({
    subdomain: z
      .object({
        enabled: z.boolean().exactOptional(),
        previews_enabled: z.boolean().exactOptional(),
      })
      .exactOptional(),
  })
  .catchall(jsonValue)

const newWorkerBody = workerBody.extend({ name: workerName })

function create(options: WorkersApiOptions): Run {
  return async (call) => {
    const body = await readJson(call.request, newWorkerBody)
    const key = { account: call.account, worker: body.name }
    await options.workers.create(key)
    return succeed(await shown(options, await options.workers.configure(key, changedBy(body))))
  }
}

function get(options: WorkersApiOptions): Run {
  return async (call) => succeed(await shown(options, await options.workers.get(keyOf(call))))
}

function configure(options: WorkersApiOptions): Run {
  return async (call) => {
    const body = await readNamed(call)
    return succeed(
      await shown(options, await options.workers.configure(keyOf(call), changedBy(body))),
    )
  }
}

/** Reads what a Worker is to be. One that has another name is not silently the old one. */
async function readNamed(call: AccountCall): Promise<z.output<typeof workerBody>> {
  const body = await readJson(call.request, workerBody)
  if (body['name'] !== undefined && body['name'] !== call.param('worker')) {
    throw bodyInvalid('a Worker cannot be renamed here: deploy it under its new name')
  }
  return body
}

/** What is not said is as in a new Worker. */
function replace(options: WorkersApiOptions): Run {
  return async (call) => {
    const changed = changedBy(await readNamed(call))
    const worker = await options.workers.configure(keyOf(call), {
      isOnSubdomain: false,
      hasPreviews: false,
      ...changed,
      settings: workerSettings.parse(changed.settings),
    })
    return succeed(await shown(options, worker))
  }
}

function changedBy({ subdomain = {}, ...settings }: z.output<typeof workerBody>) {
  const { enabled, previews_enabled: previews } = subdomain
  return {
    ...(enabled !== undefined && { isOnSubdomain: enabled }),
    ...(previews !== undefined && { hasPreviews: previews }),
    settings: workerLevelOf(settings),
  }
}

function listVersions(options: WorkersApiOptions): Run {
  return async (call) => {
    const { workers, store } = options
    await workers.get(keyOf(call))
    const query = pageQuery(call.url, { perPage: 10, most: limits.versionsPerWorker })
    const range = { offset: query.offset, limit: query.perPage }
    const { items, total } = await store.versions(keyOf(call), range)
    const rows = await Promise.all(items.map((version) => shownWithUrls(options, version)))
    return succeed(rows, pageInfo(query, rows.length, total))
  }
}

/** `versions/latest` is the newest one. `?include=modules` shows the code as well. */
function getVersion(options: WorkersApiOptions): Run {
  return async (call) => {
    const asked = call.param('version')
    const version =
      asked === 'latest'
        ? await latestOf(options, call)
        : await options.workers.version(keyOf(call), asked)
    if (!version) throw noVersions()
    const isWhole = call.url.searchParams.get('include') === 'modules'
    return succeed({
      ...(await shownWithUrls(options, version)),
      ...(isWhole && { modules: await modulesAsJson(version, options.blob) }),
    })
  }
}

/** What is not modules is metadata: `readUpload` bounds it before it looks into it. */
const versionBody = z.looseObject({
  modules: z
    .array(
      z.object({
        name: z.string(),
        content_type: z.string(),
        content_base64: z.base64(),
      }),
    )
    .max(uploadParts)
    .default([]),
})

/** A version whose modules are in the JSON. `?deploy=true` gives it all traffic. */
function upload(options: WorkersApiOptions): Run {
  return async (call) => {
    const { workers } = options
    await workers.get(keyOf(call))
    const { modules, ...metadata } = await readJson(call.request, versionBody, uploadBytes)
    const bytes = new TextEncoder().encode(JSON.stringify(metadata))
    const form = readUpload([
      { name: 'metadata', type: 'application/json', bytes },
      ...modules.map(partOfJson),
    ])
    const change = {
      key: keyOf(call),
      author: call.author,
      annotations: { 'workers/triggered_by': 'version_upload' },
    }
    const isDeployed = call.url.searchParams.get('deploy') === 'true'
    const { version } = await workers.upload(change, form, { isDeployed, isStrict: false })
    return succeed(await shownWithUrls(options, version))
  }
}
