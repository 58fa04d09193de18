import { pipeline, type Transform } from 'node:stream'
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib'
import { type BlobKey, blobKey } from '#contract/ids.ts'
import { type Blob, BlobTooLargeError } from '#contract/ports/blob.ts'
import { type Encoding, encodings } from './encoding.ts'
import type { AssetEntry } from './entry.ts'
import { compressionGain, compressions, memoryFileBytes } from './limits.ts'

/** A file, compressed. */
export type Variant = { readonly key: BlobKey; readonly size: number }

export interface Variants {
  /**
   * The file in an encoding, made on first demand and kept. `none`: it is not worth it. `later`:
   * others are being made, or it could not be made. Rejects only if the disk fails.
   */
  find(entry: AssetEntry, encoding: Encoding): Promise<Variant | 'none' | 'later'>
}

/** An empty blob says that compressing is not worth it. */
export function createVariants(options: {
  readonly blobs: Blob
  readonly variants: Blob
}): Variants {
  const { blobs, variants } = options
  const pending = new Map<BlobKey, Promise<Variant | 'none' | 'later'>>()
  let running = 0

  const make = async (entry: AssetEntry, encoding: Encoding, key: BlobKey): Promise<number> => {
    await using source = await blobs.get(entry.blob)
    if (!source) throw new Error('a manifest names a file that is not there')
    const limit = Math.floor(entry.size * compressionGain)
    try {
      return await variants.put(key, compressed(source.stream(), encoding, entry.size), limit)
    } catch (error) {
      if (!(error instanceof BlobTooLargeError)) throw error
      return variants.put(key, new Uint8Array())
    }
  }

  const find = async (
    entry: AssetEntry,
    encoding: Encoding,
    key: BlobKey,
  ): Promise<Variant | 'none' | 'later'> => {
    const there = await sizeOf(variants, key)
    if (there !== undefined) return there === 0 ? 'none' : { key, size: there }
    if (running >= compressions) return 'later'
    running++
    try {
      const size = await make(entry, encoding, key)
      return size === 0 ? 'none' : { key, size }
    } finally {
      running--
    }
  }

  return {
    find(entry, encoding) {
      const key = variantKey(entry.blob, encoding)
      const known = pending.get(key)
      if (known) return known
      const found = find(entry, encoding, key).finally(() => pending.delete(key))
      pending.set(key, found)
      return found
    },
  }
}

async function sizeOf(store: Blob, key: BlobKey): Promise<number | undefined> {
  await using reader = await store.get(key)
  return reader?.size
}

/** The key of the file and two digits more: who removes files sees by it whose it is. */
function variantKey(blob: BlobKey, encoding: Encoding): BlobKey {
  return blobKey.parse(`${blob}0${encodings.indexOf(encoding) + 1}`)
}

async function* compressed(
  source: AsyncIterable<Uint8Array>,
  encoding: Encoding,
  size: number,
): AsyncGenerator<Uint8Array> {
  // Whoever reads the end of the pipe hears of its errors.
  const end = pipeline(source, compressor(encoding, size), () => undefined)
  const chunks: AsyncIterable<Uint8Array> = end
  yield* chunks
}

/**
 * Done once and kept, so it may take its time: some 60 ms for a file of 1 MiB. Beyond, the last
 * percents cost seconds.
 */
function compressor(encoding: Encoding, size: number): Transform {
  const isSmall = size <= memoryFileBytes
  switch (encoding) {
    case 'br':
      return createBrotliCompress({
        params: {
          [constants.BROTLI_PARAM_QUALITY]: isSmall ? 9 : 6,
          [constants.BROTLI_PARAM_SIZE_HINT]: size,
        },
      })
    case 'zstd':
      return createZstdCompress({
        params: { [constants.ZSTD_c_compressionLevel]: isSmall ? 12 : 9 },
        pledgedSrcSize: size,
      })
    case 'gzip':
      return createGzip({ level: isSmall ? 9 : 6 })
  }
}
