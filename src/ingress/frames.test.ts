import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { closeFrame, Frames } from './frames.ts'

/** A frame as RFC 6455 §5.2 has it, with the shortest length that fits. */
function frame(length: number, isMasked: boolean): Uint8Array {
  const mask = isMasked ? 0x80 : 0
  const head = [0x82]
  if (length < 126) head.push(mask | length)
  else if (length < 65_536) head.push(mask | 126, length >> 8, length & 0xff)
  else
    head.push(
      mask | 127,
      0,
      0,
      0,
      0,
      length >>> 24,
      (length >> 16) & 0xff,
      (length >> 8) & 0xff,
      length & 0xff,
    )
  return Uint8Array.from([...head, ...(isMasked ? [1, 2, 3, 4] : []), ...new Uint8Array(length)])
}

suite('frames of a WebSocket', () => {
  const lengths = fc.oneof(fc.nat(200), fc.constantFrom(0, 125, 126, 127, 65_535, 65_536, 70_000))
  test('are followed however they are cut into pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(lengths, fc.boolean()), { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 20 }),
        (shapes, steps) => {
          const all = Buffer.concat(shapes.map(([length, isMasked]) => frame(length, isMasked)))
          const ends = new Set<number>()
          let end = 0
          for (const [length, isMasked] of shapes) ends.add((end += frame(length, isMasked).length))
          const frames = new Frames()
          assert.ok(frames.isBetween)
          for (let at = 0, n = 0; at < all.length; n++) {
            const to = Math.min(at + (steps[n % steps.length] ?? 1), all.length)
            frames.follow(all.subarray(at, to))
            assert.equal(frames.isBetween, ends.has(to), `at ${to} of ${[...ends].join(' ')}`)
            at = to
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  test('a Close frame is noticed, and nothing else is taken for one', () => {
    const frames = new Frames()
    frames.follow(Uint8Array.from([0x82, 2, 0x88, 0x88]))
    assert.equal(frames.isClosed, false)
    frames.follow(closeFrame(1000, 'over'))
    assert.deepEqual([frames.isClosed, frames.isBetween], [true, true])
  })

  test('a Close frame has its code and as much of the reason as fits', () => {
    assert.deepEqual([...closeFrame(1012, 'ok')], [0x88, 4, 0x03, 0xf4, 0x6f, 0x6b])
    assert.equal(closeFrame(1000, 'x'.repeat(500)).length, 127)
  })
})
