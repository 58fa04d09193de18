import assert from 'node:assert/strict'
import { numbersFrom, seed } from '#test/random.ts'
import type { SiteFile } from '#test/site.ts'

// A site whose names collide in every way, ways to serve it, and what visitors may ask it.

/** How many URLs are asked of each way. */
const urls = Number(process.env['BINDERY_TEST_ASSET_URLS'] ?? 150)
export const host = 'example.com'
const random = numbersFrom(seed)

function pick<Item>(items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] ?? assert.fail('nothing to pick')
}

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
}
const names = ['a', 'b', 'index', '404', 'x y', 'ä', '%41', 'a+b', "@'()", 'a.b', 'A', 'a~[b]']
const ends = [
  '.html',
  '.html',
  '/index.html',
  '/index.html',
  '/404.html',
  '',
  '.txt',
  '.js',
  '.json',
]

/** Names that collide in every way that a disk allows. */
export function generateSite(): Record<string, SiteFile> {
  const files: Record<string, SiteFile> = {
    '/index.html': { content: 'root', type: types['html'] ?? '' },
  }
  for (let n = 0; n < 400; n++) {
    const path = `/${Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(names)).join('/')}${pick(ends)}`
    const isFolder = Object.keys(files).some((other) => other.startsWith(`${path}/`))
    const folders = path.split('/').slice(1, -1)
    const isBelowFile = folders.some((_, at) => files[`/${folders.slice(0, at + 1).join('/')}`])
    if (isFolder || isBelowFile || files[path]) continue
    const type = types[/\.(html|txt|js|json)$/.exec(path)?.[1] ?? '']
    // Two files that may stand for each other often have one content.
    // Workerd's own takes files of one content for different ones: their tags are made of paths.
    files[path] = { content: `content of ${path}`, ...(type !== undefined && { type }) }
  }
  return files
}

export const rules = {
  _redirects: `/old /a 301
/old/ /b/
/query /a?own=1#part
/out https://other.test/x?y=1
/here https://${host}/a
/host //other.test/x
/twice%20x /b 308
/show /a 200
/show-html /a.html 200
/show-nothing /no/such 200
/r/* /b/:splat 303
/p/:first/:second /:second/:first?swapped#:first
/q/:name.html /:name 307
/s/* https://other.test/:splat
/t/:host https://:host.test/x 301
/u/* /:splat 200
/index2 /`,
  _headers: `/*
  X-All: 1
  X-Twice: a
/a/*
  X-Splat: :splat
  X-Twice: b
  ! Cache-Control
/:one/:two
  X-Named: :two-:one-:three
https://${host}/b*
  X-Host: yes
https://other.test/*
  X-Host: no
https://:sub.com/*
  X-Sub: :sub
/*.txt
  Content-Type: text/x-mine
  ! ETag
/404
  X-All: again
  Set-Cookie: a=1`,
}

export type Way = {
  readonly name: string
  readonly config: Readonly<Record<string, unknown>>
  readonly hasWorker: boolean
}

const handlings = ['auto-trailing-slash', 'force-trailing-slash', 'drop-trailing-slash', 'none']
export const ways: Way[] = [
  ...handlings.flatMap((html_handling) =>
    ['none', 'single-page-application', '404-page'].flatMap((not_found_handling) =>
      [{}, rules].map((more) => ({
        name: `${html_handling}, ${not_found_handling}${more === rules ? ', rules' : ''}`,
        config: { html_handling, not_found_handling, ...more },
        hasWorker: false,
      })),
    ),
  ),
  ...[
    {},
    { not_found_handling: 'single-page-application' },
    { not_found_handling: '404-page', ...rules },
    { run_worker_first: true },
    { run_worker_first: ['/a/*', '!/a/b*', '/*x', '/p*q*r'], ...rules },
    { run_worker_first: ['/b*'], not_found_handling: 'single-page-application' },
    { html_handling: 'none', not_found_handling: '404-page' },
  ].map((config) => ({
    name: `Worker, ${JSON.stringify(config).slice(0, 80)}`,
    config,
    hasWorker: true,
  })),
  ...handlings.map((html_handling) => ({
    name: `base path, ${html_handling}`,
    config: { html_handling, base_path: '/a', not_found_handling: '404-page', ...rules },
    hasWorker: false,
  })),
]

