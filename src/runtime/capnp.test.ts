import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { assert as hold, property, sample, string } from 'fast-check'
import { type Capnp, CapnpSymbol, renderCapnp } from './capnp.ts'
import { startFixture } from './fixture.ts'

const seed = Date.now() % 2 ** 31

/** Reads a quoted text of Cap'n Proto as its lexer does, the escapes that we write. */
function unquote(quoted: string): string {
  assert.match(quoted, /^"[^"]*"$/s, 'nothing inside ends the quotes')
  const pieces = quoted.slice(1, -1).split(/\\x([0-9a-f]{2})/)
  return Buffer.concat(
    pieces.map((piece, index) =>
      index % 2 === 1 ? Buffer.from(piece, 'hex') : Buffer.from(piece, 'utf8'),
    ),
  ).toString('utf8')
}

suite(`Cap'n Proto text (seed ${seed})`, () => {
  const cases: readonly (readonly [string, Capnp, string])[] = [
    ['text', 'a', '"a"'],
    ['a quote and a backslash', 'a"\\b', '"a\\x22\\x5cb"'],
    ['control characters', '\0\n\u007F', '"\\x00\\x0a\\x7f"'],
    ['a control character of two bytes', '\u0085', '"\\xc2\\x85"'],
    ['other characters as they are', 'ü€😀', '"ü€😀"'],
    ['a lone surrogate', 'a\uD800', '"a\uFFFD"'],
    ['bytes', new Uint8Array([0, 255, 16]), '0x"00ff10"'],
    ['no bytes', new Uint8Array(), '0x""'],
    ['numbers', [1, -1], '[1, -1]'],
    ['a boolean', { a: true }, '(a = true)'],
    ['a symbol', new CapnpSymbol('sign'), 'sign'],
    ['a list of structs', [{ a: 'b' }, {}], '[(a = "b"), ()]'],
    ['an absent field', { a: undefined, b: 1, c: undefined, d: 2 }, '(b = 1, d = 2)'],
    ['nothing but absent fields', { a: undefined }, '()'],
  ]
  for (const [name, value, text] of cases) {
    test(name, () => assert.equal(renderCapnp(value), text))
  }

  test('any text comes back, and no text ends its quotes', () => {
    hold(
      property(string({ unit: 'binary' }), (text) => {
        assert.equal(unquote(renderCapnp(text)), text.toWellFormed())
      }),
      { seed, numRuns: 500 },
    )
  })

  test('workerd reads what was written', async () => {
    await using fixture = await startFixture()
    const texts = [
      ...sample(string({ unit: 'binary', maxLength: 200 }), { seed, numRuns: 200 }),
      Array.from({ length: 0x300 }, (_, code) => String.fromCodePoint(code)).join(''),
      '\\x41\\" ); }\n# no comment',
    ]
    const bindings = Object.fromEntries(
      texts.map((text, i) => [`T${i}`, { type: 'text', text }] as const),
    )
    const data = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const worker = await fixture.ready('echo', {
      code: {
        'index.js': [
          'esModule',
          `import data from './data.bin'
           export default { fetch(request, env) {
             return Response.json({ texts: Object.keys(env).map((key) => env[key]), data: [...new Uint8Array(data)] })
           } }`,
        ],
        'data.bin': ['data', data],
      },
      bindings,
    })
    await fixture.apply([worker])
    const { body } = await fixture.visit('echo')
    assert.deepEqual(JSON.parse(body), {
      texts: texts.map((text) => text.toWellFormed()),
      data: [...data],
    })
  })
})
