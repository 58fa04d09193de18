import { z } from 'zod'
import type { CellHost } from '#contract/cell.ts'
import { type AccountId, type ObjectId, objectId, type ObjectNamespaceId } from '#contract/ids.ts'
import {
  ObjectBusyError,
  type ObjectCopy,
  type ObjectFiles,
  ObjectImportError,
  type ObjectPlace,
} from '#contract/ports/object-files.ts'
import { readTar, type TarEntry, TarError } from '#contract/tar.ts'
import { objectImportInvalid, objectNamespaceNotFound } from './errors.ts'
import { objectsPerPage, namespaceFileBytes } from './limits.ts'

// Objects on their way out of a server and into one: archives of their files and `namespace.json`.

/** A namespace, and the Worker whose class its objects are of. */
export type ListedNamespace = {
  readonly id: ObjectNamespaceId
  readonly worker: string
  readonly className: string
  readonly storage: 'sqlite' | 'kv'
}

/** Which namespaces there are. */
export interface ObjectDirectory {
  namespaces(account: AccountId): Promise<readonly ListedNamespace[]>
}

export type ObjectTransferOptions = {
  readonly directory: ObjectDirectory
  readonly files: ObjectFiles
  readonly host: Pick<CellHost, 'whileStopped'>
}

/** What is said of all objects of an archive. */
const namespaceFile = z.object({
  id: z.string(),
  alarms: z.array(
    z.object({ object: objectId, at: z.iso.datetime(), name: z.string().optional() }),
  ),
})
const namespaceFileName = 'namespace.json'

/** A copy of an object; its cell is stopped for that if it is written to too fast. */
export async function copyOf(
  { files, host }: ObjectTransferOptions,
  place: ObjectPlace,
  object: ObjectId,
): Promise<ObjectCopy | undefined> {
  try {
    return await files.export(place, object)
  } catch (error) {
    if (!(error instanceof ObjectBusyError)) throw error
  }
  let copy: ObjectCopy | undefined
  await host.whileStopped(place.account, [place.namespace], async () => {
    copy = await files.export(place, object)
  })
  return copy
}

/** The files of a namespace, or of one object of it, and what is said of them all. */
export async function* entriesOf(
  options: ObjectTransferOptions,
  exported: {
    readonly place: ObjectPlace
    readonly namespace: ListedNamespace
    readonly only: ObjectId | undefined
    readonly at: number
  },
): AsyncGenerator<TarEntry> {
  const { place, namespace, only, at } = exported
  const found = new Set<ObjectId>()
  for await (const id of only === undefined ? idsOf(options.files, place) : [only]) {
    // One that was deleted meanwhile is not there any more.
    await using copy = await copyOf(options, place, id)
    if (!copy) continue
    found.add(id)
    yield* copy.files
  }
  const alarms = [...(await options.files.alarms(place))].filter(([object]) => found.has(object))
  const text = JSON.stringify(
    {
      id: namespace.id,
      script: namespace.worker,
      class: namespace.className,
      storage: namespace.storage,
      exported_on: new Date(at).toISOString(),
      objects: found.size,
      alarms: alarms.map(([object, alarm]) => ({
        object,
        at: new Date(alarm.at).toISOString(),
        ...(alarm.name !== undefined && { name: alarm.name }),
      })),
    },
    undefined,
    2,
  )
  const content = new TextEncoder().encode(`${text}\n`)
  yield { name: namespaceFileName, sizeBytes: content.byteLength, bytes: once(content) }
}

/**
 * Takes an archive in and puts its objects into a namespace, for which its cell is stopped. Gives
 * their number. Throws an `ApiError` for what can't be, with nothing changed.
 */
export async function importObjects(
  { directory, files, host }: ObjectTransferOptions,
  place: ObjectPlace,
  archive: AsyncIterable<Uint8Array>,
): Promise<number> {
  const { account, namespace } = place
  const names = new Map<ObjectId, string>()
  try {
    await using staged = await files.import(place, filesIn(archive, { namespace, names }))
    if (staged.objects.length === 0) throw objectImportInvalid('There is no object in it.')
    await host.whileStopped(account, [namespace], async () => {
      const isThere = (await directory.namespaces(account)).some(({ id }) => id === namespace)
      if (!isThere) throw objectNamespaceNotFound()
      await staged.put(names)
    })
    return staged.objects.length
  } catch (error) {
    if (error instanceof ObjectImportError) throw objectImportInvalid(error.message)
    if (error instanceof TarError)
      throw objectImportInvalid(`The archive is bad: ${error.message}.`)
    throw error
  }
}

/** The files of objects in an archive. What else is said of them is put into `names`. */
async function* filesIn(
  archive: AsyncIterable<Uint8Array>,
  into: { readonly namespace: ObjectNamespaceId; readonly names: Map<ObjectId, string> },
): AsyncGenerator<TarEntry> {
  for await (const entry of readTar(archive)) {
    if (entry.name !== namespaceFileName) {
      yield entry
      continue
    }
    if (entry.sizeBytes > namespaceFileBytes) {
      throw new ObjectImportError(`${namespaceFileName} has more than ${namespaceFileBytes} bytes.`)
    }
    const { id, alarms } = await readNamespaceFile(entry)
    if (id !== into.namespace) {
      throw new ObjectImportError(`These are objects of the namespace ${id}, which is another.`)
    }
    for (const { object, name } of alarms) if (name !== undefined) into.names.set(object, name)
  }
}

async function readNamespaceFile(entry: TarEntry): Promise<z.output<typeof namespaceFile>> {
  const text = new TextDecoder().decode(await bytesOf(entry))
  try {
    return namespaceFile.parse(JSON.parse(text))
  } catch {
    throw new ObjectImportError(`${namespaceFileName} is not as it was exported.`)
  }
}

async function bytesOf({ bytes, sizeBytes }: TarEntry): Promise<Uint8Array> {
  const all = new Uint8Array(sizeBytes)
  let at = 0
  for await (const chunk of bytes) {
    all.set(chunk, at)
    at += chunk.byteLength
  }
  return all
}

async function* idsOf(files: ObjectFiles, place: ObjectPlace): AsyncGenerator<ObjectId> {
  let after: ObjectId | undefined
  for (;;) {
    const page = await files.list(place, { after, limit: objectsPerPage })
    for (const { id } of page) yield id
    after = page.at(-1)?.id
    if (after === undefined) return
  }
}

async function* once(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
}
