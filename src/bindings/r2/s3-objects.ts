import type { BackendReply } from '#contract/backend.ts'
import { ApiError } from '#contract/errors.ts'
import { Body } from './body.ts'
import { type Conditions, holds, judge } from './conditions.ts'
import type { Opened } from './content-store.ts'
import { argumentInvalid, keyNotFound, preconditionFailed, rangeInvalid } from './errors.ts'
import { deleteKeys } from './limits.ts'
import { checkKeyOf } from './object-store.ts'
import { type Range, rangeOfHeader } from './range.ts'
import type { Metadata, StoredObject } from './records.ts'
import {
  type BucketCall,
  bucketNamed,
  checkKeyAllowed,
  contentOf,
  nothing,
  type ObjectCall,
  readXml,
  xmlReply,
} from './s3-call.ts'
import { notImplemented, requestInvalid, s3ErrorOf } from './s3-errors.ts'
import {
  announcedChecksums,
  checksumHeaders,
  conditionsOf,
  customFieldsOf,
  httpFieldsOf,
  objectHeaders,
  shownChecksums,
  ssecHeaders,
  ssecKeyOf,
  storageClassOf,
} from './s3-headers.ts'
import type { S3Head } from './s3-request.ts'
import type { Xml } from './s3-xml.ts'
import { checkKey } from './schema.ts'

// Objects: docs.aws.amazon.com/AmazonS3/latest/API, as far as developers.cloudflare.com/r2/api/s3/api

type Headers = Readonly<Record<string, string>>

export async function getObject(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, objects, head } = call
  const found = await objects.get(bucket, key, {
    ssecKey: ssecKeyOf(head),
    isLent: true,
    wanted: (object) => wantedOf(head, object),
  })
  if (!found) throw keyNotFound()
  const { object, opened, wanted } = found
  return replyOf(head, { object, wanted, opened })
}

export async function headObject({
  bucket,
  key,
  objects,
  head,
}: ObjectCall): Promise<BackendReply> {
  const object = await objects.head(bucket, key)
  if (!object) throw keyNotFound()
  checkKeyOf(object, ssecKeyOf(head))
  return replyOf(head, { object, wanted: wantedOf(head, object) })
}

type Wanted = {
  /** Absent: it has not changed, and nothing is sent. */
  readonly range: Range | undefined
  readonly isPartial: boolean
}

/** What part of an object is to be sent. Throws where a condition does not hold. */
function wantedOf(head: S3Head, object: StoredObject): Wanted {
  const conditions = conditionsOf(head)
  if (conditions) {
    const { isExpected, isNew } = judge(conditions, object)
    if (!isExpected) throw preconditionFailed()
    if (!isNew) return { range: undefined, isPartial: false }
  }
  if (head.param('partNumber') !== undefined && object.etag.includes('-')) {
    throw notImplemented('partNumber of an object of several parts')
  }
  const header = head.header('range')
  const range = header === undefined ? undefined : rangeOfHeader(header, object.size)
  if (range === 'unsatisfiable') throw rangeInvalid()
  return { range: range ?? { offset: 0, length: object.size }, isPartial: range !== undefined }
}

function replyOf(
  head: S3Head,
  found: { readonly object: StoredObject; readonly wanted: Wanted; readonly opened?: Opened },
): BackendReply {
  const { object, wanted, opened } = found
  const { range, isPartial } = wanted
  const isWhole =
    range && !isPartial && head.header('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED'
  const headers = {
    ...objectHeaders(object),
    ...(isWhole && checksumHeaders(object.checksums)),
    ...overridesOf(head),
  }
  if (!range) return { status: 304, headers }
  const { offset, length } = range
  return {
    status: isPartial ? 206 : 200,
    headers: {
      ...headers,
      'content-length': `${length}`,
      ...(isPartial && {
        'content-range': `bytes ${offset}-${offset + length - 1}/${object.size}`,
      }),
    },
    ...(opened !== undefined && { body: opened }),
  }
}

const overrides: Readonly<Record<string, string>> = {
  'response-content-type': 'content-type',
  'response-content-language': 'content-language',
  'response-content-disposition': 'content-disposition',
  'response-content-encoding': 'content-encoding',
  'response-cache-control': 'cache-control',
  'response-expires': 'expires',
}

/** Headers that the signed URL asks for instead of the object's own. */
function overridesOf(head: S3Head): Headers {
  return Object.fromEntries(
    Object.entries(overrides).flatMap(([param, name]) => {
      const value = head.param(param)
      return value === undefined || !/^[\x20-\x7e]*$/.test(value) ? [] : [[name, value]]
    }),
  )
}

export async function putObject(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, objects, head } = call
  const object = await objects.put(bucket, {
    ...metadataOf(call),
    key: checkKey(key),
    conditions: conditionsOf(head),
    content: contentOf(call, true),
  })
  return { status: 200, headers: writtenHeaders(object) }
}

