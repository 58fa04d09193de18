import type { BackendHandler, BackendReply, BackendRequest, Grant } from '#contract/backend.ts'
import { headerOfUtf8, utf8OfHeader } from '#contract/backend.ts'
import { ApiError, messageOf } from '#contract/errors.ts'
import { parseJson } from '#contract/json-text.ts'
import type { Log } from '#contract/ports/log.ts'
import { Body } from './body.ts'
import type { BucketStore } from './bucket-store.ts'
import { type Conditions, holds } from './conditions.ts'
import type { Content, Opened } from './content-store.ts'
import { type Checksums, namesOf } from './digests.ts'
import * as errors from './errors.ts'
import { callBytes, deleteKeys, drainBytes } from './limits.ts'
import { nativeJson } from './native.ts'
import type { ObjectStore } from './object-store.ts'
import { checkKeyOf } from './object-store.ts'
import { type Range, rangeOfHeader, resolveRange } from './range.ts'
import type { Bucket, HttpFields, Metadata, StoredObject } from './records.ts'
import { textOf, utf8 } from './records.ts'
import {
  type CallOf,
  checkCustom,
  checkKey,
  r2Resource,
  type ReadCall,
  readCall,
  type WriteCall,
  writeCall,
} from './schema.ts'
import type { UploadStore } from './upload-store.ts'

export type ServiceOptions = {
  readonly buckets: BucketStore
  readonly objects: ObjectStore
  readonly uploads: UploadStore
  readonly log: Log
}

type Call = ServiceOptions & { readonly bucket: Bucket }

/** Answers the native client of one binding. The bucket is looked for at each call. */
export function serveR2(options: ServiceOptions, grant: Grant): BackendHandler {
  const { bucket: name, jurisdiction } = r2Resource.parse(grant.resource)
  return async (request) => {
    const body = new Body(request.body)
    try {
      const bucket = options.buckets.get(grant.account, jurisdiction, name)
      const call = { ...options, bucket }
      if (request.method === 'GET') return await read(call, readCallOf(request))
      if (request.method !== 'PUT') return { status: 405 }
      return await write(call, await writeCallOf(request, body), contentOf(request, body))
    } catch (error) {
      if (body.isBroken) throw error
      // Who is still sending would not hear the answer.
      await body.drain(drainBytes)
      if (error instanceof ApiError) return refusal(error)
      const { account, worker } = grant
      options.log.error('R2 failed', { account, worker, bucket: name, error: messageOf(error) })
      return refusal(errors.internal())
    }
  }
}

function refusal({ status, code, message }: ApiError): BackendReply {
  const told = JSON.stringify({ version: 1, v4code: code, message })
  return { status, headers: { 'CF-R2-Error': headerOfUtf8(told) } }
}

function readCallOf({ headers }: BackendRequest): ReadCall {
  const header = headers['cf-r2-request']
  return callOf(readCall, typeof header === 'string' ? utf8OfHeader(header) : '')
}

/** How many bytes of a `PUT` are not the value. */
function metadataSizeOf({ headers }: BackendRequest): number {
  const size = Number(headers['cf-r2-metadata-size'])
  if (Number.isInteger(size) && size >= 0 && size <= callBytes) return size
  throw errors.argumentInvalid('The size of the metadata is not valid.')
}

async function writeCallOf(request: BackendRequest, body: Body): Promise<WriteCall> {
  return callOf(writeCall, textOf(await body.take(metadataSizeOf(request))))
}

/** What a value is, of which only its length is known. */
function contentOf(request: BackendRequest, body: Body): Content {
  const { 'content-length': header } = request.headers
  if (typeof header !== 'string') throw errors.lengthMissing()
  return { body, length: Number(header) - metadataSizeOf(request), mayInline: true }
}

