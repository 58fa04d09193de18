import type { BackendReply } from '#contract/backend.ts'
import * as buckets from './s3-buckets.ts'
import type { BucketCall, ObjectCall, S3Call } from './s3-call.ts'
import { notImplemented, routeNotFound } from './s3-errors.ts'
import * as lists from './s3-lists.ts'
import * as objects from './s3-objects.ts'
import type { S3Head } from './s3-request.ts'
import * as uploads from './s3-uploads.ts'

/** What a request is about. */
export type Target = { readonly bucket: string | undefined; readonly key: string | undefined }

/** What a key must allow. */
export type Need = 'bucket-read' | 'bucket-write' | 'object-read' | 'object-write'

export type Operation = { readonly need: Need } & (
  | { readonly of: 'account'; readonly run: (call: S3Call) => Promise<BackendReply> }
  /** Of a bucket that need not be there. */
  | { readonly of: 'name'; readonly run: (call: S3Call, name: string) => Promise<BackendReply> }
  | { readonly of: 'bucket'; readonly run: (call: BucketCall) => Promise<BackendReply> }
  | { readonly of: 'object'; readonly run: (call: ObjectCall) => Promise<BackendReply> }
)

type Row<Run> = readonly [
  method: string,
  /** A parameter that has to be there; `""` if none, and then nothing that S3 knows may be. */
  param: string,
  need: Need,
  run: Run,
  /** A header that has to be there. */
  header?: string,
]

const ofBucket: readonly Row<(call: BucketCall) => Promise<BackendReply>>[] = [
  ['GET', 'location', 'object-read', buckets.bucketLocation],
  ['GET', 'encryption', 'bucket-read', buckets.bucketEncryption],
  ['GET', 'cors', 'bucket-read', buckets.getCors],
  ['PUT', 'cors', 'bucket-write', buckets.putCors],
  ['DELETE', 'cors', 'bucket-write', buckets.deleteCors],
  ['GET', 'lifecycle', 'bucket-read', buckets.getLifecycle],
  ['PUT', 'lifecycle', 'bucket-write', buckets.putLifecycle],
  ['DELETE', 'lifecycle', 'bucket-write', buckets.deleteLifecycle],
  ['GET', 'uploads', 'object-read', lists.listUploads],
  ['GET', 'list-type', 'object-read', lists.listObjectsV2],
  ['POST', 'delete', 'object-write', objects.deleteObjects],
  ['GET', '', 'object-read', lists.listObjectsV1],
  ['HEAD', '', 'object-read', buckets.headBucket],
  ['DELETE', '', 'bucket-write', buckets.deleteBucket],
]

const ofObject: readonly Row<(call: ObjectCall) => Promise<BackendReply>>[] = [
  ['POST', 'uploads', 'object-write', uploads.createUpload],
  ['PUT', 'uploadId', 'object-write', uploads.copyPart, 'x-amz-copy-source'],
  ['PUT', 'uploadId', 'object-write', uploads.uploadPart],
  ['POST', 'uploadId', 'object-write', uploads.completeUpload],
  ['DELETE', 'uploadId', 'object-write', uploads.abortUpload],
  ['GET', 'uploadId', 'object-read', lists.listParts],
  ['PUT', '', 'object-write', objects.copyObject, 'x-amz-copy-source'],
  ['PUT', '', 'object-write', objects.putObject],
  ['GET', '', 'object-read', objects.getObject],
  ['HEAD', '', 'object-read', objects.headObject],
  ['DELETE', '', 'object-write', objects.deleteObject],
]

/** What S3 has and R2 has not: developers.cloudflare.com/r2/api/s3/api. */
const otherParams =
  `accelerate acl analytics attributes intelligent-tiering inventory legal-hold logging
  metrics notification object-lock ownershipControls policy policyStatus publicAccessBlock replication
  requestPayment restore retention select tagging torrent versioning versions website`.split(/\s+/)
const knownParams = ['uploads', 'uploadId', 'delete', 'cors', 'lifecycle', 'location', 'encryption']
/** Headers that would promise what is not kept. */
const otherHeaders: Readonly<Record<string, (value: string) => boolean>> = {
  'x-amz-acl': (value) => value !== 'private',
  'x-amz-grant-full-control': () => true,
  'x-amz-grant-read': () => true,
  'x-amz-grant-write': () => true,
  'x-amz-tagging': (value) => value !== '',
  'x-amz-object-lock-mode': () => true,
  'x-amz-object-lock-legal-hold': (value) => value !== 'OFF',
  'x-amz-object-lock-retain-until-date': () => true,
  'x-amz-bucket-object-lock-enabled': (value) => value !== 'false',
  'x-amz-server-side-encryption': (value) => value !== 'AES256',
  'x-amz-server-side-encryption-aws-kms-key-id': () => true,
  'x-amz-website-redirect-location': () => true,
  'x-amz-request-payer': () => true,
}

/** What a request wants done. Throws for what there is not. */
export function operationOf(head: S3Head, { bucket, key }: Target): Operation {
  checkSupported(head)
  if (bucket === undefined) {
    if (head.method !== 'GET') throw routeNotFound()
    return { of: 'account', need: 'bucket-read', run: buckets.listBuckets }
  }
  if (key !== undefined) return { of: 'object', ...rowOf(ofObject, head) }
  const isPlain = !knownParams.some((name) => head.param(name) !== undefined)
  if (head.method === 'PUT' && isPlain) {
    return { of: 'name', need: 'bucket-write', run: buckets.createBucket }
  }
  return { of: 'bucket', ...rowOf(ofBucket, head) }
}

function rowOf<Run>(rows: readonly Row<Run>[], head: S3Head): { readonly need: Need; run: Run } {
  const row = rows.find(
    ([method, param, , , header]) =>
      method === head.method &&
      (param === ''
        ? !knownParams.some((name) => head.param(name) !== undefined)
        : head.param(param) !== undefined) &&
      (header === undefined || head.header(header) !== undefined),
  )
  if (!row) throw routeNotFound()
  const [, , need, run] = row
  return { need, run }
}

function checkSupported(head: S3Head): void {
  const param = otherParams.find((name) => head.param(name) !== undefined)
  if (param !== undefined) throw notImplemented(`The subresource "${param}"`)
  const header = Object.entries(otherHeaders).find(([name, isOther]) => {
    const value = head.header(name)
    return value !== undefined && isOther(value)
  })
  if (header) throw notImplemented(`The header "${header[0]}" with this value`)
}
