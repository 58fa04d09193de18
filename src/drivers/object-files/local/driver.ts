import { createReadStream } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ObjectId, objectId } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import {
  type NamedFile,
  type ObjectAlarm,
  ObjectBusyError,
  type ObjectCopy,
  type ObjectFiles,
  type ObjectPage,
  type ObjectPlace,
  type StagedObjects,
  type StoredObject,
} from '#contract/ports/object-files.ts'
import { copyDatabase } from './copy.ts'
import { Databases } from './databases.ts'
import { finishPending, putFiles, stageFiles } from './import.ts'
import {
  alarmsFile,
  exportsFolder,
  facetsIn,
  folderOf,
  type ObjectFile,
  pendingFolder,
  readName,
  stagingFolder,
  trashFolder,
} from './layout.ts'
import { isMissing, readOwn } from './own.ts'
import { existsIn, syncFolder } from './sync.ts'

export type ObjectFilesOptions = {
  /** The folder in which workerd keeps objects: one below it for each account. */
  readonly path: string
  readonly clock: Clock
}

/** Objects as workerd stores them on a local disk. `sweep` comes before anything else. */
export async function openObjectFiles(options: ObjectFilesOptions): Promise<ObjectFiles> {
  await mkdir(options.path, { recursive: true, mode: 0o700 })
  for (const name of [exportsFolder, stagingFolder, pendingFolder, trashFolder]) {
    await mkdir(join(options.path, name), { recursive: true, mode: 0o700 })
  }
  await syncFolder(options.path)
  await syncFolder(dirname(options.path))
  return new LocalObjectFiles(options)
}

/** A database whose pages are one: the schema's, which is empty if there is no other. */
const emptyBytes = 4096
const statsAtOnce = 64

type Entry = ObjectFile & { readonly name: string }

class LocalObjectFiles implements ObjectFiles {
  readonly #root: string
  readonly #clock: Clock
  readonly #databases = new Databases()
  /** How many imports have begun to replace objects, and when those are done that did. */
  #puts = 0
  #putting: Promise<unknown> = Promise.resolve()

  constructor({ path, clock }: ObjectFilesOptions) {
    this.#root = path
    this.#clock = clock
  }

