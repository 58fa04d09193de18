import type { z } from 'zod'
import type { Caller } from '#contract/binding.ts'
import type { QueuePort } from '#contract/queues.ts'
import type { ZoneOwner } from '#contract/snapshot.ts'
import type { Parts } from './parts.ts'
import type { Bucket } from './records.ts'
import type { Jurisdiction } from './schema.ts'

export type ApiOptions = Parts & {
  /** Where notifications go; absent until everything is back, or where there are no queues. */
  readonly queues: () => QueuePort | undefined
  /** Whose a host is; nobody's until everything is back. */
  readonly ownerOf: (host: string) => ZoneOwner | undefined
  /** Where visitors reach a public bucket, by the label that it has; absent until that is known. */
  readonly publicHost: (publicId: string) => string
}

/** A call of the REST API. */
export type Operation = {
  readonly request: Request
  readonly url: URL
  readonly caller: Caller
  readonly jurisdiction: Jurisdiction
  /** The JSON body, read by a schema. Throws an `ApiError`. */
  readonly body: <Schema extends z.ZodType>(schema: Schema) => Promise<z.output<Schema>>
  /** A part of the path; `""` if there is none of that name. */
  readonly param: (name: string) => string
}

/** The same of one bucket, which is the caller's. */
export type BucketOperation = Operation & { readonly bucket: Bucket }

export type Route<Of> = readonly [
  method: string,
  path: string,
  run: (operation: Of) => Promise<Response>,
]

/** A success with what a list of R2 says beside it, which is more than elsewhere. */
export function succeedWith(result: unknown, info: object): Response {
  return Response.json({ success: true, errors: [], messages: [], result, result_info: info })
}
