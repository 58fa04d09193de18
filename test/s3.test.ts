import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import * as aws from '@aws-sdk/client-s3'
import { z } from 'zod'
import { call, deploy } from '#test/deployer.ts'
import { refused, startS3 } from '#test/s3.ts'

// The S3 API, with a client that nobody here wrote.

const fixture = await startS3()
const { server, place, s3, put, get, text } = fixture
after(() => fixture[Symbol.asyncDispose]())

suite('buckets', () => {
  test('are made, listed, looked at and deleted', async () => {
    await s3.send(new aws.CreateBucketCommand({ Bucket: 'brief' }))
    await refused(
      s3.send(new aws.CreateBucketCommand({ Bucket: 'brief' })),
      'BucketAlreadyOwnedByYou',
      409,
    )
    await refused(s3.send(new aws.CreateBucketCommand({ Bucket: 'No' })), 'InvalidBucketName', 400)
    const { Buckets = [] } = await s3.send(new aws.ListBucketsCommand({}))
    assert.deepEqual(
      Buckets.map(({ Name }) => Name),
      ['brief', 'media', 'other'],
    )
    await s3.send(new aws.HeadBucketCommand({ Bucket: 'brief' }))
    await s3.send(new aws.GetBucketLocationCommand({ Bucket: 'brief' }))
    const { ServerSideEncryptionConfiguration: encryption } = await s3.send(
      new aws.GetBucketEncryptionCommand({ Bucket: 'brief' }),
    )
    assert.equal(encryption?.Rules?.length, 1)
    const body = { Bucket: 'brief', Key: 'k', Body: 'v' }
    await s3.send(new aws.PutObjectCommand(body))
    await refused(s3.send(new aws.DeleteBucketCommand({ Bucket: 'brief' })), 'BucketNotEmpty', 409)
    await s3.send(new aws.DeleteObjectCommand(body))
    await s3.send(new aws.DeleteBucketCommand({ Bucket: 'brief' }))
    await refused(s3.send(new aws.GetObjectCommand(body)), 'NoSuchBucket', 404)
    await refused(s3.send(new aws.HeadBucketCommand({ Bucket: 'brief' })), 'NotFound', 404)
  })

  test('have rules for CORS and lifecycle, the same as by REST', async () => {
    const Bucket = 'other'
    await refused(s3.send(new aws.GetBucketCorsCommand({ Bucket })), 'NoSuchCORSConfiguration', 404)
    const CORSRules = [
      {
        AllowedOrigins: ['https://*.example.com'],
        AllowedMethods: ['GET', 'PUT'],
        AllowedHeaders: ['content-type'],
        ExposeHeaders: ['ETag'],
        MaxAgeSeconds: 60,
      },
    ]
    await s3.send(new aws.PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }))
    const shown = await s3.send(new aws.GetBucketCorsCommand({ Bucket }))
    assert.deepEqual(shown.CORSRules, CORSRules)
    const byRest = z
      .object({ rules: z.array(z.object({ allowed: z.object({ origins: z.array(z.string()) }) })) })
      .parse(await call(place, 'GET', '~/r2/buckets/other/cors'))
    assert.deepEqual(byRest.rules[0]?.allowed.origins, ['https://*.example.com'])
    const Rules: aws.LifecycleRule[] = [
      {
        ID: 'old',
        Status: 'Enabled',
        Filter: { Prefix: 'log/' },
        Expiration: { Days: 30 },
        Transitions: [{ Days: 7, StorageClass: 'STANDARD_IA' }],
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 },
      },
    ]
    await s3.send(
      new aws.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }),
    )
    const lifecycle = await s3.send(new aws.GetBucketLifecycleConfigurationCommand({ Bucket }))
    assert.deepEqual(lifecycle.Rules, Rules)
    const wrong = { Rules: [{ Status: 'Enabled', Filter: {}, Expiration: { Days: -1 } }] } as const
    await refused(
      s3.send(
        new aws.PutBucketLifecycleConfigurationCommand({
          Bucket,
          LifecycleConfiguration: { Rules: [...wrong.Rules] },
        }),
      ),
      'MalformedXML',
      400,
    )
    await s3.send(new aws.DeleteBucketLifecycleCommand({ Bucket }))
    await refused(
      s3.send(new aws.GetBucketLifecycleConfigurationCommand({ Bucket })),
      'NoSuchLifecycleConfiguration',
      404,
    )
  })
})

