import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { request, type RequestOptions } from 'node:http'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import * as aws from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { z } from 'zod'
import { bindery } from '#test/command.ts'
import { call, otherAccount } from '#test/deployer.ts'
import { without } from '#test/programs-of-system.ts'
import { newKey, refused, startS3 } from '#test/s3.ts'

// Who may do what over the S3 API, by which signature, and programs of Debian that speak it.

const run = promisify(execFile)

const mebibyte = 1024 * 1024

const fixture = await startS3()
const { server, place, endpoint, keys, s3, client, put } = fixture
after(() => fixture[Symbol.asyncDispose]())

/** One request to loopback, whatever host it names: not every system looks up names of localhost. */
function getFrom(options: RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ ...options, hostname: '127.0.0.1' }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => (text += data))
      response.on('end', () => resolve(text)).on('error', reject)
    })
      .on('error', reject)
      .end()
  })
}

suite('who may', () => {
  const read = { Bucket: 'media', Key: 'whose' }
  before(() => put('whose', 'mine'))

  test('a key of less than all may do less', async () => {
    const reader = client(await newKey(place, { permission: 'object-read-only' }))
    const writer = client(
      await newKey(place, { permission: 'object-read-write', buckets: ['other'] }),
    )
    const viewer = client(await newKey(place, { permission: 'admin-read-only' }))
    await reader.send(new aws.GetObjectCommand(read))
    await refused(reader.send(new aws.DeleteObjectCommand(read)), 'AccessDenied', 403)
    await refused(reader.send(new aws.ListBucketsCommand({})), 'AccessDenied', 403)
    await writer.send(new aws.PutObjectCommand({ Bucket: 'other', Key: 'k', Body: 'v' }))
    await refused(writer.send(new aws.GetObjectCommand(read)), 'AccessDenied', 403)
    const copy = { Bucket: 'other', Key: 'k', CopySource: 'media/whose' }
    await refused(writer.send(new aws.CopyObjectCommand(copy)), 'AccessDenied', 403)
    await refused(
      writer.send(new aws.DeleteBucketCommand({ Bucket: 'other' })),
      'AccessDenied',
      403,
    )
    await viewer.send(new aws.ListBucketsCommand({}))
    await refused(viewer.send(new aws.CreateBucketCommand({ Bucket: 'new' })), 'AccessDenied', 403)
  })

  test('another account has its own buckets', async () => {
    const other = await otherAccount(server, 'others')
    const theirs = client(await newKey(other))
    await refused(theirs.send(new aws.GetObjectCommand(read)), 'NoSuchBucket', 404)
    await theirs.send(new aws.CreateBucketCommand({ Bucket: 'media' }))
    await refused(theirs.send(new aws.GetObjectCommand(read)), 'NoSuchKey', 404)
  })

  test('a key is nobody who is not known, signs wrongly, or is revoked', async () => {
    const other = { ...keys, secretAccessKey: '0'.repeat(64) }
    await refused(client(other).send(new aws.GetObjectCommand(read)), 'SignatureDoesNotMatch', 403)
    const unknown = { ...keys, accessKeyId: '0'.repeat(32) }
    await refused(client(unknown).send(new aws.GetObjectCommand(read)), 'InvalidAccessKeyId', 403)
    const brief = await newKey(place)
    await client(brief).send(new aws.GetObjectCommand(read))
    const cli = (...args: string[]) => bindery(['s3-key', ...args, '--data', server.dataDirectory])
    assert.ok((await cli('list')).stdout.includes(brief.accessKeyId))
    assert.equal((await cli('delete', brief.accessKeyId)).code, 0)
    await refused(client(brief).send(new aws.GetObjectCommand(read)), 'InvalidAccessKeyId', 403)
    const region = client(keys, { region: 'mars-1' })
    await refused(region.send(new aws.GetObjectCommand(read)), 'InvalidRegionName', 400)
  })

  test('temporary credentials are good for what they say, and no longer', async () => {
    const temporary = async (more: object) => {
      const body = { parentAccessKeyId: keys.accessKeyId, bucket: 'media', ttlSeconds: 60, ...more }
      const answer = await call(place, 'POST', '~/r2/temp-access-credentials', body)
      return z
        .object({ accessKeyId: z.string(), secretAccessKey: z.string(), sessionToken: z.string() })
        .parse(answer)
    }
    const some = client(await temporary({ permission: 'object-read-write', prefixes: ['temp/'] }))
    await some.send(new aws.PutObjectCommand({ Bucket: 'media', Key: 'temp/k', Body: 'v' }))
    await some.send(new aws.ListObjectsV2Command({ Bucket: 'media', Prefix: 'temp/' }))
    await refused(some.send(new aws.GetObjectCommand(read)), 'AccessDenied', 403)
    await refused(some.send(new aws.ListObjectsV2Command({ Bucket: 'media' })), 'AccessDenied', 403)
    await refused(
      some.send(new aws.GetObjectCommand({ Bucket: 'other', Key: 'same' })),
      'AccessDenied',
      403,
    )
    const one = await temporary({ permission: 'object-read-only', objects: ['whose'] })
    await client(one).send(new aws.GetObjectCommand(read))
    const forged = {
      ...one,
      sessionToken: one.sessionToken.replace(/^./, (c) => (c === 'e' ? 'f' : 'e')),
    }
    await refused(client(forged).send(new aws.GetObjectCommand(read)), 'InvalidToken', 400)
    const brief = client(await temporary({ permission: 'object-read-only', ttlSeconds: 1 }))
    await new Promise((resolve) => void setTimeout(resolve, 1_100))
    await refused(brief.send(new aws.GetObjectCommand(read)), 'InvalidToken', 400)
  })
})

