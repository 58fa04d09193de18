import { constants } from 'node:fs'
import { copyFile, type FileHandle, open } from 'node:fs/promises'

// The processes of Workers write to the folders of objects. One that broke out of its runtime could
// put links there, or pipes, for the server to follow with rights of its own: it never does.

/** Opens a file to read, if it is one. Rejects with ENOENT or ELOOP if there is something else. */
export async function openOwn(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw Object.assign(new Error(`${path} is not a file`), { code: 'ENOENT' })
}

/** Reads a file, if it is one: as `openOwn`. */
export async function readOwn(path: string): Promise<Buffer> {
  await using file = await openOwn(path)
  return await file.readFile()
}

/** Copies a file, if it is one: as `openOwn`. */
export async function copyOwn(from: string, to: string): Promise<void> {
  await using file = await openOwn(from)
  const path = process.platform === 'linux' ? `/proc/self/fd/${file.fd}` : from
  await copyFile(path, to, constants.COPYFILE_FICLONE)
}

/** Whether there is nothing, or nothing that is to be looked at. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return error.code === 'ENOENT' || error.code === 'ELOOP'
}
