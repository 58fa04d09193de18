import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ApiError } from '#contract/errors.ts'
import { compiledOf, readSiteConfig } from './config.ts'

const facts = { prefersAssetsForNavigation: true }

suite('assets.config of an upload', () => {
  const defaults = {
    htmlHandling: 'auto-trailing-slash',
    notFoundHandling: 'none',
    basePath: '/',
    workerFirst: false,
    prefersAssetsForNavigation: true,
    redirects: [],
    headers: [],
  }
  for (const [raw, differs] of [
    [undefined, {}],
    [{}, {}],
    [{ unknown: 1 }, {}],
    [{ html_handling: 'none' }, { htmlHandling: 'none' }],
    [{ not_found_handling: '404-page' }, { notFoundHandling: '404-page' }],
    [{ run_worker_first: true }, { workerFirst: true }],
    [
      { run_worker_first: ['/a/*', '!/a/b'] },
      { workerFirst: { worker: ['/a/*'], assets: ['/a/b'] } },
    ],
    [{ base_path: '/docs' }, { basePath: '/docs/' }],
    [{ base_path: 'a/./b/../c/' }, { basePath: '/a/c/' }],
    [{ base_path: '/..' }, { basePath: '/' }],
    [
      { _redirects: '/a /b', _headers: '/a\n X: 1' },
      {
        redirects: [{ from: '/a', to: '/b', status: 302, isDynamic: false }],
        headers: [{ path: '/a', set: [['x', '1']], unset: [] }],
      },
    ],
  ] as const) {
    test(JSON.stringify(raw) ?? 'nothing', () => {
      const { config, warnings } = readSiteConfig(raw, facts)
      assert.deepEqual(config, { ...defaults, ...differs })
      assert.deepEqual(warnings, [])
      assert.deepEqual(JSON.parse(JSON.stringify(config)), config)
    })
  }

  for (const [raw, code, message] of [
    [1, 10021, /^assets\.config/],
    [{ html_handling: 'maybe' }, 10021, /^assets\.config\.html_handling: /],
    [{ not_found_handling: 1 }, 10021, /^assets\.config\.not_found_handling: /],
    [{ run_worker_first: 'x' }, 10021, /^assets\.config\.run_worker_first: /],
    [{ run_worker_first: [] }, 10021, /^No `run_worker_first` rules/],
    [{ base_path: '' }, 10021, /^Invalid assets base_path: The value must not be empty\.$/],
    [{ base_path: '//x' }, 10021, /base_path: The value must be a pathname, not a URL\.$/],
    [{ base_path: 'https://x' }, 10021, /base_path: The value must be a pathname, not a URL\.$/],
    [{ base_path: '/a\\b' }, 10021, /base_path: The value must not contain backslashes\.$/],
    [{ base_path: '/a\0' }, 10021, /base_path: The value must not contain control characters\.$/],
    [{ base_path: '/a?b' }, 10021, /base_path: The value must not contain query strings/],
    [{ base_path: '/%61' }, 10021, /base_path: The value must not contain percent-encoded/],
    [
      { _redirects: '/a /b\n/* /index.html 200' },
      100_324,
      /^Invalid _redirects configuration:\nLine 2: Infinite loop detected in this rule\. This would/,
    ],
  ] as const) {
    test(`refused: ${JSON.stringify(raw)}`, () => {
      assert.throws(
        () => readSiteConfig(raw, facts),
        (error) =>
          error instanceof ApiError &&
          error.code === code &&
          error.status === 400 &&
          message.test(error.message),
      )
    })
  }

  test('lines that are skipped are told', () => {
    const { warnings } = readSiteConfig({ _redirects: '/a', _headers: '/b' }, facts)
    assert.deepEqual(
      warnings.map(({ file, message }) => [file, message]),
      [
        ['_redirects', 'Expected exactly 2 or 3 whitespace-separated tokens. Got 1.'],
        ['_headers', 'No headers specified'],
      ],
    )
  })

  test('is compiled once for each object, also one that was stored', () => {
    const { config } = readSiteConfig({ _redirects: '/a/* /b' }, facts)
    const stored: typeof config = JSON.parse(JSON.stringify(config))
    assert.equal(compiledOf(stored), compiledOf(stored))
    assert.equal(compiledOf(stored).dynamicRedirects.length, 1)
  })
})
