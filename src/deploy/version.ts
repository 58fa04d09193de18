import type { Entry } from '#contract/binding.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'

/** Where a binding of a new version comes from: the upload, or the version before it. */
export type BindingSource =
  | { readonly origin: 'uploaded'; readonly entry: Entry }
  | { readonly origin: 'kept'; readonly stored: Entry }

export type BindingRequest = {
  readonly entries: readonly Entry[]
  /** `keep_bindings` of the metadata. */
  readonly keep: readonly string[] | undefined
  /** The bindings of the version before, as they are stored. */
  readonly previous: readonly Entry[]
  /** `?bindings_inherit=strict`: what can't be inherited is an error. */
  readonly isStrict: boolean
}

const secretTypes: readonly string[] = ['secret_text', 'secret_key']
const variableTypes: ReadonlySet<string> = new Set(['plain_text', 'json', ...secretTypes])

/**
 * Which bindings the new version has. Without `keep_bindings` secrets survive; with it, exactly
 * the listed types do. An uploaded binding replaces one of its name; `inherit` keeps one.
 */
export function resolveBindings(request: BindingRequest): readonly BindingSource[] {
  const { entries, previous } = request
  const names = new Set<string>()
  for (const { name } of entries) {
    if (names.has(name)) throw errors.duplicateBinding(name)
    names.add(name)
  }
  const kept = new Set(request.keep ?? secretTypes)
  const sources: readonly BindingSource[] = [
    ...entries.flatMap((entry) => sourceOf(entry, request)),
    ...previous
      .filter(({ name, type }) => !names.has(name) && kept.has(type))
      .map((stored): BindingSource => ({ origin: 'kept', stored })),
  ]
  const count = sources.filter((source) => variableTypes.has(entryOf(source).type)).length
  if (count > limits.variables) throw errors.tooManyVariables(count)
  return sources
}

function sourceOf(entry: Entry, { previous, isStrict }: BindingRequest): readonly BindingSource[] {
  if (entry.type !== 'inherit') return [{ origin: 'uploaded', entry }]
  const { name, old_name: oldName = name, version_id: version = 'latest' } = entry
  const stored = previous.find((other) => other.name === oldName)
  // A secret is sealed for its name: under another one it does not open.
  const isMovable = oldName === name || !secretTypes.includes(stored?.type ?? '')
  if (stored && isMovable && version === 'latest') {
    return [{ origin: 'kept', stored: { ...stored, name } }]
  }
  if (isStrict || oldName !== name || version !== 'latest') throw errors.inheritInvalid(name)
  return []
}

/** The entry behind a source, as far as type and name go. */
export function entryOf(source: BindingSource): Entry {
  return source.origin === 'uploaded' ? source.entry : source.stored
}

/** Types of binding that the platform has and nobody here serves yet: control-api.md §3.5. */
const platformTypes: ReadonlySet<string> = new Set([
  'agent_memory',
  'ai',
  'ai_search',
  'ai_search_namespace',
  'analytics',
  'analytics_engine',
  'artifacts',
  'assets',
  'browser',
  'd1',
  'dispatch_namespace',
  'durable_object_namespace',
  'flagship',
  'hyperdrive',
  'images',
  'k2',
  'logfwdr',
  'media',
  'mtls_certificate',
  'pipelines',
  'queue',
  'r2_bucket',
  'ratelimit',
  'secrets_store_secret',
  'send_email',
  'stream',
  'unsafe_hello_world',
  'vectorize',
  'vpc_network',
  'vpc_service',
  'worker_loader',
  'workflow',
])

/** The error for an entry whose type nobody here serves. */
export function unservedBinding({ name, type }: Entry): Error {
  return platformTypes.has(type)
    ? errors.bindingUnavailable(name, type)
    : errors.bindingUnknown(name, type)
}