export type Asked = {
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
}

const oddities = [
  '/..%2fa',
  '/%2e%2e/a',
  '/a/../b',
  '/./a',
  '/%00',
  '/a%00.html',
  '/..%5ca',
  '/a\\b',
  '/\\a',
  '/%5Ca',
  '//a',
  '//other.test',
  '/a//b',
  '/%2f%2fa',
  '/%',
  '/%zz',
  '/%c3%28',
  '/%c0%ae/a',
  '/%252e%252e/a',
  '/;/a',
  '/a;b',
  '/*',
  '/:a',
  '/_headers',
  '/_redirects',
  '/.assetsignore',
  '/cdn-cgi\\a',
  '/cdn-cgi/a',
  '/a?',
  '/a??x',
  "/a?x='<>",
  '/a?x=%zz',
  '/%E4',
  '/\u00c3\u00a4',
  '/index.html?x#y',
  '/index.html/',
  '/a%2findex.html',
  '/.html',
  '//.html',
  '/index/index',
  '/a^b',
  '/a|b',
  '/a`b',
  '/a{b}',
  '/a"b',
  '/a<b>',
] as const

export function generateRequests(files: readonly string[], redirects: readonly string[]): Asked[] {
  const changes: readonly ((path: string) => string)[] = [
    (path) => path,
    (path) => path.replace(/\.html$/, ''),
    (path) => path.replace(/\/index\.html$/, '/'),
    (path) => path.replace(/\/index\.html$/, ''),
    (path) => path.replace(/\/index\.html$/, '/index'),
    (path) => path.replace(/\/index\.html$/, '.html'),
    (path) => path.replace(/\.html$/, '/'),
    (path) => path.replace(/\.html$/, '/index.html'),
    (path) => path.replace(/\.html$/, '/index'),
    (path) => `${path}/`,
    (path) => `${path}.html`,
    (path) => `${path}/no/such`,
    (path) => path.replace('/', '//'),
    (path) => path.toUpperCase(),
    (path) => path.replace(/%20|a/, (char) => (char === 'a' ? '%61' : '%20')),
    (path) => path.replaceAll(/(?<=.)\//g, '%2f'),
    (path) => path.slice(0, Math.max(1, Math.floor(random() * path.length))).replace(/%.?$/, ''),
    (path) => `/p${path}`,
    (path) => `/r${path}`,
    (path) => `/u${path}`,
  ]
  const requests = Array.from({ length: urls }, (): Asked => {
    const path = encodeURI(pick(files))
    const base =
      random() < 0.1
        ? pick(oddities)
        : random() < 0.15
          ? pick(redirects)
          : `/${pick(changes)(path).slice(1)}`
    const url =
      random() < 0.15 && !base.includes('?') ? `${base}?x=1&y=${pick(['', '%20', "'", '/'])}` : base
    const method = random() < 0.8 ? 'GET' : pick(['HEAD', 'POST', 'OPTIONS', 'DELETE'])
    const headers =
      random() < 0.6
        ? {}
        : pick<Record<string, string>>([
            { 'sec-fetch-mode': 'navigate' },
            { 'sec-fetch-mode': 'cors' },
            { authorization: 'Basic eDp5' },
            { range: 'bytes=0-3' },
            { range: 'lines=1' },
            { 'if-none-match': 'strong' },
            { 'if-none-match': 'weak' },
            { 'if-none-match': 'list' },
            { 'if-none-match': '*' },
            { 'if-none-match': '"other"' },
            { 'accept-encoding': 'gzip, br' },
          ])
    return { url, method, headers }
  })
  return [...requests, ...oddities.map((url) => ({ url, method: 'GET', headers: {} }))]
}
