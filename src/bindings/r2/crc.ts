// Two checksums of S3 that Node has not. Both are reflected: the least significant bit comes first.

/** Castagnoli's polynomial (RFC 3720 §12.1), reflected. */
const castagnoli = 0x82f63b78
/** The polynomial of CRC-64/NVME, reflected. */
const nvme = 0x9a6c9329ac4bc9b5n

const table32 = new Uint32Array(256).map((_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ castagnoli : value >>> 1
  return value
})

/** Of the 64-bit one, the upper and lower halves: JavaScript shifts 32 bits. */
const high64 = new Uint32Array(256)
const low64 = new Uint32Array(256)
for (let index = 0; index < 256; index++) {
  let value = BigInt(index)
  for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ nvme : value >> 1n
  high64[index] = Number(value >> 32n)
  low64[index] = Number(value & 0xffffffffn)
}

export class Crc32c {
  #value = 0xffffffff

  update(bytes: Uint8Array): void {
    let value = this.#value
    for (const byte of bytes) value = (value >>> 8) ^ (table32[(value ^ byte) & 0xff] ?? 0)
    this.#value = value
  }

  hex(): string {
    return hex32(~this.#value)
  }
}

export class Crc64 {
  #high = 0xffffffff
  #low = 0xffffffff

  update(bytes: Uint8Array): void {
    let high = this.#high
    let low = this.#low
    for (const byte of bytes) {
      const index = (low ^ byte) & 0xff
      low = ((low >>> 8) | (high << 24)) ^ (low64[index] ?? 0)
      high = (high >>> 8) ^ (high64[index] ?? 0)
    }
    this.#high = high
    this.#low = low
  }

  hex(): string {
    return hex32(~this.#high) + hex32(~this.#low)
  }
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}

/** Polynomials of checksums that are of all bytes, reflected, and their bits. */
const polynomials = {
  crc32: [0xedb88320n, 32],
  crc32c: [BigInt(castagnoli), 32],
  crc64nvme: [nvme, 64],
} as const

/**
 * The checksum of bytes in a row, of which each piece's is known. To append `n` bytes is linear: bits
 * of the checksum so far are multiplied by a matrix, that of one zero bit squared again and again.
 */
export function combineCrc(
  algorithm: string,
  pieces: readonly { readonly size: number; readonly hex: string }[],
): string {
  const known = Object.entries(polynomials).find(([name]) => name === algorithm)
  if (!known) throw new Error(`${algorithm} can't be combined`)
  const [polynomial, bits] = known[1]
  let value = 0n
  for (const { size, hex } of pieces) {
    value = afterZeros(value, size * 8, { polynomial, bits }) ^ BigInt(`0x${hex}`)
  }
  return value.toString(16).padStart(bits / 4, '0')
}

function afterZeros(
  value: bigint,
  zeroBits: number,
  { polynomial, bits }: { readonly polynomial: bigint; readonly bits: number },
): bigint {
  // Column n is what becomes of bit n.
  let matrix = [polynomial, ...Array.from({ length: bits - 1 }, (_, bit) => 1n << BigInt(bit))]
  let result = value
  for (let left = BigInt(zeroBits); left > 0n; left >>= 1n) {
    if (left & 1n) result = multiply(matrix, result)
    const squared = matrix
    matrix = matrix.map((column) => multiply(squared, column))
  }
  return result
}

function multiply(matrix: readonly bigint[], vector: bigint): bigint {
  let sum = 0n
  for (let bit = 0, left = vector; left > 0n; bit += 1, left >>= 1n) {
    if (left & 1n) sum ^= matrix[bit] ?? 0n
  }
  return sum
}
