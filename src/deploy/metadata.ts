import { z } from 'zod'
import { bindingName, type Entry, jsonValue } from '#contract/binding.ts'
import type { Json, JsonObject } from '#contract/json.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'

const text = z.string().max(10_000)

/** An entry of `bindings`, read further by the binding of its type. */
export const anyEntry: z.ZodType<Entry> = z
  .object({ type: z.string().min(1).max(100), name: bindingName })
  .catchall(jsonValue)

const jsonObject = z.record(z.string(), jsonValue)

const annotations = z
  .object({
    'workers/tag': z.string().max(limits.tagLength).exactOptional(),
    'workers/message': z.string().max(limits.messageLength).exactOptional(),
  })
  .catchall(z.string().max(limits.messageLength))

const workerLimits = z
  .object({
    cpu_ms: z.number().positive().max(limits.cpuMs).exactOptional(),
    subrequests: z.int().positive().max(limits.subrequests).exactOptional(),
  })
  .catchall(jsonValue)

/**
 * The metadata of an upload: control-api.md §3.5. Keys that nobody here acts on are kept, so that
 * the API can show them again.
 */
export const metadataSchema = z
  .object({
    main_module: text.exactOptional(),
    body_part: text.exactOptional(),
    bindings: z.array(anyEntry).max(limits.bindings).exactOptional(),
    compatibility_date: text.exactOptional(),
    compatibility_flags: z.array(text).exactOptional(),
    keep_bindings: z.array(text).max(limits.bindings).exactOptional(),
    migrations: jsonValue.exactOptional(),
    annotations: annotations.exactOptional(),
    tags: z.array(text).max(100).nullable().exactOptional(),
    logpush: z.boolean().exactOptional(),
    tail_consumers: z.array(jsonValue).nullable().exactOptional(),
    observability: jsonObject.exactOptional(),
    limits: workerLimits.exactOptional(),
    assets: jsonValue.exactOptional(),
    keep_assets: z.boolean().exactOptional(),
    exports: jsonValue.exactOptional(),
  })
  .catchall(jsonValue)
export type Metadata = z.output<typeof metadataSchema>

/** Reads metadata. Throws an `ApiError` that names the key which is wrong. */
export function readMetadata(value: unknown): Metadata {
  const parsed = metadataSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw errors.metadataUnreadable(reasonOf(parsed.error))
}

/** What zod found, in one line for the client. */
export function reasonOf({ issues }: z.ZodError): string {
  const [issue] = issues
  const path = issue?.path.join('.')
  return path ? `${path}: ${issue?.message}` : (issue?.message ?? 'invalid')
}

/**
 * Metadata from fields named `metadata[main_module]`, `metadata[bindings][][type]` ...: version 7
 * of Cloudflare's SDK sends it so. All values are text then; what should not be is converted by
 * name, except inside `json` variables, whose types are lost.
 */
export function unflatten(fields: readonly (readonly [name: string, value: string])[]): unknown {
  const root: Node = new Map()
  for (const [name, value] of fields) {
    const path = [...name.matchAll(/\[([^\]]*)\]/g)].map((match) => match[1] ?? '')
    if (path.length === 0 || path.length > limits.fieldDepth) {
      throw errors.metadataUnreadable(`the field "${name.slice(0, 100)}" has no place`)
    }
    place(root, path, value)
  }
  return plain(root, false)
}

/** An object under construction, or a list, whose keys are then its indices. */
type Node = Map<string, Node | string> & { isList?: boolean }

function place(root: Node, path: readonly string[], value: string): void {
  let node = root
  for (const [depth, step] of path.entries()) {
    const key = step === '' ? nextKey(node, path.slice(depth + 1)) : step
    if (step === '') node.isList = true
    if (depth === path.length - 1) {
      node.set(key, value)
      return
    }
    const next = node.get(key)
    const child: Node = next instanceof Map ? next : new Map()
    node.set(key, child)
    node = child
  }
}

/** A list goes on with its last item until that has a value at the path already. */
function nextKey(list: Node, path: readonly string[]): string {
  const last = list.get(String(list.size - 1))
  const goesOn = last instanceof Map && isFree(last, path)
  return String(goesOn ? list.size - 1 : list.size)
}

/** Whether a value fits in there without taking another's place. A list takes any number. */
function isFree(node: Node, [step, ...path]: readonly string[]): boolean {
  if (step === undefined) return false
  const next = node.get(step)
  return next === undefined || (next instanceof Map && isFree(next, path))
}

const numbers = new Set([
  'cpu_ms',
  'delivery_delay',
  'head_sampling_rate',
  'limit',
  'max_delay',
  'period',
  'subrequests',
])
const booleans = new Set(['enabled', 'logpush', 'keep_assets', 'invocation_logs', 'persist'])

function plain(node: Node, isVariable: boolean): Json {
  if (node.isList) return [...node.values()].map((item) => valueOf('', item, isVariable))
  const entries = [...node].map(([key, item]): [string, Json] => [
    key,
    valueOf(key, item, isVariable || key === 'json'),
  ])
  const object: JsonObject = Object.fromEntries(entries)
  return object
}

function valueOf(key: string, item: Node | string, isVariable: boolean): Json {
  if (typeof item !== 'string') return plain(item, isVariable)
  if (isVariable) return item
  const isNumber = numbers.has(key)
  if (isNumber && item.trim() !== '' && Number.isFinite(Number(item))) return Number(item)
  if (booleans.has(key) && (item === 'true' || item === 'false')) return item === 'true'
  return item
}
