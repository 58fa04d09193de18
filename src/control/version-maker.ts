import { createHash } from 'node:crypto'
import type { Entry } from '#contract/binding.ts'
import type { CellHost, CheckReport, Module, WorkerPlan } from '#contract/cell.ts'
import { blobKey, type BlobKey, versionId } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import { checkCompatibility } from '#deploy/compatibility.ts'
import {
  assetsMissing,
  bindingNeedsModules,
  featureUnavailable,
  noHandlers,
  serviceMissing,
  uploadInvalid,
} from '#deploy/errors.ts'
import type { Metadata } from '#deploy/metadata.ts'
import type { Upload, UploadedModule } from '#deploy/upload.ts'
import { entryOf, resolveBindings, unservedBinding } from '#deploy/version.ts'
import type { ClassChange } from './class-store.ts'
import type { Classes } from './classes.ts'
import type { Author, Version } from './records.ts'
import type { Registry } from './registry.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'

export type VersionMakerOptions = Pick<Ports, 'blob' | 'clock' | 'random'> & {
  readonly workers: WorkerStore
  readonly registry: Registry
  readonly host: CellHost
  readonly classes: Classes
}

/** A version that is made and checked, but not stored. */
export type MadeVersion = {
  readonly version: Version
  readonly plan: WorkerPlan
  /** What becomes of Durable Object classes with it. */
  readonly change?: ClassChange
  readonly reconciliation?: Json
}

export type NewVersion = {
  readonly key: WorkerKey
  readonly author: Author
  readonly annotations: Readonly<Record<string, string>>
  readonly isStrict: boolean
}

/** What a version takes over from the one before, and what is other. */
export type Amendment = NewVersion & {
  readonly previous: Version
  readonly entries: readonly Entry[]
  /** Types of binding that are kept where no entry names them. */
  readonly keep: readonly string[]
  /** Names that are dropped. */
  readonly dropped?: readonly string[]
  readonly compatibilityDate?: string
  readonly compatibilityFlags?: readonly string[]
  /** Keys of metadata that are other. */
  readonly metadata?: Readonly<Record<string, Json>>
}

/** Makes versions: resolves, admits and checks. Who calls it has the Worker to itself meanwhile. */
export class VersionMaker {
  readonly #options: VersionMakerOptions

  constructor(options: VersionMakerOptions) {
    this.#options = options
  }

  /**
   * Makes a version of an upload, runs it once to see what it exports, and gives it to `store`.
   * If anything throws, `store` included, no byte of the upload stays behind.
   */
  async fromUpload<Value>(
    upload: Upload,
    facts: NewVersion & { readonly isDeployed: boolean },
    store: (made: MadeVersion) => Promise<Value>,
  ): Promise<Value> {
    const { workers, clock } = this.#options
    const { metadata } = upload
    const flags = metadata.compatibility_flags ?? []
    checkCompatibility({ date: metadata.compatibility_date, flags }, clock.now())
    const previous = await workers.latestVersion(facts.key)
    const entries = metadata.bindings ?? []
    const sources = resolveBindings({
      entries,
      keep: metadata.keep_bindings,
      previous: previous?.bindings ?? [],
      isStrict: facts.isStrict,
    })
    this.#checkServed(sources)
    const admitted = await this.#admit(sources, facts.key)
    const assets = await this.#admitFiles(upload, facts.key, previous)
    const unfilled = admitted.find(({ type }) => type === 'assets' && !assets)
    if (unfilled) throw assetsMissing(unfilled.name)
    const { modules, written } = await this.#writeModules(facts.key, upload.modules)
    try {
      const draft: Version = {
        ...this.#fresh(facts, previous),
        metadata: shownMetadata(metadata),
        bindings: admitted,
        format: upload.format,
        mainModule: upload.mainModule,
        modules,
        ...(assets && { assets }),
        ...(metadata.compatibility_date !== undefined && {
          compatibilityDate: metadata.compatibility_date,
        }),
        compatibilityFlags: flags,
        exports: { hasDefault: false, handlers: [], named: [] },
        startupTimeMs: 0,
        etag: etagOf(upload.mainModule, modules),
      }
      const plan = await this.#options.registry.plan(draft)
      checkFormat(plan)
      await this.#checkServices(plan, entries)
      const { exports, startupTimeMs } = upload.isFilesOnly ? noCode : await this.#check(plan)
      const { key, isDeployed } = facts
      const seen = { key, metadata, exports, bindings: admitted, isDeployed }
      const { bindings, ...classified } = await this.#options.classes.decide(seen)
      const version = { ...draft, bindings, exports, startupTimeMs }
      return await store({
        version,
        plan: await this.#options.registry.plan(version),
        ...classified,
      })
    } catch (error) {
      await this.#takeBack(facts.key, written)
      throw error
    }
  }

