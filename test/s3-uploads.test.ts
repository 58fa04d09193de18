import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { after, suite, test } from 'node:test'
import * as aws from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { refused, startS3 } from '#test/s3.ts'

// Uploads in parts over the S3 API, with a client that nobody here wrote.

const mebibyte = 1024 * 1024

const fixture = await startS3()
const { s3, put, get, text } = fixture
after(() => fixture[Symbol.asyncDispose]())

suite('uploads in parts', () => {
  const bytes = randomBytes(11 * mebibyte)

  test('by the SDK, with progress and parts side by side', async () => {
    const params = { Bucket: 'media', Key: 'big', Body: Readable.from([bytes]) }
    const upload = new Upload({ client: s3, params, queueSize: 3, partSize: 5 * mebibyte })
    const { ETag } = await upload.done()
    assert.match(ETag ?? '', /^"[0-9a-f]{32}-3"$/)
    const read = await get('big')
    assert.equal(read.ContentLength, bytes.length)
    assert.ok(bytes.equals((await read.Body?.transformToByteArray()) ?? new Uint8Array()))
    const end = await get('big', { Range: `bytes=${10 * mebibyte - 2}-${10 * mebibyte + 1}` })
    const expected = bytes.subarray(10 * mebibyte - 2, 10 * mebibyte + 2)
    assert.ok(expected.equals((await end.Body?.transformToByteArray()) ?? new Uint8Array()))
  })

  for (const [ChecksumAlgorithm, ChecksumType] of [
    ['CRC64NVME', 'FULL_OBJECT'],
    ['CRC32C', 'FULL_OBJECT'],
    ['CRC32', 'COMPOSITE'],
    ['SHA256', 'COMPOSITE'],
  ] as const) {
    test(`have a checksum ${ChecksumAlgorithm} of the type ${ChecksumType}`, async () => {
      const key = { Bucket: 'media', Key: `parts-${ChecksumAlgorithm}` }
      const { UploadId } = await s3.send(
        new aws.CreateMultipartUploadCommand({ ...key, ChecksumAlgorithm, ChecksumType }),
      )
      const Parts: aws.CompletedPart[] = []
      for (const PartNumber of [1, 2]) {
        const from = (PartNumber - 1) * 5 * mebibyte
        const Body = bytes.subarray(from, from + (PartNumber === 1 ? 5 : 2) * mebibyte)
        const part = await s3.send(
          new aws.UploadPartCommand({ ...key, UploadId, PartNumber, Body, ChecksumAlgorithm }),
        )
        const named = `Checksum${ChecksumAlgorithm}` as const
        Parts.push({ PartNumber, ETag: part.ETag, [named]: part[named] })
      }
      const listed = await s3.send(new aws.ListPartsCommand({ ...key, UploadId, MaxParts: 1 }))
      assert.deepEqual([listed.Parts?.length, listed.IsTruncated], [1, true])
      const uploads = await s3.send(
        new aws.ListMultipartUploadsCommand({ Bucket: 'media', Prefix: 'parts-' }),
      )
      assert.deepEqual(
        uploads.Uploads?.map((each) => each.UploadId),
        [UploadId],
      )
      const done = await s3.send(
        new aws.CompleteMultipartUploadCommand({ ...key, UploadId, MultipartUpload: { Parts } }),
      )
      const sum = done[`Checksum${ChecksumAlgorithm}`] ?? ''
      assert.equal(sum.endsWith('-2'), ChecksumType === 'COMPOSITE')
      // The same bytes at once have the same checksum.
      const whole = bytes.subarray(0, 7 * mebibyte)
      const { [`Checksum${ChecksumAlgorithm}` as const]: expected } = await put('whole', whole, {
        ChecksumAlgorithm,
      })
      if (ChecksumType === 'FULL_OBJECT') assert.equal(sum, expected)
    })
  }

  test('are refused where parts are missing, too small, or of somebody else', async () => {
    const key = { Bucket: 'media', Key: 'refused' }
    const { UploadId } = await s3.send(new aws.CreateMultipartUploadCommand(key))
    const part = (PartNumber: number, Body: string) =>
      s3.send(new aws.UploadPartCommand({ ...key, UploadId, PartNumber, Body }))
    const complete = (...Parts: aws.CompletedPart[]) =>
      s3.send(
        new aws.CompleteMultipartUploadCommand({ ...key, UploadId, MultipartUpload: { Parts } }),
      )
    const { ETag: one } = await part(1, 'small')
    const { ETag: two } = await part(2, 'small too')
    await refused(part(0, 'x'), 'InvalidArgument', 400)
    await refused(part(10_001, 'x'), 'InvalidArgument', 400)
    const both = [
      { PartNumber: 1, ETag: one },
      { PartNumber: 2, ETag: two },
    ]
    await refused(complete(...both), 'EntityTooSmall', 400)
    await refused(complete(...both.toReversed()), 'InvalidRequest', 400)
    await refused(complete({ PartNumber: 1, ETag: '"0"' }), 'InvalidPart', 400)
    await refused(complete({ PartNumber: 3, ETag: one }), 'InvalidPart', 400)
    await complete({ PartNumber: 2, ETag: two })
    assert.equal(await text('refused'), 'small too')
    await refused(part(3, 'late'), 'NoSuchUpload', 404)
  })

  test('are copied from objects, and aborted', async () => {
    const key = { Bucket: 'other', Key: 'of-parts' }
    const { UploadId } = await s3.send(new aws.CreateMultipartUploadCommand(key))
    const from = { ...key, UploadId, CopySource: 'media/big' }
    const ranges = [`bytes=0-${5 * mebibyte - 1}`, `bytes=${5 * mebibyte}-${6 * mebibyte - 1}`]
    const Parts: aws.CompletedPart[] = []
    for (const [index, CopySourceRange] of ranges.entries()) {
      const PartNumber = index + 1
      const { CopyPartResult: part } = await s3.send(
        new aws.UploadPartCopyCommand({ ...from, PartNumber, CopySourceRange }),
      )
      Parts.push({ PartNumber, ETag: part?.ETag })
    }
    await s3.send(
      new aws.CompleteMultipartUploadCommand({ ...key, UploadId, MultipartUpload: { Parts } }),
    )
    const read = await s3.send(new aws.GetObjectCommand(key))
    const expected = bytes.subarray(0, 6 * mebibyte)
    assert.ok(expected.equals((await read.Body?.transformToByteArray()) ?? new Uint8Array()))
    const aborted = await s3.send(new aws.CreateMultipartUploadCommand(key))
    const of = { ...key, UploadId: aborted.UploadId }
    await s3.send(new aws.AbortMultipartUploadCommand(of))
    await s3.send(new aws.AbortMultipartUploadCommand(of))
    await refused(s3.send(new aws.ListPartsCommand(of)), 'NoSuchUpload', 404)
  })
})
