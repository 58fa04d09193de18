import type { BackendReply } from '#contract/backend.ts'
import { argumentInvalid } from './errors.ts'
import { listLimit } from './limits.ts'
import type { Page } from './listing.ts'
import type { StoredObject, Upload } from './records.ts'
import { type BucketCall, checkKeyAllowed, type ObjectCall, xmlReply } from './s3-call.ts'
import { forbidden } from './s3-errors.ts'
import { shownChecksums, shownClass } from './s3-headers.ts'
import { encode, type S3Head } from './s3-request.ts'
import type { Xml } from './s3-xml.ts'

// Lists of objects, of uploads, of parts.

type Query = {
  readonly prefix: string
  readonly delimiter: string | undefined
  readonly limit: number
  /** Writes keys as the client asked for. */
  readonly write: (text: string) => string
  readonly encodingType: string | undefined
}

function queryOf(head: S3Head, limitName: string): Query {
  const encodingType = head.param('encoding-type')
  if (encodingType !== undefined && encodingType !== 'url') {
    throw argumentInvalid('encoding-type is url.')
  }
  return {
    prefix: head.param('prefix') ?? '',
    delimiter: head.param('delimiter') || undefined,
    limit: limitOf(head, limitName),
    write: encodingType === 'url' ? (text) => encode(text).replaceAll('%2F', '/') : (text) => text,
    encodingType,
  }
}

function limitOf(head: S3Head, name: string): number {
  const text = head.param(name)
  if (text === undefined || text === '') return listLimit
  if (!/^\d{1,10}$/.test(text)) throw argumentInvalid(`${name} is a number.`)
  return Math.min(Number(text), listLimit)
}

/** Throws unless whoever may touch only some keys asks for those alone. */
function checkPrefix({ credentials }: BucketCall, prefix: string): void {
  const { prefixes, objects } = credentials
  if (!prefixes && !objects) return
  if (!prefixes?.some((each) => prefix.startsWith(each))) throw forbidden()
}

/** `ListObjectsV2`. */
export async function listObjectsV2(call: BucketCall): Promise<BackendReply> {
  const { head, bucket } = call
  const query = queryOf(head, 'max-keys')
  const cursor = head.param('continuation-token')
  const startAfter = head.param('start-after')
  const page = await pageOf(call, query, { cursor, startAfter })
  return xmlReply([
    'ListBucketResult',
    [
      ['Name', bucket.name],
      ['Prefix', query.write(query.prefix)],
      ['StartAfter', startAfter && query.write(startAfter)],
      ['ContinuationToken', cursor],
      ['NextContinuationToken', page.cursor],
      ['KeyCount', page.objects.length + page.prefixes.length],
      ...commonOf(query, page),
      ...page.objects.map((object) => shownObject(object, query)),
      ...page.prefixes.map((prefix): Xml => shownPrefix(prefix, query)),
    ],
  ])
}

/** `ListObjects`, the older one: a list goes on behind a name. */
export async function listObjectsV1(call: BucketCall): Promise<BackendReply> {
  const { head, bucket } = call
  const query = queryOf(head, 'max-keys')
  const marker = head.param('marker')
  // A name that a group has stands for all that are in it.
  const isGroup = query.delimiter !== undefined && marker?.endsWith(query.delimiter) === true
  const startAfter = isGroup ? `${marker}\u{10ffff}` : marker
  const page = await pageOf(call, query, { startAfter })
  const last = [page.objects.at(-1)?.key ?? '', page.prefixes.at(-1) ?? ''].toSorted().at(-1)
  return xmlReply([
    'ListBucketResult',
    [
      ['Name', bucket.name],
      ['Prefix', query.write(query.prefix)],
      ['Marker', query.write(marker ?? '')],
      ['NextMarker', page.cursor === undefined ? undefined : query.write(last ?? '')],
      ...commonOf(query, page),
      ...page.objects.map((object) => shownObject(object, query)),
      ...page.prefixes.map((prefix): Xml => shownPrefix(prefix, query)),
    ],
  ])
}

async function pageOf(
  call: BucketCall,
  { limit, prefix, delimiter }: Query,
  from: { readonly cursor?: string | undefined; readonly startAfter?: string | undefined },
): Promise<Page<StoredObject>> {
  checkPrefix(call, prefix)
  if (limit === 0) return { objects: [], prefixes: [] }
  return call.objects.list(call.bucket, { limit, prefix, delimiter, ...from })
}

function commonOf(query: Query, { cursor }: Page<StoredObject>): readonly Xml[] {
  return [
    ['MaxKeys', query.limit],
    ['Delimiter', query.delimiter && query.write(query.delimiter)],
    ['EncodingType', query.encodingType],
    ['IsTruncated', cursor !== undefined],
  ]
}

