import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Files below some folders of `root` whose path matches; Node 18 has no glob of its own. */
export function globSync(root, folders, pattern) {
  const found = []
  const visit = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory() && entry.name !== 'node_modules') visit(path)
      else if (entry.isFile() && pattern.test(path)) found.push(path)
    }
  }
  for (const folder of folders) visit(folder)
  return found.sort()
}
