import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import { grant, temporaryCredentials } from './credentials.ts'
import { accessKeyNotFound } from './errors.ts'
import { type AccessKey, permission } from './key-store.ts'
import { credentialsSeconds } from './limits.ts'
import type { ApiOptions, Operation, Route } from './operation.ts'
import { bucketName } from './schema.ts'

const keyBody = z.object({
  name: z.string().max(120).default('key'),
  permission: permission.default('admin-read-write'),
  /** All if there are none. */
  buckets: z.array(bucketName).max(1000).default([]),
})

const temporaryBody = grant.omit({ expiresAt: true }).extend({
  bucket: bucketName,
  parentAccessKeyId: z.string(),
  ttlSeconds: z.int().min(1).max(credentialsSeconds),
})

/** Access keys of the S3 API. Cloudflare has them for API tokens; `/s3-keys` is ours. */
export function keyRoutes({ keys, clock }: ApiOptions): readonly Route<Operation>[] {
  return [
    [
      'GET',
      '/s3-keys',
      async ({ caller }) => succeed((await keys.list(caller.account)).map(shown)),
    ],
    [
      'POST',
      '/s3-keys',
      async ({ caller: { account }, body }) => {
        const { buckets, ...made } = await body(keyBody)
        const own = { ...made, account, buckets: buckets.length > 0 ? buckets : undefined }
        const { key, secret } = await keys.create(own)
        return succeed({ ...shown(key), secret_access_key: secret })
      },
    ],
    [
      'DELETE',
      '/s3-keys/:id',
      async ({ caller, param }) => {
        await keys.delete(caller.account, param('id'))
        return succeed(null)
      },
    ],
    [
      'POST',
      '/temp-access-credentials',
      async ({ caller: { account }, body }) => {
        const { parentAccessKeyId, ttlSeconds, ...given } = await body(temporaryBody)
        const parent = await keys.find(parentAccessKeyId)
        if (parent?.account !== account) throw accessKeyNotFound(parentAccessKeyId)
        const expiresAt = clock.now() + ttlSeconds * 1000
        const { sessionToken, secret } = temporaryCredentials(parent, { ...given, expiresAt })
        return succeed({
          accessKeyId: parentAccessKeyId,
          secretAccessKey: secret,
          sessionToken,
        })
      },
    ],
  ]
}

function shown({ id, name, permission: may, buckets, createdAt }: AccessKey): object {
  return {
    access_key_id: id,
    name,
    permission: may,
    buckets: buckets ?? null,
    created_on: new Date(createdAt).toISOString(),
  }
}
