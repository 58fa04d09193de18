import { z } from 'zod'
import { bindingName, jsonValue } from '#contract/binding.ts'
import { succeed } from '#contract/envelope.ts'
import type { Json } from '#contract/json.ts'
import { readJson } from './body.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import { bodyInvalid, nameTaken, secretNotFound } from './errors.ts'
import * as limits from './limits.ts'
import type { Version } from './records.ts'
import { latestOf, type WorkersApiOptions } from './scripts-api.ts'
import { typesOf } from './settings.ts'
import { shownWithUrls } from './workers-api.ts'
import type { Amended, Change } from './workers.ts'

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const scripts = '/workers/scripts/:worker'
const latest = '/workers/workers/:worker/versions/latest'

/** Secrets of a Worker. Setting one makes a version; only the newest deployed one can be changed. */
export function secretRoutes(options: WorkersApiOptions): readonly AccountRoute[] {
  const secrets = `${scripts}/secrets`
  return [
    { method: 'GET', path: secrets, permission: 'read', run: list(options) },
    { method: 'PUT', path: secrets, permission: 'write', run: put(options) },
    { method: 'GET', path: `${secrets}/:name`, permission: 'read', run: view(options) },
    { method: 'DELETE', path: `${secrets}/:name`, permission: 'write', run: remove(options) },
    { method: 'PATCH', path: `${scripts}/secrets-bulk`, permission: 'write', run: bulk(options) },
    { method: 'PATCH', path: latest, permission: 'write', run: patchLatest(options) },
  ]
}

const secretTypes = ['secret_text', 'secret_key'] as const
const secretBody = z
  .object({ name: bindingName, type: z.enum(secretTypes).default('secret_text') })
  .catchall(jsonValue)

export function list(options: WorkersApiOptions): Run {
  return async (call) => succeed(secretsOf(await latestOf(options, call)))
}

function view(options: WorkersApiOptions): Run {
  return async (call) => {
    const name = call.param('name')
    const found = secretsOf(await latestOf(options, call)).find((each) => each.name === name)
    if (!found) throw secretNotFound(name)
    return succeed(found)
  }
}

export function put({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const secret = await readJson(call.request, secretBody)
    await workers.amendAndDeploy(changeOf(call), amendedBy([secret], []))
    return succeed({ name: secret.name, type: secret.type })
  }
}

function remove({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const name = call.param('name')
    await workers.amendAndDeploy(changeOf(call), (version) => {
      if (!secretsOf(version).some((each) => each.name === name)) throw secretNotFound(name)
      return amendedBy([], [name])(version)
    })
    return succeed(null)
  }
}

const bulkBody = z.object({
  secrets: z.record(bindingName, secretBody.partial({ name: true }).nullable()),
})

/** A merge patch: values are set, `null` removes. */
function bulk({ workers }: WorkersApiOptions): Run {
  return async (call) => {
    const { secrets } = await readJson(call.request, bulkBody)
    const [set, removed] = split(secrets)
    await workers.amendAndDeploy(changeOf(call), amendedBy(set, removed))
    return succeed(set.map(({ name, type }) => ({ name, type })))
  }
}

const patchBody = z.object({
  env: z
    .record(
      bindingName,
      z
        .object({ type: z.string().max(100) })
        .catchall(jsonValue)
        .nullable(),
    )
    .default({}),
  annotations: z.record(z.string(), z.string().max(1_000)).default({}),
})

/** What `versions secret` does: another version of the newest one's code, not deployed. */
function patchLatest(options: WorkersApiOptions): Run {
  return async (call) => {
    const { env, annotations } = await readJson(call.request, patchBody)
    const [set, removed] = split(env)
    const change = changeOf(call)
    const version = await options.workers.amend(
      { ...change, annotations: { ...annotations, ...change.annotations } },
      (previous) => ({ entries: set, keep: typesOf(previous), dropped: removed }),
    )
    return succeed(await shownWithUrls(options, version))
  }
}

type Named = { readonly name: string; readonly type: string } & Readonly<Record<string, Json>>

/** What a merge patch sets, and the names that it removes. */
function split(
  patch: Readonly<Record<string, { readonly type: string; readonly [key: string]: Json } | null>>,
): readonly [readonly Named[], readonly string[]] {
  const entries = Object.entries(patch)
  if (entries.length > limits.secretsPerCall) {
    throw bodyInvalid(`more than ${limits.secretsPerCall} secrets in one call`)
  }
  const set = entries.flatMap(([name, value]) => (value ? [{ ...value, name }] : []))
  return [set, entries.flatMap(([name, value]) => (value ? [] : [name]))]
}

function amendedBy(set: readonly Named[], removed: readonly string[]): (v: Version) => Amended {
  return (version) => {
    for (const { name } of set) {
      const known = version.bindings.find((each) => each.name === name)
      if (known && !isSecret(known)) throw nameTaken(name)
    }
    const dropped = secretsOf(version).filter(({ name }) => removed.includes(name))
    return { entries: set, keep: typesOf(version), dropped: dropped.map(({ name }) => name) }
  }
}

function secretsOf(version: Version | undefined) {
  return version?.bindings.filter(isSecret).map(({ name, type }) => ({ name, type })) ?? []
}

function isSecret({ type }: { readonly type: string }): boolean {
  return secretTypes.some((each) => each === type)
}

function changeOf(call: AccountCall): Change {
  return {
    key: keyOf(call),
    author: call.author,
    annotations: { 'workers/triggered_by': 'secret' },
  }
}
