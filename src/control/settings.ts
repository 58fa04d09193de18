import { z } from 'zod'
import { type Entry, jsonValue } from '#contract/binding.ts'
import type { Json } from '#contract/json.ts'
import { anyEntry, reasonOf, unflatten } from '#deploy/metadata.ts'
import { parseBody, readForm, readJson } from './body.ts'
import { bodyInvalid, bodyTooLarge } from './errors.ts'
import { jsonBytes } from './limits.ts'
import { type Version, workerSettings } from './records.ts'
import type { Amended } from './workers.ts'

/** Settings of a Worker that belong to no version, by their names in the API. */
const ownNames = ['logpush', 'tags', 'tail_consumers', 'streaming_tail_consumers', 'observability']

const versionedNames = ['limits', 'placement', 'usage_model']

const versioned = z
  .object({
    bindings: z.array(anyEntry).exactOptional(),
    keep_bindings: z.array(z.string()).exactOptional(),
    compatibility_date: z.string().exactOptional(),
    compatibility_flags: z.array(z.string()).exactOptional(),
    annotations: z.record(z.string(), z.string().max(1_000)).exactOptional(),
  })
  .catchall(jsonValue)

/** What a `PATCH` of settings asks for. */
export type SettingsBody = {
  /** What belongs to no version. */
  readonly own: Readonly<Record<string, Json>>
  /** Whether anything else is to change. */
  readonly isVersioned: boolean
  readonly amended: (latest: Version) => Amended
  readonly annotations: Readonly<Record<string, string>>
}

/** Reads settings as JSON, or as the field `settings` of a form, which is what wrangler sends. */
export async function settingsBody(request: Request): Promise<SettingsBody> {
  const isForm = request.headers.get('content-type')?.startsWith('multipart/form-data')
  const body = isForm ? await fieldOf(request) : await readJson(request, versioned)
  const { bindings, keep_bindings: keep, compatibility_date: date } = body
  const { compatibility_flags: flags } = body
  const metadata = pick(body, versionedNames)
  const parts = [bindings, date, flags, ...Object.values(metadata)]
  return {
    own: workerLevelOf(body),
    annotations: body.annotations ?? {},
    isVersioned: parts.some((part) => part !== undefined),
    amended: (latest) => ({
      entries: bindings?.map((entry) => inheritedIfBare(entry, latest)) ?? [],
      keep: keep ?? (bindings ? [] : typesOf(latest)),
      ...(date !== undefined && { compatibilityDate: date }),
      ...(flags !== undefined && { compatibilityFlags: flags }),
      metadata,
    }),
  }
}

/** The types of all bindings of a version: with them, all are kept. */
export function typesOf(version: Version): readonly string[] {
  return version.bindings.map(({ type }) => type)
}

/** The part of some settings that belongs to no version, as far as it is there. Throws `bodyInvalid`. */
export function workerLevelOf(
  body: Readonly<Record<string, unknown>>,
): Readonly<Record<string, Json>> {
  const given = pick(body, ownNames)
  const parsed = workerSettings.safeParse(given)
  if (!parsed.success) throw bodyInvalid(reasonOf(parsed.error))
  // What was not given has its default there, and is not to be changed.
  return pick(parsed.data, Object.keys(given))
}

/** wrangler 3 sends what is to stay as a type and a name alone. */
function inheritedIfBare(entry: Entry, latest: Version): Entry {
  const isBare = Object.keys(entry).length === 2
  const known = latest.bindings.find(({ name }) => name === entry.name)
  return isBare && known?.type === entry.type ? { type: 'inherit', name: entry.name } : entry
}

/** The field `settings`, or, of version 7 of the SDK, fields named `settings[bindings][][type]` ... */
async function fieldOf(request: Request): Promise<z.output<typeof versioned>> {
  const fields = (await readForm(request))
    .filter(({ name }) => name === 'settings' || name.startsWith('settings['))
    .map(({ name, bytes }) => [name, new TextDecoder().decode(bytes)] as const)
  // What is JSON anyway may be no larger as a form.
  if (fields.reduce((sum, [, text]) => sum + text.length, 0) > jsonBytes) {
    throw bodyTooLarge(jsonBytes)
  }
  const [first] = fields
  if (!first) throw bodyInvalid('the form has no field "settings"')
  const [name, text] = first
  return parseBody(name === 'settings' ? text : JSON.stringify(unflatten(fields)), versioned)
}

function pick(
  body: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Readonly<Record<string, Json>> {
  const found = Object.entries(body).flatMap(([name, value]) => {
    const parsed = jsonValue.safeParse(value)
    return names.includes(name) && parsed.success ? [[name, parsed.data] as const] : []
  })
  return Object.fromEntries(found)
}
