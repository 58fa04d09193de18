import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Site } from '#contract/assets.ts'
import { openSite, read, requestOf } from '#test/site.ts'
import { memoryFileBytes } from './limits.ts'

const html = 'text/html; charset=utf-8'
const long = 'all work and no play '.repeat(200)
const large = Uint8Array.from({ length: memoryFileBytes + 10_000 }, (_, at) => at % 251)
const fixture = await openSite({
  '/index.html': { content: 'home', type: html },
  '/about.html': { content: 'about', type: html },
  '/deep/index.html': { content: 'deep', type: html },
  '/deep/404.html': { content: 'deep, nothing', type: html },
  '/404.html': { content: 'nothing', type: html },
  '/both.html': { content: 'file', type: html },
  '/both/index.html': { content: 'folder', type: html },
  '/long.txt': { content: long, type: 'text/plain; charset=utf-8' },
  '/noise.txt': { content: large.slice(0, 2_000), type: 'text/plain' },
  '/large.bin': { content: large, type: 'application/octet-stream' },
  '/bare': { content: 'bare' },
  '/empty': { content: '', type: 'text/plain' },
})
after(() => fixture[Symbol.asyncDispose]())
const { server } = fixture
const plain = fixture.site()

type Options = Parameters<typeof requestOf>[1]

const answer = (site: Site, url: string, options?: Options) =>
  read(Promise.resolve(server.answer(site, requestOf(url, options))))

/** `worker`, or the status of what the files answer. */
async function routed(site: Site, url: string, options?: Options): Promise<string | number> {
  const reply = await server.route(site, requestOf(url, options))
  return reply === 'worker' ? reply : reply.status
}

const text = (body: Uint8Array): string => new TextDecoder().decode(body)

suite('html_handling', () => {
  const cases: Readonly<Record<string, readonly (readonly [string, number, string])[]>> = {
    'auto-trailing-slash': [
      ['/', 200, 'home'],
      ['/about', 200, 'about'],
      ['/deep/', 200, 'deep'],
      ['/about.html', 307, '/about'],
      ['/about/', 307, '/about'],
      ['/about/index', 307, '/about'],
      ['/deep', 307, '/deep/'],
      ['/deep.html', 307, '/deep/'],
      ['/deep/index.html', 307, '/deep/'],
      ['/deep/index', 307, '/deep/'],
      ['/index.html?q=1', 307, '/?q=1'],
      ['/both', 200, 'file'],
      ['/both/', 200, 'folder'],
      ['/both.html', 307, '/both'],
      ['/bare', 200, 'bare'],
    ],
    'force-trailing-slash': [
      ['/about/', 200, 'about'],
      ['/about', 307, '/about/'],
      ['/about.html', 307, '/about/'],
      ['/deep/', 200, 'deep'],
      ['/deep', 307, '/deep/'],
      ['/both/', 200, 'folder'],
      ['/bare', 200, 'bare'],
    ],
    'drop-trailing-slash': [
      ['/', 200, 'home'],
      ['/about', 200, 'about'],
      ['/about/', 307, '/about'],
      ['/deep', 200, 'deep'],
      ['/deep/', 307, '/deep'],
      ['/deep/index.html', 307, '/deep'],
    ],
    none: [
      ['/', 404, ''],
      ['/about', 404, ''],
      ['/about.html', 200, 'about'],
      ['/deep/index.html', 200, 'deep'],
      ['/deep/', 404, ''],
    ],
  }
  for (const [handling, rows] of Object.entries(cases)) {
    const site = fixture.site({ html_handling: handling })
    for (const [url, status, expected] of rows) {
      test(`${handling}: ${url}`, async () => {
        const { status: seen, headers, body } = await answer(site, url)
        assert.deepEqual([seen, headers['location'] ?? text(body)], [status, expected])
      })
    }
  }
})

suite('not_found_handling', () => {
  const cases: readonly (readonly [string, string, number, string])[] = [
    ['none', '/no', 404, ''],
    ['single-page-application', '/no/such/page', 200, 'home'],
    ['404-page', '/no', 404, 'nothing'],
    ['404-page', '/deep/no', 404, 'deep, nothing'],
    ['404-page', '/deep/er/no', 404, 'deep, nothing'],
    ['404-page', '/about/no', 404, 'nothing'],
  ]
  for (const [handling, url, status, body] of cases) {
    test(`${handling}: ${url}`, async () => {
      const seen = await answer(fixture.site({ not_found_handling: handling }), url)
      assert.deepEqual([seen.status, text(seen.body)], [status, body])
    })
  }
})

