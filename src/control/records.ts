import { z } from 'zod'
import { bindingName, jsonValue } from '#contract/binding.ts'
import type { Module, WorkerExports } from '#contract/cell.ts'
import { accountId, blobKey, versionId, workerName } from '#contract/ids.ts'

// What control keeps, and how it is read back from the database.

export const accountRecord = z.object({
  id: accountId,
  name: z.string(),
  subdomain: z.string(),
  /** Its Workers answer at `<worker>.<domain>` as well. */
  isFirst: z.boolean(),
  createdAt: z.string(),
})
export type Account = Readonly<z.output<typeof accountRecord>>

/** What a token allows: each includes those after it. */
export const permission = z.enum(['admin', 'write', 'read'])
export type Permission = z.output<typeof permission>

export const tokenRecord = z.object({
  id: z.string(),
  hash: z.instanceof(Uint8Array),
  /** `null`: all accounts. */
  account: accountId.nullable(),
  permission,
  name: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
  lastUsedAt: z.string().nullable(),
})
export type Token = Readonly<z.output<typeof tokenRecord>>

/** Settings that belong to a Worker and to no version. Unknown ones are kept. */
export const workerSettings = z
  .object({
    tags: z.array(z.string()).nullable().default([]),
    logpush: z.boolean().default(false),
    tail_consumers: z.array(jsonValue).nullable().default([]),
    observability: z.record(z.string(), jsonValue).default({ enabled: false }),
  })
  .catchall(jsonValue)
export type WorkerSettings = Readonly<z.output<typeof workerSettings>>

export const workerRecord = z.object({
  account: accountId,
  name: workerName,
  /** A random id that stays when everything else changes. */
  tag: z.string(),
  createdAt: z.string(),
  modifiedAt: z.string(),
  isOnSubdomain: z.boolean(),
  hasPreviews: z.boolean(),
  settings: workerSettings,
  /** Of the Durable Object migration that was applied last. Written with classes, not with this. */
  migrationTag: z.string().nullable(),
})
export type Worker = Readonly<z.output<typeof workerRecord>>

const handlers = z.array(z.string())

const exportsRecord = z.object({
  hasDefault: z.boolean(),
  handlers,
  named: z.array(
    z.object({
      name: z.string(),
      type: z.enum(['entrypoint', 'durable-object', 'workflow', 'handler', 'other']),
      handlers,
    }),
  ),
})

const entry = z.object({ type: z.string(), name: bindingName }).catchall(jsonValue)

/** Where an upload came from: shown by the API, and asked for by wrangler. */
export const source = z.enum(['wrangler', 'api', 'dash', 'terraform'])
export type Source = z.output<typeof source>

const author = { authorId: z.string(), authorEmail: z.string(), source }

/** Who did it, with what. */
export type Author = {
  readonly authorId: string
  readonly authorEmail: string
  readonly source: Source
}

/** The JSON column of a version. */
export const versionBody = z.object({
  ...author,
  annotations: z.record(z.string(), z.string()),
  /** As uploaded, without bindings. */
  metadata: z.record(z.string(), jsonValue),
  /** As admitted: secrets are sealed. */
  bindings: z.array(entry),
  format: z.enum(['modules', 'service-worker']),
  mainModule: z.string(),
  modules: z.array(
    z.object({
      name: z.string(),
      type: z.enum(['esModule', 'commonJsModule', 'text', 'data', 'wasm', 'json']),
      key: blobKey,
      size: z.int(),
    }),
  ),
  /** The files, and whether there is code beside them. */
  assets: z
    .object({
      manifest: blobKey,
      config: z.record(z.string(), jsonValue),
      hasWorker: z.boolean(),
    })
    .exactOptional(),
  compatibilityDate: z.string().exactOptional(),
  compatibilityFlags: z.array(z.string()),
  exports: exportsRecord,
  startupTimeMs: z.number(),
  /** SHA-256 of the code, as hex digits. */
  etag: z.string(),
})
export type VersionBody = Readonly<Omit<z.output<typeof versionBody>, 'modules' | 'exports'>> & {
  readonly modules: readonly Module[]
  readonly exports: WorkerExports
}

export type Version = VersionBody & {
  readonly id: z.output<typeof versionId>
  readonly account: z.output<typeof accountId>
  readonly worker: z.output<typeof workerName>
  /** 1, 2, 3 ... for each Worker. */
  readonly number: number
  readonly createdAt: string
}

/** One version's share of a deployment. The shares add up to 100. */
export type Share = { readonly versionId: Version['id']; readonly percentage: number }

/** The JSON column of a deployment. */
export const deploymentBody = z.object({
  ...author,
  annotations: z.record(z.string(), z.string()),
  versions: z.array(z.object({ versionId, percentage: z.number() })),
})
export type DeploymentBody = Readonly<z.output<typeof deploymentBody>>

export type Deployment = DeploymentBody & {
  readonly id: string
  readonly account: Worker['account']
  readonly worker: Worker['name']
  readonly createdAt: string
}
