import { z } from 'zod'
import { succeed } from '#contract/envelope.ts'
import { queueNotFound, rulesOverlap, tooManyRules } from './errors.ts'
import { notificationRuleLimit } from './limits.ts'
import type { ApiOptions, BucketOperation, Route } from './operation.ts'
import { type BucketSettings, notificationRule, type NotificationRule } from './settings.ts'

const newRules = z.object({
  rules: z
    .array(notificationRule.omit({ ruleId: true, createdAt: true }))
    .min(1)
    .max(notificationRuleLimit),
})
const ruleIds = z.object({ ruleIds: z.array(z.string()).optional() })

export function notificationRoutes({
  buckets,
  queues,
  clock,
  random,
}: ApiOptions): readonly Route<BucketOperation>[] {
  return [
    ['GET', '/configuration', list],
    ['GET', '/configuration/queues/:queue', get],
    ['PUT', '/configuration/queues/:queue', put],
    ['DELETE', '/configuration/queues/:queue', remove],
  ]

  async function list({ bucket }: BucketOperation): Promise<Response> {
    const shown = Object.entries(bucket.settings.notifications).flatMap(([queue, rules]) => {
      const queueName = queues()?.nameOf({ account: bucket.account, queue })
      return queueName === undefined ? [] : [{ queueId: queue, queueName, rules }]
    })
    return succeed({ bucketName: bucket.name, queues: shown })
  }

  async function get(operation: BucketOperation): Promise<Response> {
    const { queue, queueName } = queueOf(operation)
    const rules = operation.bucket.settings.notifications[queue] ?? []
    return succeed({ queueId: queue, queueName, rules })
  }

  async function put(operation: BucketOperation): Promise<Response> {
    const { queue } = queueOf(operation)
    const { rules } = await operation.body(newRules)
    const createdAt = new Date(clock.now()).toISOString()
    const made = rules.map((rule) => ({ ...rule, ruleId: random.uuid(), createdAt }))
    await buckets.change(operation.bucket, (now) => withRules(now, queue, made))
    return succeed({ event_notification_detail_id: queue })
  }

  async function remove(operation: BucketOperation): Promise<Response> {
    const { queue } = queueOf(operation)
    const { ruleIds: ids } = await operation.body(ruleIds)
    await buckets.change(operation.bucket, (now) => {
      const { [queue]: rules = [], ...others } = now.notifications
      const left = ids ? rules.filter(({ ruleId }) => !ids.includes(ruleId)) : []
      return { ...now, notifications: left.length > 0 ? { ...others, [queue]: left } : others }
    })
    return succeed({})
  }

  function queueOf({ bucket, param }: BucketOperation) {
    const queue = param('queue')
    const queueName = queues()?.nameOf({ account: bucket.account, queue })
    if (queueName === undefined) throw queueNotFound(queue)
    return { queue, queueName }
  }
}

/** With more rules for a queue. Throws where two would say the same thing twice. */
function withRules(
  settings: BucketSettings,
  queue: string,
  made: readonly NotificationRule[],
): BucketSettings {
  const { notifications } = settings
  const all = Object.values(notifications).flat()
  for (const rule of made) {
    if (all.some((other) => overlap(rule, other))) throw rulesOverlap()
    all.push(rule)
  }
  if (all.length > notificationRuleLimit) throw tooManyRules(notificationRuleLimit)
  const rules = [...(notifications[queue] ?? []), ...made]
  return { ...settings, notifications: { ...notifications, [queue]: rules } }
}

/** Whether there may be a key that both rules are about, for an action of both. */
function overlap(a: NotificationRule, b: NotificationRule): boolean {
  if (!a.actions.some((action) => b.actions.includes(action))) return false
  const [prefixA, prefixB] = [a.prefix ?? '', b.prefix ?? '']
  const [suffixA, suffixB] = [a.suffix ?? '', b.suffix ?? '']
  return (
    (prefixA.startsWith(prefixB) || prefixB.startsWith(prefixA)) &&
    (suffixA.endsWith(suffixB) || suffixB.endsWith(suffixA))
  )
}