suite('who answers', () => {
  const navigation = { headers: { 'sec-fetch-mode': 'navigate' } }
  const spa = { not_found_handling: 'single-page-application' }
  const post = { method: 'POST' }
  type Row = readonly [object, string, Options | undefined, string | number]
  const cases: readonly Row[] = [
    [{}, '/about', undefined, 200],
    [{}, '/api', undefined, 'worker'],
    [{}, '/about.html', undefined, 307],
    [{}, '/about', post, 405],
    [{}, '/api', post, 'worker'],
    [{ not_found_handling: '404-page' }, '/api', undefined, 'worker'],
    [spa, '/api', navigation, 200],
    [spa, '/api', undefined, 'worker'],
    [{ run_worker_first: true }, '/about', undefined, 'worker'],
    [{ run_worker_first: ['/a*'] }, '/about', undefined, 'worker'],
    [{ run_worker_first: ['/a*', '!/about'] }, '/about', undefined, 200],
    [{ run_worker_first: ['/x', '!/api'] }, '/api', undefined, 404],
    [{ run_worker_first: ['/x'], ...spa }, '/api', undefined, 200],
    [{ _redirects: '/api /about' }, '/api', post, 302],
    [{}, '/cdn-cgi\\image', undefined, 307],
    [{}, '/_image?href=//elsewhere.test/x', undefined, 403],
    [{}, '/_image?href=//example.com/x', undefined, 'worker'],
  ]
  for (const [config, url, options, expected] of cases) {
    const asked = `${options?.method ?? 'GET'} ${url}${options === navigation ? ', navigating' : ''}`
    test(`${JSON.stringify(config)}: ${asked}`, async () => {
      assert.equal(await routed(fixture.site(config, { hasWorker: true }), url, options), expected)
    })
  }

  test('files alone answer everything', async () => {
    assert.equal(await routed(plain, '/api'), 404)
    assert.equal(await routed(fixture.site({ run_worker_first: true }), '/about'), 200)
  })

  test('a date before navigation mattered leaves it to the Worker', async () => {
    const site = fixture.site(spa, { hasWorker: true, navigates: false })
    assert.equal(await routed(site, '/api', navigation), 'worker')
  })
})

suite('an answer', () => {
  test('says what it is, and that it is to be asked for again', async () => {
    const { hash } = fixture.entry('/about.html')
    await answer(plain, '/about')
    const { headers } = await answer(plain, '/about')
    assert.deepEqual(headers, {
      etag: `"${hash}"`,
      'content-type': html,
      'cache-control': 'public, max-age=0, must-revalidate',
      'cf-cache-status': 'HIT',
      'accept-ranges': 'bytes',
      'content-length': '5',
    })
    assert.equal((await answer(plain, '/noise.txt')).headers['cf-cache-status'], 'MISS')
    assert.equal((await answer(plain, '/noise.txt')).headers['cf-cache-status'], 'HIT')
    const authorized = await answer(plain, '/about', { headers: { authorization: 'x' } })
    assert.equal(authorized.headers['cache-control'], undefined)
    assert.equal((await answer(plain, '/bare')).headers['content-type'], undefined)
  })

  test('to HEAD has no body and the length of one; an empty file has neither', async () => {
    const head = await answer(plain, '/about', { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers['content-length'], text(head.body)], [200, '5', ''])
    const empty = await answer(plain, '/empty')
    assert.deepEqual([empty.status, empty.headers['content-length']], [200, '0'])
  })

  test('is 304 to who has it, in whatever encoding', async () => {
    const { hash } = fixture.entry('/long.txt')
    for (const tag of [`"${hash}"`, `W/"${hash}"`, `"x", W/"${hash}"`, '*']) {
      const headers = { 'if-none-match': tag, 'accept-encoding': 'br' }
      const seen = await answer(plain, '/long.txt', { headers })
      assert.deepEqual([seen.status, text(seen.body)], [304, ''], tag)
      assert.equal(seen.headers['content-length'], undefined)
    }
    const headers = { 'if-none-match': '"other"' }
    assert.equal((await answer(plain, '/long.txt', { headers })).status, 200)
  })

  test('to other methods is 405', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await answer(plain, '/about', { method })
      assert.deepEqual([status, headers['allow']], [405, 'GET, HEAD'], method)
    }
    assert.equal((await answer(plain, '/no', { method: 'POST' })).status, 404)
  })

  const ranges: readonly (readonly [string, string, number, string | undefined, Uint8Array])[] = [
    ['/about', 'bytes=1-2', 206, 'bytes 1-2/5', new TextEncoder().encode('bo')],
    ['/about', 'bytes=5-', 416, 'bytes */5', new Uint8Array()],
    ['/about', 'bytes=0-1,3-4', 200, undefined, new TextEncoder().encode('about')],
    [
      '/large.bin',
      `bytes=${memoryFileBytes}-`,
      206,
      `bytes ${memoryFileBytes}-${large.length - 1}/${large.length}`,
      large.subarray(memoryFileBytes),
    ],
  ]
  for (const [url, range, status, said, body] of ranges) {
    test(`to ${range} of ${url}`, async () => {
      const seen = await answer(plain, url, { headers: { range, 'accept-encoding': 'br' } })
      assert.deepEqual(
        [seen.status, seen.headers['content-range'], seen.headers['content-encoding']],
        [status, said, undefined],
      )
      assert.deepEqual(seen.body, new Uint8Array(body))
    })
  }

  test('of a large file is whole, and a new file is sent whole to who has begun another', async () => {
    assert.deepEqual((await answer(plain, '/large.bin')).body, large)
    const headers = { range: 'bytes=1-2', 'if-range': '"another"' }
    assert.equal((await answer(plain, '/about', { headers })).status, 200)
  })
})

