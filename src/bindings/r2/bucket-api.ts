import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import { bodyInvalid } from './errors.ts'
import {
  type ApiOptions,
  type BucketOperation,
  type Operation,
  type Route,
  succeedWith,
} from './operation.ts'
import { type Bucket, storageClass, type StorageClass } from './records.ts'

const newBucket = z.object({
  name: z.string().max(1024),
  storageClass: storageClass.optional(),
  locationHint: z.string().max(64).optional(),
})
const mostBuckets = 1000

export function bucketRoutes({ buckets }: ApiOptions): {
  readonly all: readonly Route<Operation>[]
  readonly ofBucket: readonly Route<BucketOperation>[]
} {
  return {
    all: [
      ['GET', '/buckets', list],
      ['POST', '/buckets', create],
      ['GET', '/metrics', metrics],
    ],
    ofBucket: [
      ['GET', '', async ({ bucket }) => succeed(shown(bucket))],
      ['PATCH', '', patch],
      ['DELETE', '', remove],
      ['GET', '/local-uploads', async () => succeed({ enabled: false })],
    ],
  }

  async function list({ caller, jurisdiction, url }: Operation): Promise<Response> {
    const query = url.searchParams
    const asked = Number(query.get('per_page') ?? mostBuckets)
    const limit = Number.isInteger(asked) && asked > 0 ? Math.min(asked, mostBuckets) : mostBuckets
    const isDescending = query.get('direction') === 'desc'
    const own = buckets.of(caller.account, jurisdiction)
    const after = query.get('cursor') || query.get('start_after')
    const phrase = query.get('name_contains') ?? ''
    const found = (isDescending ? own.toReversed() : own).filter(
      ({ name }) =>
        name.includes(phrase) && (!after || (isDescending ? name < after : name > after)),
    )
    const page = found.slice(0, limit)
    const cursor = found.length > limit ? (page.at(-1)?.name ?? '') : ''
    return succeedWith({ buckets: page.map(shown) }, { cursor, per_page: limit })
  }

  async function create({ caller, jurisdiction, body }: Operation): Promise<Response> {
    const { locationHint: location, ...made } = await body(newBucket)
    const { account } = caller
    return succeed(shown(await buckets.create({ account, jurisdiction, location, ...made })))
  }

  async function patch({ bucket, request }: BucketOperation): Promise<Response> {
    const read = storageClass.safeParse(request.headers.get('cf-r2-storage-class'))
    if (!read.success) throw bodyInvalid('The storage class is not valid.')
    const { data } = read
    const changed = await buckets.change(bucket, (now) => ({ ...now, storageClass: data }))
    return succeed(shown(changed))
  }

  async function remove({ bucket }: BucketOperation): Promise<Response> {
    await buckets.delete(bucket)
    return succeed({})
  }

  async function metrics({ caller, jurisdiction }: Operation): Promise<Response> {
    const totals: Record<StorageClass, Total> = { Standard: none(), InfrequentAccess: none() }
    for (const bucket of buckets.of(caller.account, jurisdiction)) {
      for (const tally of await buckets.tallies(bucket)) {
        const total = totals[tally.storageClass]
        total.objects += tally.objects
        total.payloadSize += tally.bytes
        total.metadataSize += tally.metadataBytes
      }
    }
    return succeed({
      standard: { uploaded: none(), published: totals.Standard },
      infrequentAccess: { uploaded: none(), published: totals.InfrequentAccess },
    })
  }
}

type Total = { objects: number; payloadSize: number; metadataSize: number }

function none(): Total {
  return { objects: 0, payloadSize: 0, metadataSize: 0 }
}

function shown({ name, createdAt, jurisdiction, settings }: Bucket): object {
  return {
    name,
    creation_date: new Date(createdAt).toISOString(),
    location: (settings.location ?? 'WEUR').toUpperCase(),
    storage_class: settings.storageClass,
    jurisdiction,
  }
}
