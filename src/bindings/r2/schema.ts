import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import { keyInvalid, metadataTooLarge } from './errors.ts'
import { customMetadataLimit, keyLimit } from './limits.ts'
import { type CustomFields, storageClass, utf8 } from './records.ts'

export const jurisdiction = z.enum(['default', 'eu', 'us', 'fedramp'])
export type Jurisdiction = z.output<typeof jurisdiction>

export const bucketName = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]$/)

/** An entry of upload metadata. A name that is none is told by `admit`, in Cloudflare's words. */
export const r2Entry = z.object({
  type: z.literal('r2_bucket'),
  name: bindingName,
  bucket_name: z.string().max(255),
  jurisdiction: jurisdiction.exactOptional(),
})

/** What `wiring` says of a grant. */
export const r2Resource = z.object({ bucket: z.string(), jurisdiction })

// What workerd says of a call: r2.md §2. Numbers of 64 bits are text.

const whole = z.union([z.string().regex(/^-?\d{1,16}$/), z.number().int()]).transform(Number)
const etagMatcher = z.union([
  z.object({ type: z.literal('wildcard') }),
  z.object({ type: z.enum(['strong', 'weak']), value: z.string() }),
])
const onlyIf = z.object({
  etagMatches: z.array(etagMatcher).optional(),
  etagDoesNotMatch: z.array(etagMatcher).optional(),
  uploadedBefore: whole.optional(),
  uploadedAfter: whole.optional(),
  secondsGranularity: z.boolean().optional(),
})
const ssecKey = z.object({ key: z.string().regex(/^[0-9a-f]{64}$/i) })
const object = z.string()
const httpFields = z.object({
  contentType: z.string().optional(),
  contentLanguage: z.string().optional(),
  contentDisposition: z.string().optional(),
  contentEncoding: z.string().optional(),
  cacheControl: z.string().optional(),
  cacheExpiry: whole.optional(),
})
const metadata = {
  httpFields: httpFields.optional(),
  customFields: z.array(z.object({ k: z.string(), v: z.string() })).optional(),
  storageClass: storageClass.optional(),
  ssec: ssecKey.optional(),
}
const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`, 'i'))
const partNumber = z.number().int()

const head = z.object({ method: z.literal('head'), object, ssec: ssecKey.optional() })
const get = z.object({
  method: z.literal('get'),
  object,
  range: z
    .object({ offset: whole.optional(), length: whole.optional(), suffix: whole.optional() })
    .optional(),
  rangeHeader: z.string().optional(),
  onlyIf: onlyIf.optional(),
  ssec: ssecKey.optional(),
})
const list = z.object({
  method: z.literal('list'),
  limit: z.number().int().optional(),
  prefix: z.string().optional(),
  cursor: z.string().optional(),
  delimiter: z.string().optional(),
  startAfter: z.string().optional(),
  include: z.array(z.number()).optional(),
})
const put = z.object({
  method: z.literal('put'),
  object,
  ...metadata,
  onlyIf: onlyIf.optional(),
  md5: z.base64().length(24).optional(),
  sha1: hex(20).optional(),
  sha256: hex(32).optional(),
  sha384: hex(48).optional(),
  sha512: hex(64).optional(),
})
const remove = z.object({
  method: z.literal('delete'),
  object: object.optional(),
  objects: z.array(object).optional(),
})
const createMultipartUpload = z.object({
  method: z.literal('createMultipartUpload'),
  object,
  ...metadata,
})
const uploadPart = z.object({
  method: z.literal('uploadPart'),
  object,
  uploadId: z.string(),
  partNumber,
  ssec: ssecKey.optional(),
})
const completeMultipartUpload = z.object({
  method: z.literal('completeMultipartUpload'),
  object,
  uploadId: z.string(),
  parts: z.array(z.object({ etag: z.string(), part: partNumber })),
})
const abortMultipartUpload = z.object({
  method: z.literal('abortMultipartUpload'),
  object,
  uploadId: z.string(),
})

/** What a `GET` of workerd says in its header. */
export const readCall = z.discriminatedUnion('method', [head, get, list])
/** What a `PUT` of workerd says ahead of its bytes. */
export const writeCall = z.discriminatedUnion('method', [
  put,
  remove,
  createMultipartUpload,
  uploadPart,
  completeMultipartUpload,
  abortMultipartUpload,
])
export type ReadCall = z.output<typeof readCall>
export type WriteCall = z.output<typeof writeCall>
export type CallOf<Method extends string> = Extract<ReadCall | WriteCall, { method: Method }>

/** Throws unless it is the key of an object. */
export function checkKey(key: string): string {
  if (key === '' || utf8(key).byteLength > keyLimit) throw keyInvalid()
  return key
}

/** Throws if there is more of it than may be: a character beyond latin1 makes its text count double. */
export function checkCustom(fields: CustomFields): CustomFields {
  let size = 0
  for (const text of fields.flat())
    size += /^[\0-\xff]*$/.test(text) ? text.length : text.length * 2
  if (size > customMetadataLimit) throw metadataTooLarge()
  return fields
}
