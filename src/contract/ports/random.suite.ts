import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { z } from 'zod'
import type { Random } from './random.ts'

/** What every driver of the `Random` port does. */
export function randomSuite(name: string, random: Random): void {
  suite(`${name}: the Random port`, () => {
    for (const count of [0, 1, 16, 1_000]) {
      test(`gives ${count} bytes, and as many as hex digits`, () => {
        assert.equal(random.bytes(count).byteLength, count)
        assert.match(random.hex(count), new RegExp(`^[0-9a-f]{${count * 2}}$`))
      })
    }

    test('gives version 4 UUIDs', () => {
      assert.ok(z.uuidv4().safeParse(random.uuid()).success)
    })

    test('never the same twice', () => {
      const values = Array.from({ length: 1_000 }, () => [random.hex(16), random.uuid()]).flat()
      assert.equal(new Set(values).size, 2_000)
    })
  })
}
