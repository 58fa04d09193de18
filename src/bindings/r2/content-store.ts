import { type BlobKey, blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { BlobFullError, type BlobReader, BlobTooLargeError } from '#contract/ports/blob.ts'
import { integerColumn, sql, textColumn, textColumnOrNull } from '#contract/ports/sql.ts'
import type { Body } from './body.ts'
import { type Algorithm, checkDigests, type Checksums, Digests } from './digests.ts'
import { bodyIncomplete, tooLarge, unavailable } from './errors.ts'
import { inlineBytes, uploadLimit } from './limits.ts'
import type { Range } from './range.ts'
import type { Place } from './records.ts'
import { type ByteRange, seal, sealedRange, unseal } from './sealing.ts'

/** Bytes that are to be stored. */
export type Content = {
  readonly body: Body
  /** How many there are, if the caller has said so: other than so many are an error. */
  readonly length: number | undefined
  /** How many there may be, if fewer than R2 takes at once. */
  readonly limit?: number
  /** Checksums that are computed beside MD5. */
  readonly wanted?: readonly Algorithm[]
  /** What checksums are to be: asked for once all is read, because S3 says some of them last. */
  readonly expected?: () => Checksums
  /** The key of their owner that they are encrypted under. */
  readonly key?: Uint8Array | undefined
  /** Whether a row may have them, if they are few. */
  readonly mayInline: boolean
}

export type Written = {
  readonly place: Exclude<Place, { type: 'parts' }>
  readonly size: number
  readonly checksums: Checksums & { readonly md5: string }
}

/** An object's bytes, or those of a part of it. */
export type Opened = Uint8Array | AsyncIterable<Uint8Array>

export type Reading = {
  /** The key that the bytes are encrypted under, if they are. */
  readonly key: Uint8Array | undefined
  /** Whether pieces of a stream may be overwritten once the next is asked for: that is cheaper. */
  readonly isLent?: boolean | undefined
}

type Piece = { readonly blob: BlobKey; readonly size: number }

const stepBlobs = 100
/** Objects whose parts are kept in memory: of 10 000 parts each, a few MB. */
const knownUploads = 16

/**
 * The bytes of objects. A blob is written before the row that names it and removed after: rows let go
 * of blobs by trigger (`discarded_blob`), which is worked off behind; what a crash left between blob
 * and row is found by one pass over all blobs after the start.
 */
export class ContentStore implements AsyncDisposable {
  readonly #ports: Ports
  /** Blobs that are written and have no row yet. */
  readonly #unnamed = new Set<BlobKey>()
  /** Uploads whose parts are being read, and by how many: they stay although they were let go of. */
  readonly #readers = new Map<string, number>()
  /** The parts of objects that were read lately: they never change. */
  readonly #pieces = new Map<string, readonly Piece[]>()
  readonly #unchecked: AsyncIterator<{ readonly key: BlobKey }>
  #isChecked = false

  constructor(ports: Ports) {
    this.#ports = ports
    this.#unchecked = ports.blob.list()[Symbol.asyncIterator]()
  }

  /** Ends the pass over what there is. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unchecked.return?.()
  }

  /**
   * Stores bytes, durably, and then calls `name`, which writes the row that names them. If either
   * fails nothing stays. Throws an `ApiError` for what is the caller's fault.
   */
  async write<Result>(
    content: Content,
    name: (written: Written) => Promise<Result>,
  ): Promise<Result> {
    const { length = Infinity, limit = uploadLimit, mayInline, key } = content
    if (length !== Infinity && length > limit) throw tooLarge()
    if (mayInline && !key && length <= inlineBytes) return name(await readInline(content))
    const blob = blobKey.parse(this.#ports.random.hex(16))
    this.#unnamed.add(blob)
    try {
      return await name(await this.#writeBlob(blob, content))
    } catch (error) {
      // If this fails too, the pass after the next start finds it.
      await this.#removeUnlessNamed(blob).catch(() => undefined)
      throw error
    } finally {
      this.#unnamed.delete(blob)
    }
  }

  /**
   * Opens an object's bytes; `undefined` if they were replaced meanwhile. Once opened they can be read
   * to the end whatever happens to the object. A stream frees its file when it is left.
   */
  async open(
    { place, size }: { readonly place: Place; readonly size: number },
    { offset, length }: Range,
    how: Reading,
  ): Promise<Opened | undefined> {
    const range = { start: offset, end: offset + length }
    switch (place.type) {
      case 'inline':
        return place.value.subarray(range.start, range.end)
      case 'blob': {
        const reader = await this.#ports.blob.get(place.blob)
        return reader && streamOf(reader, { ...place, size, ...how }, range)
      }
      case 'parts':
        return this.#openParts(place.upload, { size, range, ...how })
    }
  }

  async #writeBlob(blob: BlobKey, content: Content): Promise<Written> {
    const digests = new Digests(content.wanted)
    const read = checked(content, digests)
    const { key } = content
    const results: { checksums?: Written['checksums'] } = {}
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield* key ? seal(read, key, blob) : read
      results.checksums = resultsOf(content, digests)
    }
    try {
      await this.#ports.blob.put(blob, source())
    } catch (error) {
      if (error instanceof BlobFullError) throw unavailable()
      if (error instanceof BlobTooLargeError) throw tooLarge()
      throw error
    }
    const { checksums } = results
    if (!checksums) throw bodyIncomplete()
    return { place: { type: 'blob', blob }, size: digests.size, checksums }
  }

  async #openParts(
    upload: string,
    wanted: Reading & {
      readonly size: number
      readonly range: ByteRange
    },
  ): Promise<Opened | undefined> {
    this.#readers.set(upload, (this.#readers.get(upload) ?? 0) + 1)
    const release = (): void => {
      const left = (this.#readers.get(upload) ?? 1) - 1
      if (left === 0) this.#readers.delete(upload)
      else this.#readers.set(upload, left)
    }
    const pieces = this.#pieces.get(upload) ?? (await this.#readPieces(upload))
    const size = pieces.reduce((sum, piece) => sum + piece.size, 0)
    if (size !== wanted.size) {
      release()
      return undefined
    }
    if (this.#pieces.size >= knownUploads) this.#pieces.clear()
    this.#pieces.set(upload, pieces)
    return this.#readParts(pieces, wanted, release)
  }

  async #readPieces(upload: string): Promise<readonly Piece[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT blob, size FROM part WHERE upload = ${upload} ORDER BY number`,
    )
    return rows.map((row) => ({
      blob: blobKey.parse(textColumn(row, 'blob')),
      size: integerColumn(row, 'size'),
    }))
  }

  async *#readParts(
    pieces: readonly Piece[],
    { range, ...how }: Reading & { readonly range: ByteRange },
    release: () => void,
  ): AsyncGenerator<Uint8Array> {
    try {
      let begin = 0
      for (const piece of pieces) {
        const start = Math.max(range.start - begin, 0)
        const end = Math.min(range.end - begin, piece.size)
        begin += piece.size
        if (start >= end) continue
        const reader = await this.#ports.blob.get(piece.blob)
        if (!reader) throw new Error('a part is missing from the blob store')
        yield* streamOf(reader, { ...how, ...piece }, { start, end })
      }
    } finally {
      release()
    }
  }

  /** Removes some of what was let go of. Says whether there may be more. */
  async removeDiscarded(): Promise<boolean> {
    const rows = await this.#ports.sql.read(
      sql`SELECT blob, upload FROM discarded_blob LIMIT ${stepBlobs + this.#readers.size * 10_000}`,
    )
    const blobs = rows
      .filter((row) => !this.#readers.has(textColumnOrNull(row, 'upload') ?? ''))
      .slice(0, stepBlobs)
      .map((row) => textColumn(row, 'blob'))
    for (const blob of blobs) await this.#ports.blob.delete(blobKey.parse(blob))
    if (blobs.length > 0) {
      await this.#ports.sql.write(
        blobs.map((blob) => sql`DELETE FROM discarded_blob WHERE blob = ${blob}`),
      )
    }
    return blobs.length === stepBlobs
  }

  /** A step of the one pass over what a crash may have left. Says whether it goes on. */
  async checkBlobs(): Promise<boolean> {
    for (let n = 0; n < stepBlobs && !this.#isChecked; n++) {
      const { done, value } = await this.#unchecked.next()
      if (done) this.#isChecked = true
      else if (!this.#unnamed.has(value.key)) await this.#removeUnlessNamed(value.key)
    }
    return !this.#isChecked
  }

  /** A blob in the making is named first and leaves `#unnamed` after: `checkBlobs` looks there first. */
  async #removeUnlessNamed(blob: BlobKey): Promise<void> {
    const named = await this.#ports.sql.read(
      sql`SELECT 1 FROM object WHERE blob = ${blob} UNION ALL SELECT 1 FROM part WHERE blob = ${blob}
          UNION ALL SELECT 1 FROM discarded_blob WHERE blob = ${blob}`,
    )
    if (named.length === 0) await this.#ports.blob.delete(blob)
  }
}

