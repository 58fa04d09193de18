import type { BackendReply } from '#contract/backend.ts'
import { gather } from '#contract/gather.ts'
import { Body } from './body.ts'
import type { Content } from './content-store.ts'
import { checkDigests, Digests, namesOf } from './digests.ts'
import { bodyIncomplete, lengthMissing, tooLarge } from './errors.ts'
import type { Credentials } from './key-store.ts'
import { xmlBytes } from './limits.ts'
import type { Parts } from './parts.ts'
import type { Bucket } from './records.ts'
import { forbidden, requestInvalid } from './s3-errors.ts'
import { announcedChecksums, checksumsOf, ssecKeyOf } from './s3-headers.ts'
import type { S3Head } from './s3-request.ts'
import { Element, type Xml, writeXml } from './s3-xml.ts'

/** A call of S3 by somebody who has signed it. */
export type S3Call = Pick<Parts, 'buckets' | 'objects' | 'uploads'> & {
  readonly head: S3Head
  readonly credentials: Credentials
  /** What the client means by the body: out of its chunks, and throwing if it is not as was signed. */
  readonly body: AsyncIterable<Uint8Array>
  /** Fields behind the body, once that has been read. */
  readonly trailer: () => ReadonlyMap<string, string>
}

export type BucketCall = S3Call & { readonly bucket: Bucket }
export type ObjectCall = BucketCall & { readonly key: string }

/** Objects of S3 are in no jurisdiction but this. */
export const jurisdiction = 'default'

/** The bucket of this name, if the caller may touch it. */
export function bucketNamed({ buckets, credentials }: S3Call, name: string): Bucket {
  if (credentials.buckets && !credentials.buckets.includes(name)) throw forbidden()
  return buckets.get(credentials.account, jurisdiction, name)
}

/** Throws unless the caller may touch an object of this key. */
export function checkKeyAllowed({ prefixes, objects }: Credentials, key: string): void {
  if (!prefixes && !objects) return
  const isAllowed =
    objects?.includes(key) === true || prefixes?.some((prefix) => key.startsWith(prefix)) === true
  if (!isAllowed) throw forbidden()
}

/** The body as an object, or a part of one. */
export function contentOf(call: S3Call, mayInline: boolean): Content {
  const { head } = call
  const wanted = announcedChecksums(head)
  return {
    body: new Body(call.body),
    length: lengthOf(head),
    wanted,
    expected: () => expectedOf(call),
    key: ssecKeyOf(head),
    mayInline,
  }
}

function expectedOf({ head, trailer }: S3Call) {
  const behind = trailer()
  return checksumsOf((name) => behind.get(name) ?? head.header(name))
}

/** Bytes of the body, without what is around its chunks. */
export function lengthOf(head: S3Head): number {
  const text = head.header('x-amz-decoded-content-length') ?? head.header('content-length')
  if (text === undefined) throw lengthMissing()
  if (!/^\d{1,15}$/.test(text)) throw requestInvalid('The length of the body is not a number.')
  return Number(text)
}

/** The body as XML whose outermost element has this name. */
export async function readXml(call: S3Call, name: string): Promise<Element> {
  const { bytes } = await gather(call.body, xmlBytes, xmlBytes)
  if (!bytes) throw tooLarge()
  if (lengthOf(call.head) !== bytes.byteLength) throw bodyIncomplete()
  const expected = expectedOf(call)
  const digests = new Digests(namesOf(expected))
  digests.update(bytes)
  checkDigests(expected, digests.results())
  return Element.read(new TextDecoder().decode(bytes), name)
}

export function xmlReply(
  document: Xml,
  headers: Readonly<Record<string, string>> = {},
): BackendReply {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/xml', ...headers },
    body: writeXml(document),
  }
}

export function nothing(headers: Readonly<Record<string, string>> = {}): BackendReply {
  return { status: 204, headers }
}
