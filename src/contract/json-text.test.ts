import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { parseJson } from './json-text.ts'

function nested(depth: number): string {
  return '[{"a":'.repeat(depth / 2) + '0' + '}]'.repeat(depth / 2)
}

suite('JSON with a bound on nesting', () => {
  const accepted: readonly (readonly [string, string])[] = [
    ['a hundred levels', nested(100)],
    ['many, but beside each other', `[${Array(300).fill('[]').join(',')}]`],
    ['brackets in text', JSON.stringify('[{'.repeat(200))],
    ['brackets in a key', JSON.stringify({ ['['.repeat(200)]: 1 })],
    ['a quote in text, then brackets', JSON.stringify(`"${'['.repeat(200)}`)],
    ['a backslash at the end of text', '["\\\\",["\\\\"]]'],
  ]
  for (const [title, text] of accepted) {
    test(title, () => assert.deepEqual(parseJson(text), JSON.parse(text)))
  }

  const refused: readonly (readonly [string, string])[] = [
    ['one level more', `[${nested(100)}]`],
    ['nesting without an end', '['.repeat(1_000_000)],
    ['nesting behind text that ends in a backslash', `["\\\\",${nested(100)}]`],
    ['nothing', ''],
    ['text without an end', '"[\\'],
    ['an object without an end', '{"a":1'],
  ]
  for (const [title, text] of refused) {
    test(`refused: ${title}`, () => assert.throws(() => parseJson(text), SyntaxError))
  }

  test('shallow JSON is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), (text) => {
        assert.deepEqual(parseJson(text), JSON.parse(text))
      }),
    )
  })
})
