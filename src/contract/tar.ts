// Archives as `tar` reads and writes them (POSIX ustar): what a namespace of objects is exported to
// and imported from, on its way between the command line and the server.

export type TarEntry = {
  /** The last part of its path. */
  readonly name: string
  readonly sizeBytes: number
  /** Read once, before the next entry is asked for; what is not read is skipped. */
  readonly bytes: AsyncIterable<Uint8Array>
}

/** What was to be read is no archive, or ends too early. */
export class TarError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'TarError'
  }
}

const blockBytes = 512
/** More does not fit the 11 octal digits of a size: it is written in binary, as GNU tar does. */
const octalSizes = 8 ** 11
const betterBytes = 64 * 1024

/** The bytes of an archive. `modifiedAt` is in milliseconds since 1970. */
export async function* writeTar(
  entries: AsyncIterable<TarEntry>,
  modifiedAt: number,
): AsyncGenerator<Uint8Array> {
  for await (const { name, sizeBytes, bytes } of entries) {
    yield headerOf({ name, sizeBytes, modifiedAt })
    let written = 0
    for await (const chunk of bytes) {
      written += chunk.byteLength
      yield chunk
    }
    if (written !== sizeBytes) throw new TarError(`${name} has ${written} of ${sizeBytes} bytes`)
    yield new Uint8Array(padding(sizeBytes))
  }
  yield new Uint8Array(2 * blockBytes)
}

/** The files of an archive; folders, links and the like are passed over. Throws `TarError`. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const reader = new Reader(source)
  let better: Better = {}
  for (;;) {
    const header = await reader.take(blockBytes)
    if (header.every((byte) => byte === 0)) return
    const { path, size, type } = readHeader(header)
    if (type === extendedHeader || type === longName) {
      if (size > betterBytes) throw new TarError('it has a name that is too long')
      better = { ...better, ...readBetter(type, await reader.take(size)) }
      await reader.skip(padding(size))
      continue
    }
    const sizeBytes = better.size ?? size
    const name = (better.path ?? path).split('/').at(-1) ?? ''
    better = {}
    const body = reader.body(sizeBytes)
    if (type === plainFile) yield { name, sizeBytes, bytes: body.bytes }
    await reader.skip(body.left() + padding(sizeBytes))
  }
}

const plainFile = '0'
/** What does not fit the header of a file comes in an entry before it: POSIX's, and GNU's. */
const extendedHeader = 'x'
const longName = 'L'

/** What is said of the next file, and is to be believed rather than its header. */
type Better = { readonly size?: number; readonly path?: string }

function readBetter(type: string, content: Uint8Array): Better {
  const text = new TextDecoder().decode(content)
  if (type === longName) return { path: text.replace(/\0.*$/s, '') }
  const size = /(?:^|\n)\d+ size=(\d+)\n/.exec(text)?.[1]
  const path = /(?:^|\n)\d+ path=([^\n]+)\n/.exec(text)?.[1]
  return { ...(size !== undefined && { size: Number(size) }), ...(path !== undefined && { path }) }
}

/** What stands after a file so that the next header begins at a whole block. */
function padding(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes
}

function headerOf(entry: {
  readonly name: string
  readonly sizeBytes: number
  readonly modifiedAt: number
}): Uint8Array {
  const { name, sizeBytes, modifiedAt } = entry
  const header = new Uint8Array(blockBytes)
  const put = (at: number, text: string): void => header.set(new TextEncoder().encode(text), at)
  const encoded = new TextEncoder().encode(name)
  if (encoded.byteLength > 100) throw new TarError(`the name ${name} is too long`)
  header.set(encoded)
  put(100, '0000600\0')
  put(108, '0000000\0')
  put(116, '0000000\0')
  if (sizeBytes < octalSizes) put(124, octal(sizeBytes, 11))
  else header.set(binarySize(sizeBytes), 124)
  put(136, octal(Math.floor(modifiedAt / 1000), 11))
  put(148, ' '.repeat(8))
  put(156, '0')
  put(257, 'ustar\x0000')
  put(148, `${octal(sumOf(header), 6)}\0`)
  return header
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}

function binarySize(size: number): Uint8Array {
  const field = new Uint8Array(12)
  field[0] = 0x80
  new DataView(field.buffer).setBigUint64(4, BigInt(size))
  return field
}

function readHeader(header: Uint8Array): { path: string; size: number; type: string } {
  const blank = header.slice()
  blank.fill(0x20, 148, 156)
  if (Number.parseInt(textIn(header, 148, 8), 8) !== sumOf(blank)) {
    throw new TarError('it is not a tar archive')
  }
  const type = textIn(header, 156, 1) || plainFile
  return { path: textIn(header, 0, 100), size: sizeOf(header), type }
}

function sizeOf(header: Uint8Array): number {
  const isBinary = ((header[124] ?? 0) & 0x80) !== 0
  const size = isBinary
    ? Number(new DataView(header.buffer, header.byteOffset).getBigUint64(128))
    : Number.parseInt(textIn(header, 124, 12).trim() || '0', 8)
  if (!Number.isSafeInteger(size)) throw new TarError('it has a file whose size is none')
  return size
}

function sumOf(header: Uint8Array): number {
  return header.reduce((sum, byte) => sum + byte, 0)
}

function textIn(header: Uint8Array, at: number, length: number): string {
  const field = header.subarray(at, at + length)
  const end = field.indexOf(0)
  return new TextDecoder().decode(end === -1 ? field : field.subarray(0, end))
}

/** Takes a stream of chunks apart at any place. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  /** Exactly so many bytes, all in memory. */
  async take(size: number): Promise<Uint8Array> {
    const taken = new Uint8Array(size)
    let at = 0
    while (at < size) {
      const piece = await this.#piece(size - at)
      taken.set(piece, at)
      at += piece.byteLength
    }
    return taken
  }

  async skip(size: number): Promise<void> {
    for (let left = size; left > 0;) left -= (await this.#piece(left)).byteLength
  }

  body(size: number): { readonly bytes: AsyncIterable<Uint8Array>; readonly left: () => number } {
    let left = size
    const piece = (): Promise<Uint8Array> => this.#piece(left)
    const read = async function* (): AsyncGenerator<Uint8Array> {
      while (left > 0) {
        const next = await piece()
        left -= next.byteLength
        yield next
      }
    }
    return { bytes: read(), left: () => left }
  }

  /** Some bytes, at most so many. */
  async #piece(most: number): Promise<Uint8Array> {
    while (this.#rest.byteLength === 0) this.#rest = await this.#next()
    const piece = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(piece.byteLength)
    return piece
  }

  async #next(): Promise<Uint8Array> {
    const next = await this.#chunks.next().catch(() => undefined)
    if (!next || next.done === true) throw new TarError('it ends too early')
    return next.value
  }
}
