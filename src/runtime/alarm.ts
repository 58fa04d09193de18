import type { CellPlan } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { CellHostOptions } from './host-options.ts'

export type AlarmOptions = Pick<CellHostOptions, 'nextAlarm' | 'clock' | 'log'> & {
  /** The cell's id, for the log. */
  readonly cell: string
  readonly plan: CellPlan
  /** Whether the cell still waits. */
  readonly isWaiting: () => boolean
}

/** A cell is started so long before the alarm that it wakes up for. */
const startAheadMs = 200
/** setTimeout takes no more than 31 bits. */
const longestTimerMs = 2 ** 31 - 1

/**
 * Calls `look` when it is time to start for the next alarm of a cell's objects (`isDue`), or to look
 * again because it is too far off. No process has the objects open. `undefined` if there is none.
 */
export async function awaitAlarm(
  { nextAlarm, clock, log, cell, plan, isWaiting }: AlarmOptions,
  look: (isDue: boolean) => void,
): Promise<Disposable | undefined> {
  const namespaces = plan.workers.flatMap(({ objects }) => objects.map(({ id }) => id))
  if (namespaces.length === 0) return undefined
  const at = await nextAlarm(plan.account, namespaces).catch((error: unknown) => {
    // Not knowing, it is better awake: the process runs its alarms by itself.
    log.warn('the alarms of a cell can not be read', { cell, error: messageOf(error) })
    return clock.now()
  })
  if (at === undefined || !isWaiting()) return undefined
  const waitMs = Math.max(0, Math.min(at - clock.now() - startAheadMs, longestTimerMs))
  return clock.after(waitMs, () => look(clock.now() + startAheadMs >= at))
}
