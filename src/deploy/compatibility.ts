import * as errors from './errors.ts'
import * as limits from './limits.ts'

/**
 * What a Worker without a date gets, as on Cloudflare: the oldest behaviour there is
 * (developers.cloudflare.com/workers/configuration/compatibility-dates).
 */
export const defaultDate = '2021-11-02'

/**
 * The newest date that the pinned workerd takes: a week after its release. It knows no change of
 * behaviour later than that, so a later date means the same. Held against the binary by a test.
 */
export const newestDate = '2026-11-24'

/**
 * Flags that workerd 1.20261117.1 calls experimental, asked one by one. A process that runs with
 * `--experimental` (a few native bindings need it) would let every Worker in it use them: among
 * them a deserializer fed with arbitrary bytes. Held against the binary by a test.
 */
export const experimentalFlags: ReadonlySet<string> = new Set([
  'allow_insecure_inefficient_logged_eval',
  'auto_inject_python_workers',
  'cache_reload_enabled',
  'connect_handler_starttls',
  'connect_pass_through',
  'd1_binding_jsrpc',
  'durable_object_get_existing',
  'durable_object_rename',
  'durable_object_snapshots',
  'enable_abortsignal_rpc',
  'enable_ctx_version_metadata',
  'enable_d1_with_sessions_api',
  'enable_nodejs_inspector_local_dev',
  'enable_version_api',
  'enable_web_file_system',
  'experimental',
  'expose_draining_reader',
  'expose_serialization_test_class',
  'increase_websocket_message_size',
  'js_rpc',
  'kv_direct_binding',
  'memory_cache_delete',
  'offpeak_location_hint',
  'precise_timers',
  'python_workers_development',
  'python_workers_durable_objects',
  'python_zstd_snapshot',
  'r2_binding_jsrpc',
  'replica_routing',
  'rpc_dispose_cancels_call',
  'rtti_api',
  'service_binding_extra_handlers',
  'spec_compliant_property_attributes',
  'streaming_tail_worker',
  'streams_no_default_auto_allocate_chunk_size',
  'tail_worker_user_spans',
  'typescript_implemented_streams',
  'typescript_strip_types',
  'unsafe_module',
  'unsupported_process_actual_platform',
  'wasm_memory_discard',
  'webgpu',
  'workflows_bindings_rpc',
  'workflows_step_rollback',
])

/** The date and flags of an upload, as they are written in its metadata. */
export type Compatibility = {
  readonly date: string | undefined
  readonly flags: readonly string[]
}

/**
 * Refuses what must not run. A flag that workerd does not know is for the check to find: it has
 * the list. `now` is in milliseconds since the UNIX epoch.
 */
export function checkCompatibility({ date, flags }: Compatibility, now: number): void {
  if (date !== undefined) checkDate(date, now)
  if (flags.length > limits.compatibilityFlags) {
    throw errors.uploadInvalid(`More than ${limits.compatibilityFlags} compatibility flags.`)
  }
  const experimental = flags.find((flag) => experimentalFlags.has(flag))
  if (experimental !== undefined) throw errors.flagExperimental(experimental)
}

/** The date to run with. */
export function runtimeDate(date: string | undefined): string {
  if (date === undefined) return defaultDate
  return date > newestDate ? newestDate : date
}

function checkDate(date: string, now: number): void {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : NaN
  const isReal = !Number.isNaN(time) && new Date(time).toISOString().startsWith(date)
  if (!isReal) throw errors.dateInvalid(date)
  if (time > now) throw errors.dateInFuture(date)
}
