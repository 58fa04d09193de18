import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import { bodyInvalid, corsNotFound } from './errors.ts'
import { ruleLimit } from './limits.ts'
import type { ApiOptions, BucketOperation, Route } from './operation.ts'
import { corsRule, lifecycleRule, lockRule } from './settings.ts'

const rulesOf = <Rule extends z.ZodType>(rule: Rule) =>
  z.object({ rules: z.array(rule).max(ruleLimit).optional() })

export function ruleRoutes({ buckets }: ApiOptions): readonly Route<BucketOperation>[] {
  return [
    ['GET', '/cors', getCors],
    ['PUT', '/cors', putCors],
    ['DELETE', '/cors', deleteCors],
    ['GET', '/lifecycle', async ({ bucket }) => succeed({ rules: bucket.settings.lifecycle })],
    ['PUT', '/lifecycle', putLifecycle],
    ['GET', '/lock', async ({ bucket }) => succeed({ rules: bucket.settings.locks })],
    ['PUT', '/lock', putLocks],
  ]

  async function putCors({ bucket, body }: BucketOperation): Promise<Response> {
    const { rules: cors = [] } = await body(rulesOf(corsRule))
    await buckets.change(bucket, (now) => ({ ...now, cors }))
    return succeed({})
  }

  async function deleteCors({ bucket }: BucketOperation): Promise<Response> {
    await buckets.change(bucket, (now) => ({ ...now, cors: [] }))
    return succeed({})
  }

  async function putLifecycle({ bucket, body }: BucketOperation): Promise<Response> {
    const { rules: lifecycle = [] } = await body(rulesOf(lifecycleRule))
    checkIds(lifecycle)
    await buckets.change(bucket, (now) => ({ ...now, lifecycle }))
    return succeed({})
  }

  async function putLocks({ bucket, body }: BucketOperation): Promise<Response> {
    const { rules: locks = [] } = await body(rulesOf(lockRule))
    checkIds(locks)
    await buckets.change(bucket, (now) => ({ ...now, locks }))
    return succeed({})
  }
}

async function getCors({ bucket }: BucketOperation): Promise<Response> {
  const { cors: rules } = bucket.settings
  if (rules.length === 0) throw corsNotFound()
  return succeed({ rules })
}

function checkIds(rules: readonly { readonly id: string }[]): void {
  if (new Set(rules.map(({ id }) => id)).size !== rules.length) {
    throw bodyInvalid('The ids of rules must differ.')
  }
}
