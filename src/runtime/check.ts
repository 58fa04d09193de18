import { z } from 'zod'
import type { CheckReport, WorkerExports } from '#contract/cell.ts'
import { StartError, type WorkerdProcess } from './process.ts'

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

const describeMs = 5_000

export type Check = {
  /** Starts the throw-away process; throws `StartError`. */
  readonly start: () => Promise<WorkerdProcess>
  readonly slot: string
  readonly isServiceWorker: boolean
  /** How long a process takes that has nothing to load: subtracted from what this one took. */
  readonly baselineMs: number
}

/** Loads a version in a throw-away process and says what it exports, or why it does not start. */
export async function runCheck(check: Check): Promise<CheckReport> {
  const startedAt = performance.now()
  let cell: WorkerdProcess
  try {
    cell = await check.start()
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    return { ok: false, message: messageOfStart(error, check.slot) }
  }
  const startupTimeMs = Math.max(1, Math.round(performance.now() - startedAt - check.baselineMs))
  try {
    if (check.isServiceWorker) return { ok: true, exports: serviceWorkerExports, startupTimeMs }
    const [described] = await cell.call([{ slot: check.slot, method: 'start' }], describeMs)
    return { ok: true, exports: exportsSchema.parse(described), startupTimeMs }
  } finally {
    cell.kill()
    await cell.exited
  }
}

/** What the user should read of workerd's words: their error and their stack, without our wiring. */
export function messageOfStart(error: StartError, slot: string): string {
  if (error.timedOut) return 'Script startup exceeded CPU time limit.'
  const prefix = `service ${slot}: `
  const lines = error.message
    .split('\n')
    .filter((line) => !line.startsWith('Worker "agent"') && line.trim() !== '')
    .map((line) => (line.startsWith(prefix) ? line.slice(prefix.length) : line))
  return lines.join('\n') || 'The script could not be started.'
}
