import type { Code } from '#contract/cell.ts'

// From these dates on the flags are on by themselves: nodejs_compat measured with the pinned
// workerd, the other as in developers.cloudflare.com/workers/configuration/compatibility-flags.
const nodeCompatDate = '2026-08-04'
const populateDate = '2025-04-01'

/** Whether `process.env` of a Worker holds a copy of its variables and secrets. */
export function populatesProcessEnv(code: Code): boolean {
  const { compatibilityDate: date, compatibilityFlags } = code
  const flags = new Set(compatibilityFlags)
  const hasNode =
    flags.has('nodejs_compat') ||
    flags.has('nodejs_compat_v2') ||
    (date >= nodeCompatDate && !flags.has('no_nodejs_compat'))
  if (!hasNode || flags.has('nodejs_compat_do_not_populate_process_env')) return false
  return date >= populateDate || flags.has('nodejs_compat_populate_process_env')
}
