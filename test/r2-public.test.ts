import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { call, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer, type Visit } from '#test/server.ts'

// A bucket that everybody may read, through ingress.

const etag = '"781e5e245d69b566979b86e28d23f2c7"'
const lastModified = /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/

suite('a public bucket', () => {
  let server: TestServer
  let place: Place
  let host: string

  const managed = async (name: string, enabled: boolean): Promise<string> => {
    const set = await call(place, 'PUT', `~/r2/buckets/${name}/domains/managed`, { enabled })
    return z.object({ domain: z.string() }).parse(set).domain.split(':')[0] ?? ''
  }
  const put = async (
    key: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string>,
  ) => {
    const { apiUrl, account, token } = place
    const url = `${apiUrl}/accounts/${account}/r2/buckets/shown/objects/${encodeURIComponent(key)}`
    const authorization = `Bearer ${token}`
    const answer = await fetch(url, { method: 'PUT', body, headers: { authorization, ...headers } })
    assert.equal(answer.status, 200, await answer.text())
  }
  const visit = (path: string, more: Visit = {}): Promise<Response> =>
    server.visit('', path, { host, ...more })

  before(async () => {
    server = await startTestServer()
    place = placeOf(server)
    await call(place, 'POST', '~/r2/buckets', { name: 'shown' })
    host = await managed('shown', true)
    await put('a b/é.txt', '0123456789', { 'content-type': 'text/x', 'cache-control': 'no-store' })
    await put('large', new Uint8Array(3_000_000).fill(7), { 'content-encoding': 'br' })
    await put('empty', '', {})
  })
  after(() => server[Symbol.asyncDispose]())

  const path = '/a%20b/%C3%A9.txt'

  test('its objects are read, with their metadata', async () => {
    const answer = await visit(`${path}?x=1`)
    assert.equal(answer.status, 200)
    assert.equal(await answer.text(), '0123456789')
    const { headers } = answer
    assert.equal(headers.get('etag'), etag)
    assert.equal(headers.get('content-type'), 'text/x')
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('accept-ranges'), 'bytes')
    assert.equal(headers.get('content-length'), '10')
    assert.match(headers.get('last-modified') ?? '', lastModified)
  })

  test('large ones too, as they are stored', async () => {
    const answer = await visit('/large')
    assert.equal(answer.headers.get('content-encoding'), 'br')
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), new Uint8Array(3_000_000).fill(7))
    assert.equal((await (await visit('/empty')).arrayBuffer()).byteLength, 0)
  })

  const ranges: readonly (readonly [string, number, string, string | null])[] = [
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=8-100', 206, '89', 'bytes 8-9/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=1-2,4-5', 200, '0123456789', null],
    ['lines=1-2', 200, '0123456789', null],
  ]
  for (const [range, status, body, contentRange] of ranges) {
    test(`Range: ${range}`, async () => {
      const answer = await visit(path, { headers: { range } })
      assert.deepEqual(
        [answer.status, await answer.text(), answer.headers.get('content-range')],
        [status, body, contentRange],
      )
    })
  }

  const conditions: readonly (readonly [Readonly<Record<string, string>>, number])[] = [
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': `W/${etag}, "x"` }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"x"' }, 200],
    [{ 'if-match': etag }, 200],
    [{ 'if-match': '"x"' }, 412],
    [{ 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' }, 304],
    [{ 'if-modified-since': 'Fri, 01 Jan 2010 00:00:00 GMT' }, 200],
    [{ 'if-unmodified-since': 'Fri, 01 Jan 2010 00:00:00 GMT' }, 412],
    [{ range: 'bytes=0-1', 'if-range': etag }, 206],
    [{ range: 'bytes=0-1', 'if-range': '"x"' }, 200],
  ]
  for (const [headers, status] of conditions) {
    test(JSON.stringify(headers), async () => {
      const answer = await visit(path, { headers })
      assert.equal(answer.status, status)
      if (status === 304) assert.equal(answer.headers.get('etag'), etag)
    })
  }

  test('what is not there, and what may not be done', async () => {
    assert.equal((await visit('/none')).status, 404)
    assert.equal((await visit('/')).status, 404)
    assert.equal((await visit('/%ff')).status, 400)
    assert.equal((await visit(path, { method: 'PUT', body: 'x' })).status, 405)
    assert.equal((await visit(path, { method: 'DELETE' })).status, 405)
    const head = await visit(path, { method: 'HEAD', headers: { range: 'bytes=0-1' } })
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, '10'])
  })

  test('pages of other origins read it where a rule lets them', async () => {
    const origin = 'https://a.example'
    const rules = [{ allowed: { origins: [origin], methods: ['GET'] } }]
    await call(place, 'PUT', '~/r2/buckets/shown/cors', { rules })
    const asked = { origin, 'access-control-request-method': 'GET' }
    assert.equal((await visit(path, { method: 'OPTIONS', headers: asked })).status, 204)
    const other = { ...asked, origin: 'https://b.example' }
    assert.equal((await visit(path, { method: 'OPTIONS', headers: other })).status, 403)
    const answer = await visit(path, { headers: { origin } })
    assert.equal(answer.headers.get('access-control-allow-origin'), origin)
  })

  test('it is as if it were not there once it is not public, or under another name', async () => {
    const other = host.replace(/[0-9a-f]{32}/, '0'.repeat(32))
    assert.equal((await visit(path, { host: other })).status, 404)
    assert.equal((await visit(path, { host: `${host}.evil` })).status, 404)
    await managed('shown', false)
    assert.equal((await visit(path)).status, 404)
    await managed('shown', true)
    await server.restart()
    assert.equal((await visit(path)).status, 200)
  })
})
