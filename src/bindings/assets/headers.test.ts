import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseHeaders } from './headers.ts'

suite('_headers: what is read', () => {
  for (const [text, rules] of [
    ['', []],
    ['# nothing\n\n', []],
    ['/a\n  X-One: 1', [['/a', [['x-one', '1']], []]]],
    ['/a\r\n  X-One: 1\r\n', [['/a', [['x-one', '1']], []]]],
    ['/a\nX: a:b', [['/a', [['x', 'a:b']], []]]],
    ['/a\n  X: 1\n  x: 2', [['/a', [['x', '1, 2']], []]]],
    ['/a\n  ! X-Two', [['/a', [], ['x-two']]]],
    ['/a\n  ! X\n  Y: 1', [['/a', [['y', '1']], ['x']]]],
    [
      '/a\n X: 1\n/b\n Y: 2',
      [
        ['/a', [['x', '1']], []],
        ['/b', [['y', '2']], []],
      ],
    ],
    // The later rule, at the place of the earlier.
    [
      '/a\n X: 1\n/b\n Y: 2\n/a\n Z: 3',
      [
        ['/a', [['z', '3']], []],
        ['/b', [['y', '2']], []],
      ],
    ],
    ['/ä b\n X: 1', [['/%C3%A4%20b', [['x', '1']], []]]],
    ['https://x.test\n X: 1', [['https://x.test/', [['x', '1']], []]]],
    ['https://:sub.x.test/*\n X: :sub', [['https://:sub.x.test/*', [['x', ':sub']], []]]],
    ['/a\n # comment\n X: 1 # no comment', [['/a', [['x', '1 # no comment']], []]]],
  ] as const) {
    test(JSON.stringify(text), () => {
      const parsed = parseHeaders(text)
      assert.deepEqual(
        parsed.rules.map(({ path, set, unset }) => [path, set, unset]),
        rules,
      )
      assert.deepEqual(parsed.warnings, [])
    })
  }
})

suite('_headers: what is skipped, and in which words', () => {
  for (const [text, line, message] of [
    ['/a', undefined, 'No headers specified'],
    ['/a\n/b\n X: 1', 2, 'No headers specified'],
    ['X', 1, 'Expected a path beginning with at least one forward-slash'],
    ['/a\n X', 2, 'Expected a colon-separated header pair (e.g. name: value)'],
    ['/a\n X Y: 1', 2, 'Header name cannot include spaces'],
    ['/a\n : 1', 2, 'No header name specified'],
    ['/a\n X:', 2, 'No header value specified'],
    ['X: 1', 1, 'Path should come before header (x: 1)'],
    [
      '/*/*\n X: 1',
      1,
      'Only one wildcard is allowed per rule. Use a named placeholder (e.g. :project) instead. Skipping /*/*.',
    ],
    [
      '/:splat/*\n X: 1',
      1,
      'Cannot combine a wildcard * with a :splat placeholder because wildcards are converted to :splat at runtime. Skipping /:splat/*.',
    ],
    [
      'https://x.test:80/\n X: 1',
      1,
      'Specifying ports is not supported. Skipping absolute URL https://x.test:80/.',
    ],
    [
      'http://x.test/\n X: 1',
      1,
      'URLs should either be relative (e.g. begin with a forward-slash), or use HTTPS (e.g. begin with "https://").',
    ],
    ['/a\n X(): 1', 2, 'Header name has a character that none may have'],
    ['/a\n X: 1\u00002', 2, 'Header value has a control character'],
    ['/a\n Content-Length: 1', 2, "The header content-length is the server's to set"],
    ['/a\n Transfer-Encoding: chunked', 2, "The header transfer-encoding is the server's to set"],
    [
      `/a\n X: ${'1'.repeat(2000)}`,
      undefined,
      'Ignoring line 2 as it exceeds the maximum allowed length of 2000.',
    ],
  ] as const) {
    test(JSON.stringify(text.slice(0, 60)), () => {
      const [first] = parseHeaders(text).warnings
      assert.equal(first?.message, message)
      assert.equal(first.line, line)
    })
  }

  test('a header that is given again and again ends at what one may have', () => {
    const text = `/a\n${`  X: ${'1'.repeat(1990)}\n`.repeat(10)}`
    const { rules, warnings } = parseHeaders(text)
    assert.equal(rules[0]?.set[0]?.[1].length, 8 * 1992 - 2)
    assert.deepEqual(
      warnings.map(({ message }) => message),
      Array.from({ length: 2 }, () => 'Header value is longer than 16384 characters'),
    )
  })

  test('a bad path takes its headers with it, and nothing else', () => {
    const parsed = parseHeaders('/*/*\n X: 1\n Y\n/b\n Z: 1')
    assert.equal(parsed.warnings.length, 1)
    assert.deepEqual(parsed.rules, [{ path: '/b', set: [['z', '1']], unset: [] }])
  })

  test('100 rules, and the one that was begun', () => {
    const text = Array.from({ length: 103 }, (_, n) => `/p${n}\n X: 1`).join('\n')
    const { rules, warnings } = parseHeaders(text)
    assert.equal(rules.length, 101)
    assert.deepEqual(
      warnings.map(({ message }) => message),
      ['Maximum number of rules supported is 100. Skipping remaining 4 lines of file.'],
    )
  })
})
