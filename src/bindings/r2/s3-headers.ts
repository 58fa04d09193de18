import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Conditions } from './conditions.ts'
import { type Algorithm, type Checksums, digestBytes } from './digests.ts'
import { argumentInvalid, digestInvalid } from './errors.ts'
import { conditionsOfHeaders, hasConditions, httpOfHeaders, metadataHeaders } from './http.ts'
import type { CustomFields, HttpFields, StorageClass, StoredObject } from './records.ts'
import { requestInvalid } from './s3-errors.ts'
import type { S3Head } from './s3-request.ts'
import { checkCustom } from './schema.ts'

// What S3 says of objects in headers, both ways.

type Reply = Readonly<Record<string, string>>

/** HTTP metadata. That a body is in chunks is none of the object's. */
export function httpFieldsOf(head: S3Head): HttpFields {
  return httpOfHeaders((name) => {
    const value = head.header(name)
    if (name !== 'content-encoding' || value === undefined) return value
    const encodings = value.split(',').map((each) => each.trim())
    return encodings.filter((each) => each !== 'aws-chunked').join(', ')
  })
}

const metaPrefix = 'x-amz-meta-'

export function customFieldsOf(head: S3Head): CustomFields {
  return checkCustom(
    head.headerNames
      .filter((name) => name.startsWith(metaPrefix))
      .map(
        (name) => [name.slice(metaPrefix.length), decodeWords(head.header(name) ?? '')] as const,
      ),
  )
}

/** Text that is not ASCII comes as words of RFC 2047. */
function decodeWords(text: string): string {
  return text
    .replaceAll(/(\?=)\s+(=\?)/g, '$1$2')
    .replaceAll(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_word, kind: string, encoded: string) =>
      kind.toLowerCase() === 'b'
        ? Buffer.from(encoded, 'base64').toString('utf8')
        : Buffer.from(
            encoded
              .replaceAll('_', ' ')
              .replaceAll(/=([0-9a-f]{2})/gi, (_hex, hex: string) =>
                String.fromCharCode(Number.parseInt(hex, 16)),
              ),
            'latin1',
          ).toString('utf8'),
    )
}

function encodeWords(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  return `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`
}

const classes: Readonly<Record<string, StorageClass>> = {
  STANDARD: 'Standard',
  STANDARD_IA: 'InfrequentAccess',
}

export function storageClassOf(head: S3Head, otherwise: StorageClass): StorageClass {
  const name = head.header('x-amz-storage-class')
  if (name === undefined) return otherwise
  const known = classes[name]
  if (!known) throw requestInvalid(`The storage class ${name} is not STANDARD or STANDARD_IA.`)
  return known
}

export function shownClass(storageClass: StorageClass): string {
  return storageClass === 'Standard' ? 'STANDARD' : 'STANDARD_IA'
}

/** The key of SSE-C; `of` names the object of a copy. */
export function ssecKeyOf(head: S3Head, of = ''): Uint8Array | undefined {
  const header = (name: string) => head.header(`x-amz${of}-server-side-encryption-customer-${name}`)
  const text = header('key')
  if (text === undefined) return undefined
  const key = new Uint8Array(Buffer.from(text, 'base64'))
  if (key.byteLength !== 32 || header('algorithm') !== 'AES256') {
    throw argumentInvalid('SSE-C takes the algorithm AES256 and a key of 32 bytes in Base64.')
  }
  const md5 = header('key-md5')
  const actual = createHash('md5').update(key).digest('base64')
  if (md5 !== undefined && md5 !== actual) {
    throw argumentInvalid('The MD5 of the SSE-C key is not that of the key.')
  }
  return key
}

/** Conditions, if there are any. `prefix` stands before the names: those of a copy's two objects. */
export function conditionsOf(head: S3Head, prefix = ''): Conditions | undefined {
  const conditions = conditionsOfHeaders((name) => head.header(name), prefix)
  return hasConditions(conditions) ? conditions : undefined
}

// ---- checksums

/** Checksums of S3, by the ends of their headers' names. */
export const s3Checksums = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const
export type S3Checksum = (typeof s3Checksums)[number]

const checksumPrefix = 'x-amz-checksum-'

/** What fields say that checksums are, in hex. Throws `digestInvalid`. */
export function checksumsOf(field: (name: string) => string | undefined): Checksums {
  const md5 = field('content-md5')
  return Object.fromEntries([
    ...(md5 === undefined ? [] : [['md5', hexOf(md5, 'md5')]]),
    ...s3Checksums.flatMap((name) => {
      const text = field(checksumPrefix + name)
      return text === undefined ? [] : [[name, hexOf(text, name)]]
    }),
  ])
}

/** Which checksums will be said, here or behind the body. */
export function announcedChecksums(head: S3Head): readonly Algorithm[] {
  const trailers = (head.header('x-amz-trailer') ?? '').toLowerCase().split(',')
  return s3Checksums.filter(
    (name) =>
      head.header(checksumPrefix + name) !== undefined ||
      trailers.some((each) => each.trim() === checksumPrefix + name) ||
      head.header('x-amz-sdk-checksum-algorithm')?.toLowerCase() === name,
  )
}

export function hexOf(base64: string, name: Algorithm): string {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.byteLength !== digestBytes[name] || bytes.toString('base64') !== base64) {
    throw digestInvalid()
  }
  return bytes.toString('hex')
}

/** A checksum as S3 writes it; one of checksums of parts ends with their number. */
export function base64Of(hex: string): string {
  const [digits = '', count] = hex.split('-')
  const text = Buffer.from(digits, 'hex').toString('base64')
  return count === undefined ? text : `${text}-${count}`
}

/** The checksums of an object that S3 knows: names of elements or headers, and Base64. */
export function shownChecksums(checksums: Checksums): readonly (readonly [S3Checksum, string])[] {
  return s3Checksums.flatMap((name) => {
    const hex = checksums[name]
    return hex === undefined ? [] : [[name, base64Of(hex)] as const]
  })
}

export function checksumHeaders(checksums: Checksums): Reply {
  const shown = shownChecksums(checksums)
  const isComposite = shown.some(([, text]) => text.includes('-'))
  return {
    ...Object.fromEntries(shown.map(([name, text]) => [checksumPrefix + name, text])),
    ...(shown.length > 0 && {
      'x-amz-checksum-type': isComposite ? 'COMPOSITE' : 'FULL_OBJECT',
    }),
  }
}

// ---- what is said of an object

export function objectHeaders(object: StoredObject): Reply {
  return {
    ...metadataHeaders(object),
    'accept-ranges': 'bytes',
    'x-amz-version-id': object.version,
    ...(object.storageClass !== 'Standard' && {
      'x-amz-storage-class': shownClass(object.storageClass),
    }),
    ...ssecHeaders(object),
    ...Object.fromEntries(
      object.custom
        .filter(([name]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name))
        .map(([name, value]) => [metaPrefix + name, encodeWords(value)]),
    ),
  }
}

export function ssecHeaders({ keyMd5 }: { readonly keyMd5: string | undefined }): Reply {
  if (keyMd5 === undefined) return {}
  return {
    'x-amz-server-side-encryption-customer-algorithm': 'AES256',
    'x-amz-server-side-encryption-customer-key-MD5': keyMd5,
  }
}