/** What an upload says of the object. */
export function metadataOf({ head, bucket }: BucketCall): Metadata {
  return {
    storageClass: storageClassOf(head, bucket.settings.storageClass),
    http: httpFieldsOf(head),
    custom: customFieldsOf(head),
  }
}

export function writtenHeaders(object: StoredObject): Headers {
  return {
    ETag: `"${object.etag}"`,
    'x-amz-version-id': object.version,
    ...checksumHeaders(object.checksums),
    ...ssecHeaders(object),
  }
}

export async function deleteObject({ bucket, key, objects }: ObjectCall): Promise<BackendReply> {
  await objects.delete(bucket, [key])
  return nothing()
}

export async function deleteObjects(call: BucketCall): Promise<BackendReply> {
  const document = await readXml(call, 'Delete')
  const keys = document.all('Object').map((each) => checkKey(each.text('Key') ?? ''))
  if (keys.length === 0 || keys.length > deleteKeys) {
    throw argumentInvalid(`1 to ${deleteKeys} keys can be deleted at once.`)
  }
  const isQuiet = document.text('Quiet') === 'true'
  const failures = await deleteAll(call, keys)
  const shown = keys.flatMap((key): readonly Xml[] => {
    const error = failures.get(key)
    if (!error) return isQuiet ? [] : [['Deleted', [['Key', key]]]]
    return [
      [
        'Error',
        [
          ['Key', key],
          ['Code', error.code],
          ['Message', error.message],
        ],
      ],
    ]
  })
  return xmlReply(['DeleteResult', shown])
}

type Failures = ReadonlyMap<string, NonNullable<ReturnType<typeof s3ErrorOf>>>

/** At once if all can be; else one by one, so that each fails for itself. */
async function deleteAll(call: BucketCall, keys: readonly string[]): Promise<Failures> {
  const { bucket, objects, credentials } = call
  const failures = new Map<string, NonNullable<ReturnType<typeof s3ErrorOf>>>()
  const allowed = keys.filter((key) => {
    try {
      checkKeyAllowed(credentials, key)
      return true
    } catch (error) {
      noteFailure(failures, key, error)
      return false
    }
  })
  try {
    await objects.delete(bucket, allowed)
    return failures
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
  }
  for (const key of allowed) {
    await objects.delete(bucket, [key]).catch((error: unknown) => noteFailure(failures, key, error))
  }
  return failures
}

function noteFailure(
  failures: Map<string, NonNullable<ReturnType<typeof s3ErrorOf>>>,
  key: string,
  error: unknown,
): void {
  const known = s3ErrorOf(error)
  if (!known) throw error
  failures.set(key, known)
}

// ---- copies

/** An object to copy from: its bytes are to be read once. */
export type Source = {
  readonly object: StoredObject
  readonly opened: Opened
  readonly length: number
}

/** Opens what `x-amz-copy-source` names, if its conditions hold. */
export async function openSource(call: ObjectCall): Promise<Source> {
  const { head, objects } = call
  const { bucket: name, key } = sourceOf(head)
  const bucket = bucketNamed(call, name)
  checkKeyAllowed(call.credentials, key)
  const conditions = conditionsOf(head, 'x-amz-copy-source-')
  const rangeText = head.header('x-amz-copy-source-range')
  const found = await objects.get(bucket, key, {
    ssecKey: ssecKeyOf(head, '-copy-source'),
    wanted: (object) => {
      if (conditions && !holds(conditions, object)) throw preconditionFailed()
      return { range: rangeOfCopy(rangeText, object.size) }
    },
  })
  if (!found) throw keyNotFound()
  const { object, opened, wanted } = found
  return { object, opened, length: wanted.range.length }
}

