import { createHash, createHmac } from 'node:crypto'
import { join } from 'node:path'
import type { ObjectId, ObjectNamespaceId } from '#contract/ids.ts'
import { objectId } from '#contract/ids.ts'
import type { ObjectPlace } from '#contract/ports/object-files.ts'

// Where workerd keeps objects, and where we keep what is on its way. Names of ours begin with a dot:
// no account's do.

/** Copies for those who export. */
export const exportsFolder = '.exports'
/** Files that are being taken in. */
export const stagingFolder = '.staging'
/** Files that are being put in their place: once here, they will be. */
export const pendingFolder = '.pending'
/** What is about to be removed. */
export const trashFolder = '.trash'

/** The database of a namespace that has its alarms. */
export const alarmsFile = 'metadata.sqlite'

export function folderOf(root: string, { account, namespace }: ObjectPlace): string {
  return join(root, account, namespace)
}

/** A file of an object, by its name. */
export type ObjectFile = {
  readonly object: ObjectId
  readonly type: 'database' | 'wal' | 'shm' | 'facets'
  /** The number of the facet that a database is of; absent for the object's own. */
  readonly facet?: number
}

const form = /^([0-9a-f]{64})(?:(?:\.([1-9][0-9]{0,4}))?\.sqlite(-wal|-shm)?|\.facets)$/

/** What a file of that name is; `undefined` if it is none of an object. */
export function readName(name: string): ObjectFile | undefined {
  const match = form.exec(name)
  const object = objectId.safeParse(match?.[1])
  if (!match || !object.success) return undefined
  const [, , facet, suffix] = match
  const type = name.endsWith('.facets')
    ? 'facets'
    : suffix === '-wal'
      ? 'wal'
      : suffix === '-shm'
        ? 'shm'
        : 'database'
  return { object: object.data, type, ...(facet !== undefined && { facet: Number(facet) }) }
}

/**
 * How many facets an index knows, deleted ones included: their numbers are 1 to that
 * (`facet-tree-index.c++`: a magic number, then for each its parent, the length of its name, its
 * name). `undefined` if it is none that we can read.
 */
export function facetsIn(index: Uint8Array): number | undefined {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength)
  if (index.byteLength < 8 || view.getBigUint64(0) !== indexMagic) return undefined
  let count = 0
  for (let at = 8; at + 4 <= index.byteLength;) {
    const nameLength = view.getUint16(at + 2, true)
    at += 4 + nameLength
    if (nameLength === 0 || at > index.byteLength) break
    count += 1
  }
  return count
}

const indexMagic = 0x57efb0c55bcecdc4n

/**
 * Whether an id is one of this namespace. workerd refuses others, because their last half is a code
 * that the first half and the namespace give (`actor-id-impl.c++`): such an object would be out of
 * everybody's reach.
 */
export function isOf(namespace: ObjectNamespaceId, object: ObjectId): boolean {
  const key = createHash('sha256').update(namespace).digest()
  const first = Buffer.from(object.slice(0, 32), 'hex')
  const code = createHmac('sha256', key).update(first).digest('hex').slice(0, 32)
  return object.slice(32) === code
}
