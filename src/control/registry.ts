import { Buffer } from 'node:buffer'
import { z } from 'zod'
import type { Sites } from '#contract/assets.ts'
import type {
  Binding,
  Entry,
  LiveBinding,
  Owner,
  ServedBinding,
  VersionFacts,
} from '#contract/binding.ts'
import type { PlannedBinding, WorkerLimits, WorkerPlan } from '#contract/cell.ts'
import type { Blob } from '#contract/ports/blob.ts'
import type { Wire } from '#contract/wire.ts'
import { runtimeDate } from '#deploy/compatibility.ts'
import { bindingInvalid, uploadInvalid } from '#deploy/errors.ts'
import { reasonOf } from '#deploy/metadata.ts'
import { unservedBinding } from '#deploy/version.ts'
import type { Version } from './records.ts'

/** The kinds of binding that are served, and what becomes of entries of theirs. */
export class Registry {
  readonly #served: ReadonlyMap<string, ServedBinding>
  readonly #blob: Blob

  constructor(served: readonly ServedBinding[], blob: Blob) {
    this.#served = new Map(served.map((each) => [each.binding.type, each]))
    this.#blob = blob
  }

  serves(type: string): boolean {
    return this.#served.has(type) || type in partWires
  }

  /** Every live half, once: two kinds may share one. */
  get lives(): ReadonlySet<LiveBinding> {
    return new Set([...this.#served.values()].flatMap(({ live }) => live ?? []))
  }

  /** Whose the files of Workers are, if any kind of binding that is served has them. */
  get sites(): Sites | undefined {
    return [...this.lives].find(({ sites }) => sites !== undefined)?.sites
  }

  /** Reads and admits an uploaded entry. Throws an `ApiError` if it can't be stored. */
  async admit(entry: Entry, owner: Owner): Promise<Entry> {
    if (entry.type in partWires) return partEntry(entry)
    const { binding, live } = this.#find(entry)
    const parsed = parseEntry(binding, entry)
    return live?.admit ? live.admit(parsed, owner) : parsed
  }

  /** What the API shows of a stored entry. */
  reveal(stored: Entry): Entry {
    return this.#served.get(stored.type)?.binding.reveal?.(stored) ?? stored
  }

  /** A stored version, ready to run. `percentage` is 100 until a deployment says otherwise. */
  async plan(version: Version): Promise<WorkerPlan> {
    const { account, worker, exports } = version
    const facts = factsOf(version)
    const bindings = await Promise.all(
      version.bindings.map(async ({ type, name }, index): Promise<PlannedBinding> => ({
        name,
        type,
        wire: await this.#wire(version, index),
      })),
    )
    return {
      account,
      worker,
      version: facts,
      percentage: 100,
      limits: limitsOf(version),
      code: {
        format: version.format,
        mainModule: version.mainModule,
        modules: version.modules,
        compatibilityDate: runtimeDate(version.compatibilityDate),
        compatibilityFlags: version.compatibilityFlags,
      },
      exports,
      bindings,
      objects: [],
    }
  }

  async #wire(version: Version, index: number): Promise<Wire> {
    const stored = version.bindings[index]
    if (!stored) throw new Error('no such binding')
    const partWire = partWires[stored.type]
    if (partWire) return partWire(() => this.#readPart(version, stored), partOf(stored))
    const { binding, live } = this.#find(stored)
    const owner = { account: version.account, worker: version.worker }
    const prepared = live?.prepare ? await live.prepare(stored, owner) : stored
    return binding.wiring(prepared, factsOf(version))
  }

  async #readPart(version: Version, entry: Entry): Promise<Uint8Array> {
    const module = version.modules.find(({ name }) => name === partOf(entry))
    if (!module) throw uploadInvalid(`No such part "${partOf(entry)}".`)
    await using reader = await this.#blob.get(module.key)
    if (!reader) throw new Error(`the module ${module.name} of ${version.id} is gone`)
    return await reader.bytes()
  }

  #find(entry: Entry): ServedBinding {
    const served = this.#served.get(entry.type)
    if (!served) throw unservedBinding(entry)
    return served
  }
}

function factsOf({ id, annotations, createdAt, account, assets }: Version): VersionFacts {
  return {
    id,
    tag: annotations['workers/tag'] ?? '',
    createdAt,
    ...(assets && { site: { account, ...assets } }),
  }
}

const limitsSchema = z.object({
  cpu_ms: z.number().positive().optional(),
  subrequests: z.number().positive().optional(),
})

/** `limits` of the upload. Those of a version from before they were read may say anything. */
function limitsOf({ metadata }: Version): WorkerLimits {
  const { cpu_ms: cpuMs, subrequests } = limitsSchema.safeParse(metadata['limits'] ?? {}).data ?? {}
  return {
    ...(cpuMs !== undefined && { cpuMs }),
    ...(subrequests !== undefined && { subrequests }),
  }
}

function parseEntry(binding: Binding, entry: Entry): Entry {
  try {
    return binding.parse(entry)
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    throw bindingInvalid(entry.name, entry.type, reasonOf(error))
  }
}

// Bindings of the service-worker format whose value is a part of the upload itself.

type PartWire = (read: () => Promise<Uint8Array>, part: string) => Promise<Wire>

const partWires: Readonly<Record<string, PartWire>> = {
  wasm_module: async (_read, part) => ({ type: 'wasm', module: part }),
  text_blob: async (read) => ({ type: 'text', text: new TextDecoder().decode(await read()) }),
  data_blob: async (read) => ({
    type: 'data',
    base64: Buffer.from(await read()).toString('base64'),
  }),
}

const partSchema = z.object({ type: z.string(), name: z.string(), part: z.string().min(1) })

function partEntry(entry: Entry): Entry {
  const parsed = partSchema.safeParse(entry)
  if (!parsed.success) throw bindingInvalid(entry.name, entry.type, reasonOf(parsed.error))
  return parsed.data
}

function partOf(entry: Entry): string {
  return partSchema.parse(entry).part
}