suite('objects', () => {
  const keysOfAllSorts = [
    'plain',
    'a/b//c',
    'with space',
    'Käse & Öl?#%41+x=1',
    '日本 語',
    'quo\'te"(*)!~',
    '../up/./here/',
    'e\u0301',
  ]
  test('of all sorts of keys are put, read, listed and deleted', async () => {
    for (const key of keysOfAllSorts) await put(`keys/${key}`, `value of ${key}`)
    for (const key of keysOfAllSorts) assert.equal(await text(`keys/${key}`), `value of ${key}`)
    for (const EncodingType of [undefined, 'url'] as const) {
      const { Contents = [] } = await s3.send(
        new aws.ListObjectsV2Command({ Bucket: 'media', Prefix: 'keys/', EncodingType }),
      )
      const listed = Contents.map(({ Key = '' }) =>
        EncodingType ? decodeURIComponent(Key) : Key,
      ).map((key) => key.slice('keys/'.length))
      assert.deepEqual(listed.toSorted(), keysOfAllSorts.toSorted())
    }
    const { Deleted = [] } = await s3.send(
      new aws.DeleteObjectsCommand({
        Bucket: 'media',
        Delete: { Objects: keysOfAllSorts.map((key) => ({ Key: `keys/${key}` })) },
      }),
    )
    assert.equal(Deleted.length, keysOfAllSorts.length)
    await refused(get('keys/plain'), 'NoSuchKey', 404)
  })

  test('have metadata, and what a signed request asks for instead', async () => {
    const given = {
      ContentType: 'text/plain; charset=utf-8',
      ContentLanguage: 'de',
      ContentDisposition: 'inline',
      ContentEncoding: 'identity',
      CacheControl: 'max-age=1',
      Metadata: { one: '1', two: '=?UTF-8?B?endlaSDigJQg5LqM?=' },
    }
    await put('described', 'x', { ...given, Expires: new Date('2027-01-02T03:04:05Z') })
    const head = await s3.send(new aws.HeadObjectCommand({ Bucket: 'media', Key: 'described' }))
    assert.partialDeepStrictEqual(head, {
      ...given,
      ContentLength: 1,
      ETag: `"${createHash('md5').update('x').digest('hex')}"`,
      ExpiresString: 'Sat, 02 Jan 2027 03:04:05 GMT',
    })
    const other = await get('described', { ResponseContentType: 'text/css' })
    assert.equal(other.ContentType, 'text/css')
    const nothing = await put('undescribed', '').then(() => get('undescribed'))
    assert.equal(nothing.ContentType, 'application/octet-stream')
    assert.equal(nothing.ContentLength, 0)
  })

  test('are read in part', async () => {
    await put('range', '0123456789')
    const part = async (Range: string) => {
      const { Body, ContentRange } = await get('range', { Range })
      return [await Body?.transformToString(), ContentRange]
    }
    assert.deepEqual(await part('bytes=2-4'), ['234', 'bytes 2-4/10'])
    assert.deepEqual(await part('bytes=7-'), ['789', 'bytes 7-9/10'])
    assert.deepEqual(await part('bytes=-2'), ['89', 'bytes 8-9/10'])
    assert.deepEqual(await part('bytes=1-2,4-5'), ['0123456789', undefined])
    await refused(get('range', { Range: 'bytes=10-' }), 'InvalidRange', 416)
  })

  test('are written and read under conditions', async () => {
    const { ETag = '' } = await put('conditional', 'one', { IfNoneMatch: '*' })
    await refused(put('conditional', 'two', { IfNoneMatch: '*' }), 'PreconditionFailed', 412)
    await refused(put('conditional', 'two', { IfMatch: '"0"' }), 'PreconditionFailed', 412)
    assert.equal(await text('conditional'), 'one')
    await put('conditional', 'two', { IfMatch: ETag })
    await refused(get('conditional', { IfMatch: ETag }), 'PreconditionFailed', 412)
    const now = await get('conditional', { IfNoneMatch: ETag })
    assert.equal(await now.Body?.transformToString(), 'two')
    await refused(get('conditional', { IfNoneMatch: now.ETag }), 'Unknown', 304)
    const future = new Date(Date.now() + 3_600_000)
    await refused(get('conditional', { IfModifiedSince: future }), 'Unknown', 304)
    await refused(get('conditional', { IfUnmodifiedSince: new Date(0) }), 'PreconditionFailed', 412)
  })

  test('are checked against what their clients say of them', async () => {
    for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
      await put(`sum/${ChecksumAlgorithm}`, 'checked', { ChecksumAlgorithm })
      const read = await get(`sum/${ChecksumAlgorithm}`, { ChecksumMode: 'ENABLED' })
      assert.ok(read[`Checksum${ChecksumAlgorithm}`], ChecksumAlgorithm)
      assert.equal(await read.Body?.transformToString(), 'checked')
    }
    const md5 = createHash('md5').update('other').digest('base64')
    await refused(put('sum/bad', 'checked', { ContentMD5: md5 }), 'BadDigest', 400)
    const ChecksumSHA256 = createHash('sha256').update('other').digest('base64')
    await refused(put('sum/bad', 'checked', { ChecksumSHA256 }), 'BadDigest', 400)
    await refused(put('sum/bad', 'checked', { ChecksumSHA256: 'AAAA' }), 'InvalidDigest', 400)
    await refused(get('sum/bad'), 'NoSuchKey', 404)
  })

  test('are copied, with their metadata, with other or with more', async () => {
    await put('from/ü', 'copied', { ContentType: 'text/x', Metadata: { a: '1', b: '2' } })
    const source = { Bucket: 'other', CopySource: `media/${encodeURIComponent('from/ü')}` }
    const copy = async (Key: string, more: Partial<aws.CopyObjectCommandInput> = {}) => {
      await s3.send(new aws.CopyObjectCommand({ ...source, Key, ...more }))
      const read = await s3.send(new aws.GetObjectCommand({ Bucket: 'other', Key }))
      return [await read.Body?.transformToString(), read.ContentType, read.Metadata]
    }
    assert.deepEqual(await copy('same'), ['copied', 'text/x', { a: '1', b: '2' }])
    const other = { ContentType: 'text/y', Metadata: { b: '3' } }
    assert.deepEqual(await copy('other', { ...other, MetadataDirective: 'REPLACE' }), [
      'copied',
      'text/y',
      { b: '3' },
    ])
    const itself = { Bucket: 'media', Key: 'from/ü', CopySource: source.CopySource }
    await refused(s3.send(new aws.CopyObjectCommand(itself)), 'InvalidRequest', 400)
    await refused(
      s3.send(new aws.CopyObjectCommand({ ...source, Key: 'k', CopySourceIfMatch: '"0"' })),
      'PreconditionFailed',
      412,
    )
    await refused(
      s3.send(new aws.CopyObjectCommand({ Bucket: 'other', Key: 'k', CopySource: 'media/gone' })),
      'NoSuchKey',
      404,
    )
  })

  test('are encrypted under a key of their owner', async () => {
    const key = randomBytes(32)
    const sealed = {
      SSECustomerAlgorithm: 'AES256',
      SSECustomerKey: key.toString('base64'),
      SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
    }
    await put('sealed', 'secret', sealed)
    assert.equal(await text('sealed', sealed), 'secret')
    await refused(get('sealed'), 'InvalidArgument', 400)
    const wrong = randomBytes(32)
    const others = {
      SSECustomerAlgorithm: 'AES256',
      SSECustomerKey: wrong.toString('base64'),
      SSECustomerKeyMD5: createHash('md5').update(wrong).digest('base64'),
    }
    await refused(get('sealed', others), 'AccessDenied', 403)
  })

  test('are the same to a Worker', async () => {
    const code = `export default { async fetch(request, env) {
      await env.B.put('from-worker', 'w', { customMetadata: { by: 'worker' } })
      const object = await env.B.get('for-worker')
      return new Response(await object.text() + ' ' + object.customMetadata.by)
    } }`
    const bindings = [{ type: 'r2_bucket', name: 'B', bucket_name: 'media' }]
    await put('for-worker', 'v', { Metadata: { by: 's3' } })
    await deploy(place, 'w', { code, bindings })
    assert.equal(await (await server.visit('w')).text(), 'v s3')
    const read = await get('from-worker')
    assert.deepEqual(read.Metadata, { by: 'worker' })
  })
})

