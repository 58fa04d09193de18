import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, chmod, lstat, mkdir, open, rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, OperatorError } from '#contract/errors.ts'

// The folders of a server, and the files in them that no database holds.

/** Makes the data directory if it is missing. Throws an `OperatorError` if it can't be used. */
export async function prepareDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new OperatorError(
      `The data directory ${path} can't be written (${messageOf(cause)}). Name another with --data.`,
      { cause },
    )
  }
}

/** The longest path below which a socket's name still fits in its address (`sockaddr_un`). */
const longestSocketFolder = 80

/**
 * Where the sockets of a server are: in its data directory, or, if its path is too long for that,
 * in a folder of this user's own below the system's temporary one, always the same for the same
 * data. Throws an `OperatorError` if somebody else has made that.
 */
export async function socketDirectory(dataDirectory: string): Promise<string> {
  const within = join(dataDirectory, 'run')
  if (Buffer.byteLength(within) <= longestSocketFolder) return within
  const uid = process.getuid?.() ?? 0
  const hash = createHash('sha256').update(dataDirectory).digest('hex').slice(0, 16)
  const path = join(tmpdir(), `bindery-${uid}-${hash}`)
  await mkdir(path, { recursive: true, mode: 0o700 })
  const found = await lstat(path)
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new OperatorError(
      `${path} is not this user's alone, and ${dataDirectory} is too long a path for sockets. Choose a shorter one with --data.`,
    )
  }
  return path
}

/** Writes a file that only its owner may read, in one step: the old text or the new one. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  await using file = await open(temporary, 'w', 0o600)
  await chmod(temporary, 0o600)
  await file.writeFile(text)
  await file.sync()
  await rename(temporary, path)
}
