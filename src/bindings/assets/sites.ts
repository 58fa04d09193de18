import type {
  Site,
  SiteFiles,
  SiteReply,
  SiteRequest,
  Sites,
  SiteServer,
  SiteUpload,
} from '#contract/assets.ts'
import { messageOf } from '#contract/errors.ts'
import type { BlobKey } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import { readSiteConfig, type SiteConfig } from './config.ts'
import * as errors from './errors.ts'
import { graceMs, sweepEveryMs } from './limits.ts'
import { Manifests } from './manifests.ts'
import { assetsMetadata } from './schema.ts'
import { createSiteServer } from './server.ts'
import { AssetStore } from './store.ts'
import { sweep } from './sweep.ts'
import { Uploads } from './uploads.ts'

/** Everything of static assets that keeps state. Owned by the binding; does not own the ports. */
export function openSites(ports: Ports): {
  readonly sites: StoredSites
  readonly uploads: Uploads
} {
  const store = new AssetStore(ports)
  const uploads = new Uploads(ports, store)
  return { sites: new StoredSites(ports, store, uploads), uploads }
}

class StoredSites implements Sites, AsyncDisposable {
  readonly #ports: Ports
  readonly #store: AssetStore
  readonly #uploads: Uploads
  readonly #server: SiteServer
  /** Manifests that were handed out a while ago at most: a version may be about to name them. */
  readonly #recent = new Map<BlobKey, number>()
  #sweeping: Promise<void> = Promise.resolve()
  #timer: Disposable | undefined
  #isClosed = false

  constructor(ports: Ports, store: AssetStore, uploads: Uploads) {
    this.#ports = ports
    this.#store = store
    this.#uploads = uploads
    const manifests = new Manifests((key) => store.manifest(key))
    this.#server = createSiteServer({
      ...ports,
      manifests,
      blobs: ports.blob,
      variants: ports.blob,
    })
  }

  route(site: Site, request: SiteRequest): SiteReply | 'worker' | Promise<SiteReply | 'worker'> {
    return this.#server.route(site, request)
  }

  answer(site: Site, request: SiteRequest): SiteReply | Promise<SiteReply> {
    return this.#server.answer(site, request)
  }

  async admit(assets: Json, of: SiteUpload): Promise<SiteFiles> {
    const { jwt, config } = readMetadata(assets)
    if (jwt === undefined) throw errors.metadataInvalid('it has no "jwt"')
    const read = this.#readConfig(config, of)
    const manifest = await this.#uploads.complete(jwt, of.owner)
    this.#recent.set(manifest, this.#ports.clock.now())
    return { manifest, config: read }
  }

  async readmit(assets: Json, of: SiteUpload, kept: SiteFiles | undefined): Promise<SiteFiles> {
    if (!kept) throw errors.nothingToKeep()
    const { config } = readMetadata(assets)
    await this.#uploads.claim(kept.manifest, of.owner)
    this.#recent.set(kept.manifest, this.#ports.clock.now())
    return config === undefined || config === null
      ? kept
      : { ...kept, config: this.#readConfig(config, of) }
  }

  async sweepBy(manifests: () => Promise<ReadonlySet<BlobKey>>): Promise<void> {
    await this.#sweep(manifests)
    if (this.#isClosed) return
    this.#timer = this.#ports.clock.after(sweepEveryMs, () => {
      this.#sweeping = this.sweepBy(manifests)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer?.[Symbol.dispose]()
    await this.#sweeping
  }

  async #sweep(manifests: () => Promise<ReadonlySet<BlobKey>>): Promise<void> {
    const oldest = this.#ports.clock.now() - graceMs
    for (const [key, at] of this.#recent) if (at < oldest) this.#recent.delete(key)
    try {
      const named = await manifests()
      await sweep(this.#ports, this.#store, new Set([...named, ...this.#recent.keys()]))
    } catch (error) {
      // What is left over costs space and nothing else.
      this.#ports.log.warn('old assets were not removed', { error: messageOf(error) })
    }
  }

  #readConfig(raw: unknown, of: SiteUpload): SiteConfig {
    const { config, warnings } = readSiteConfig(raw, {
      prefersAssetsForNavigation: prefersAssetsForNavigation(of),
    })
    for (const warning of warnings) {
      this.#ports.log.debug('a rule of assets is skipped', { ...of.owner, ...warning })
    }
    return config
  }
}

function readMetadata(assets: Json) {
  const parsed = assetsMetadata.safeParse(assets)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw errors.metadataInvalid(`${issue?.path.join('.')}: ${issue?.message}`)
}

/** assets.md §4: by flag, else by date. */
const preferredSince = '2025-04-01'

function prefersAssetsForNavigation(of: SiteUpload): boolean {
  const { compatibilityDate: date = '', compatibilityFlags: flags } = of
  if (flags.includes('assets_navigation_has_no_effect')) return false
  return flags.includes('assets_navigation_prefers_asset_serving') || date >= preferredSince
}
