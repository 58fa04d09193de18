import { type Cron, CronError, parseCron } from '#contract/cron.ts'
import type { Clock } from '#contract/ports/clock.ts'
import { SqlError } from '#contract/ports/sql.ts'
import type { SchedulePort } from '#contract/schedules.ts'
import { cronInvalid, tooManySchedules, workerNotFound } from './errors.ts'
import * as limits from './limits.ts'
import type { ScheduleStore, StoredSchedule } from './schedule-store.ts'
import { Turns } from './turns.ts'
import type { WorkerKey } from './worker-store.ts'

export type CronTriggersOptions = {
  readonly scheduleStore: ScheduleStore
  readonly schedules: SchedulePort
  readonly clock: Clock
}

/** The schedules of Workers: what is stored, and told to whoever calls their handlers. */
export class CronTriggers {
  readonly #options: CronTriggersOptions
  readonly #turns = new Turns()

  constructor(options: CronTriggersOptions) {
    this.#options = options
  }

  of(key: WorkerKey): Promise<readonly StoredSchedule[]> {
    return this.#options.scheduleStore.of(key)
  }

  /**
   * Gives a Worker these schedules and no others, from now on. The same one twice is one. Throws an
   * `ApiError` for what is no cron expression, or too much of them: nothing changes then.
   */
  replace(key: WorkerKey, texts: readonly string[]): Promise<readonly StoredSchedule[]> {
    const crons = [...new Set(texts.map((text) => readCron(text).text))]
    return this.#turns.take('schedules', async () => {
      const { scheduleStore: store, clock } = this.#options
      if ((await store.countOfOthers(key)) + crons.length > limits.schedulesPerAccount) {
        throw tooManySchedules(limits.schedulesPerAccount)
      }
      await store
        .replace(key, crons, new Date(clock.now()).toISOString())
        .catch((error: unknown) => {
          // It has been deleted meanwhile.
          if (error instanceof SqlError && error.constraint) throw workerNotFound()
          throw error
        })
      await this.#publish()
      return store.of(key)
    })
  }

  /** Tells what is stored. */
  publish(): Promise<void> {
    return this.#turns.take('schedules', () => this.#publish())
  }

  /** A Worker is gone, and its schedules with it. */
  async forget(key: WorkerKey): Promise<void> {
    await this.publish()
    await this.#options.schedules.forget(key)
  }

  async #publish(): Promise<void> {
    const { scheduleStore, schedules } = this.#options
    const all = await scheduleStore.all()
    schedules.publish(
      all.map(({ account, worker, cron, createdAt }) => {
        return { account, worker, cron: parseCron(cron), since: Date.parse(createdAt) }
      }),
    )
  }
}

/** Reads a cron expression. Throws an `ApiError`. */
export function readCron(text: string): Cron {
  try {
    return parseCron(text)
  } catch (error) {
    if (!(error instanceof CronError)) throw error
    throw cronInvalid(text, error.message)
  }
}
