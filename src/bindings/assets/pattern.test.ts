import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { compileGlobs, compilePattern, fill, subjectOf } from './pattern.ts'

function match(rule: string, text: string): Record<string, string> | undefined {
  const groups = compilePattern(rule)?.(subjectOf(text))
  return groups && Object.fromEntries(groups)
}

/** The same by a regular expression, which backtracks. */
function byRegExp(rule: string, text: string): Record<string, string> | undefined {
  const escaped = rule.replaceAll(/[-/\\^$+?.()|[\]{}]/g, '\\$&').replace('*', '(?<splat>.*)')
  const source = escaped.replaceAll(/:([A-Za-z]\w*)/g, '(?<$1>[^/]+)')
  const found = new RegExp(`^${source}$`).exec(text)
  return found ? { ...found.groups } : undefined
}

suite('patterns of rules', () => {
  for (const [rule, text, groups] of [
    ['/a', '/a', {}],
    ['/a', '/a/', undefined],
    ['/a', '/A', undefined],
    ['/*', '/', { splat: '' }],
    ['/*', '/a/b', { splat: 'a/b' }],
    ['/a/*', '/a', undefined],
    ['/a/*/c', '/a/x/y/c', { splat: 'x/y' }],
    ['/a*', '/abc', { splat: 'bc' }],
    ['*.js', '/x/y.js', { splat: '/x/y' }],
    ['/:a', '/x', { a: 'x' }],
    ['/:a', '/', undefined],
    ['/:a', '/x/y', undefined],
    ['/:a/:b', '/x/y', { a: 'x', b: 'y' }],
    ['/:a/*', '/x/y/z', { a: 'x', splat: 'y/z' }],
    ['/:a-:b', '/x-y-z', { a: 'x-y', b: 'z' }],
    ['/:a.html', '/x.html', { a: 'x' }],
    ['/v:major/*', '/v2/', { major: '2', splat: '' }],
    ['/*/:id', '/a/b/c', { splat: 'a/b', id: 'c' }],
    ['/:a*', '/xyz/w', { a: 'xyz', splat: '/w' }],
    ['/x*x', '/x', undefined],
    ['/:a/:ab', '/1/2', { a: '1', ab: '2' }],
    ['/:a/:a', '/1/1', undefined],
    ['/*/*', '/1/1', undefined],
    ['/:splat/*', '/1/1', undefined],
    ['https://x.test/*', 'https://x.test/a', { splat: 'a' }],
    ['https://x.test/*', 'https://y.test/a', undefined],
    ['https://:sub.x.test/*', 'https://a.x.test/b', { sub: 'a', splat: 'b' }],
    ['https://:sub.x.test/*', 'https://a.b.x.test/', undefined],
    ['https://*.x.test/:p', 'https://a.b.x.test/q', { splat: 'a.b', p: 'q' }],
  ] as const) {
    test(`${rule} ${text}`, () => assert.deepEqual(match(rule, text), groups))
  }

  test('are what a regular expression would find', () => {
    const piece = fc.constantFrom('/', 'x', '-', ':a', ':b', ':c', '*')
    const text = fc.string({ unit: fc.constantFrom('/', 'x', '-', 'y'), maxLength: 12 })
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), text, (pieces, rest) => {
        // A name is ended by what follows, so that none runs into the next letter.
        const rule = `/${pieces
          .filter((each, at) => each === '-' || each === '/' || pieces.indexOf(each) === at)
          .join('-')
          .replaceAll('-/', '/')
          .replaceAll(':c-:', ':c:')}`
        assert.deepEqual(match(rule, `/${rest}`), byRegExp(rule, `/${rest}`), `${rule} /${rest}`)
      }),
      { numRuns: 5000 },
    )
  })

  test('take a time that grows with the text and no faster', () => {
    const pattern = compilePattern(
      `/${Array.from({ length: 200 }, (_, n) => `:p${n}-`).join('')}x*y`,
    )
    const subject = subjectOf(`/${'-'.repeat(16_000)}`)
    const glob = compileGlobs(Array.from({ length: 100 }, () => `/${'*a'.repeat(40)}b`))
    const path = `/${'a'.repeat(16_000)}`
    const start = performance.now()
    assert.equal(pattern?.(subject), undefined)
    assert.equal(glob(path), false)
    assert.ok(performance.now() - start < 1000)
  })
})

suite('filling in', () => {
  for (const [text, groups, filled] of [
    ['/b/:splat', { splat: 'x/y' }, '/b/x/y'],
    ['/:a/:a', { a: '1' }, '/1/1'],
    ['/:b', { a: '1' }, '/:b'],
    ['/:lang_:splat', { lang: 'en', splat: 'x' }, '/en_x'],
    ['/:ab', { a: '1', ab: '2' }, '/2'],
    ['/:a', { a: ':b', b: '2' }, '/:b'],
    ['/x', {}, '/x'],
    ['/:a', { a: '$&' }, '/$&'],
  ] as const) {
    test(`${text} ${JSON.stringify(groups)}`, () => {
      assert.equal(fill(text, new Map(Object.entries(groups))), filled)
    })
  }
})

suite('globs', () => {
  for (const [rule, path, isMatch] of [
    ['/a', '/a', true],
    ['/a', '/ab', false],
    ['/a*', '/ab/c', true],
    ['/api/*', '/api', false],
    ['/api/*', '/api/', true],
    ['/*/x', '/a/b/x', true],
    ['/*a*b', '/aab', true],
    ['/*a*b', '/ba', false],
    ['/ab*ba', '/aba', false],
    ['/*', '/', true],
    ['/a.c', '/abc', false],
  ] as const) {
    test(`${rule} ${path}`, () => assert.equal(compileGlobs([rule])(path), isMatch))
  }

  test('are what a regular expression would find', () => {
    const rule = fc.string({ unit: fc.constantFrom('a', 'b', '*', '/'), maxLength: 7 })
    const path = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 9 })
    fc.assert(
      fc.property(rule, path, (glob, text) => {
        const expected = new RegExp(`^/${glob.replaceAll('*', '.*')}$`).test(`/${text}`)
        assert.equal(compileGlobs([`/${glob}`])(`/${text}`), expected)
      }),
      { numRuns: 3000 },
    )
  })
})