suite('compression', () => {
  const decoders = { br: brotliDecompressSync, gzip: gunzipSync, zstd: zstdDecompressSync }
  for (const [encoding, decode] of Object.entries(decoders)) {
    test(`${encoding}, made once and kept`, async () => {
      const ask = () => answer(plain, '/long.txt', { headers: { 'accept-encoding': encoding } })
      const { headers, body } = await ask()
      assert.equal(headers['content-encoding'], encoding)
      assert.equal(headers['vary'], 'Accept-Encoding')
      assert.equal(headers['etag'], `W/"${fixture.entry('/long.txt').hash}"`)
      assert.equal(headers['content-length'], String(body.byteLength))
      assert.ok(body.byteLength < long.length / 10)
      assert.equal(text(decode(body)), long)
      const stored = await Array.fromAsync(fixture.variants.list())
      assert.deepEqual((await ask()).body, body)
      assert.equal((await Array.fromAsync(fixture.variants.list())).length, stored.length)
    })
  }

  const identical: readonly (readonly [string, string | undefined])[] = [
    ['/large.bin', 'br'],
    ['/about', 'br'],
    ['/long.txt', undefined],
    ['/long.txt', 'identity'],
    ['/long.txt', 'br;q=0, gzip;q=0, zstd;q=0'],
  ]
  for (const [url, accepted] of identical) {
    test(`none of ${url} for ${accepted}`, async () => {
      const headers = accepted === undefined ? {} : { 'accept-encoding': accepted }
      const seen = await answer(plain, url, { headers })
      assert.equal(seen.headers['content-encoding'], undefined)
    })
  }

  test('a rule may say that nobody is to transform a file', async () => {
    const site = fixture.site({ _headers: '/long.txt\n  Cache-Control: no-transform\n' })
    const { headers } = await answer(site, '/long.txt', { headers: { 'accept-encoding': 'br' } })
    assert.equal(headers['content-encoding'], undefined)
  })
})

suite('what nobody is to get', () => {
  const urls = [
    '/..%2f..%2fetc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/deep/..%5c..%5cabout.html',
    '/about.html%00',
    '/%00',
    '/./../../../about.htm',
    '/_headers',
    '/_redirects',
    '/.assetsignore',
    '/.git/config',
    '/%',
    '/%zz',
    '/%ff%fe',
    `/${'a'.repeat(10_000)}`,
    `/${'a/'.repeat(4_000)}`,
    '/__proto__',
    '/constructor',
  ]
  for (const url of urls) {
    test(url.slice(0, 60), async () => {
      const { status } = await answer(plain, url)
      assert.ok(status === 404 || status === 307, String(status))
    })
  }

  test('framing and connection headers are nobody’s to set', async () => {
    const names = ['Content-Length', 'Transfer-Encoding', 'Connection', 'Keep-Alive', 'Upgrade']
    const rules = `/*\n${names.map((name) => `  ${name}: 1\n`).join('')}  X-Fine: yes\n`
    const { headers } = await answer(fixture.site({ _headers: rules }), '/about')
    assert.equal(headers['x-fine'], 'yes')
    assert.equal(headers['content-length'], '5')
    for (const name of names.slice(1)) assert.equal(headers[name.toLowerCase()], undefined, name)
  })

  test('what a rule makes of a long path is no longer than a header may be', async () => {
    const path = '/ä'.repeat(2_000)
    const rules = {
      _headers: `/*\n  X-Ä-Not: 1\n  X-Long: ${':splat'.repeat(300)}\n  X-Text: ä :splat`,
      _redirects: `/r/* /${':splat'.repeat(300)}`,
    }
    const site = fixture.site(rules)
    const missing = await answer(site, encodeURI(path))
    assert.equal(missing.status, 404)
    assert.equal(missing.headers['x-long'], undefined)
    assert.equal(missing.headers['x-text'], `\u00c3\u00a4 ${encodeURI(path).slice(1)}`)
    assert.equal((await answer(site, `/r${encodeURI(path)}`)).status, 404)
    const { status, headers } = await answer(site, '/r/x')
    assert.deepEqual([status, headers['location']], [302, `/${'x'.repeat(300)}`])
  })

  test('a file that is gone is an error, not somebody else’s content', async () => {
    const other = await openSite({ '/a.txt': { content: 'a', type: 'text/plain' } })
    const { blob } = other.entry('/a.txt')
    await other.blobs.delete(blob)
    const seen = await read(Promise.resolve(other.server.answer(other.site(), requestOf('/a.txt'))))
    assert.deepEqual([seen.status, text(seen.body)], [500, ''])
    assert.equal(other.lines.length, 1)
    await other[Symbol.asyncDispose]()
  })
})
