import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseRedirects } from './redirects.ts'

function parse(text: string, hasHtmlHandling = true) {
  const { rules, warnings, loops } = parseRedirects(text, { hasHtmlHandling })
  return {
    rules: rules.map(({ from, to, status, isDynamic }) =>
      [from, to, status, ...(isDynamic ? ['dynamic'] : [])].join(' '),
    ),
    warnings: warnings.map(({ line, message }) => [line, message]),
    loops,
  }
}

suite('_redirects: what is read', () => {
  for (const [text, ...rules] of [
    [''],
    ['# nothing\n\n   \r\n'],
    ['/a /b', '/a /b 302'],
    ['  /a\t/b   301  ', '/a /b 301'],
    ['/a /b 301\r\n/c /d 307\r\n', '/a /b 301', '/c /d 307'],
    ['a /b', '/a /b 302'],
    ['/a /b # why', '/a /b 302'],
    ['/a /b#part', '/a /b#part 302'],
    ['/a /b?x=1#part 303', '/a /b?x=1#part 303'],
    ['/a?x=1 /b', '/a /b 302'],
    ['/a https://example.com', '/a https://example.com/ 302'],
    ['/a https://example.com:8080/x?y#z 308', '/a https://example.com:8080/x?y#z 308'],
    ['/a //example.com/x', '/a //example.com/x 302'],
    ['/x/../a /b', '/a /b 302'],
    ['/ä /ö', '/%C3%A4 /%C3%B6 302'],
    ['/a /b 200', '/a /b 200'],
    ['/:x /b/:x', '/:x /b/:x 302 dynamic'],
    ['/a/* /b/:splat', '/a/* /b/:splat 302 dynamic'],
    [
      '/a /1\n/b/* /2\n/c /3\n/d/:x /4',
      '/a /1 302',
      '/b/* /2 302 dynamic',
      '/c /3 302 dynamic',
      '/d/:x /4 302 dynamic',
    ],
    ['/:8 /b', '/:8 /b 302'],
    ['/a /index.html 200', '/a /index.html 200'],
    ['/* https://example.com/index.html', '/* https://example.com/index.html 302 dynamic'],
  ] as const) {
    test(JSON.stringify(text), () => {
      assert.deepEqual(parse(text), { rules, warnings: [], loops: [] })
    })
  }
})

suite('_redirects: what is skipped, and in which words', () => {
  const loop =
    'Infinite loop detected in this rule and has been ignored. This will cause a redirect to strip `.html` or `/index` and end up triggering this rule again. Please fix or remove this rule to silence this warning.'
  for (const [text, line, message, rules = []] of [
    ['/a', 1, 'Expected exactly 2 or 3 whitespace-separated tokens. Got 1.'],
    ['/a #c', 1, 'Expected exactly 2 or 3 whitespace-separated tokens. Got 1.'],
    ['/a /b 302 x', 1, 'Expected exactly 2 or 3 whitespace-separated tokens. Got 4.'],
    [
      '\n/a /b 418',
      2,
      'Valid status codes are 200, 301, 302 (default), 303, 307, or 308. Got 418.',
    ],
    ['/a /b no', 1, 'Valid status codes are 200, 301, 302 (default), 303, 307, or 308. Got no.'],
    [
      'https://x.test/a /b',
      1,
      'Only relative URLs are allowed. Skipping absolute URL https://x.test/a.',
    ],
    [
      '/a b',
      1,
      'URLs should either be relative (e.g. begin with a forward-slash), or use HTTPS (e.g. begin with "https://").',
    ],
    [
      '/a http://x.test/',
      1,
      'URLs should either be relative (e.g. begin with a forward-slash), or use HTTPS (e.g. begin with "https://").',
    ],
    ['/a /b\n/a /c', 2, 'Ignoring duplicate rule for path /a.', ['/a /b 302']],
    [
      '/a https://x.test/ 200',
      1,
      'Proxy (200) redirects can only point to relative paths. Got https://x.test/',
    ],
    ['/* /index.html 200', 1, loop, [], [1]],
    ['/b /c\n/a/* /b/index', 2, loop, ['/b /c 302'], [2]],
    ['/a/ /b/index.html', 1, loop, [], [1]],
    [
      `/a /${'b'.repeat(2000)}`,
      undefined,
      'Ignoring line 1 as it exceeds the maximum allowed length of 2000.',
    ],
  ] as const) {
    test(JSON.stringify(text.slice(0, 60)), () => {
      const parsed = parse(text)
      assert.deepEqual(parsed.warnings, [[line, message]])
      assert.deepEqual(parsed.rules, rules)
      assert.deepEqual(parsed.loops, message === loop ? [line] : [])
    })
  }

  test('a path with a slash may lead to an index file where no slash is stripped', () => {
    assert.deepEqual(parse('/a/ /b/index.html', false).rules, ['/a/ /b/index.html 302'])
    assert.deepEqual(parse('/* /index.html 200', false).loops, [1])
  })

  test('2000 rules that are looked up, 100 that are tried', () => {
    const looked = Array.from({ length: 2001 }, (_, n) => `/s${n} /t`)
    const tried = Array.from({ length: 102 }, (_, n) => `/d${n}/* /t`)
    const { rules, warnings } = parse([...looked, ...tried].join('\n'))
    assert.equal(rules.length, 2100)
    assert.equal(rules[1999], '/s1999 /t 302')
    assert.equal(rules[2099], '/d99/* /t 302 dynamic')
    assert.deepEqual(warnings, [
      [undefined, 'Maximum number of static rules supported is 2000. Skipping line.'],
      [
        undefined,
        'Maximum number of dynamic rules supported is 100. Skipping remaining 2 lines of file.',
      ],
    ])
  })

  test('a rule that cannot be used still makes the next for its path a duplicate', () => {
    const { rules, warnings } = parse('/a https://x.test/ 200\n/a /b')
    assert.deepEqual(rules, [])
    assert.equal(warnings.length, 2)
  })
})
