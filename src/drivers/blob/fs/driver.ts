import { type FileHandle, mkdir, open, opendir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type BlobKey, blobKey } from '#contract/ids.ts'
import {
  type Blob,
  BlobFullError,
  type BlobReader,
  type BlobSource,
  BlobTooLargeError,
} from '#contract/ports/blob.ts'

// A larger piece costs fewer turns of the loop; a reader holds one at a time.
const chunkBytes = 256 * 1024

/**
 * Blobs as files of one folder, fanned out by the first two digits of their keys. What a crash left
 * half written is removed here, so the folder must be this process's alone.
 *
 * A put is: write under another name, sync the file, rename, sync the folder. A power cut at any
 * point leaves the old blob or the new one.
 */
export async function openBlobs({ path }: { readonly path: string }): Promise<Blob> {
  const unfinished = join(path, 'unfinished')
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { recursive: true })
  await syncFolder(path)
  await syncFolder(dirname(path))
  return new FileBlobs(path, unfinished)
}

class FileBlobs implements Blob {
  readonly #path: string
  readonly #unfinished: string
  /** Folders that are known to be on disk: 256 at most. */
  readonly #folders = new Map<string, Promise<void>>()
  #started = 0

  constructor(path: string, unfinished: string) {
    this.#path = path
    this.#unfinished = unfinished
  }

  async put(key: BlobKey, source: BlobSource, limit = Infinity): Promise<number> {
    const temporary = join(this.#unfinished, `${this.#started++}`)
    try {
      const size = await writeFile(temporary, source, limit)
      const folder = this.#folderOf(key)
      await this.#makeFolder(folder)
      await rename(temporary, join(folder, key))
      await syncFolder(folder)
      return size
    } catch (error) {
      await rm(temporary, { force: true })
      throw isFull(error) ? new BlobFullError(error) : error
    }
  }

  async get(key: BlobKey): Promise<BlobReader | undefined> {
    const file = await open(join(this.#folderOf(key), key), 'r').catch(ifMissing)
    if (!file) return undefined
    try {
      const { size } = await file.stat()
      return new FileReader(file, size)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async delete(key: BlobKey): Promise<void> {
    await unlink(join(this.#folderOf(key), key)).catch(ifMissing)
  }

  async *list(): AsyncGenerator<{ readonly key: BlobKey; readonly writtenAt: number }> {
    for await (const folder of await opendir(this.#path)) {
      if (!/^[0-9a-f]{2}$/.test(folder.name)) continue
      for await (const { name } of await opendir(join(this.#path, folder.name))) {
        const key = blobKey.safeParse(name)
        const info =
          key.success && (await stat(join(this.#path, folder.name, name)).catch(ifMissing))
        if (info) yield { key: key.data, writtenAt: info.mtimeMs }
      }
    }
  }

  #folderOf(key: BlobKey): string {
    return join(this.#path, key.slice(0, 2))
  }

  #makeFolder(folder: string): Promise<void> {
    const known = this.#folders.get(folder)
    if (known) return known
    const made = mkdir(folder, { recursive: true }).then(() => syncFolder(this.#path))
    this.#folders.set(folder, made)
    made.catch(() => this.#folders.delete(folder))
    return made
  }
}

type ByteRange = { readonly start: number; readonly end: number }

class FileReader implements BlobReader {
  readonly size: number
  readonly #file: FileHandle

  constructor(file: FileHandle, size: number) {
    this.#file = file
    this.size = size
  }

  stream(range?: ByteRange): AsyncIterable<Uint8Array> {
    return this.#read(range, (size) => new Uint8Array(size))
  }

  lend(range?: ByteRange): AsyncIterable<Uint8Array> {
    // Memory that is made and dropped for each piece is most of what a large blob would cost.
    let lent = new Uint8Array()
    return this.#read(range, (size) => {
      if (lent.byteLength < size) lent = new Uint8Array(size)
      return lent.subarray(0, size)
    })
  }

  async *#read(
    range: ByteRange | undefined,
    bufferOf: (size: number) => Uint8Array,
  ): AsyncGenerator<Uint8Array> {
    let at = range?.start ?? 0
    const end = Math.min(range?.end ?? this.size, this.size)
    try {
      while (at < end) {
        const chunk = bufferOf(Math.min(chunkBytes, end - at))
        const { bytesRead } = await this.#file.read(chunk, 0, chunk.byteLength, at)
        if (bytesRead === 0) throw new Error('a blob ended before its size')
        at += bytesRead
        yield chunk.subarray(0, bytesRead)
      }
    } finally {
      await this[Symbol.asyncDispose]()
    }
  }

  async bytes(): Promise<Uint8Array> {
    const all = new Uint8Array(this.size)
    let at = 0
    for await (const chunk of this.stream()) {
      all.set(chunk, at)
      at += chunk.byteLength
    }
    return all
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A second close of a handle does nothing.
    await this.#file.close()
  }
}

/** Writes a new file and syncs it. */
async function writeFile(path: string, source: BlobSource, limit: number): Promise<number> {
  await using file = await open(path, 'wx', 0o600)
  let size = 0
  for await (const chunk of source instanceof Uint8Array ? [source] : source) {
    size += chunk.byteLength
    if (size > limit) throw new BlobTooLargeError(limit)
    await writeAll(file, chunk)
  }
  await file.sync()
  return size
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  let at = 0
  while (at < chunk.byteLength) {
    const { bytesWritten } = await file.write(chunk, at)
    at += bytesWritten
  }
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

function ifMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
  throw error
}

/** The disk, what its user may have of it, or how large a file may be. */
function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}