suite('lists', () => {
  before(async () => {
    const names = ['x', 'dir/1', 'dir/2', 'dir/sub/3', 'dir2/4', 'z']
    for (const name of names) await put(`list/${name}`, name)
  })

  test('go page by page, with groups, in both versions', async () => {
    const common = { Bucket: 'media', Prefix: 'list/', Delimiter: '/', MaxKeys: 1 }
    const seen: string[] = []
    let ContinuationToken: string | undefined
    do {
      const page = await s3.send(new aws.ListObjectsV2Command({ ...common, ContinuationToken }))
      seen.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''))
      seen.push(...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''))
      ContinuationToken = page.NextContinuationToken
    } while (ContinuationToken !== undefined)
    assert.deepEqual(seen, ['list/dir/', 'list/dir2/', 'list/x', 'list/z'])
    const older: string[] = []
    let Marker: string | undefined
    do {
      const page = await s3.send(new aws.ListObjectsCommand({ ...common, Marker }))
      older.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''))
      older.push(...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''))
      Marker = page.IsTruncated ? page.NextMarker : undefined
    } while (Marker !== undefined)
    assert.deepEqual(older, seen)
    const behind = await s3.send(
      new aws.ListObjectsV2Command({ Bucket: 'media', Prefix: 'list/', StartAfter: 'list/dir2/4' }),
    )
    assert.deepEqual(
      behind.Contents?.map(({ Key }) => Key),
      ['list/x', 'list/z'],
    )
    const none = await s3.send(new aws.ListObjectsV2Command({ Bucket: 'media', MaxKeys: 0 }))
    assert.deepEqual([none.KeyCount, none.IsTruncated], [0, false])
  })
})
