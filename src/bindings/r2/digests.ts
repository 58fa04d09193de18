import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Crc32c, Crc64 } from './crc.ts'
import { digestDiffers } from './errors.ts'

/** The checksums that objects have. The first five are those of the native binding, in its order. */
export const algorithms = [
  'md5',
  'sha1',
  'sha256',
  'sha384',
  'sha512',
  'crc32',
  'crc32c',
  'crc64nvme',
] as const
export type Algorithm = (typeof algorithms)[number]

/** Checksums in hex, by algorithm. */
export type Checksums = { readonly [Name in Algorithm]?: string | undefined }

/** Bytes of each. */
export const digestBytes: Readonly<Record<Algorithm, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
}

/** As error messages name them. */
const names: Readonly<Record<Algorithm, string>> = {
  md5: 'MD5',
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
  crc32: 'CRC32',
  crc32c: 'CRC32C',
  crc64nvme: 'CRC64NVME',
}

type Digest = { update(bytes: Uint8Array): void; hex(): string }

/** Computes checksums of bytes as they come by: MD5 always, others as asked. */
export class Digests {
  readonly #digests: readonly (readonly [Algorithm, Digest])[]
  #size = 0

  constructor(wanted: Iterable<Algorithm> = []) {
    this.#digests = [...new Set<Algorithm>(['md5', ...wanted])].map((name) => [
      name,
      digestOf(name),
    ])
  }

  /** Bytes that came by. */
  get size(): number {
    return this.#size
  }

  update(bytes: Uint8Array): void {
    this.#size += bytes.byteLength
    for (const [, digest] of this.#digests) digest.update(bytes)
  }

  /** Ends it: call once. */
  results(): Checksums & { readonly md5: string } {
    const all: Partial<Record<Algorithm, string>> = {}
    for (const [name, digest] of this.#digests) all[name] = digest.hex()
    return { ...all, md5: all.md5 ?? '' }
  }
}

/** Throws the error of the first that is not as expected. */
export function checkDigests(expected: Checksums, actual: Checksums): void {
  for (const name of algorithms) {
    const given = expected[name]
    if (given !== undefined && given !== actual[name]) {
      throw digestDiffers(names[name], given, actual[name] ?? '')
    }
  }
}

/** The algorithms of some checksums. */
export function namesOf(checksums: Checksums): readonly Algorithm[] {
  return algorithms.filter((name) => checksums[name] !== undefined)
}

function digestOf(name: Algorithm): Digest {
  switch (name) {
    case 'crc32':
      return new Crc32()
    case 'crc32c':
      return new Crc32c()
    case 'crc64nvme':
      return new Crc64()
    case 'md5':
    case 'sha1':
    case 'sha256':
    case 'sha384':
    case 'sha512': {
      const hash = createHash(name)
      return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') }
    }
  }
}

class Crc32 implements Digest {
  #value = 0

  update(bytes: Uint8Array): void {
    this.#value = crc32(bytes, this.#value)
  }

  hex(): string {
    return this.#value.toString(16).padStart(8, '0')
  }
}

/** The ETag of an object of many parts: the MD5 of their MD5s, and how many there are. */
export function etagOfParts(etags: readonly string[]): string {
  const hash = createHash('md5')
  for (const etag of etags) hash.update(etag, 'hex')
  return `${hash.digest('hex')}-${etags.length}`
}
