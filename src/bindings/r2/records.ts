import { z } from 'zod'
import type { AccountId, BlobKey } from '#contract/ids.ts'
import { algorithms, type Checksums } from './digests.ts'
import type { BucketSettings } from './settings.ts'

// What R2 keeps, as the rest of the folder sees it.

export const storageClass = z.enum(['Standard', 'InfrequentAccess'])
export type StorageClass = z.output<typeof storageClass>

/** HTTP metadata, by the names that it has everywhere in R2. `cacheExpiry` is in milliseconds. */
export const httpFields = z.object({
  contentType: z.string().optional(),
  contentLanguage: z.string().optional(),
  contentDisposition: z.string().optional(),
  contentEncoding: z.string().optional(),
  cacheControl: z.string().optional(),
  cacheExpiry: z.number().optional(),
})
export type HttpFields = z.output<typeof httpFields>

/** Custom metadata: names and values in the order in which they were given. */
export const customFields = z.array(z.tuple([z.string(), z.string()]))
export type CustomFields = readonly (readonly [name: string, value: string])[]

export const checksums = z.partialRecord(z.enum(algorithms), z.string())

/** By whose key an object is encrypted. */
export const ssec = z.object({ keyMd5: z.string() })

export type Bucket = {
  readonly id: number
  readonly account: AccountId
  readonly jurisdiction: string
  readonly name: string
  readonly createdAt: number
  readonly settings: BucketSettings
}

/** Where the bytes of an object are. */
export type Place =
  | { readonly type: 'inline'; readonly value: Uint8Array }
  | { readonly type: 'blob'; readonly blob: BlobKey }
  | { readonly type: 'parts'; readonly upload: string }

/** What is said of an object when it is made. */
export type Metadata = {
  readonly storageClass: StorageClass
  readonly http: HttpFields
  readonly custom: CustomFields
}

export type StoredObject = Metadata & {
  readonly key: string
  readonly version: string
  readonly size: number
  readonly etag: string
  /** Milliseconds. */
  readonly uploadedAt: number
  readonly checksums: Checksums
  /** MD5 in Base64 of the key that it is encrypted under. */
  readonly keyMd5: string | undefined
}

export type Part = {
  readonly number: number
  readonly size: number
  readonly etag: string
  readonly uploadedAt: number
  readonly checksums: Checksums
  readonly blob: BlobKey
}

export type Upload = Metadata & {
  readonly id: string
  readonly key: string
  readonly state: 'open' | 'completed' | 'aborted'
  readonly createdAt: number
  /** Another one whenever its parts have changed. */
  readonly revision: number
  readonly keyMd5: string | undefined
  /** What checksum its parts are to have, and of what kind that of the object is. */
  readonly checksum: UploadChecksum | undefined
}

/** A checksum of S3: of all bytes, or of the checksums of the parts. */
export const uploadChecksum = z.object({
  algorithm: z.enum(['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256']),
  type: z.enum(['COMPOSITE', 'FULL_OBJECT']),
})
export type UploadChecksum = z.output<typeof uploadChecksum>

/** What happened to an object, in the words of event notifications. */
export type Action =
  | 'PutObject'
  | 'CopyObject'
  | 'CompleteMultipartUpload'
  | 'DeleteObject'
  | 'LifecycleDeletion'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}
