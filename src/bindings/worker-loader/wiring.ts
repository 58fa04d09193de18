import type { Wire } from '#contract/wire.ts'
import { keptCodeBytes, keptWorkers, movableCodeBytes } from './limits.ts'

const source = new URL('./shim.worker.ts', import.meta.url).href

/** Every loader is wrapped in the same shim, and has names of its own. */
export function workerLoaderWiring(): Wire {
  const values = { keptWorkers, keptCodeBytes, movableCodeBytes }
  return {
    type: 'backend',
    client: { name: 'worker-loader', source, values, loads: true },
    resource: null,
  }
}
