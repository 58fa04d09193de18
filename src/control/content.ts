import { Buffer } from 'node:buffer'
import type { Module, ModuleType } from '#contract/cell.ts'
import type { Part } from '#contract/multipart.ts'
import type { Blob as Blobs } from '#contract/ports/blob.ts'
import type { Version } from './records.ts'

/** Content types of modules, as uploads name them. */
const contentTypes: Readonly<Record<ModuleType, string>> = {
  esModule: 'application/javascript+module',
  commonJsModule: 'application/javascript',
  text: 'text/plain',
  data: 'application/octet-stream',
  wasm: 'application/wasm',
  json: 'application/json',
}

/** The modules of a version as a form, or the one script of a service worker as it is. */
export async function contentOf(version: Version, blob: Blobs): Promise<Response> {
  const headers = { 'cf-entrypoint': version.mainModule, etag: version.etag }
  const [only, ...others] = version.modules
  if (version.format === 'service-worker' && only && others.length === 0) {
    const type = { 'content-type': 'application/javascript' }
    return new Response(await bytesOf(blob, only), { headers: { ...headers, ...type } })
  }
  const form = new FormData()
  for (const module of version.modules) {
    const isScript = version.format === 'service-worker' && module.name === version.mainModule
    const type = isScript ? 'application/javascript' : contentTypes[module.type]
    form.append(
      module.name,
      new File([await bytesOf(blob, module)], module.name, { type }),
      module.name,
    )
  }
  return new Response(form, { headers })
}

/** The modules of a version as the newer API shows them: in JSON, their bytes in Base64. */
export async function modulesAsJson(version: Version, blob: Blobs): Promise<readonly object[]> {
  return Promise.all(
    version.modules.map(async (module) => ({
      name: module.name,
      content_type: contentTypes[module.type],
      content_base64: Buffer.from(await bytesOf(blob, module)).toString('base64'),
    })),
  )
}

async function bytesOf(blob: Blobs, module: Module): Promise<Uint8Array<ArrayBuffer>> {
  await using reader = await blob.get(module.key)
  if (!reader) throw new Error(`the module ${module.name} is gone`)
  return new Uint8Array(await reader.bytes())
}

/** The other way round: a part of an upload. */
export function partOfJson(module: {
  readonly name: string
  readonly content_type: string
  readonly content_base64: string
}): Part {
  return {
    name: module.name,
    filename: module.name,
    type: module.content_type,
    bytes: new Uint8Array(Buffer.from(module.content_base64, 'base64')),
  }
}
