import type { Dataset } from '#contract/binding.ts'
import type { JsonObject } from '#contract/json.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { BucketStore } from './bucket-store.ts'
import type { Bucket } from './records.ts'

/** What the GraphQL API of analytics has of R2: how much there is, now. */
export function r2Datasets(options: {
  readonly buckets: BucketStore
  readonly clock: Clock
}): Readonly<Record<string, Dataset>> {
  const { buckets, clock } = options
  return {
    async r2StorageAdaptiveGroups(account, { bucketName }) {
      const own = [...buckets.all].filter(
        (bucket) =>
          bucket.account === account && (bucketName === undefined || nameOf(bucket) === bucketName),
      )
      return Promise.all(own.map((bucket) => storage(bucket)))
    },
  }

  async function storage(bucket: Bucket): Promise<JsonObject> {
    const max = { objectCount: 0, uploadCount: 0, payloadSize: 0, metadataSize: 0 }
    for (const { objects, bytes, metadataBytes } of await buckets.tallies(bucket)) {
      max.objectCount += objects
      max.payloadSize += bytes
      max.metadataSize += metadataBytes
    }
    const datetime = new Date(clock.now()).toISOString()
    return { max, dimensions: { datetime, bucketName: nameOf(bucket) } }
  }
}

/** As analytics call it: with its jurisdiction, if it is in one. */
function nameOf({ jurisdiction, name }: Bucket): string {
  return jurisdiction === 'default' ? name : `${jurisdiction}_${name}`
}