function callOf<Told>(
  schema: { safeParse: (value: unknown) => { data?: Told | undefined } },
  text: string,
): Told {
  let value: unknown
  try {
    value = parseJson(text)
  } catch {
    throw errors.argumentInvalid('The request is not valid JSON.')
  }
  const { data } = schema.safeParse(value)
  if (data === undefined) throw errors.argumentInvalid('The request is not valid.')
  return data
}

async function read(call: Call, told: ReadCall): Promise<BackendReply> {
  switch (told.method) {
    case 'head':
      return head(call, told)
    case 'get':
      return get(call, told)
    case 'list':
      return list(call, told)
  }
}

async function write(call: Call, told: WriteCall, content: Content): Promise<BackendReply> {
  switch (told.method) {
    case 'put':
      return put(call, told, content)
    case 'delete':
      return remove(call, told)
    case 'createMultipartUpload':
      return createUpload(call, told)
    case 'uploadPart':
      return uploadPart(call, told, content)
    case 'completeMultipartUpload':
      return completeUpload(call, told)
    case 'abortMultipartUpload':
      await call.uploads.abort(call.bucket, checkKey(told.object), told.uploadId)
      return { status: 200 }
  }
}

async function head({ bucket, objects }: Call, told: CallOf<'head'>): Promise<BackendReply> {
  const object = await objects.head(bucket, checkKey(told.object))
  if (!object) throw errors.keyNotFound()
  checkKeyOf(object, keyOf(told))
  return framed(nativeJson(object))
}

async function get({ bucket, objects }: Call, told: CallOf<'get'>): Promise<BackendReply> {
  const found = await objects.get(bucket, checkKey(told.object), {
    ssecKey: keyOf(told),
    isLent: true,
    wanted: (object) => {
      if (told.onlyIf && !holds(told.onlyIf, object)) return { range: undefined, asked: undefined }
      const asked = rangeOf(told, object.size)
      return { range: asked ?? { offset: 0, length: object.size }, asked }
    },
  })
  if (!found) throw errors.keyNotFound()
  const { object, opened, wanted } = found
  if (!wanted.range) {
    const shown = framed(nativeJson(object))
    const { status, headers } = refusal(errors.preconditionFailed())
    return { ...shown, status, headers: { ...shown.headers, ...headers } }
  }
  return framed(nativeJson(object, { range: wanted.asked }), opened, wanted.range.length)
}

/** The part that is asked for; `undefined` is all. Headers with several ranges ask for all. */
function rangeOf({ range, rangeHeader }: CallOf<'get'>, size: number): Range | undefined {
  if (rangeHeader !== undefined) {
    const asked = rangeOfHeader(rangeHeader, size)
    return asked === 'unsatisfiable' ? undefined : asked
  }
  if (!range) return undefined
  const { suffix } = range
  return resolveRange(suffix === undefined ? range : { suffix }, size)
}

async function list({ bucket, objects }: Call, told: CallOf<'list'>): Promise<BackendReply> {
  const include = new Set(told.include)
  const shown = (object: StoredObject): object =>
    nativeJson(object, { http: include.has(0), custom: include.has(1) })
  const weigh = (object: StoredObject): number => utf8(JSON.stringify(shown(object))).byteLength
  const page = await objects.list(bucket, { ...told, weigh })
  return framed({
    objects: page.objects.map(shown),
    truncated: page.cursor !== undefined,
    ...(page.cursor !== undefined && { cursor: page.cursor }),
    delimitedPrefixes: page.prefixes,
  })
}

