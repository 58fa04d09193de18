import { z } from 'zod'
import type { CheckReport, WorkerExports, WorkerPlan } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { CellContext } from './cell.ts'
import type { Read } from './modules.ts'
import { StartError, type WorkerdProcess } from './process.ts'
import { startMessage } from './start-message.ts'
import { checkedSlot, launchThrowAway } from './throw-away.ts'

const exportsSchema = z.object({
  hasDefault: z.boolean(),
  handlers: z.array(z.string()),
  named: z.array(
    z.object({
      name: z.string(),
      type: z.enum(['entrypoint', 'durable-object', 'workflow', 'handler', 'other']),
      handlers: z.array(z.string()),
    }),
  ),
})

/** A service worker has no exports: what it listens to shows only at the first event. */
const serviceWorkerExports: WorkerExports = { hasDefault: true, handlers: ['fetch'], named: [] }

/** Loads a version in a throw-away process and says what it exports, or why it does not start. */
export async function runCheck(
  context: CellContext,
  check: { readonly worker: WorkerPlan; readonly read: Read; readonly baseline: StartCost },
): Promise<CheckReport> {
  const startedAt = performance.now()
  const slot = checkedSlot(check.worker)
  let started: WorkerdProcess
  try {
    started = await launchThrowAway(context, check)
  } catch (error) {
    if (!(error instanceof StartError) || context.closing.aborted) throw error
    return { ok: false, message: startMessage(error, [slot]) }
  }
  try {
    const cost = costOf(started, startedAt)
    const startupTimeMs = Math.max(1, Math.round(difference(cost, check.baseline)))
    if (check.worker.code.format === 'service-worker') {
      return { ok: true, exports: serviceWorkerExports, startupTimeMs }
    }
    const [described] = await started.call(
      [{ slot: slot.id, method: 'describe' }],
      context.startTimeoutMs,
    )
    return { ok: true, exports: exportsSchema.parse(described), startupTimeMs }
  } catch (error) {
    // Describing runs getters of the user's, which may throw, loop or lie.
    if (context.closing.aborted) throw error
    return { ok: false, message: `The exports of the script can't be read: ${messageOf(error)}` }
  } finally {
    await started.stop(0)
  }
}

/** What it takes to start a process: CPU time where it can be had, which other load does not change. */
export type StartCost = { readonly cpuMs: number | undefined; readonly wallMs: number }

/** Starts a process with nothing in it, to tell a Worker's share of a start from workerd's. */
export async function measureBaseline(context: CellContext): Promise<StartCost> {
  const startedAt = performance.now()
  const started = await launchThrowAway(context)
  try {
    return costOf(started, startedAt)
  } finally {
    await started.stop(0)
  }
}

function costOf(started: WorkerdProcess, startedAt: number): StartCost {
  return { cpuMs: started.usage()?.cpuMs, wallMs: performance.now() - startedAt }
}

function difference(cost: StartCost, baseline: StartCost): number {
  return cost.cpuMs === undefined || baseline.cpuMs === undefined
    ? cost.wallMs - baseline.wallMs
    : cost.cpuMs - baseline.cpuMs
}
