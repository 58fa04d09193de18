import { link, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '#contract/errors.ts'
import { accountId, type ObjectId, objectId, objectNamespaceId } from '#contract/ids.ts'
import {
  type NamedFile,
  ObjectImportError,
  type ObjectPlace,
} from '#contract/ports/object-files.ts'
import type { Databases } from './databases.ts'
import { alarmsFile, folderOf, isOf, pendingFolder, readName, trashFolder } from './layout.ts'
import { syncFile, syncFolder } from './sync.ts'

// Files of objects on their way in. They are taken in and checked in a folder of their own
// (`.staging`). From the moment that the folder is renamed into `.pending` they will be put into
// their namespace, if need be at the next start; and however often that is done over, it comes to
// the same, because the folder keeps all of its files until it is done with.

/** The largest database of an object: developers.cloudflare.com/durable-objects/platform/limits. */
const databaseBytes = 10 * 1024 ** 3
const manifestFile = 'manifest.json'

/** An object that is to be put in its place, with its alarm: nanoseconds since 1970. */
type Staged = { readonly object: ObjectId; readonly alarm: bigint | undefined }
type Named = Staged & { readonly name: string | undefined }

const manifest = z.object({
  account: accountId,
  namespace: objectNamespaceId,
  objects: z.array(
    z.object({
      object: objectId,
      alarm: z.string().exactOptional(),
      name: z.string().exactOptional(),
    }),
  ),
})

/** Takes files in. Throws `ObjectImportError` for what is no object of the namespace. */
export async function stageFiles(
  files: AsyncIterable<NamedFile>,
  to: { readonly place: ObjectPlace; readonly path: string; readonly databases: Databases },
): Promise<readonly Staged[]> {
  const { place, path, databases } = to
  const known = new Set<string>()
  for await (const { name, bytes } of files) {
    const file = readName(name)
    if (!file) throw new ObjectImportError(`"${name}" is not the name of a file of an object.`)
    if (!isOf(place.namespace, file.object)) {
      throw new ObjectImportError(`${file.object} is not an id of this namespace.`)
    }
    if (known.has(name)) throw new ObjectImportError(`${name} is there twice.`)
    // What is in a `-shm` file follows from the others.
    if (file.type === 'shm') continue
    known.add(name)
    await writeBounded(join(path, name), name, bytes)
  }
  const staged: Staged[] = []
  for (const name of [...known].toSorted()) {
    const file = readName(name)
    if (!file) continue
    if (!known.has(`${file.object}.sqlite`)) {
      throw new ObjectImportError(`${name} is there without ${file.object}.sqlite.`)
    }
    if (file.type === 'database') {
      const alarm = await settle(databases, join(path, name))
      if (file.facet === undefined) staged.push({ object: file.object, alarm })
    }
    if (file.type !== 'wal') await syncFile(join(path, name))
  }
  return staged
}

/** Puts staged objects into their namespace, of which no process has any open. */
export async function putFiles(put: {
  readonly root: string
  readonly place: ObjectPlace
  readonly path: string
  readonly databases: Databases
  readonly objects: readonly Named[]
}): Promise<void> {
  const { root, place, databases } = put
  const objects = put.objects.map(({ object, alarm, name }) => ({
    object,
    ...(alarm !== undefined && { alarm: alarm.toString() }),
    ...(name !== undefined && { name }),
  }))
  const text = JSON.stringify({ ...place, objects })
  await writeFile(join(put.path, manifestFile), text)
  await syncFile(join(put.path, manifestFile))
  await syncFolder(put.path)
  const path = join(root, pendingFolder, basename(put.path))
  await rename(put.path, path)
  await syncFolder(dirname(path))
  try {
    await finishPending({ root, path, databases })
  } catch (error) {
    // The namespace will be in use again: the next start must not put them there then.
    await discard(root, path)
    throw error
  }
}

/** Puts what is in a pending folder in its place, and removes the folder. May be done over. */
export async function finishPending(pending: {
  readonly root: string
  readonly path: string
  readonly databases: Databases
}): Promise<void> {
  const { root, path, databases } = pending
  const place = manifest.parse(JSON.parse(await readFile(join(path, manifestFile), 'utf8')))
  const folder = folderOf(root, place)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await syncFolder(root)
  await syncFolder(dirname(folder))
  const replaced = new Set(place.objects.map(({ object }) => object))
  for (const name of await readdir(folder)) {
    const file = readName(name)
    if (file && replaced.has(file.object)) await rm(join(folder, name), { force: true })
  }
  for (const name of await readdir(path)) {
    const type = readName(name)?.type
    if (type === 'database' || type === 'facets') await link(join(path, name), join(folder, name))
  }
  await databases.run({
    type: 'writeAlarms',
    path: join(folder, alarmsFile),
    alarms: place.objects.map(({ object, alarm, name }) => ({
      object,
      at: alarm === undefined ? undefined : BigInt(alarm),
      name,
    })),
  })
  await syncFolder(folder)
  await discard(root, path)
}

/** From here on it is not pending any more. */
async function discard(root: string, path: string): Promise<void> {
  const trash = join(root, trashFolder, basename(path))
  await rename(path, trash)
  await syncFolder(dirname(path))
  await rm(trash, { recursive: true, force: true })
}

async function settle(databases: Databases, path: string): Promise<bigint | undefined> {
  try {
    const [alarm] = await databases.run({ type: 'settle', path })
    return alarm?.at
  } catch (error) {
    const name = basename(path)
    throw new ObjectImportError(`${name} is not a sound SQLite database: ${messageOf(error)}.`)
  }
}

async function writeBounded(
  path: string,
  name: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.byteLength
    if (size > databaseBytes) {
      throw new ObjectImportError(`${name} has more than ${databaseBytes} bytes.`)
    }
    await file.writeFile(chunk)
  }
}