function rangeOfCopy(text: string | undefined, size: number): Range {
  if (text === undefined) return { offset: 0, length: size }
  const [, first, last] = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text) ?? []
  if (first === undefined || last === undefined || Number(last) < Number(first)) {
    throw argumentInvalid('x-amz-copy-source-range is bytes=FIRST-LAST.')
  }
  if (Number(last) >= size) throw rangeInvalid()
  return { offset: Number(first), length: Number(last) - Number(first) + 1 }
}

function sourceOf(head: S3Head): { readonly bucket: string; readonly key: string } {
  const text = head.header('x-amz-copy-source') ?? ''
  let path: string
  try {
    path = decodeURIComponent(text.replace(/\?versionId=[^?]*$/, ''))
  } catch {
    throw argumentInvalid('x-amz-copy-source is not a path.')
  }
  const [, bucket, key] = /^\/?([^/]+)\/([\s\S]+)$/.exec(path) ?? []
  if (bucket === undefined || key === undefined) {
    throw argumentInvalid('x-amz-copy-source is BUCKET/KEY.')
  }
  return { bucket, key }
}

export async function copyObject(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, objects, head } = call
  const source = await openSource(call)
  const name = sourceOf(head)
  const isItself = name.bucket === bucket.name && name.key === key
  const directive = head.header('x-amz-metadata-directive')?.toUpperCase() ?? 'COPY'
  if (isItself && directive === 'COPY' && head.header('x-amz-storage-class') === undefined) {
    throw requestInvalid(
      'This copy request is illegal because it is trying to copy an object to itself without changing its metadata or storage class.',
    )
  }
  const wanted = announcedChecksums(head)
  const object = await objects.put(bucket, {
    ...metadataOfCopy(call, source.object, directive),
    key: checkKey(key),
    conditions: destinationConditions(head),
    action: 'CopyObject',
    content: {
      body: bodyOf(source),
      length: source.length,
      wanted:
        wanted.length > 0 ? wanted : shownChecksums(source.object.checksums).map(([own]) => own),
      key: ssecKeyOf(head),
      mayInline: true,
    },
  })
  return xmlReply(['CopyObjectResult', copyResult(object)], writtenHeaders(object))
}

export function bodyOf({ opened }: Source): Body {
  return new Body(opened instanceof Uint8Array ? once(opened) : opened)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes
}

export function copyResult({
  etag,
  uploadedAt,
}: Pick<StoredObject, 'etag' | 'uploadedAt'>): readonly Xml[] {
  return [
    ['ETag', `"${etag}"`],
    ['LastModified', new Date(uploadedAt).toISOString()],
  ]
}

/** `MERGE` is R2's own: what is named replaces, the rest stays. */
function metadataOfCopy(call: BucketCall, from: StoredObject, directive: string): Metadata {
  const own = metadataOf(call)
  const isClassNamed = call.head.header('x-amz-storage-class') !== undefined
  const storageClass = isClassNamed ? own.storageClass : from.storageClass
  switch (directive) {
    case 'COPY':
      return { storageClass, http: from.http, custom: from.custom }
    case 'REPLACE':
      return own
    case 'MERGE': {
      const named = new Set(own.custom.map(([name]) => name))
      const kept = from.custom.filter(([name]) => !named.has(name))
      return {
        storageClass,
        http: { ...from.http, ...own.http },
        custom: [...kept, ...own.custom],
      }
    }
    default:
      throw argumentInvalid(`x-amz-metadata-directive is COPY, REPLACE or MERGE.`)
  }
}

function destinationConditions(head: S3Head): Conditions | undefined {
  return conditionsOf(head, 'cf-copy-destination-') ?? conditionsOf(head)
}