  /** Makes a version of the same code with other bindings or settings. */
  async fromPrevious(amendment: Amendment): Promise<MadeVersion> {
    const { previous, entries, keep, dropped = [], metadata = {} } = amendment
    const sources = resolveBindings({
      entries,
      keep,
      previous: previous.bindings.filter(({ name }) => !dropped.includes(name)),
      isStrict: amendment.isStrict,
    })
    this.#checkServed(sources)
    const { compatibilityDate: date = previous.compatibilityDate } = amendment
    const flags = amendment.compatibilityFlags ?? previous.compatibilityFlags
    const version: Version = {
      ...previous,
      ...this.#fresh(amendment, previous),
      bindings: await this.#options.classes.resolve(
        amendment.key,
        await this.#admit(sources, amendment.key),
      ),
      metadata: { ...previous.metadata, ...metadata },
      ...(date !== undefined && { compatibilityDate: date }),
      compatibilityFlags: [...flags],
    }
    const plan = await this.#options.registry.plan(version)
    checkFormat(plan)
    await this.#checkServices(plan, entries)
    const isOtherwise = JSON.stringify([date, flags]) !== compatibilityText(previous)
    if (!isOtherwise) return { version, plan }
    checkCompatibility({ date, flags }, this.#options.clock.now())
    const { exports, startupTimeMs } = await this.#check(plan)
    return { version: { ...version, exports, startupTimeMs }, plan: { ...plan, exports } }
  }

  /** Removes modules that no version names any more. */
  async removeModules(keys: Iterable<BlobKey>): Promise<void> {
    for (const key of keys) await this.#options.blob.delete(key)
  }

  /** Removes modules that a crash left without a version. To be called while nothing is made. */
  async sweep(): Promise<void> {
    const known = await this.#options.workers.allModuleKeys()
    for await (const { key } of this.#options.blob.list()) {
      if (!known.has(key)) await this.#options.blob.delete(key)
    }
  }