async function put(call: Call, told: CallOf<'put'>, content: Content): Promise<BackendReply> {
  const { bucket, objects } = call
  const expected: Checksums = {
    ...(told.md5 !== undefined && { md5: hexOfBase64(told.md5) }),
    ...(told.sha1 !== undefined && { sha1: told.sha1.toLowerCase() }),
    ...(told.sha256 !== undefined && { sha256: told.sha256.toLowerCase() }),
    ...(told.sha384 !== undefined && { sha384: told.sha384.toLowerCase() }),
    ...(told.sha512 !== undefined && { sha512: told.sha512.toLowerCase() }),
  }
  const conditions: Conditions | undefined = told.onlyIf
  const object = await objects.put(bucket, {
    ...metadataOf(told, bucket),
    key: checkKey(told.object),
    conditions,
    content: {
      ...content,
      wanted: namesOf(expected),
      expected: () => expected,
      key: keyOf(told),
    },
  })
  return json(nativeJson(object, { http: true, custom: true }))
}

async function remove({ bucket, objects }: Call, told: CallOf<'delete'>): Promise<BackendReply> {
  const keys = told.objects ?? (told.object === undefined ? [] : [told.object])
  if (keys.length > deleteKeys) {
    throw errors.argumentInvalid(`A maximum of ${deleteKeys} keys can be deleted at once.`)
  }
  await objects.delete(bucket, keys.map(checkKey))
  return { status: 200 }
}

async function createUpload(
  { bucket, uploads }: Call,
  told: CallOf<'createMultipartUpload'>,
): Promise<BackendReply> {
  const upload = { ...metadataOf(told, bucket), key: checkKey(told.object), ssecKey: keyOf(told) }
  return json({ uploadId: await uploads.create(bucket, upload) })
}

async function uploadPart(
  { bucket, uploads }: Call,
  told: CallOf<'uploadPart'>,
  content: Content,
): Promise<BackendReply> {
  const { etag } = await uploads.putPart(bucket, {
    key: checkKey(told.object),
    id: told.uploadId,
    number: told.partNumber,
    content: { ...content, key: keyOf(told) },
  })
  return json({ etag })
}

async function completeUpload(
  { bucket, uploads }: Call,
  told: CallOf<'completeMultipartUpload'>,
): Promise<BackendReply> {
  const object = await uploads.complete(bucket, {
    key: checkKey(told.object),
    id: told.uploadId,
    parts: told.parts.map(({ part, etag }) => ({ number: part, etag })),
  })
  return json(nativeJson(object))
}

function metadataOf(
  told: CallOf<'put'> | CallOf<'createMultipartUpload'>,
  { settings }: Bucket,
): Metadata {
  const { httpFields, customFields = [] } = told
  return {
    storageClass: told.storageClass ?? settings.storageClass,
    http: httpFields ? withoutAbsent(httpFields) : {},
    custom: checkCustom(customFields.map(({ k, v }) => [k, v] as const)),
  }
}

function withoutAbsent(fields: HttpFields): HttpFields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function keyOf({
  ssec,
}: {
  readonly ssec?: { readonly key: string } | undefined
}): Uint8Array | undefined {
  return ssec && Uint8Array.from(ssec.key.match(/../g) ?? [], (digits) => parseInt(digits, 16))
}

function hexOfBase64(text: string): string {
  return Array.from(atob(text), (char) => char.charCodeAt(0).toString(16).padStart(2, '0')).join('')
}

function json(value: object): BackendReply {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(value),
  }
}

/** JSON, then the bytes of an object: workerd wants to know how long each is. */
function framed(value: object, bytes?: Opened, length = 0): BackendReply {
  const metadata = utf8(JSON.stringify(value))
  const headers = { 'CF-R2-Metadata-Size': `${metadata.byteLength}` }
  if (bytes === undefined) return { status: 200, headers, body: metadata }
  if (bytes instanceof Uint8Array) {
    const all = new Uint8Array(metadata.byteLength + bytes.byteLength)
    all.set(metadata)
    all.set(bytes, metadata.byteLength)
    return { status: 200, headers, body: all }
  }
  return {
    status: 200,
    headers: { ...headers, 'Content-Length': `${metadata.byteLength + length}` },
    body: followed(metadata, bytes),
  }
}

async function* followed(
  metadata: Uint8Array,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield metadata
  yield* bytes
}
