import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ApiError } from '#contract/errors.ts'
import { patternLength } from './limits.ts'
import { parseHostname, parseRoutePattern, textOf } from './route-pattern.ts'

/** What is written, and its canonical form. */
const valid: readonly (readonly [string, string])[] = [
  ['example.com', 'example.com/'],
  ['example.com/', 'example.com/'],
  ['EXAMPLE.com/Path', 'example.com/Path'],
  ['example.com/*', 'example.com/*'],
  ['example.com/path*', 'example.com/path*'],
  ['http://example.com/', 'http://example.com/'],
  ['HTTPS://example.com/*', 'https://example.com/*'],
  ['*example.com', '*example.com/'],
  ['*example.com/*', '*example.com/*'],
  ['*.example.com/*', '*.example.com/*'],
  ['https://*.example.com/images/*', 'https://*.example.com/images/*'],
  ['*.sub.example.com/*', '*.sub.example.com/*'],
  ['*sub.example.com/*', '*sub.example.com/*'],
  ['a_b.example.com/*', 'a_b.example.com/*'],
  ['*/*', '*/*'],
  ['https://*/api/*', 'https://*/api/*'],
  ['münchen.example.com/größe/*', 'xn--mnchen-3ya.example.com/gr%C3%B6%C3%9Fe/*'],
  ['example.com/%61%2f%c3', 'example.com/a%2F%C3'],
  ['example.com//a///b*', 'example.com/a/b*'],
  ['example.com/.well-known/*', 'example.com/.well-known/*'],
  ['example.com/a/.*', 'example.com/a/.*'],
  ['example.com/a;b=1,c:d@e!', 'example.com/a;b=1,c:d@e!'],
]
const wildcard = /may only contain wildcards/
const outside = /must include zone name/
const query = /query parameters/
const unclear = /Could not understand/
const invalid: readonly (readonly [string, RegExp])[] = [
  ['example.com/*.jpg', wildcard],
  ['example.com/*/b', wildcard],
  ['example.com/**', wildcard],
  ['ex*mple.com/', wildcard],
  ['example.*/', wildcard],
  ['example.com*', wildcard],
  ['**.example.com/*', wildcard],
  ['*.*.example.com/*', wildcard],
  ['a.*.example.com/*', wildcard],
  ['example.org/*', outside],
  ['myexample.com/*', outside],
  ['*myexample.com/*', outside],
  ['*xample.com/*', outside],
  ['*.com/*', outside],
  ['com/*', outside],
  ['example.com.evil.org/*', outside],
  ['example.com/?foo=*', query],
  ['https://example.com/?anything', query],
  ['example.com?', query],
  ['', unclear],
  ['/', unclear],
  ['/path', unclear],
  ['*.', unclear],
  ['.example.com', unclear],
  ['example.com.', unclear],
  ['ftp://example.com/', unclear],
  ['https://https://example.com/', unclear],
  ['//example.com/', unclear],
  ['example.com:8080/*', unclear],
  ['user@example.com/*', unclear],
  ['example.com/a b', unclear],
  ['example.com/a#b', unclear],
  ['example.com/a\u0000', unclear],
  ['exam ple.com/', unclear],
  ['example.com\\@evil.org/', unclear],
  ['-a.example.com/', unclear],
  ['[::1]/*', unclear],
  ['example.com/a/../b', unclear],
  ['example.com/a/%2e%2E/b', unclear],
  ['example.com/./*', unclear],
  ['example.com/..', unclear],
  ['example.com/\ud800', unclear],
  [`${'a'.repeat(64)}.example.com/`, unclear],
  [`example.com/${'a'.repeat(patternLength)}`, unclear],
]

suite('patterns of routes', () => {
  test('are read, and have one form for all that match the same', () => {
    for (const [text, canonical] of valid) {
      const parsed = parseRoutePattern(text, 'example.com')
      assert.equal(textOf(parsed), canonical, text)
      assert.deepEqual(parseRoutePattern(canonical, 'example.com'), parsed, text)
    }
  })

  test('that are not valid are refused with code 10022', () => {
    for (const [text, why] of invalid) {
      assert.throws(
        () => parseRoutePattern(text, 'example.com'),
        (error) => error instanceof ApiError && error.code === 10022 && why.test(error.message),
        text,
      )
    }
  })

  test('host names', () => {
    const cases: readonly (readonly [string, string | undefined])[] = [
      ['Example.COM', 'example.com'],
      ['localhost', 'localhost'],
      ['münchen.de', 'xn--mnchen-3ya.de'],
      ['127.0.0.1', '127.0.0.1'],
      ['a..b', undefined],
      ['', undefined],
      ['a/b', undefined],
      ['a:1', undefined],
      ['*.a', undefined],
      ['a.', undefined],
      ['-a.b', undefined],
      ['a-.b', undefined],
      ['a b', undefined],
      [`${'a'.repeat(60)}.`.repeat(4) + 'abcdefghijk', undefined],
    ]
    for (const [text, name] of cases) assert.equal(parseHostname(text), name, text)
  })
})
