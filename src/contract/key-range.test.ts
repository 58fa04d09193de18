import assert from 'node:assert/strict'
import { test } from 'node:test'
import { afterAllKeys, compareBytes, endOfPrefix, successor } from './key-range.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const keys = [
  '',
  '\0',
  'a',
  'a\0',
  'aa',
  'ab',
  'b',
  '\u007f',
  'ä',
  '\uffff',
  '\u{10ffff}',
  '\u{10ffff}z',
]
  .map(utf8)
  .toSorted(compareBytes)

test('keys are in the order of their bytes', () => {
  for (const [at, key] of keys.entries()) {
    assert.equal(compareBytes(key, key), 0)
    const next = keys[at + 1] ?? afterAllKeys
    assert.ok(compareBytes(key, next) < 0 && compareBytes(next, key) > 0)
    const least = successor(key)
    assert.ok(compareBytes(key, least) < 0 && compareBytes(least, next) <= 0)
  }
})

test('keys of a prefix are between it and its end', () => {
  for (const prefix of keys) {
    const end = endOfPrefix(prefix)
    for (const key of keys) {
      const begins = prefix.every((byte, at) => key[at] === byte)
      assert.equal(compareBytes(key, prefix) >= 0 && compareBytes(key, end) < 0, begins)
    }
  }
})
