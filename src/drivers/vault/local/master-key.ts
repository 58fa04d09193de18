import { link, open, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OperatorError } from '#contract/errors.ts'
import { keyBytes, newKey } from './cipher.ts'

/** Reads 32 bytes written as 64 hex digits or as Base64. Never shows the text in an error. */
export function parseMasterKey(text: string, source: string): Uint8Array {
  const trimmed = text.trim()
  const bytes = /^[0-9a-f]{64}$/i.test(trimmed)
    ? Buffer.from(trimmed, 'hex')
    : Buffer.from(/^[\w+/-]{43}=?$/.test(trimmed) ? trimmed : '', 'base64')
  if (bytes.byteLength !== keyBytes) {
    throw new OperatorError(`${source} must be 32 bytes, as 64 hex digits or as Base64.`)
  }
  return new Uint8Array(bytes)
}

/** The key in a file, or `undefined` where there is no file. */
export async function readMasterKey(path: string): Promise<Uint8Array | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new OperatorError(`${path} can't be read.`, { cause: error })
  })
  return text === undefined ? undefined : parseMasterKey(text, path)
}

/** Makes a key file that only its owner can read: whole or not at all, and on disk before use. */
export async function createMasterKey(path: string): Promise<Uint8Array> {
  const key = newKey()
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(`${Buffer.from(key).toString('hex')}\n`)
    await file.sync()
  }
  // Unlike a rename, a link never replaces a key that is there.
  await link(temporary, path)
  await rm(temporary)
  await using folder = await open(dirname(path), 'r')
  await folder.sync()
  return key
}
