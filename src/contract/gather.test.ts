import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gather } from './gather.ts'

/** Pieces of these sizes, and how many were asked for. */
function body(...sizes: readonly number[]) {
  const given = { pieces: 0, isClosed: false }
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for (const size of sizes) {
        given.pieces += 1
        yield new Uint8Array(size).fill(given.pieces)
      }
    } finally {
      given.isClosed = true
    }
  }
  return { given, pieces: pieces() }
}

const cases: readonly (readonly [
  sizes: readonly number[],
  dropBytes: number,
  found: readonly [bytes: readonly number[] | undefined, size: number, pieces: number],
])[] = [
  [[], 0, [[], 0, 0]],
  [[0], 0, [[], 0, 1]],
  [[4], 0, [[1, 1, 1, 1], 4, 1]],
  [[1, 2, 1], 0, [[1, 2, 2, 3], 4, 3]],
  [[5], 0, [undefined, 5, 1]],
  [[5, 1, 1], 0, [undefined, 5, 1]],
  [[3, 2, 1, 1, 1], 2, [undefined, 7, 4]],
  [[3, 2, 1], 100, [undefined, 6, 3]],
]
for (const [sizes, dropBytes, [bytes, size, asked]] of cases) {
  test(`pieces of ${sizes.join(', ') || 'nothing'}, 4 allowed, ${dropBytes} more read`, async () => {
    const { given, pieces } = body(...sizes)
    const found = await gather(pieces, 4, dropBytes)
    assert.deepEqual(found.bytes && [...found.bytes], bytes)
    assert.deepEqual([found.size, given.pieces], [size, asked])
    assert.equal(given.isClosed, true, 'nothing is left open')
  })
}
