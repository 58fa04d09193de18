import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { canonicalUrl } from '#contract/canonical-url.ts'
import { accountId, type WorkerName, workerName } from '#contract/ids.ts'
import type { RoutedWorker, RoutePattern, ZoneRoutes } from '#contract/snapshot.ts'
import { parseRoutePattern } from '#deploy/route-pattern.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { routesOf, workerFor, zoneOf } from './patterns.ts'

const account = accountId.parse('0'.repeat(32))
const routed = (name: string): RoutedWorker => ({ account, worker: workerName.parse(name) })

/** Routes of a zone, as pairs of a pattern and a Worker; custom domains, by host. */
function zone(
  routes: Readonly<Record<string, string | null>>,
  domains: Readonly<Record<string, string>> = {},
  name = 'example.com',
): ZoneRoutes {
  return {
    domains: new Map(Object.entries(domains).map(([host, worker]) => [host, routed(worker)])),
    routes: Object.entries(routes).map(([pattern, worker]): RoutePattern => ({
      ...parseRoutePattern(pattern, name),
      ...(worker !== null && { worker: routed(worker) }),
    })),
  }
}

function found(zones: ReadonlyMap<string, ZoneRoutes>, url: string): WorkerName | undefined {
  const [, protocol, hostname = '', path = ''] = /^(https?):\/\/([^/?#\\]*)(.*)$/.exec(url) ?? []
  const own = zoneOf(zones, hostname)
  if (!own || (protocol !== 'http' && protocol !== 'https')) return undefined
  return workerFor(routesOf(own, hostname), { protocol, url: path })?.worker
}

/** One pattern, and requests that it matches (or, with "!", does not). */
const single: Readonly<Record<string, readonly string[]>> = {
  'example.com': [
    'http://example.com/',
    'https://example.com/',
    '!http://example.com/a',
    '!http://example.com/?',
    '!http://www.example.com/',
  ],
  'example.com/*': [
    'https://example.com/',
    'https://example.com/a/b',
    'https://example.com/?q',
    '!https://www.example.com/',
  ],
  'https://*.example.com/': [
    'https://www.example.com/',
    '!http://www.example.com/',
    '!https://example.com/',
  ],
  'http://example.com/*': ['http://example.com/a', '!https://example.com/a'],
  '*.example.com/': [
    'https://www.example.com/',
    'http://a.b.example.com/',
    '!https://example.com/',
    '!https://www.example.com/a',
  ],
  '*example.com/': ['https://example.com/', 'https://www.example.com/', '!https://example.com/a'],
  '*example.com/*': [
    'https://example.com/a',
    'https://www.example.com/path',
    'https://a.b.c.example.com/',
  ],
  '*sub.example.com/*': [
    'http://sub.example.com/',
    'http://mysub.example.com/',
    'http://a.sub.example.com/',
    '!http://sub2.example.com/',
  ],
  '*.sub.example.com/*': [
    'http://a.sub.example.com/',
    '!http://mysub.example.com/',
    '!http://sub.example.com/',
  ],
  '*/*': ['http://example.com/', 'http://any.example.com/x'],
  'example.com/path*': [
    'https://example.com/path',
    'https://example.com/path2',
    'https://example.com/path/readme.txt',
    'https://example.com/path?q=1',
    '!https://example.com/pat',
    '!https://example.com/Path',
  ],
  'example.com/path/*': [
    'https://example.com/path/',
    'https://example.com/path/a',
    '!https://example.com/path',
  ],
  'example.com/cat.png': [
    'https://example.com/cat.png',
    '!https://example.com/cat.png?foo=bar',
    '!https://example.com/cat.png/',
  ],
  'example.com/Images/*': ['https://example.com/Images/a', '!https://example.com/images/a'],
  'example.com/größe': [
    'https://example.com/gr%C3%B6%C3%9Fe',
    'https://example.com/gr%c3%b6%c3%9fe',
    '!https://example.com/gr',
  ],
  // Nobody walks around a route.
  'example.com/admin/*': [
    'http://example.com/admin/x',
    'http://example.com/x/../admin/x',
    'http://example.com/./admin/x',
    'http://example.com/%61dmin/x',
    'http://example.com/x/%2e%2E/admin/x',
    'http://example.com//admin/x',
    'http://example.com/\\admin/x',
    'http://example.com/x\\..\\admin/x',
    'http://example.com/admin/?next=/../public',
    '!http://example.com/admin/../public',
    '!http://example.com/admin%2Fx',
    '!http://example.com/?/admin/x',
  ],
  'example.com/admin': [
    'http://example.com/admin',
    'http://example.com/admin#a',
    'http://example.com/admin#?',
    '!http://example.com/admin?',
  ],
}

/** Several patterns, custom domains below "@", and who gets a request. */
const many: readonly (readonly [
  Readonly<Record<string, string | null>>,
  Readonly<Record<string, string | null>>,
])[] = [
  [
    { 'www.example.com/*': 'a', '*.example.com/*': 'b', '*example.com/*': 'c', '*/*': 'd' },
    { 'https://www.example.com/': 'a', 'https://x.example.com/': 'b', 'https://example.com/': 'c' },
  ],
  [
    { 'example.com/*': 'a', 'example.com/hello/*': 'b', 'example.com/hello/world': 'c' },
    {
      'http://example.com/hello/world': 'c',
      'http://example.com/hello/world!': 'b',
      'http://example.com/hello': 'a',
    },
  ],
  [
    // The host decides before the path does.
    { '*.example.com/a': 'a', 'a.example.com/*': 'b' },
    {
      'http://a.example.com/a': 'b',
      'http://b.example.com/a': 'a',
      'http://b.example.com/b': null,
    },
  ],
  [
    { '*.sub.example.com/*': 'a', '*.example.com/*': 'b', '*b.sub.example.com/*': 'c' },
    {
      'http://x.sub.example.com/': 'a',
      'http://b.sub.example.com/': 'c',
      'http://sub.example.com/': 'b',
    },
  ],
  [
    { '*example.com/images/cat.png': null, '*example.com/images/*': 'a' },
    {
      'http://example.com/images/dog.png': 'a',
      'http://example.com/images/cat.png': null,
      'http://example.com/images/cat.png?foo=bar': 'a',
    },
  ],
  [
    { 'example.com/*': 'a', 'https://example.com/*': 'b' },
    { 'http://example.com/': 'a', 'https://example.com/': 'b' },
  ],
  [
    { 'example.com/images/*': 'a', 'example.com/images*': 'b' },
    {
      'http://example.com/images/x': 'a',
      'http://example.com/images': 'b',
      'http://example.com/images1': 'b',
    },
  ],
  [
    // Routes come before custom domains, which are what is behind them.
    {
      '@api.example.com': 'origin',
      'api.example.com/auth': 'a',
      'api.example.com/static/*': null,
      '*.example.com/all/*': 'b',
    },
    {
      'http://api.example.com/auth': 'a',
      'http://api.example.com/else': 'origin',
      'http://api.example.com/static/x': 'origin',
      'http://api.example.com/all/x': 'b',
      'http://www.example.com/all/x': 'b',
      'http://www.example.com/': null,
    },
  ],
]

suite('which Worker a zone gives a request to', () => {
  for (const [pattern, requests] of Object.entries(single)) {
    test(pattern, () => {
      const zones = new Map([['example.com', zone({ [pattern]: 'w' })]])
      for (const request of requests) {
        const url = request.replace(/^!/, '')
        assert.equal(found(zones, url), request === url ? 'w' : undefined, request)
      }
    })
  }

  test('the most specific of several wins, in whichever order they are', () => {
    for (const [given, expected] of many) {
      const split = Object.groupBy(Object.entries(given), ([name]) =>
        name[0] === '@' ? 'domains' : 'routes',
      )
      const domains = Object.fromEntries(
        (split.domains ?? []).map(([name, worker]) => [name.slice(1), worker ?? '']),
      )
      for (const routes of [split.routes ?? [], (split.routes ?? []).toReversed()]) {
        const zones = new Map([['example.com', zone(Object.fromEntries(routes), domains)]])
        for (const [url, worker] of Object.entries(expected)) {
          assert.equal(found(zones, url) ?? null, worker, `${url} of ${Object.keys(given).join()}`)
        }
      }
    }
  })

  test('a host is in the longest of its zones, and in no other', () => {
    const zones = new Map([
      ['example.com', zone({ '*example.com/*': 'outer' })],
      ['sub.example.com', zone({ 'sub.example.com/a': 'inner' }, {}, 'sub.example.com')],
      ['workers.example.com', zone({})],
    ])
    const cases: Readonly<Record<string, string | undefined>> = {
      'http://example.com/': 'outer',
      'http://x.example.com/': 'outer',
      'http://sub.example.com/a': 'inner',
      'http://sub.example.com/b': undefined,
      'http://x.sub.example.com/a': undefined,
      'http://x.workers.example.com/': undefined,
      'http://xsub.example.com/': 'outer',
      'http://notexample.com/': undefined,
      'http://com/': undefined,
    }
    for (const [url, worker] of Object.entries(cases)) assert.equal(found(zones, url), worker, url)
  })

  test('one pattern alone matches what its definition says', () => {
    const random = numbersFrom(seed)
    const one = (...options: readonly string[]): string =>
      options[Math.floor(random() * options.length)] ?? ''
    for (let round = 0; round < 3_000; round++) {
      const scheme = one('', 'http://', 'https://')
      const host = one('', '*', '*.') + one('example.com', 'a.example.com', 'b.a.example.com')
      const path = one('', '/', '/a', '/a/', '/a/b', '/b') + one('', '*')
      if (path === '*') continue
      const pattern = scheme + host + path
      const url =
        one('http://', 'https://') +
        one('', 'a.', 'b.', 'b.a.', 'xa.') +
        'example.com' +
        one('/', '/a', '/a/', '/a/b', '/ab', '/a?b')
      // Without a scheme, a star stands for one; without a path, there is a slash.
      const full = `${scheme || '*://'}${host}${path || '/'}`
      const expected = new RegExp(
        `^${full
          .split('*')
          .map((piece) => piece.replaceAll(/[.?/]/g, String.raw`\$&`))
          .join('.*')}$`,
      )
      const isMatch = expected.test(url) && isHostMatch(host, new URL(url).hostname)
      const zones = new Map([['example.com', zone({ [pattern]: 'w' })]])
      assert.equal(found(zones, url) === 'w', isMatch, `${pattern} ${url} (seed ${seed})`)
    }
  })

  test('URLs have one form', () => {
    const cases: Readonly<Record<string, string>> = {
      '/': '/',
      '/a/b?c=/../d#': '/a/b?c=/../d',
      '/%7Euser': '/~user',
      '/%2f%3f': '/%2F%3F',
      '/a/%2e%2e/b': '/b',
      '/..': '/',
      '/../../a': '/a',
      '//a//b//': '/a/b/',
      '/a\\b': '/a/b',
      // As the Worker sees it, the empty segment is what the dots take away.
      '/a//../b': '/a/b',
      '/a/%2f//.%2E/b': '/a/%2F/b',
      '/a\\\\..\\b': '/a/b',
      '/x/..//a': '/a',
      '/a/.//..//../b': '/a/b',
      '/%': '/%',
      '/%zz': '/%zz',
      '/.well-known/x': '/.well-known/x',
      '/ü': '/%C3%BC',
    }
    for (const [url, form] of Object.entries(cases)) {
      assert.equal(canonicalUrl(url), form, url)
      assert.equal(canonicalUrl(form), form, form)
    }
  })
})

function isHostMatch(pattern: string, host: string): boolean {
  if (!pattern.startsWith('*')) return host === pattern
  return host.endsWith(pattern.slice(1))
}
