import { Buffer } from 'node:buffer'
import { hash as digest } from 'node:crypto'
import { z } from 'zod'
import { type BlobKey, blobKey } from '#contract/ids.ts'
import type { AssetEntry, Manifest } from './entry.ts'

// A manifest is bytes, so that a site of 100 000 files is some six megabytes in memory and not a
// hundred thousand objects: a head, the content types, and a row per file in the order of what is
// first in it, the hash of its path.
//
//   0   "BAM1"
//   4   how many rows (32 bits)
//   8   how many bytes of content types follow (32 bits); then those, as JSON
//   ..  rows: 16 bytes of SHA-256 of the path, 16 of the content's hash, 16 of the blob's key,
//       6 of the size, 2 of the content type's place in the list

const magic = 'BAM1'
const headBytes = 12
const idBytes = 16
const rowBytes = 3 * idBytes + 8
const sizeBytes = 6
/** The place of a content type that there is none of. */
const noType = 0xffff

/** A file, and the path that it is at. */
export type ManifestRow = AssetEntry & { readonly path: string }

/** Writes a manifest. Of two rows with one path the last is kept. */
export function writeManifest(rows: Iterable<ManifestRow>): Uint8Array {
  const types = new Map<string, number>()
  const written = new Map<string, Buffer>()
  for (const { path, hash, blob, size, contentType } of rows) {
    const row = Buffer.alloc(rowBytes)
    pathId(path).copy(row, 0)
    row.write(hash, idBytes, idBytes, 'hex')
    row.write(blob, 2 * idBytes, idBytes, 'hex')
    row.writeUIntBE(size, 3 * idBytes, sizeBytes)
    row.writeUInt16BE(typePlace(types, contentType), 3 * idBytes + sizeBytes)
    written.set(path, row)
  }
  const list = Buffer.from(JSON.stringify([...types.keys()]))
  const head = Buffer.alloc(headBytes)
  head.write(magic, 'latin1')
  head.writeUInt32BE(written.size, 4)
  head.writeUInt32BE(list.byteLength, 8)
  return Buffer.concat([head, list, ...[...written.values()].toSorted((a, b) => a.compare(b))])
}

function typePlace(types: Map<string, number>, contentType: string | undefined): number {
  if (contentType === undefined) return noType
  const known = types.get(contentType)
  if (known !== undefined) return known
  const place = types.size
  if (place >= noType) return noType
  types.set(contentType, place)
  return place
}

/** A manifest in memory. */
export class StoredManifest implements Manifest {
  readonly #rows: Buffer
  readonly #types: readonly string[]
  readonly count: number
  /** What it takes up in memory. */
  readonly byteLength: number

  /** Throws if these are not the bytes of a manifest. */
  constructor(bytes: Uint8Array) {
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (all.toString('latin1', 0, 4) !== magic) throw new Error('not a manifest')
    const start = headBytes + all.readUInt32BE(8)
    this.#types = z.array(z.string()).parse(JSON.parse(all.toString('utf8', headBytes, start)))
    this.#rows = all.subarray(start)
    this.count = all.readUInt32BE(4)
    this.byteLength = bytes.byteLength
    if (this.#rows.byteLength !== this.count * rowBytes) throw new Error('a manifest is cut short')
  }

  find(path: string): AssetEntry | undefined {
    const id = pathId(path)
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >> 1
      const at = middle * rowBytes
      const order = this.#rows.compare(id, 0, idBytes, at, at + idBytes)
      if (order === 0) return this.#entryAt(at)
      if (order < 0) low = middle + 1
      else high = middle
    }
    return undefined
  }

  /** Where the bytes of its files are. */
  *blobs(): Generator<BlobKey> {
    for (let index = 0; index < this.count; index++) yield this.#blobAt(index * rowBytes)
  }

  /** The contents of its files, by hash. */
  contents(): ReadonlyMap<string, BlobKey> {
    const contents = new Map<string, BlobKey>()
    for (let at = 0; at < this.#rows.byteLength; at += rowBytes) {
      contents.set(this.#rows.toString('hex', at + idBytes, at + 2 * idBytes), this.#blobAt(at))
    }
    return contents
  }

  #entryAt(at: number): AssetEntry {
    const place = this.#rows.readUInt16BE(at + 3 * idBytes + sizeBytes)
    return {
      hash: this.#rows.toString('hex', at + idBytes, at + 2 * idBytes),
      blob: this.#blobAt(at),
      size: this.#rows.readUIntBE(at + 3 * idBytes, sizeBytes),
      contentType: this.#types[place],
    }
  }

  #blobAt(at: number): BlobKey {
    return blobKey.parse(this.#rows.toString('hex', at + 2 * idBytes, at + 3 * idBytes))
  }
}

function pathId(path: string): Buffer {
  return digest('sha256', path, 'buffer').subarray(0, idBytes)
}
