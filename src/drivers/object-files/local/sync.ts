import { access, open } from 'node:fs/promises'
import { isMissing } from './own.ts'

/** Makes what was written to a file, or named in a folder, last. */
export async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r')
  await file.sync()
}

export const syncFolder = syncFile

export async function existsIn(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
