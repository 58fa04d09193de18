import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import { nameLength, restBatch, restParams, restSqlBytes } from './limits.ts'

export const databaseId = z
  .uuid()
  .transform((id) => id.toLowerCase())
  .brand<'DatabaseId'>()
export type DatabaseId = z.output<typeof databaseId>

/** What a call of the binding names beside its bookmark: where a session begins. */
const constraints: readonly string[] = ['first-unconstrained', 'first-primary']
const bookmarkPattern = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/

export const bookmark = z.string().regex(bookmarkPattern)

/** Whether a session may begin so: a constraint, or a bookmark. */
export function isCommitToken(token: string): boolean {
  return constraints.includes(token) || bookmarkPattern.test(token)
}

/** An entry of upload metadata. An id that is not one is told by `admit`, in Cloudflare's words. */
export const d1Entry = z.object({
  type: z.literal('d1'),
  name: bindingName,
  id: z.string().max(255),
  /** Cloudflare's own; taken and given back. */
  internalEnv: z.string().max(255).exactOptional(),
})

/** What `wiring` says of a grant. */
export const d1Resource = z.object({ database: databaseId })

/** Letters, digits, and what stands between them: names are asked for in paths. */
const databaseName = z
  .string()
  .max(nameLength)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_. -]*$/)

export const jurisdiction = z.enum(['eu', 'fedramp', 'us'])
export const locationHint = z.enum(['wnam', 'enam', 'weur', 'eeur', 'apac', 'oc'])
const readReplication = z.object({ mode: z.enum(['auto', 'disabled']) })

export const newDatabaseBody = z.object({
  name: databaseName,
  /** Taken and shown as at Cloudflare; a server has one place. */
  primary_location_hint: locationHint.nullish(),
  jurisdiction: jurisdiction.nullish(),
  read_replication: readReplication.nullish(),
})
export const changeBody = z.object({ read_replication: readReplication })
export const partialChangeBody = z.object({ read_replication: readReplication.optional() })

const statement = z.object({
  sql: z.string().max(restSqlBytes),
  params: z.array(z.unknown()).max(restParams).nullish(),
})
export const queryBody = z.union([
  z.object({ batch: z.array(statement).min(1).max(restBatch) }),
  statement,
])
export type Query = z.output<typeof statement>

const etag = z.string().regex(/^[0-9a-f]{32}$/)
const filename = z.string().max(255)
export const importBody = z.discriminatedUnion('action', [
  z.object({ action: z.literal('init'), etag }),
  z.object({ action: z.literal('ingest'), etag, filename }),
  z.object({ action: z.literal('poll'), current_bookmark: z.string().max(255) }),
])

export const dumpOptions = z.object({
  no_schema: z.boolean().nullish(),
  no_data: z.boolean().nullish(),
  tables: z.array(z.string().max(1024)).max(10_000).nullish(),
  /** `sqlite3_cli_only` has virtual tables too, which only the shell of SQLite can read back. */
  compatibility: z.enum(['d1', 'sqlite3_cli_only']).nullish(),
})
export type DumpOptions = z.output<typeof dumpOptions>

export const exportBody = z.object({
  output_format: z.literal('polling'),
  current_bookmark: z.string().max(255).nullish(),
  dump_options: dumpOptions.nullish(),
})