suite('signed URLs', () => {
  const key = { Bucket: 'media', Key: 'signed/ä b' }

  test('read, write and delete, as long as they are good', async () => {
    const written = await fetch(await getSignedUrl(s3, new aws.PutObjectCommand(key)), {
      method: 'PUT',
      body: 'by URL',
    })
    assert.equal(written.status, 200, await written.text())
    const url = await getSignedUrl(s3, new aws.GetObjectCommand(key))
    assert.equal(await (await fetch(url)).text(), 'by URL')
    assert.equal((await fetch(url.replace('signed', 'sighed'))).status, 403)
    assert.equal((await fetch(url, { method: 'DELETE' })).status, 403)
    const brief = await getSignedUrl(s3, new aws.GetObjectCommand(key), { expiresIn: 1 })
    await new Promise((resolve) => void setTimeout(resolve, 1_100))
    const late = await fetch(brief)
    assert.equal(late.status, 403)
    assert.match(await late.text(), /<Code>ExpiredRequest<\/Code>/)
    const removed = await fetch(await getSignedUrl(s3, new aws.DeleteObjectCommand(key)), {
      method: 'DELETE',
    })
    assert.equal(removed.status, 204)
    assert.equal((await fetch(url)).status, 404)
  })

  test('say what an object is, and make no other request than was signed', async () => {
    const described = { ...key, Metadata: { a: 'signed' }, ContentType: 'text/x' }
    const url = await getSignedUrl(s3, new aws.PutObjectCommand(described))
    const sent = (headers: Record<string, string>) =>
      fetch(url, { method: 'PUT', body: 'x', headers: { 'content-type': 'text/x', ...headers } })
    assert.equal((await sent({})).status, 200)
    const read = await s3.send(new aws.GetObjectCommand(key))
    assert.deepEqual([read.Metadata, read.ContentType], [{ a: 'signed' }, 'text/x'])
    for (const header of ['x-amz-meta-b', 'x-amz-copy-source', 'cf-create-bucket-if-missing']) {
      const refusal = await sent({ [header]: 'media/whose' })
      assert.equal(refusal.status, 403, header)
      assert.match(await refusal.text(), /not signed: /)
    }
  })

  test('name their bucket by the host as well', async () => {
    const { port } = new URL(endpoint)
    const byHost = client(keys, { endpoint: `http://s3.localhost:${port}`, forcePathStyle: false })
    await put('by-host', 'found')
    const url = await getSignedUrl(
      byHost,
      new aws.GetObjectCommand({ Bucket: 'media', Key: 'by-host' }),
    )
    const { host, pathname, search } = new URL(url)
    assert.equal(host, `media.s3.localhost:${port}`)
    assert.equal(await getFrom({ port, path: pathname + search, headers: { host } }), 'found')
  })

  test('from pages of other sites, where a bucket’s rules say so', async () => {
    await put('page', 'x')
    const Bucket = 'media'
    const CORSRules = [
      {
        AllowedOrigins: ['https://app.test'],
        AllowedMethods: ['GET', 'PUT'],
        AllowedHeaders: ['*'],
      },
    ]
    await s3.send(new aws.PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }))
    const url = await getSignedUrl(s3, new aws.GetObjectCommand({ Bucket, Key: 'page' }))
    const preflight = (origin: string, method: string) =>
      fetch(url, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': method,
          'access-control-request-headers': 'content-type,x-amz-meta-a',
        },
      })
    const allowed = await preflight('https://app.test', 'PUT')
    assert.equal(allowed.status, 204)
    assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.test')
    assert.equal(allowed.headers.get('access-control-allow-headers'), 'content-type, x-amz-meta-a')
    assert.equal((await preflight('https://evil.test', 'PUT')).status, 403)
    assert.equal((await preflight('https://app.test', 'DELETE')).status, 403)
    const read = await fetch(url, { headers: { origin: 'https://app.test' } })
    assert.equal(read.headers.get('access-control-allow-origin'), 'https://app.test')
  })
})

