import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Field, parseQuery, QueryError } from './graphql-query.ts'

const field = (name: string, args: Field['args'] = {}, fields: readonly Field[] = []): Field => ({
  name,
  alias: name,
  args,
  fields,
})

const valid: readonly (readonly [string, readonly Field[]])[] = [
  ['{ a }', [field('a')]],
  ['query { a, b }', [field('a'), field('b')]],
  [
    'query Q($x: String = "y", $z: [Int!]!) { a(v: $x) { b } }',
    [field('a', { v: 'X' }, [field('b')])],
  ],
  ['{ a(none: $none) }', [field('a', { none: null })]],
  ['{ short: a }', [{ ...field('a'), alias: 'short' }]],
  [
    '{ a(n: -1.5e2, s: "q\\"\\u00e9", t: true, f: false, z: null, e: DESC, l: [1 "2"], o: {k: {m: 1}}) } # end',
    [
      field('a', {
        n: -150,
        s: 'q"é',
        t: true,
        f: false,
        z: null,
        e: 'DESC',
        l: [1, '2'],
        o: { k: { m: 1 } },
      }),
    ],
  ],
]

const invalid = [
  '',
  '{',
  '{ a ',
  '{ a } { b }',
  'mutation { a }',
  '{ ...f }',
  '{ a @skip(if: true) }',
  '{ a(x 1) }',
  '{ a(x: "open) }',
  '{ a(x: ) }',
  '{ a ? }',
  'query Q( { a }',
  `${'{a'.repeat(50)}${'}'.repeat(50)}`,
  `{ a(x: ${'['.repeat(50)}${']'.repeat(50)}) }`,
]

suite('queries', () => {
  for (const [text, expected] of valid) {
    test(text, () => assert.deepEqual(parseQuery(text, { x: 'X' }), expected))
  }
  for (const text of invalid) {
    test(`refused: ${text.slice(0, 40)}`, () => {
      assert.throws(() => parseQuery(text, {}), QueryError)
    })
  }
})
