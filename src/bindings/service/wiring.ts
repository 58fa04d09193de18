import type { Entry } from '#contract/binding.ts'
import { workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { serviceEntry } from './schema.ts'

/** A designator of another Worker in the same cell: native, in-process, HTTP and RPC. */
export function serviceWiring(entry: Entry): Wire {
  const { service, environment, entrypoint, props } = serviceEntry.parse(entry)
  return {
    type: 'worker',
    worker: workerName.parse(targetName(service, environment)),
    ...(entrypoint !== undefined && entrypoint !== 'default' && { entrypoint }),
    ...(props !== undefined && { props }),
  }
}

// `production` is the name Cloudflare gives to the one environment of a Worker without any.
function targetName(service: string, environment: string | undefined): string {
  const isPlain = environment === undefined || environment === 'production'
  return isPlain || service.endsWith(`-${environment}`) ? service : `${service}-${environment}`
}
