import { numbersFrom, seed } from '#test/random.ts'

/** A text in one piece, in two at every place, byte by byte, and at random places, up to `longest` bytes each. */
export function cuts(text: string, longest = 12): readonly Buffer[][] {
  const bytes = Buffer.from(text, 'latin1')
  const number = numbersFrom(seed)
  const ways: Buffer[][] = [[bytes], [...bytes].map((byte) => Buffer.from([byte]))]
  for (let at = 1; at < bytes.length; at++) ways.push([bytes.subarray(0, at), bytes.subarray(at)])
  for (let n = 0; n < 20; n++) {
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const next = at + 1 + Math.floor(number() * longest)
      pieces.push(bytes.subarray(at, next))
      at = next
    }
    ways.push(pieces)
  }
  return ways
}
