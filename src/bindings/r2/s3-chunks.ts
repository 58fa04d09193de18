import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { bodyIncomplete } from './errors.ts'
import { payloadDiffers, requestInvalid, signatureDiffers } from './s3-errors.ts'
import { isSame, type Signer } from './s3-signature.ts'

// Bodies in chunks: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
// sigv4-streaming-trailers.html
//
//   <size in hex>[;chunk-signature=<64 hex>]\r\n<bytes>\r\n ... 0[;chunk-signature=...]\r\n
//   [<name>:<value>\r\n ... [x-amz-trailer-signature:<64 hex>\r\n]]\r\n

/** Bytes of a line between chunks, and lines behind the last. */
const longestLine = 8 * 1024
const mostTrailers = 20

export type ChunkOptions = {
  /** Checks signatures; absent where chunks have none. */
  readonly signer: Signer | undefined
  readonly hasTrailer: boolean
  /** Told of what follows the last chunk: names in lower case. */
  readonly onTrailer: (fields: ReadonlyMap<string, string>) => void
}

/**
 * The bytes of chunks. Those of a chunk come before its signature is checked: whoever takes them
 * keeps nothing unless this ends without throwing.
 */
export async function* readChunks(
  body: AsyncIterable<Uint8Array>,
  options: ChunkOptions,
): AsyncGenerator<Uint8Array> {
  const source = new Source(body)
  let before = options.signer?.seed ?? ''
  for (;;) {
    const { size, signature } = readChunkHead(await source.line())
    const hash = createHash('sha256')
    for await (const piece of source.bytes(size)) {
      if (options.signer) hash.update(piece)
      yield piece
    }
    if (options.signer) {
      const expected = options.signer.chunk(before, hash.digest('hex'))
      if (!isSame(expected, signature)) throw signatureDiffers()
      before = expected
    }
    if (size === 0) break
    if ((await source.line()) !== '') throw requestInvalid('A chunk is longer than it says.')
  }
  const trailer = await readTrailer(source)
  if (options.hasTrailer) checkTrailer(trailer, options.signer, before)
  options.onTrailer(new Map(trailer))
  await source.end()
}

function readChunkHead(line: string): { readonly size: number; readonly signature: string } {
  const match = /^([0-9a-f]{1,13})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(line)
  if (!match) throw requestInvalid('The body is not in chunks, as its headers say.')
  const [, size = '', signature = ''] = match
  return { size: Number.parseInt(size, 16), signature }
}

type Fields = readonly (readonly [name: string, value: string])[]

async function readTrailer(source: Source): Promise<Fields> {
  const fields: (readonly [string, string])[] = []
  for (;;) {
    const line = await source.line()
    if (line === '') return fields
    const colon = line.indexOf(':')
    if (colon < 1 || fields.length === mostTrailers) {
      throw requestInvalid('The fields behind the last chunk are malformed.')
    }
    fields.push([line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()])
  }
}

function checkTrailer(fields: Fields, signer: Signer | undefined, before: string): void {
  if (!signer) return
  const own = 'x-amz-trailer-signature'
  const signature = fields.find(([name]) => name === own)?.[1] ?? ''
  const text = fields
    .filter(([name]) => name !== own)
    .map(([name, value]) => `${name}:${value}\n`)
    .join('')
  const sha256 = createHash('sha256').update(text).digest('hex')
  if (!isSame(signer.trailer(before, sha256), signature)) throw signatureDiffers()
}

/** Lines and bytes of a body, in turn. */
class Source {
  readonly #pieces: AsyncIterator<Uint8Array>
  #rest: Buffer = Buffer.alloc(0)

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#pieces = body[Symbol.asyncIterator]()
  }

  /** Up to the next line feed, without it and what belongs to it; `""` at the end of the body. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(0x0a)
      if (end > longestLine || (end < 0 && this.#rest.byteLength > longestLine)) {
        throw requestInvalid('The body is not in chunks, as its headers say.')
      }
      if (end >= 0) {
        const line = this.#rest.toString('latin1', 0, end)
        this.#rest = this.#rest.subarray(end + 1)
        return line.endsWith('\r') ? line.slice(0, -1) : line
      }
      if (!(await this.#more())) {
        if (this.#rest.byteLength > 0) throw bodyIncomplete()
        return ''
      }
    }
  }

  async *bytes(count: number): AsyncGenerator<Uint8Array> {
    let missing = count
    while (missing > 0) {
      if (this.#rest.byteLength === 0 && !(await this.#more())) throw bodyIncomplete()
      const piece = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(piece.byteLength)
      missing -= piece.byteLength
      if (piece.byteLength > 0) yield piece
    }
  }

  /** Throws if there is more. */
  async end(): Promise<void> {
    while (this.#rest.byteLength === 0) if (!(await this.#more())) return
    throw requestInvalid('There is more behind the last chunk.')
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#pieces.next()
    if (done) return false
    const piece = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    this.#rest = this.#rest.byteLength === 0 ? piece : Buffer.concat([this.#rest, piece])
    return true
  }
}

/** A body whose SHA-256 was signed. As with chunks, it throws behind the last byte. */
export async function* readHashed(
  body: AsyncIterable<Uint8Array>,
  sha256: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const piece of body) {
    hash.update(piece)
    yield piece
  }
  if (hash.digest('hex') !== sha256) throw payloadDiffers()
}
