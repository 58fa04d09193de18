import { defineBinding, type House, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import type { ZoneOwner } from '#contract/snapshot.ts'
import { notificationsApi, r2Api } from './api.ts'
import { r2Datasets } from './datasets.ts'
import { boundBucketNotFound } from './errors.ts'
import { openParts } from './parts.ts'
import { PublicBuckets, publicHostOf } from './public-buckets.ts'
import { s3Protocol } from './s3.ts'
import { r2Entry } from './schema.ts'
import { serveR2 } from './service.ts'
import { Upkeep } from './upkeep.ts'
import { r2Wiring } from './wiring.ts'

export const r2Bucket = defineBinding({
  type: 'r2_bucket',
  entry: r2Entry,
  wiring: r2Wiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: (ports) => openR2(ports),
})

/** Buckets with all that belongs to them. */
export async function openR2(ports: Ports): Promise<LiveBinding> {
  let house: House | undefined
  const parts = await openParts(ports)
  const upkeep = new Upkeep(parts)
  const ownerOf = (host: string): ZoneOwner | undefined => house?.ownerOf(host)
  const options = {
    ...parts,
    ownerOf,
    queues: () => house?.queues,
    publicHost: (publicId: string) =>
      house ? new URL(house.urlOf(publicHostOf(publicId, house.domain))).host : '',
  }
  return {
    async admit(entry, { account }) {
      const { bucket_name: name, jurisdiction = 'default' } = r2Entry.parse(entry)
      if (!parts.buckets.find(account, jurisdiction, name)) throw boundBucketNotFound(name)
      return entry
    },
    serve: (grant) => serveR2(parts, grant),
    datasets: r2Datasets(parts),
    hosts: new PublicBuckets({ ...parts, ownerOf, domain: () => house?.domain }),
    api: [r2Api(options), notificationsApi(options)],
    protocols: [s3Protocol(parts)],
    start(given) {
      house = given
      parts.courier.start(given.queues)
      return parts.courier
    },
    async [Symbol.asyncDispose]() {
      await upkeep[Symbol.asyncDispose]()
      await parts[Symbol.asyncDispose]()
    },
  }
}
