import { promisify } from 'node:util'
import { constants, crc32, zstdCompress, zstdDecompress } from 'node:zlib'
import type { BlobReader } from '#contract/ports/blob.ts'
import { HistoryError } from '#contract/ports/history.ts'
import { chunkBytes, compressionLevel } from './limits.ts'
import { decodeRecord, type HistoryRecord, longestRecord } from './record.ts'

// A segment is records in chunks: each is compressed by itself, and has its lengths and a checksum
// before it. So one is read with little memory, and no byte of it can differ unnoticed.

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
const chunkHeadBytes = 16
const magic = 0x31534842
const longestChunk = chunkBytes + longestRecord

/** Makes a segment of records, and tells what is in it once it is made. */
export class SegmentWriter {
  readonly #records: AsyncIterable<HistoryRecord>
  #rawBytes = 0
  #first: HistoryRecord['commit'] | undefined
  #last: HistoryRecord['commit'] | undefined

  constructor(records: AsyncIterable<HistoryRecord>) {
    this.#records = records
  }

  get rawBytes(): number {
    return this.#rawBytes
  }

  get first(): HistoryRecord['commit'] | undefined {
    return this.#first
  }

  get last(): HistoryRecord['commit'] | undefined {
    return this.#last
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    const chunk = Buffer.allocUnsafeSlow(longestChunk)
    let filled = 0
    for await (const { kind, commit, bytes } of this.#records) {
      chunk.set(bytes, filled)
      filled += bytes.byteLength
      this.#rawBytes += bytes.byteLength
      if (kind === 'commit') {
        this.#first ??= commit
        this.#last = commit
      }
      if (filled < chunkBytes) continue
      yield await compressed(chunk.subarray(0, filled))
      filled = 0
    }
    if (filled > 0) yield await compressed(chunk.subarray(0, filled))
  }
}

async function compressed(chunk: Buffer): Promise<Uint8Array> {
  const params = { [constants.ZSTD_c_compressionLevel]: compressionLevel }
  const body = await compress(chunk, { params })
  const bytes = Buffer.allocUnsafe(chunkHeadBytes + body.byteLength)
  bytes.writeUInt32LE(magic, 0)
  bytes.writeUInt32LE(body.byteLength, 4)
  bytes.writeUInt32LE(chunk.byteLength, 8)
  bytes.writeUInt32LE(crc32(body, crc32(bytes.subarray(0, 12))), 12)
  bytes.set(body, chunkHeadBytes)
  return bytes
}

/** The records of a segment. Throws a `HistoryError` if it is not as it was written. */
export async function* readSegment(blob: BlobReader, size: number): AsyncGenerator<HistoryRecord> {
  let waiting = Buffer.alloc(0)
  let taken = 0
  for await (const piece of blob.lend()) {
    waiting = Buffer.concat([waiting, piece])
    for (;;) {
      const length = chunkLength(waiting)
      if (length === undefined || waiting.byteLength < length) break
      yield* recordsOf(await opened(waiting.subarray(0, length)))
      waiting = waiting.subarray(length)
      taken += length
    }
  }
  if (waiting.byteLength > 0 || taken !== size) throw damaged()
}

function chunkLength(bytes: Buffer): number | undefined {
  if (bytes.byteLength < chunkHeadBytes) return undefined
  const length = bytes.readUInt32LE(4)
  // What does not compress grows a little.
  if (bytes.readUInt32LE(0) !== magic || length > 2 * longestChunk) throw damaged()
  return chunkHeadBytes + length
}

async function opened(bytes: Buffer): Promise<Buffer> {
  const body = bytes.subarray(chunkHeadBytes)
  if (crc32(body, crc32(bytes.subarray(0, 12))) !== bytes.readUInt32LE(12)) throw damaged()
  const chunk = await decompress(body, { maxOutputLength: longestChunk })
  if (chunk.byteLength !== bytes.readUInt32LE(8)) throw damaged()
  return chunk
}

function* recordsOf(chunk: Buffer): Generator<HistoryRecord> {
  for (let at = 0; at < chunk.byteLength;) {
    const record = decodeRecord(chunk, at)
    if (!record) throw damaged()
    yield record
    at += record.bytes.byteLength
  }
}

function damaged(): HistoryError {
  return new HistoryError('damaged', 'a segment of the history is damaged')
}