  /**
   * Removes modules of a version that was not stored. What threw may have done so after that, or not
   * know: then they stay, and what nobody needs goes at the next start.
   */
  async #takeBack(key: WorkerKey, written: readonly BlobKey[]): Promise<void> {
    const kept = await this.#options.workers.moduleKeys(key).catch(() => new Set(written))
    await this.removeModules(written.filter((each) => !kept.has(each)))
  }

  #fresh({ key, author, annotations }: NewVersion, previous: Version | undefined) {
    const { random, clock } = this.#options
    return {
      ...key,
      ...author,
      annotations: { ...annotations },
      id: versionId.parse(random.uuid()),
      number: (previous?.number ?? 0) + 1,
      createdAt: new Date(clock.now()).toISOString(),
    }
  }

  #checkServed(sources: ReturnType<typeof resolveBindings>): void {
    for (const entry of sources.map(entryOf)) {
      if (!this.#options.registry.serves(entry.type)) throw unservedBinding(entry)
    }
  }

  #admit(sources: ReturnType<typeof resolveBindings>, key: WorkerKey): Promise<Entry[]> {
    return Promise.all(
      sources.map(async (source) =>
        source.origin === 'kept' ? source.stored : this.#options.registry.admit(source.entry, key),
      ),
    )
  }

  /** The files of an upload, or, where it says so, those of the version before it. */
  async #admitFiles(
    { metadata, isFilesOnly }: Upload,
    key: WorkerKey,
    previous: Version | undefined,
  ): Promise<Version['assets']> {
    const { assets, keep_assets: isKept } = metadata
    const { sites } = this.#options.registry
    if (assets === undefined && !isKept) return undefined
    if (!sites) throw featureUnavailable('Static assets')
    // wrangler 3 says so of every version that it copies, whether there are files or not.
    if (isKept && !previous?.assets && !isFilesOnly) return undefined
    const hasWorker = !isFilesOnly
    const of = {
      owner: key,
      compatibilityDate: metadata.compatibility_date,
      compatibilityFlags: metadata.compatibility_flags ?? [],
    }
    if (!isKept) return { ...(await sites.admit(assets ?? {}, of)), hasWorker }
    return { ...(await sites.readmit(assets ?? {}, of, previous?.assets)), hasWorker }
  }

  /** Stores modules that are not there yet; `written` are those. */
  async #writeModules(
    key: WorkerKey,
    uploaded: readonly UploadedModule[],
  ): Promise<{ readonly modules: Module[]; readonly written: readonly BlobKey[] }> {
    const { blob } = this.#options
    const modules = uploaded.map((module) => moduleOf(key, module))
    const written: BlobKey[] = []
    try {
      for (const [index, { key: place }] of modules.entries()) {
        await using known = await blob.get(place)
        if (known || written.includes(place)) continue
        written.push(place)
        await blob.put(place, uploaded[index]?.bytes ?? new Uint8Array())
      }
    } catch (error) {
      await this.removeModules(written)
      throw error
    }
    return { modules, written }
  }

  /** A new binding to a Worker that is not there is the author's mistake; to itself, none. */
  async #checkServices(plan: WorkerPlan, entries: readonly Entry[]): Promise<void> {
    const { account, worker } = plan
    const named = new Set(entries.filter(({ type }) => type !== 'inherit').map(({ name }) => name))
    for (const { name, wire } of plan.bindings) {
      if (wire.type !== 'worker' || wire.worker === worker || !named.has(name)) continue
      const target = await this.#options.workers.worker({ account, worker: wire.worker })
      if (!target) throw serviceMissing(name, wire.worker)
    }
  }

  async #check(plan: WorkerPlan): Promise<Extract<CheckReport, { ok: true }>> {
    const report = await this.#options.host.check(plan)
    if (!report.ok) throw uploadInvalid(report.message)
    if (!report.exports.hasDefault && report.exports.named.length === 0) throw noHandlers()
    return report
  }
}

/** Clients that workerd has none of its own for are modules, which a service worker can't have. */
function checkFormat({ code, bindings }: WorkerPlan): void {
  if (code.format === 'modules') return
  for (const { name, type, wire } of bindings) {
    if (wire.type !== 'backend') continue
    if (wire.client === 'd1' || typeof wire.client === 'object')
      throw bindingNeedsModules(name, type)
  }
}

/** What a check would say of a version without code. */
const noCode = {
  exports: { hasDefault: true, handlers: [], named: [] },
  startupTimeMs: 0,
} as const

function compatibilityText({ compatibilityDate, compatibilityFlags }: Version): string {
  return JSON.stringify([compatibilityDate, compatibilityFlags])
}

function shownMetadata(metadata: Metadata): Record<string, Json> {
  const { bindings: _, keep_bindings: __, annotations: ___, assets: ____, ...shown } = metadata
  return Object.fromEntries(
    Object.entries(shown).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  )
}

// The key has the Worker in it: what one Worker stores is never another's to remove.
function moduleOf({ account, worker }: WorkerKey, { name, type, bytes }: UploadedModule): Module {
  const hash = createHash('sha256').update(`${account}/${worker}/`).update(bytes).digest('hex')
  return { name, type, key: blobKey.parse(hash), size: bytes.byteLength }
}

function etagOf(mainModule: string, modules: readonly Module[]): string {
  const text = JSON.stringify([mainModule, modules.map(({ name, type, key }) => [name, type, key])])
  return createHash('sha256').update(text).digest('hex')
}
