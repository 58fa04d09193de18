import { z } from 'zod'
import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import { versionId } from '#contract/ids.ts'
import { messageLength } from '#deploy/limits.ts'
import { readUpload } from '#deploy/upload.ts'
import { readForm, readJson } from './body.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import { deploymentInvalid, deploymentNotFound, versionNotFound } from './errors.ts'
import * as limits from './limits.ts'
import type { Share } from './records.ts'
import type { WorkersApiOptions } from './scripts-api.ts'
import { shownDeployment, shownVersion } from './views.ts'

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const one = '/workers/scripts/:worker'

/** Versions of a Worker, and which of them run. */
export function versionRoutes(options: WorkersApiOptions): readonly AccountRoute[] {
  const versions = `${one}/versions`
  const deployments = `${one}/deployments`
  return [
    { method: 'GET', path: versions, permission: 'read', run: list(options) },
    { method: 'POST', path: versions, permission: 'write', run: upload(options) },
    { method: 'GET', path: `${versions}/:version`, permission: 'read', run: view(options) },
    { method: 'GET', path: deployments, permission: 'read', run: listDeployments(options) },
    { method: 'POST', path: deployments, permission: 'write', run: deploy(options) },
    { method: 'GET', path: `${deployments}/:id`, permission: 'read', run: viewDeployment(options) },
  ]
}

/** All of them, newest first, unless pages are asked for: clients go on until one is empty. */
function list({ workers, store, registry }: WorkersApiOptions): Run {
  return async (call) => {
    const worker = await workers.get(keyOf(call))
    const most = limits.versionsPerWorker
    const query = pageQuery(call.url, { perPage: most, most })
    const range = { offset: query.offset, limit: query.perPage }
    const { items, total } = await store.versions(keyOf(call), range)
    const shown = items.map((version) => shownVersion(worker, version, registry))
    return succeed({ items: shown }, pageInfo(query, shown.length, total))
  }
}

function upload({ workers, registry }: WorkersApiOptions): Run {
  return async (call) => {
    const worker = await workers.get(keyOf(call))
    const form = readUpload(await readForm(call.request))
    const change = {
      key: keyOf(call),
      author: call.author,
      annotations: { 'workers/triggered_by': 'version_upload' },
    }
    const isStrict = call.url.searchParams.get('bindings_inherit') === 'strict'
    const { version } = await workers.upload(change, form, { isDeployed: false, isStrict })
    return succeed(shownVersion(worker, version, registry))
  }
}

function view({ workers, registry }: WorkersApiOptions): Run {
  return async (call) => {
    const worker = await workers.get(keyOf(call))
    const version = await workers.version(keyOf(call), call.param('version'))
    return succeed(shownVersion(worker, version, registry))
  }
}

/** Newest first: clients take the first for the current one. */
function listDeployments({ workers, store }: WorkersApiOptions): Run {
  return async (call) => {
    await workers.get(keyOf(call))
    const deployments = await store.deployments(keyOf(call))
    return succeed({ deployments: deployments.map(shownDeployment) })
  }
}

function viewDeployment({ workers, store }: WorkersApiOptions): Run {
  return async (call) => {
    await workers.get(keyOf(call))
    const id = call.param('id')
    const found = (await store.deployments(keyOf(call))).find((each) => each.id === id)
    if (!found) throw deploymentNotFound(id)
    return succeed(shownDeployment(found))
  }
}

const deploymentBody = z.object({
  strategy: z.literal('percentage').default('percentage'),
  versions: z.array(z.object({ version_id: z.string(), percentage: z.number().min(0).max(100) })),
  annotations: z.record(z.string(), z.string().max(messageLength)).nullish(),
})

function deploy({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const body = await readJson(call.request, deploymentBody)
    const change = {
      key: keyOf(call),
      author: call.author,
      annotations: body.annotations ?? {},
    }
    const isForced = call.url.searchParams.get('force') === 'true'
    const deployment = await workers.deploy(change, sharesOf(body), { isForced })
    return succeed(shownDeployment(deployment))
  }
}

/** A sum of fractions is allowed to miss 100 by so much. */
const tolerance = 1e-6

function sharesOf({ versions }: z.output<typeof deploymentBody>): readonly Share[] {
  const most = limits.versionsPerDeployment
  if (versions.length === 0 || versions.length > most) {
    throw deploymentInvalid(`A deployment has 1 to ${most} versions.`)
  }
  if (new Set(versions.map(({ version_id: id }) => id)).size < versions.length) {
    throw deploymentInvalid('A deployment names each version once.')
  }
  const sum = versions.reduce((total, { percentage }) => total + percentage, 0)
  if (Math.abs(sum - 100) > tolerance) {
    throw deploymentInvalid(`The percentages of a deployment add up to 100, not to ${sum}.`)
  }
  return versions.map(({ version_id: id, percentage }) => {
    const parsed = versionId.safeParse(id)
    if (!parsed.success) throw versionNotFound(id.slice(0, 100))
    return { versionId: parsed.data, percentage }
  })
}