function shownObject(object: StoredObject, { write }: Query): Xml {
  const names = shownChecksums(object.checksums).map(([name]) => name.toUpperCase())
  return [
    'Contents',
    [
      ['Key', write(object.key)],
      ['LastModified', new Date(object.uploadedAt).toISOString()],
      ['ETag', `"${object.etag}"`],
      ...names.map((name): Xml => ['ChecksumAlgorithm', name]),
      ['Size', object.size],
      ['StorageClass', shownClass(object.storageClass)],
    ],
  ]
}

function shownPrefix(prefix: string, { write }: Query): Xml {
  return ['CommonPrefixes', [['Prefix', write(prefix)]]]
}

/** Uploads that are looked at for one page: those that a prefix or a delimiter leaves out, too. */
const mostLookedAt = 10_000

/** `ListMultipartUploads`. */
export async function listUploads(call: BucketCall): Promise<BackendReply> {
  const { head, bucket } = call
  const query = queryOf(head, 'max-uploads')
  checkPrefix(call, query.prefix)
  const marker = { key: head.param('key-marker') ?? '', id: head.param('upload-id-marker') ?? '' }
  const { found, prefixes, next } = await findUploads(call, query, marker)
  return xmlReply([
    'ListMultipartUploadsResult',
    [
      ['Bucket', bucket.name],
      ['KeyMarker', query.write(marker.key)],
      ['UploadIdMarker', marker.id],
      ['NextKeyMarker', next && query.write(next.key)],
      ['NextUploadIdMarker', next?.id],
      ['Prefix', query.write(query.prefix)],
      ['Delimiter', query.delimiter && query.write(query.delimiter)],
      ['EncodingType', query.encodingType],
      ['MaxUploads', query.limit],
      ['IsTruncated', next !== undefined],
      ...found.map((upload) => shownUpload(upload, query)),
      ...prefixes.map((prefix): Xml => shownPrefix(prefix, query)),
    ],
  ])
}

type Found = {
  readonly found: readonly Upload[]
  readonly prefixes: readonly string[]
  /** Where the list goes on; absent at its end. */
  readonly next: { readonly key: string; readonly id: string } | undefined
}

async function findUploads(
  { bucket, uploads }: BucketCall,
  { prefix, delimiter, limit }: Query,
  marker: { readonly key: string; readonly id: string },
): Promise<Found> {
  const found: Upload[] = []
  const prefixes = new Set<string>()
  // Without an id, all uploads of the key that is named have been seen.
  let after = marker.id === '' && marker.key !== '' ? { ...marker, id: '~' } : marker
  if (limit === 0) return { found, prefixes: [], next: undefined }
  for (let seen = 0; seen < mostLookedAt;) {
    const rows = await uploads.list(bucket, after, listLimit)
    for (const upload of rows) {
      if (found.length + prefixes.size >= limit)
        return { found, prefixes: [...prefixes], next: after }
      after = { key: upload.key, id: upload.id }
      if (!upload.key.startsWith(prefix)) continue
      const end = delimiter === undefined ? -1 : upload.key.indexOf(delimiter, prefix.length)
      if (end < 0) found.push(upload)
      else prefixes.add(upload.key.slice(0, end + (delimiter?.length ?? 0)))
    }
    seen += rows.length
    if (rows.length < listLimit) return { found, prefixes: [...prefixes], next: undefined }
  }
  return { found, prefixes: [...prefixes], next: after }
}

function shownUpload({ key, id, createdAt, storageClass }: Upload, { write }: Query): Xml {
  return [
    'Upload',
    [
      ['Key', write(key)],
      ['UploadId', id],
      ['Initiated', new Date(createdAt).toISOString()],
      ['StorageClass', shownClass(storageClass)],
    ],
  ]
}

/** `ListParts`. */
export async function listParts(call: ObjectCall): Promise<BackendReply> {
  const { head, bucket, key, uploads, credentials } = call
  checkKeyAllowed(credentials, key)
  const upload = await uploads.open(bucket, key, head.param('uploadId') ?? '')
  const after = Number(head.param('part-number-marker') ?? 0)
  if (!Number.isInteger(after) || after < 0)
    throw argumentInvalid('part-number-marker is a number.')
  const limit = limitOf(head, 'max-parts')
  const parts = await uploads.parts(upload.id, after, limit + 1)
  const shown = parts.slice(0, limit)
  return xmlReply([
    'ListPartsResult',
    [
      ['Bucket', bucket.name],
      ['Key', key],
      ['UploadId', upload.id],
      ['PartNumberMarker', after],
      ['NextPartNumberMarker', parts.length > limit ? shown.at(-1)?.number : undefined],
      ['MaxParts', limit],
      ['IsTruncated', parts.length > limit],
      ['StorageClass', shownClass(upload.storageClass)],
      ...shown.map((part): Xml => [
        'Part',
        [
          ['PartNumber', part.number],
          ['LastModified', new Date(part.uploadedAt).toISOString()],
          ['ETag', `"${part.etag}"`],
          ['Size', part.size],
          ...shownChecksums(part.checksums).map(([name, text]): Xml => [
            `Checksum${name.toUpperCase()}`,
            text,
          ]),
        ],
      ]),
    ],
  ])
}
