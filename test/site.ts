import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { readSiteConfig } from '#bindings/assets/config.ts'
import type { AssetEntry } from '#bindings/assets/entry.ts'
import { createSiteServer } from '#bindings/assets/server.ts'
import type { Site, SiteReply, SiteRequest, SiteServer } from '#contract/assets.ts'
import { blobKey } from '#contract/ids.ts'
import type { Blob } from '#contract/ports/blob.ts'
import { openBlobs } from '#drivers/blob/fs/driver.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { account } from './backend.ts'
import { temporaryFolder } from './temporary.ts'

export type SiteFile = { readonly content: string | Uint8Array; readonly type?: string }

/** Files by path, stored, and a server that has them. */
export interface SiteFixture extends AsyncDisposable {
  readonly server: SiteServer
  readonly blobs: Blob
  readonly variants: Blob
  /** What the log was told. */
  readonly lines: string[]
  entry(path: string): AssetEntry
  /** The files, served in a way: `assets.config` of an upload. */
  site(
    config?: object,
    options?: { readonly hasWorker?: boolean; readonly navigates?: boolean },
  ): Site
}

export async function openSite(
  files: Readonly<Record<string, SiteFile>>,
  /** Whether the manifest is handed over at once or later. */
  isLate = false,
): Promise<SiteFixture> {
  const folder = await temporaryFolder()
  const blobs = await openBlobs({ path: join(folder.path, 'blobs') })
  const variants = await openBlobs({ path: join(folder.path, 'variants') })
  const entries = new Map<string, AssetEntry>()
  for (const [path, { content, type }] of Object.entries(files)) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32)
    const blob = blobKey.parse(hash)
    await blobs.put(blob, bytes)
    entries.set(path, { hash, blob, size: bytes.byteLength, contentType: type })
  }
  const lines: string[] = []
  const manifest = { find: (path: string) => entries.get(path) }
  const server = createSiteServer({
    manifests: { get: () => (isLate ? Promise.resolve(manifest) : manifest) },
    blobs,
    variants,
    log: jsonLog({ write: (line) => lines.push(line), level: 'warn', now: () => 0 }),
  })
  return {
    server,
    blobs,
    variants,
    lines,
    entry(path) {
      const entry = entries.get(path)
      if (!entry) throw new Error(`no file ${path}`)
      return entry
    },
    site(config = {}, { hasWorker = false, navigates = true } = {}) {
      const { config: made } = readSiteConfig(config, { prefersAssetsForNavigation: navigates })
      return { account, manifest: blobKey.parse('0'.repeat(32)), config: made, hasWorker }
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

export function requestOf(
  url: string,
  options: {
    readonly method?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly hostname?: string
  } = {},
): SiteRequest {
  const { method = 'GET', headers = {}, hostname = 'example.com' } = options
  return { method, url, hostname, protocol: 'http', header: (name) => headers[name] }
}

export type Read = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** A reply, all of it; names in lower case. */
export async function read(reply: SiteReply | Promise<SiteReply>): Promise<Read> {
  const { status, headers, body } = await reply
  const named: Record<string, string> = {}
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]?.toLowerCase() ?? ''
    const value = headers[at + 1] ?? ''
    named[name] = named[name] === undefined ? value : `${named[name]}\n${value}`
  }
  const chunks = body instanceof Uint8Array ? [body] : body ? await Array.fromAsync(body) : []
  return { status, headers: named, body: new Uint8Array(Buffer.concat(chunks)) }
}