  async list(place: ObjectPlace, page: ObjectPage): Promise<readonly StoredObject[]> {
    const folder = folderOf(this.#root, place)
    const objects = await entriesOf(folder)
    const ids = [...objects.keys()].toSorted()
    const from = page.after === undefined ? 0 : ids.findLastIndex((id) => id <= `${page.after}`) + 1
    const found: StoredObject[] = []
    for (const id of ids.slice(from, from + page.limit)) {
      const stored = await storedOf(folder, id, objects.get(id) ?? [])
      if (stored) found.push(stored)
    }
    return found
  }

  has(place: ObjectPlace, object: ObjectId): Promise<boolean> {
    return existsIn(join(folderOf(this.#root, place), `${object}.sqlite`))
  }

  async sizeOf(place: ObjectPlace): Promise<{ readonly objects: number; readonly bytes: number }> {
    const folder = folderOf(this.#root, place)
    const objects = await entriesOf(folder)
    const names = [...objects.values()].flat().map(({ name }) => name)
    let bytes = 0
    for (let at = 0; at < names.length; at += statsAtOnce) {
      const stats = names.slice(at, at + statsAtOnce).map((name) => sizeOf(join(folder, name)))
      for (const info of await Promise.all(stats)) bytes += info?.size ?? 0
    }
    return { objects: objects.size, bytes }
  }

  async alarms(place: ObjectPlace): Promise<ReadonlyMap<ObjectId, ObjectAlarm>> {
    const from = join(folderOf(this.#root, place), alarmsFile)
    if (!(await existsIn(from))) return new Map()
    await using folder = await this.#newFolder(exportsFolder)
    const to = join(folder.path, alarmsFile)
    const now = (): number => this.#clock.now()
    if (!(await copyDatabase({ from, to, now }))) throw new Error('the alarms can not be read')
    const rows = await this.#databases.run({ type: 'readAlarms', path: to })
    return new Map(
      rows.flatMap(({ object, at, name }) => {
        const id = objectId.safeParse(object)
        if (!id.success || at === undefined) return []
        const alarm = { at: Number(at / 1_000_000n), ...(name !== undefined && { name }) }
        return [[id.data, alarm] as const]
      }),
    )
  }

  async export(place: ObjectPlace, object: ObjectId): Promise<ObjectCopy | undefined> {
    for (;;) {
      await this.#putting
      const before = this.#puts
      const copy = await this.#export(place, object)
      if (this.#puts === before) return copy
      // Some of it may be of the object that was replaced meanwhile.
      await copy?.[Symbol.asyncDispose]()
    }
  }

  async #export(place: ObjectPlace, object: ObjectId): Promise<ObjectCopy | undefined> {
    const folder = folderOf(this.#root, place)
    if (!(await this.has(place, object))) return undefined
    await using stack = new AsyncDisposableStack()
    const { path } = stack.use(await this.#newFolder(exportsFolder))
    const files: ObjectCopy['files'][number][] = []
    // A facet that is not in the index would be another's: the index, which only grows, is last.
    for (const name of [`${object}.sqlite`, ...(await facetFilesOf(folder, object))]) {
      const from = join(folder, name)
      if (files.length > 0 && !(await existsIn(from))) continue
      const copied = await this.#copy({ from, to: join(path, name), object })
      if (copied) files.push(fileAt(path, name, copied.size))
      // Deleted meanwhile: the object itself, or one of its facets.
      else if (files.length === 0) return undefined
    }
    const owned = stack.move()
    return { files, [Symbol.asyncDispose]: () => owned.disposeAsync() }
  }

  async import(place: ObjectPlace, files: AsyncIterable<NamedFile>): Promise<StagedObjects> {
    await using stack = new AsyncDisposableStack()
    const { path } = stack.use(await this.#newFolder(stagingFolder))
    const staged = await stageFiles(files, { place, path, databases: this.#databases })
    const owned = stack.move()
    return {
      objects: staged.map(({ object }) => object),
      put: (names) =>
        this.#put({
          place,
          path,
          objects: staged.map((each) => ({ ...each, name: names.get(each.object) })),
        }),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    }
  }

  async delete(place: ObjectPlace): Promise<void> {
    const folder = folderOf(this.#root, place)
    await using trash = await this.#newFolder(trashFolder)
    try {
      await rename(folder, join(trash.path, place.namespace))
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    await syncFolder(dirname(folder))
    await syncFolder(trash.path)
  }

  async sweep(): Promise<void> {
    const pending = join(this.#root, pendingFolder)
    for (const name of (await readdir(pending)).toSorted()) {
      await finishPending({
        root: this.#root,
        path: join(pending, name),
        databases: this.#databases,
      })
    }
    for (const name of [exportsFolder, stagingFolder, trashFolder]) {
      for (const left of await readdir(join(this.#root, name))) {
        await rm(join(this.#root, name, left), { recursive: true, force: true })
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#databases[Symbol.asyncDispose]()
  }

  async #put(objects: Pick<Parameters<typeof putFiles>[0], 'place' | 'path' | 'objects'>) {
    this.#puts += 1
    const done = putFiles({ ...objects, root: this.#root, databases: this.#databases })
    this.#putting = Promise.allSettled([this.#putting, done])
    await done
  }

  /** Copies one file of an object; `undefined` if it is gone. */
  async #copy(copy: { from: string; to: string; object: ObjectId }) {
    const { from, to, object } = copy
    try {
      if (!(await copyDatabase({ from, to, now: () => this.#clock.now() }))) {
        throw new ObjectBusyError(object)
      }
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
    if (!to.endsWith('.facets')) await this.#databases.run({ type: 'settle', path: to })
    return await sizeOf(to)
  }

  /** A folder for something on its way, removed with what is in it when disposed of. */
  async #newFolder(kind: string): Promise<AsyncDisposable & { readonly path: string }> {
    const path = await mkdtemp(join(this.#root, kind, 'x'))
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
  }
}

/** The files of a namespace by the object that they are of. */
async function entriesOf(folder: string): Promise<ReadonlyMap<ObjectId, readonly Entry[]>> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  const objects = new Map<ObjectId, Entry[]>()
  for (const name of names) {
    const file = readName(name)
    if (!file) continue
    const known = objects.get(file.object)
    if (known) known.push({ ...file, name })
    else objects.set(file.object, [{ ...file, name }])
  }
  return objects
}

async function storedOf(
  folder: string,
  id: ObjectId,
  entries: readonly Entry[],
): Promise<StoredObject | undefined> {
  const files = await Promise.all(
    entries.map(async (entry) => ({ ...entry, info: await sizeOf(join(folder, entry.name)) })),
  )
  const there = files.flatMap(({ type, info }) => (info ? [{ type, ...info }] : []))
  if (there.length === 0) return undefined
  return {
    id,
    sizeBytes: there.reduce((sum, { size }) => sum + size, 0),
    hasStoredData: there.some(
      ({ type, size }) =>
        (type === 'database' && size > emptyBytes) || (type === 'wal' && size > 0),
    ),
    modifiedAt: Math.max(...there.map(({ type, mtimeMs }) => (type === 'shm' ? 0 : mtimeMs))),
  }
}

async function sizeOf(path: string): Promise<{ size: number; mtimeMs: number } | undefined> {
  try {
    const found = await lstat(path)
    return found.isFile() ? { size: found.size, mtimeMs: found.mtimeMs } : undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Names of the files of an object's facets, and then of their index. The files may be gone. */
async function facetFilesOf(folder: string, object: ObjectId): Promise<readonly string[]> {
  const index = `${object}.facets`
  const bytes = await readOwn(join(folder, index)).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  if (!bytes) return []
  const count = facetsIn(bytes)
  if (count !== undefined) {
    return [...Array.from({ length: count }, (_, n) => `${object}.${n + 1}.sqlite`), index]
  }
  const entries = (await entriesOf(folder)).get(object) ?? []
  const facets = entries.flatMap(({ type, facet }) =>
    type === 'database' && facet !== undefined ? [facet] : [],
  )
  return [...facets.toSorted((a, b) => a - b).map((n) => `${object}.${n}.sqlite`), index]
}

function fileAt(folder: string, name: string, sizeBytes: number): ObjectCopy['files'][number] {
  return { name, sizeBytes, bytes: createReadStreamLater(join(folder, name)) }
}

/** Opens a file when it is read, and not before. */
async function* createReadStreamLater(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path)
}
