import { z } from 'zod'
import { minuteMs } from '#contract/cron.ts'
import { succeed } from '#contract/envelope.ts'
import type { ScheduledOutcome } from '#contract/events.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { SchedulePort, Tick } from '#contract/schedules.ts'
import { readJson } from './body.ts'
import { type AccountCall, keyOf, type Route } from './call.ts'
import { type CronTriggers, readCron } from './cron-triggers.ts'
import * as limits from './limits.ts'
import type { StoredSchedule } from './schedule-store.ts'
import type { Workers } from './workers.ts'

export type SchedulesApiOptions = {
  readonly workers: Workers
  readonly cronTriggers: CronTriggers
  readonly schedules: SchedulePort
  readonly clock: Clock
}

type AccountRoute = Route<AccountCall>
type Run = AccountRoute['run']

const root = '/workers/scripts/:worker/schedules'

/**
 * `/workers/scripts/:worker/schedules`: cron triggers, as wrangler sets them. What follows it is ours:
 * `/events` is what happened lately, `/run` calls the handler at once.
 */
export function scheduleRoutes(options: SchedulesApiOptions): readonly AccountRoute[] {
  return [
    { method: 'GET', path: root, permission: 'read', run: list(options) },
    { method: 'PUT', path: root, permission: 'write', run: replace(options) },
    { method: 'GET', path: `${root}/events`, permission: 'read', run: events(options) },
    { method: 'POST', path: `${root}/run`, permission: 'write', run: runNow(options) },
  ]
}

function list({ workers, cronTriggers }: SchedulesApiOptions): Run {
  return async (call) => {
    const key = keyOf(call)
    await workers.get(key)
    return succeed(shown(await cronTriggers.of(key)))
  }
}

const schedulesBody = z.array(z.object({ cron: z.string() })).max(limits.schedulesPerAccount)

function replace({ workers, cronTriggers }: SchedulesApiOptions): Run {
  return async (call) => {
    const key = keyOf(call)
    const wanted = await readJson(call.request, schedulesBody)
    await workers.get(key)
    const stored = await cronTriggers.replace(
      key,
      wanted.map(({ cron }) => cron),
    )
    return succeed(shown(stored))
  }
}

function shown(schedules: readonly StoredSchedule[]): object {
  return {
    schedules: schedules.map(({ cron, createdAt }) => {
      return { cron, created_on: createdAt, modified_on: createdAt }
    }),
  }
}

function events({ workers, schedules }: SchedulesApiOptions): Run {
  return async (call) => {
    const key = keyOf(call)
    await workers.get(key)
    return succeed((await schedules.past(key)).map(shownTick))
  }
}

function shownTick({ cron, scheduledTime, startedAt, ended }: Tick): object {
  return {
    cron,
    scheduled_time: new Date(scheduledTime).toISOString(),
    started_on: new Date(startedAt).toISOString(),
    ended_on: ended ? new Date(ended.at).toISOString() : null,
    outcome: ended?.outcome ?? null,
    detail: ended?.detail ?? null,
    attempts: ended?.attempts ?? null,
  }
}

const runBody = z.object({
  cron: z.string().optional(),
  /** ms since 1970. */
  scheduled_time: z.int().min(0).max(8_640_000_000_000_000).optional(),
})

/** Without a body, as the first schedule of the Worker would, for the minute that it is. */
function runNow({ workers, cronTriggers, schedules, clock }: SchedulesApiOptions): Run {
  return async (call) => {
    const key = keyOf(call)
    const given = await readJson(call.request, runBody)
    await workers.get(key)
    if (given.cron !== undefined) readCron(given.cron)
    const [first] = await cronTriggers.of(key)
    const minute = Math.floor(clock.now() / minuteMs) * minuteMs
    const event = {
      cron: given.cron ?? first?.cron ?? '* * * * *',
      scheduledTime: given.scheduled_time ?? minute,
    }
    return succeed(shownOutcome(event, await schedules.run(key, event)))
  }
}

function shownOutcome(
  { cron, scheduledTime }: { readonly cron: string; readonly scheduledTime: number },
  outcome: ScheduledOutcome,
): object {
  const { type } = outcome
  return {
    cron,
    scheduled_time: new Date(scheduledTime).toISOString(),
    outcome: type === 'ended' ? outcome.outcome : type === 'lost' ? outcome.reason : type,
    no_retry: type === 'ended' && outcome.noRetry,
  }
}
