import { Buffer } from 'node:buffer'
import type { BackendReply } from '#contract/backend.ts'
import { combineCrc } from './crc.ts'
import { type Checksums, Digests } from './digests.ts'
import { argumentInvalid, digestDiffers, partNotFound } from './errors.ts'
import { partLimit } from './limits.ts'
import type { Part, Upload, UploadChecksum } from './records.ts'
import { uploadChecksum } from './records.ts'
import { contentOf, nothing, type ObjectCall, readXml, xmlReply } from './s3-call.ts'
import { requestInvalid } from './s3-errors.ts'
import {
  announcedChecksums,
  base64Of,
  checksumHeaders,
  conditionsOf,
  hexOf,
  type S3Checksum,
  s3Checksums,
  shownChecksums,
  ssecKeyOf,
} from './s3-headers.ts'
import { bodyOf, copyResult, metadataOf, openSource, writtenHeaders } from './s3-objects.ts'
import type { S3Head } from './s3-request.ts'
import type { Element, Xml } from './s3-xml.ts'
import { checkKey } from './schema.ts'

// Uploads in parts.

export async function createUpload(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, uploads, head } = call
  const checksum = checksumOf(head)
  const uploadId = await uploads.create(bucket, {
    ...metadataOf(call),
    key: checkKey(key),
    ssecKey: ssecKeyOf(head),
    checksum,
  })
  return xmlReply(
    [
      'InitiateMultipartUploadResult',
      [
        ['Bucket', bucket.name],
        ['Key', key],
        ['UploadId', uploadId],
      ],
    ],
    checksum && {
      'x-amz-checksum-algorithm': checksum.algorithm.toUpperCase(),
      'x-amz-checksum-type': checksum.type,
    },
  )
}

/** CRC64NVME is of all bytes, SHA-1 and SHA-256 of the parts' checksums; of the others one may choose. */
function checksumOf(head: S3Head): UploadChecksum | undefined {
  const algorithm = head.header('x-amz-checksum-algorithm')?.toLowerCase()
  if (algorithm === undefined) return undefined
  const usual = algorithm === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE'
  const type = head.header('x-amz-checksum-type')?.toUpperCase() ?? usual
  const checksum = uploadChecksum.safeParse({ algorithm, type })
  const isPossible =
    type === 'FULL_OBJECT' ? algorithm.startsWith('crc') : algorithm !== 'crc64nvme'
  if (!checksum.success || !isPossible) {
    throw requestInvalid(`There is no checksum ${algorithm} of the type ${type}.`)
  }
  return checksum.data
}

export async function uploadPart(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, uploads, head } = call
  const { id, number } = partOf(head)
  const upload = await uploads.open(bucket, key, id)
  const content = contentOf(call, false)
  const wanted = [
    ...(content.wanted ?? []),
    ...(upload.checksum ? [upload.checksum.algorithm] : []),
  ]
  const part = await uploads.putPart(bucket, { key, id, number, content: { ...content, wanted } })
  return {
    status: 200,
    headers: { ETag: `"${part.etag}"`, ...partChecksums(part, announcedChecksums(head)) },
  }
}

function partChecksums(part: Part, names: readonly string[]): Readonly<Record<string, string>> {
  const all = checksumHeaders(part.checksums)
  return Object.fromEntries(
    Object.entries(all).filter(([name]) => names.some((each) => name.endsWith(`-${each}`))),
  )
}

export async function copyPart(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, uploads, head } = call
  const { id, number } = partOf(head)
  const upload = await uploads.open(bucket, key, id)
  const source = await openSource(call)
  const part = await uploads.putPart(bucket, {
    key,
    id,
    number,
    content: {
      body: bodyOf(source),
      length: source.length,
      wanted: upload.checksum ? [upload.checksum.algorithm] : [],
      key: ssecKeyOf(head),
      mayInline: false,
    },
  })
  return xmlReply(['CopyPartResult', copyResult(part)])
}

function partOf(head: S3Head): { readonly id: string; readonly number: number } {
  const number = head.param('partNumber') ?? ''
  if (!/^\d{1,5}$/.test(number) || Number(number) < 1 || Number(number) > partLimit) {
    throw argumentInvalid(`Part number must be an integer between 1 and ${partLimit}, inclusive.`)
  }
  return { id: head.param('uploadId') ?? '', number: Number(number) }
}

export async function completeUpload(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, uploads, head } = call
  const document = await readXml(call, 'CompleteMultipartUpload')
  const chosen = document.all('Part').map((part) => ({ part, ...chosenOf(part) }))
  if (chosen.some(({ number }, at) => at > 0 && number <= (chosen[at - 1]?.number ?? 0))) {
    throw requestInvalid('The list of parts was not in ascending order.')
  }
  const object = await uploads.complete(bucket, {
    key,
    id: head.param('uploadId') ?? '',
    parts: chosen,
    conditions: conditionsOf(head),
    checksumsOf(parts, upload) {
      parts.forEach((part, at) => checkPart(part, chosen[at]?.part))
      return checksumsOfAll(parts, upload, head)
    },
  })
  const shown = shownChecksums(object.checksums)
  return xmlReply(
    [
      'CompleteMultipartUploadResult',
      [
        ['Location', `/${bucket.name}/${key}`],
        ['Bucket', bucket.name],
        ['Key', key],
        ['ETag', `"${object.etag}"`],
        ...shown.map(([name, text]): Xml => [`Checksum${name.toUpperCase()}`, text]),
      ],
    ],
    writtenHeaders(object),
  )
}

function chosenOf(part: Element): { readonly number: number; readonly etag: string } {
  const number = Number(part.text('PartNumber') ?? Number.NaN)
  return { number, etag: (part.text('ETag') ?? '').replaceAll('"', '').trim() }
}

/** Throws unless a part has the checksums that are named with it. */
function checkPart(part: Part, named: Element | undefined): void {
  for (const name of s3Checksums) {
    const text = named?.text(`Checksum${name.toUpperCase()}`)
    const hex = part.checksums[name]
    if (text !== undefined && hex !== undefined && hexOf(text, name) !== hex) throw partNotFound()
  }
}

/** The checksum of an object of these parts, if its upload asked for one. */
function checksumsOfAll(parts: readonly Part[], { checksum }: Upload, head: S3Head): Checksums {
  if (!checksum) return {}
  const { algorithm, type } = checksum
  const own = parts.map(({ checksums }) => checksums[algorithm])
  if (own.some((hex) => hex === undefined)) return {}
  const all = own.filter((hex) => hex !== undefined)
  const value =
    type === 'FULL_OBJECT'
      ? combineCrc(
          algorithm,
          parts.map(({ size }, at) => ({ size, hex: all[at] ?? '' })),
        )
      : `${compositeOf(algorithm, all)}-${parts.length}`
  const named = head.header(`x-amz-checksum-${algorithm}`)
  if (named !== undefined && named !== base64Of(value)) {
    throw digestDiffers(algorithm.toUpperCase(), named, base64Of(value))
  }
  return { [algorithm]: value }
}

/** The checksum of checksums. */
function compositeOf(algorithm: S3Checksum, hexes: readonly string[]): string {
  const digests = new Digests([algorithm])
  digests.update(new Uint8Array(Buffer.from(hexes.join(''), 'hex')))
  return digests.results()[algorithm] ?? ''
}

export async function abortUpload(call: ObjectCall): Promise<BackendReply> {
  const { bucket, key, uploads, head } = call
  await uploads.abort(bucket, key, head.param('uploadId') ?? '')
  return nothing()
}
