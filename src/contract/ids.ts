import { z } from 'zod'

// Ids are branded by the schema that reads them: no other string passes for one, and no `as` is
// needed to make one. An id never carries authority; tokens and capabilities do.

/** An account: 32 hex digits, as Cloudflare's. */
export const accountId = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .brand<'AccountId'>()
export type AccountId = z.output<typeof accountId>

/**
 * The name of a Worker, unique within its account. It is a DNS label, because it becomes one:
 * wrangler refuses other names, and 63 octets is the limit of a label (RFC 1035 §2.3.4).
 */
export const workerName = z
  .string()
  .regex(/^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/)
  .brand<'WorkerName'>()
export type WorkerName = z.output<typeof workerName>

/** One immutable upload of a Worker. A UUID, the same in API answers and in `env`. */
export const versionId = z.uuid().brand<'VersionId'>()
export type VersionId = z.output<typeof versionId>

/**
 * A namespace of Durable Objects: 32 hex digits, random, and kept for as long as there are objects
 * in it, because their ids follow from it (it is workerd's `uniqueKey`).
 */
export const objectNamespaceId = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .brand<'ObjectNamespaceId'>()
export type ObjectNamespaceId = z.output<typeof objectNamespaceId>

/** A Durable Object: 64 hex digits, as workerd makes them. */
export const objectId = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .brand<'ObjectId'>()
export type ObjectId = z.output<typeof objectId>

/** A key of the `Blob` port: 32 to 64 hex digits, chosen by us and never by a user. */
export const blobKey = z
  .string()
  .regex(/^[0-9a-f]{32,64}$/)
  .brand<'BlobKey'>()
export type BlobKey = z.output<typeof blobKey>
