import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import type { ApiOptions, BucketOperation, Route } from './operation.ts'
import type { Bucket } from './records.ts'

const managed = z.object({ enabled: z.boolean() })

export function domainRoutes({
  buckets,
  publicHost,
}: ApiOptions): readonly Route<BucketOperation>[] {
  return [
    ['GET', '/domains/managed', async ({ bucket }) => succeed(shown(bucket))],
    ['PUT', '/domains/managed', putManaged],
    ['GET', '/domains/custom', async () => succeed({ domains: [] })],
  ]

  async function putManaged({ bucket, body }: BucketOperation): Promise<Response> {
    const { enabled: isPublic } = await body(managed)
    return succeed(shown(await buckets.change(bucket, (now) => ({ ...now, isPublic }))))
  }

  function shown({ settings }: Bucket): object {
    const { publicId, isPublic } = settings
    return { bucketId: publicId, domain: publicHost(publicId), enabled: isPublic }
  }
}
