import { createHash, createHmac } from 'node:crypto'
import { chown, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseFile } from '#contract/ports/databases.ts'

// Where workerd keeps the files of an account: `<root>/<account>/<product>/<id>.sqlite`. The product is
// the `uniqueKey` of the namespace: ids are no secret here, since no code of a user ever names one.

/** A file, with the id of its object. */
export type PlacedFile = DatabaseFile & { readonly object: string }

/** The folder that processes of an account have for their disk. */
export function diskOf(root: string, account: string): string {
  return join(root, account)
}

/** The folder of its files. */
export function folderOf(root: string, account: string, product: string): string {
  return join(diskOf(root, account), product)
}

/** The id of a file's object: workerd takes only what was made with its namespace's key. */
export function objectIdOf(product: string, { database, generation }: DatabaseFile): string {
  const name = createHash('sha256').update(`${database}/${generation}`).digest().subarray(0, 16)
  const key = createHash('sha256').update(product).digest()
  const code = createHmac('sha256', key).update(name).digest().subarray(0, 16)
  return Buffer.concat([name, code]).toString('hex')
}

/** Makes a file, if there is one, its folder's owner's: the account's processes are nobody else. */
export async function giveToOwner(folder: string, path: string): Promise<void> {
  const { uid, gid } = await stat(folder)
  const file = await stat(path).catch(() => undefined)
  if (file && file.uid !== uid) await chown(path, uid, gid)
}
