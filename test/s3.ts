import assert from 'node:assert/strict'
import * as aws from '@aws-sdk/client-s3'
import { z } from 'zod'
import { bindery } from '#test/command.ts'
import { call, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

export type Keys = { readonly accessKeyId: string; readonly secretAccessKey: string }

/** A server with the buckets `media` and `other`, and a key that may do everything there. */
export interface S3Fixture extends AsyncDisposable {
  readonly server: TestServer
  readonly place: Place
  readonly endpoint: string
  readonly keys: Keys
  readonly s3: aws.S3Client
  /** Another client of the same server. */
  readonly client: (
    credentials: Keys & { readonly sessionToken?: string },
    more?: aws.S3ClientConfig,
  ) => aws.S3Client
  /** To and from `media`. */
  readonly put: (
    key: string,
    body: string | Uint8Array,
    more?: Partial<aws.PutObjectCommandInput>,
  ) => Promise<aws.PutObjectCommandOutput>
  readonly get: (
    key: string,
    more?: Partial<aws.GetObjectCommandInput>,
  ) => Promise<aws.GetObjectCommandOutput>
  readonly text: (
    key: string,
    more?: Partial<aws.GetObjectCommandInput>,
  ) => Promise<string | undefined>
}

export async function startS3(): Promise<S3Fixture> {
  const server = await startTestServer()
  const endpoint = new URL(server.apiUrl).origin
  const { stdout } = await bindery(['s3-key', 'create', '--data', server.dataDirectory])
  const [, accessKeyId = '', secretAccessKey = ''] =
    /^AWS_ACCESS_KEY_ID=(\w+)\nAWS_SECRET_ACCESS_KEY=(\w+)\n$/.exec(stdout) ?? []
  const keys = { accessKeyId, secretAccessKey }
  const client: S3Fixture['client'] = (credentials, more = {}) =>
    new aws.S3Client({ endpoint, region: 'auto', credentials, forcePathStyle: true, ...more })
  const s3 = client(keys)
  for (const Bucket of ['media', 'other']) await s3.send(new aws.CreateBucketCommand({ Bucket }))
  const get: S3Fixture['get'] = (Key, more = {}) =>
    s3.send(new aws.GetObjectCommand({ Bucket: 'media', Key, ...more }))
  return {
    server,
    place: placeOf(server),
    endpoint,
    keys,
    s3,
    client,
    put: (Key, Body, more = {}) =>
      s3.send(new aws.PutObjectCommand({ Bucket: 'media', Key, Body, ...more })),
    get,
    text: async (key, more) => (await get(key, more)).Body?.transformToString(),
    async [Symbol.asyncDispose]() {
      s3.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

const made = z.object({ access_key_id: z.string(), secret_access_key: z.string() })

export async function newKey(of: Place, body: object = {}): Promise<Keys> {
  const key = made.parse(await call(of, 'POST', '~/r2/s3-keys', body))
  return { accessKeyId: key.access_key_id, secretAccessKey: key.secret_access_key }
}

/** That the SDK tells of this error. */
export async function refused(sent: Promise<unknown>, code: string, status: number): Promise<void> {
  await assert.rejects(sent, (error) => {
    assert.ok(error instanceof aws.S3ServiceException, String(error))
    assert.deepEqual([error.name, error.$metadata.httpStatusCode], [code, status], error.message)
    return true
  })
}
