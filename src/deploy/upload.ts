import type { ModuleType } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import { parseJson } from '#contract/json-text.ts'
import type { Part } from '#contract/multipart.ts'
import * as errors from './errors.ts'
import * as limits from './limits.ts'
import { type Metadata, readMetadata, unflatten } from './metadata.ts'

/** A version as it was uploaded. */
export type Upload = {
  readonly metadata: Metadata
  readonly format: 'modules' | 'service-worker'
  /** The name of one of the modules. */
  readonly mainModule: string
  /** Whether there are files and no code: the one module is then ours, and answers nobody. */
  readonly isFilesOnly: boolean
  /** Without source maps: those are not part of what runs, and nothing here reads them. */
  readonly modules: readonly UploadedModule[]
}

export type UploadedModule = {
  readonly name: string
  readonly type: ModuleType
  readonly bytes: Uint8Array
}

/**
 * Reads an upload form in any of the dialects of control-api.md §2.4: metadata as a field, as a
 * file or as flattened fields, in any place; modules under their names or under `files`.
 * Throws an `ApiError` that says what is wrong with it.
 */
export function readUpload(parts: readonly Part[]): Upload {
  if (parts.length > limits.uploadParts) {
    throw errors.uploadInvalid(`The upload has more than ${limits.uploadParts} parts.`)
  }
  const metadata = metadataOf(parts)
  const { main_module: main, body_part: body } = metadata
  const mainModule = main ?? body
  if (mainModule === undefined) {
    if (metadata.assets !== undefined || metadata.keep_assets) return filesOnly(metadata)
    throw errors.uploadInvalid('The metadata must name a "main_module" or a "body_part".')
  }
  const format = main === undefined ? 'service-worker' : 'modules'
  const modules = modulesOf(parts, { format, mainModule })
  if (!modules.some(({ name }) => name === mainModule)) {
    throw errors.uploadInvalid(`No such module "${mainModule}".`)
  }
  return { metadata, format, mainModule, modules, isFilesOnly: false }
}

/** Code that is asked for nothing: every request is answered from the files. */
const emptyModule = 'export default {}'

function filesOnly(metadata: Metadata): Upload {
  const [entry] = metadata.bindings ?? []
  if (entry) throw errors.bindingWithoutCode(entry.name)
  const name = 'assets-only.js'
  const module = { name, type: 'esModule', bytes: new TextEncoder().encode(emptyModule) } as const
  return { metadata, format: 'modules', mainModule: name, modules: [module], isFilesOnly: true }
}

function metadataOf(parts: readonly Part[]): Metadata {
  const part = parts.find(({ name }) => name === 'metadata')
  const fields = part ? [part] : parts.filter(({ name }) => name.startsWith('metadata['))
  if (fields.length === 0) throw errors.metadataUnreadable('the form has no part "metadata"')
  if (fields.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) > limits.metadataBytes) {
    throw errors.metadataUnreadable(`more than ${limits.metadataBytes} bytes`)
  }
  if (part) return readMetadata(jsonOf(textOf(part)))
  return readMetadata(unflatten(fields.map((field) => [field.name, textOf(field)])))
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    throw errors.metadataUnreadable(`it is not valid JSON (${messageOf(error)})`)
  }
}

type Main = Pick<Upload, 'format' | 'mainModule'>

function modulesOf(parts: readonly Part[], main: Main): readonly UploadedModule[] {
  const modules: UploadedModule[] = []
  const names = new Set<string>()
  let total = 0
  for (const part of parts) {
    const name = moduleNameOf(part, main)
    if (name === undefined) continue
    checkName(name)
    if (names.has(name)) throw errors.uploadInvalid(`The module "${name}" is there twice.`)
    names.add(name)
    total += part.bytes.byteLength
    if (total > limits.scriptBytes) throw errors.scriptTooLarge()
    modules.push({ name, type: moduleTypeOf(part, name, main), bytes: part.bytes })
  }
  return modules
}

/** The part's name, or its file's name in the forms of the SDK; nothing if it is not a module. */
function moduleNameOf(part: Part, { mainModule }: Main): string | undefined {
  const { name, filename, type } = part
  if (name === 'metadata' || name.startsWith('metadata[')) return undefined
  if (mediaType(type) === 'application/source-map') return undefined
  if (filename === undefined) return name === mainModule ? name : undefined
  return name === 'files' || name === 'files[]' ? filename : name
}

function checkName(name: string): void {
  if (name === '' || name.length > limits.moduleNameLength || name.includes('\0')) {
    throw errors.uploadInvalid(
      `A module needs a name of 1 to ${limits.moduleNameLength} characters.`,
    )
  }
  if (name.startsWith('/') || name.split('/').includes('..')) {
    throw errors.uploadInvalid(
      `The name of the module "${name}" must be a relative path without "..".`,
    )
  }
}

const moduleTypes: ReadonlyMap<string, ModuleType> = new Map([
  ['application/javascript+module', 'esModule'],
  ['text/javascript+module', 'esModule'],
  ['application/javascript', 'commonJsModule'],
  ['text/javascript', 'commonJsModule'],
  ['application/wasm', 'wasm'],
  ['application/json', 'json'],
  ['application/octet-stream', 'data'],
  ['text/plain', 'text'],
  ['text/html', 'text'],
  ['text/sql', 'text'],
])

function moduleTypeOf(part: Part, name: string, main: Main): ModuleType {
  const media = mediaType(part.type)
  if (media.startsWith('text/x-python')) throw errors.featureUnavailable('Python Workers')
  const type = moduleTypes.get(media)
  if (name !== main.mainModule) return type ?? 'data'
  // A form that was put together by hand often says nothing, or something else, of the main part.
  const isScript = type === 'esModule' || type === 'commonJsModule'
  if (main.format === 'modules' && !isScript && media !== '' && part.filename !== undefined) {
    throw errors.uploadInvalid(
      `The main module "${name}" must be of type application/javascript+module, but is of type ${media}.`,
    )
  }
  return 'esModule'
}

function mediaType(type: string): string {
  return (type.split(';')[0] ?? '').trim().toLowerCase()
}

function textOf({ bytes }: Part): string {
  return new TextDecoder().decode(bytes)
}
