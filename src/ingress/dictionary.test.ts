import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { readDictionary } from './dictionary.ts'

const wellFormed: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['', {}],
  ['   ', {}],
  ['a="1"', { a: '1' }],
  ['  a="1"  ', { a: '1' }],
  [
    'my-worker="dc8dcd28-271b-4367-9840-6c244f84cb40"',
    { 'my-worker': 'dc8dcd28-271b-4367-9840-6c244f84cb40' },
  ],
  ['a="1", b="2"', { a: '1', b: '2' }],
  ['a="1",b="2"', { a: '1', b: '2' }],
  ['a="1" \t,\t b="2"', { a: '1', b: '2' }],
  ['a="1", a="2"', { a: '2' }],
  ['a="1", a=2', {}],
  ['a="x, b=\\"y\\""', { a: 'x, b="y"' }],
  ['a="\\\\"', { a: '\\' }],
  ['a=""', { a: '' }],
  ['a="1";q=1;r="x";s', { a: '1' }],
  ['a="1"; q=1.5', { a: '1' }],
  ['*a_b.c-d*="1"', { '*a_b.c-d*': '1' }],
  ['a', {}],
  ['a;q=1, b="2"', { b: '2' }],
  ['a=?1, b=?0, c="3"', { c: '3' }],
  ['a=1, b=-2, c=3.125, d="4"', { d: '4' }],
  ['a=token/x:y, b="2"', { b: '2' }],
  ['a=:aGVsbG8=:, b="2"', { b: '2' }],
  ['a=("x" y 3;q), b="2"', { b: '2' }],
  ['a=(), b=( "x" ), c="3"', { c: '3' }],
]
const malformed: readonly string[] = [
  'a="1",',
  ',a="1"',
  'a="1",,b="2"',
  'a="1" b="2"',
  'A="1"',
  '1a="1"',
  '-a="1"',
  'a ="1"',
  'a= "1"',
  'a="1',
  "a='1'",
  'a="1"x',
  'a="\\n"',
  'a="\u00fc"',
  'a="\u0001"',
  'a=("x"',
  'a=("x""y")',
  'a=?2',
  'a=1.2345',
  'a=1234567890123456',
  'a=:*:',
  'a="1";',
  'a="1";Q=1',
  '{"a":"1"}',
  '\ta="1"',
]

suite('dictionaries of RFC 8941', () => {
  test('strings are read, other members passed over', () => {
    for (const [text, strings] of wellFormed) {
      assert.deepEqual(Object.fromEntries(readDictionary(text) ?? assert.fail(text)), strings, text)
    }
  })

  test('of what is not well formed nothing is read', () => {
    for (const text of malformed) assert.equal(readDictionary(text), undefined, text)
  })

  test('long ones take no long time', { timeout: 2_000 }, () => {
    const long = [
      'a=(' + 'x '.repeat(4_000),
      'a="' + '\\'.repeat(8_001),
      'a' + ';a=1'.repeat(2_000) + ';',
    ]
    for (const text of long) assert.equal(readDictionary(text), undefined)
  })
})
