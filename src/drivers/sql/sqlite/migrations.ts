import { readdir, readFile } from 'node:fs/promises'
import type { Migration } from './driver.ts'

/** Reads a folder of `NNNN.sql` files, in order. */
export async function readMigrations(folder: URL): Promise<readonly Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}\.sql$/.test(name)).toSorted()
  return Promise.all(
    names.map(async (name) => ({
      id: name.replace('.sql', ''),
      text: await readFile(new URL(name, folder), 'utf8'),
    })),
  )
}
