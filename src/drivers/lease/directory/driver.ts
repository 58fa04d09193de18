import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { messageOf, OperatorError } from '#contract/errors.ts'

/**
 * Makes this process the only server on a data directory, until disposed of. Throws an
 * `OperatorError` if another is.
 *
 * The lock is SQLite's on an empty database: the kernel lets go of it when its process dies, in
 * whatever way, so there is never a stale one; and no other language binding to `flock` is needed.
 */
export function leaseDirectory(directory: string): Disposable {
  const database = new DatabaseSync(join(directory, 'lock'))
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (!messageOf(error).includes('locked')) throw error
    throw new OperatorError(
      `Another server runs on ${directory}. Stop it, or name another directory with --data.`,
      { cause: error },
    )
  }
  return { [Symbol.dispose]: () => database.close() }
}
