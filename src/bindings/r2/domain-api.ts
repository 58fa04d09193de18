import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import { bodyInvalid, domainNotFound, domainOutsideZone, domainTaken } from './errors.ts'
import type { ApiOptions, BucketOperation, Route } from './operation.ts'
import type { Bucket } from './records.ts'
import { customDomain, type CustomDomain } from './settings.ts'

const managed = z.object({ enabled: z.boolean() })
const changed = customDomain.pick({ minTLS: true, ciphers: true }).extend({
  enabled: z.boolean().optional(),
})

export function domainRoutes(options: ApiOptions): readonly Route<BucketOperation>[] {
  return [...managedRoutes(options), ...customRoutes(options)]
}

/** The address that a bucket has by itself. */
function managedRoutes({ buckets, publicHost }: ApiOptions): readonly Route<BucketOperation>[] {
  return [
    ['GET', '/domains/managed', async ({ bucket }) => succeed(shown(bucket))],
    ['PUT', '/domains/managed', put],
  ]

  async function put({ bucket, body }: BucketOperation): Promise<Response> {
    const { enabled: isPublic } = await body(managed)
    return succeed(shown(await buckets.change(bucket, (now) => ({ ...now, isPublic }))))
  }

  function shown({ settings }: Bucket): object {
    const { publicId, isPublic } = settings
    return { bucketId: publicId, domain: publicHost(publicId), enabled: isPublic }
  }
}

/** Hosts of zones of the account. */
function customRoutes({ buckets, ownerOf }: ApiOptions): readonly Route<BucketOperation>[] {
  return [
    ['GET', '/domains/custom', list],
    ['POST', '/domains/custom', add],
    ['GET', '/domains/custom/:domain', get],
    ['PUT', '/domains/custom/:domain', change],
    ['DELETE', '/domains/custom/:domain', remove],
  ]

  async function list({ bucket }: BucketOperation): Promise<Response> {
    return succeed({ domains: bucket.settings.domains.map((each) => shown(bucket, each)) })
  }

  async function add({ bucket, body }: BucketOperation): Promise<Response> {
    const { domain: text, ...made } = await body(customDomain)
    const domain = text.toLowerCase()
    const zone = ownerOf(domain)
    if (zone?.account !== bucket.account) throw domainOutsideZone(domain)
    if (made.zoneId !== undefined && made.zoneId !== zone.id) {
      throw bodyInvalid(`The domain ${domain} is not in the zone ${made.zoneId}.`)
    }
    await buckets.change(bucket, (now) => {
      const holder = buckets.findDomain(domain)
      if (holder) throw domainTaken(domain)
      return { ...now, domains: [...now.domains, { ...made, domain, zoneId: zone.id }] }
    })
    return succeed({ ...made, domain, zoneId: zone.id })
  }

  async function get(operation: BucketOperation): Promise<Response> {
    return succeed(shown(operation.bucket, find(operation)))
  }

  async function change(operation: BucketOperation): Promise<Response> {
    const { domain } = find(operation)
    const { enabled, ...rest } = await operation.body(changed)
    await buckets.change(operation.bucket, (now) => ({
      ...now,
      domains: now.domains.map((each) =>
        each.domain === domain ? { ...each, ...rest, enabled: enabled ?? each.enabled } : each,
      ),
    }))
    return succeed({ ...rest, domain, ...(enabled !== undefined && { enabled }) })
  }

  async function remove(operation: BucketOperation): Promise<Response> {
    const { domain } = find(operation)
    await buckets.change(operation.bucket, (now) => ({
      ...now,
      domains: now.domains.filter((each) => each.domain !== domain),
    }))
    return succeed({ domain })
  }

  function shown(
    { account }: Bucket,
    { domain, enabled, minTLS, ciphers, zoneId }: CustomDomain,
  ): object {
    const zone = ownerOf(domain)
    const isOwn = zone?.account === account
    return {
      domain,
      enabled,
      status: { ownership: isOwn ? 'active' : 'deactivated', ssl: 'unknown' },
      ...(minTLS !== undefined && { minTLS }),
      ...(ciphers && { ciphers }),
      zoneId,
      ...(isOwn && { zoneName: zone.name }),
    }
  }
}

function find({ bucket, param }: BucketOperation): CustomDomain {
  const domain = param('domain').toLowerCase()
  const found = bucket.settings.domains.find((each) => each.domain === domain)
  if (!found) throw domainNotFound(domain)
  return found
}