suite('what is not S3, or not R2’s part of it', () => {
  test('is told so', async () => {
    const Bucket = 'media'
    await refused(s3.send(new aws.GetBucketAclCommand({ Bucket })), 'NotImplemented', 501)
    await refused(s3.send(new aws.GetBucketVersioningCommand({ Bucket })), 'NotImplemented', 501)
    await refused(put('k', 'v', { ACL: 'public-read' }), 'NotImplemented', 501)
    await refused(put('k', 'v', { Tagging: 'a=b' }), 'NotImplemented', 501)
    await refused(put('k', 'v', { StorageClass: 'GLACIER' }), 'InvalidRequest', 400)
    const answers: Readonly<Record<string, readonly [status: number, code: string, RequestInit?]>> =
      {
        '/media/page?X-Amz-Algorithm=AWS4-HMAC-SHA256': [400, 'AuthorizationHeaderMalformed'],
        '/media/page?X-Amz-Signature=0': [400, 'InvalidArgument'],
        '/media/%zz?X-Amz-Algorithm=AWS4-HMAC-SHA256': [400, 'InvalidURI'],
        '/media/page': [
          400,
          'AuthorizationHeaderMalformed',
          { headers: { authorization: 'AWS4-HMAC-SHA256 Credential=x' } },
        ],
      }
    for (const [path, [status, code, init]] of Object.entries(answers)) {
      const answer = await fetch(endpoint + path, init)
      assert.equal(answer.status, status, path)
      assert.match(await answer.text(), new RegExp(`<Error><Code>${code}</Code>`), path)
    }
    // The REST API is where it was.
    assert.equal((await fetch(`${endpoint}/health`)).status, 200)
    assert.equal((await fetch(`${endpoint}/media/page`)).status, 404)
  })
})

suite('programs of Debian', () => {
  const bytes = randomBytes(12 * mebibyte)

  test(
    'rclone copies a folder there and back, and finds no difference',
    {
      skip: without('rclone'),
    },
    async () => {
      const folder = join(server.folder, 'rclone')
      await run('mkdir', ['-p', join(folder, 'in/sub')])
      await writeFile(join(folder, 'in/small ü.txt'), 'small')
      await writeFile(join(folder, 'in/sub/big.bin'), bytes)
      const environment = {
        PATH: process.env['PATH'],
        HOME: folder,
        RCLONE_CONFIG: '/dev/null',
        RCLONE_CONFIG_B_TYPE: 's3',
        RCLONE_CONFIG_B_PROVIDER: 'Cloudflare',
        RCLONE_CONFIG_B_ENDPOINT: endpoint,
        RCLONE_CONFIG_B_ACCESS_KEY_ID: keys.accessKeyId,
        RCLONE_CONFIG_B_SECRET_ACCESS_KEY: keys.secretAccessKey,
      }
      const rclone = (...args: string[]) =>
        run(
          'rclone',
          [...args, '--s3-chunk-size', '5M', '--s3-upload-cutoff', '5M', '--retries', '1'],
          {
            env: environment,
          },
        )
      await rclone('copy', join(folder, 'in'), 'b:media/rclone')
      await rclone('check', '--download', join(folder, 'in'), 'b:media/rclone')
      await rclone('sync', 'b:media/rclone', join(folder, 'out'))
      assert.ok(bytes.equals(await readFile(join(folder, 'out/sub/big.bin'))))
      const { stdout } = await rclone('lsf', '-R', 'b:media/rclone')
      assert.deepEqual(stdout.trim().split('\n').toSorted(), ['small ü.txt', 'sub/', 'sub/big.bin'])
      await rclone('purge', 'b:media/rclone')
      assert.equal((await rclone('lsf', '-R', 'b:media/rclone')).stdout, '')
    },
  )

  test('s3cmd puts, lists, gets and removes', { skip: without('s3cmd') }, async () => {
    const path = join(server.folder, 's3cmd.bin')
    await writeFile(path, bytes)
    const { host } = new URL(endpoint)
    const flags = ['--no-ssl', `--host=${host}`, `--host-bucket=${host}`, '--region=auto']
    const s3cmd = (...args: string[]) =>
      run('s3cmd', [
        ...args,
        ...flags,
        '--config=/dev/null',
        '--no-check-md5',
        '--multipart-chunk-size-mb=5',
        `--access_key=${keys.accessKeyId}`,
        `--secret_key=${keys.secretAccessKey}`,
      ])
    await s3cmd('put', path, 's3://media/s3cmd/a b.bin')
    assert.match(
      (await s3cmd('ls', 's3://media/s3cmd/')).stdout,
      /12582912 +s3:\/\/media\/s3cmd\/a b\.bin/,
    )
    await s3cmd('get', '--force', 's3://media/s3cmd/a b.bin', `${path}.back`)
    assert.ok(bytes.equals(await readFile(`${path}.back`)))
    await s3cmd('rm', 's3://media/s3cmd/a b.bin')
    assert.equal((await s3cmd('ls', 's3://media/s3cmd/')).stdout, '')
  })
})