async function readInline(content: Content): Promise<Written> {
  const value = await content.body.all(inlineBytes)
  if (value === undefined || value.byteLength !== content.length) throw bodyIncomplete()
  const digests = new Digests(content.wanted)
  digests.update(value)
  const checksums = resultsOf(content, digests)
  return { place: { type: 'inline', value }, size: value.byteLength, checksums }
}

/** The bytes as they come, looked at, and as many as there are to be. */
async function* checked(content: Content, digests: Digests): AsyncGenerator<Uint8Array> {
  const { length, limit = uploadLimit } = content
  for await (const piece of content.body.rest()) {
    digests.update(piece)
    if (digests.size > (length ?? limit)) throw length === undefined ? tooLarge() : bodyIncomplete()
    yield piece
  }
  if (length !== undefined && digests.size !== length) throw bodyIncomplete()
}

function resultsOf({ expected }: Content, digests: Digests): Written['checksums'] {
  const results = digests.results()
  if (expected) checkDigests(expected(), results)
  return results
}

function streamOf(
  reader: BlobReader,
  sealed: Piece & Reading,
  range: ByteRange,
): AsyncIterable<Uint8Array> {
  const { key, isLent } = sealed
  if (!key) return isLent ? reader.lend(range) : reader.stream(range)
  return unseal(reader.stream(sealedRange(range)), { ...sealed, key }, range)
}
