import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { domainsPerZone, routesPerZone } from '#control/limits.ts'
import { type Answer, type Served, serveInProcess } from '#test/contract/server.ts'

// Zones, routes and custom domains over the REST API: what SDKs and Terraform send.

type Asked = readonly [method: string, path: string, json?: unknown, token?: string]

const withId = z.looseObject({ id: z.string() })
const metadata = { main_module: 'a.js', compatibility_date: '2026-11-01' }

suite('zones, routes and custom domains', () => {
  let server: Served
  let zone: string
  /** A token for another account, and one that may read this account. */
  let stranger: string
  let reader: string

  before(async () => {
    server = await serveInProcess()
    zone = await addZone('example.com')
    for (const name of ['a', 'b']) await deploy(name)
    const other = await made('POST', '/accounts', { name: 'other' })
    stranger = await tokenFor({ account_id: other.id })
    reader = await tokenFor({ account_id: server.account, permission: 'read' })
  })
  after(() => server[Symbol.asyncDispose]())

  function call(...[method, path, json, token]: Asked): Promise<Answer> {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const of = path.replace('~', `/accounts/${server.account}`).replace('ZONE', `/zones/${zone}`)
    return server.call(method, of, { headers, ...(json !== undefined && { json }) })
  }

  async function made(method: string, path: string, json?: unknown) {
    const answer = await call(method, path, json)
    assert.equal(answer.status, 200, answer.text)
    return withId.parse(answer.envelope?.result)
  }

  async function addZone(name: string): Promise<string> {
    return (await made('POST', '/zones', { name, account: { id: server.account } })).id
  }

  async function tokenFor(grant: object): Promise<string> {
    const token = await made('POST', '/user/tokens', { name: 't', ...grant })
    return z.string().parse(token['value'])
  }

  async function deploy(name: string): Promise<void> {
    const form = new FormData()
    form.set('metadata', JSON.stringify(metadata))
    const source = `export default { fetch: () => new Response('${name}') }`
    form.set('a.js', new File([source], 'a.js', { type: 'application/javascript+module' }))
    const path = `/accounts/${server.account}/workers/scripts/${name}`
    const answer = await server.call('PUT', path, { body: form })
    assert.equal(answer.status, 200, answer.text)
  }

  async function at(host: string, path = '/'): Promise<string | number> {
    const { status, body } = await server.visitHost(host, path)
    return status === 200 ? body : status
  }

  test('a route is made, shown, changed, switched off and removed', async () => {
    const { id } = await made('POST', 'ZONE/workers/routes', {
      pattern: 'example.com/*',
      script: 'a',
    })
    const shown = { id, pattern: 'example.com/*', script: 'a' }
    assert.deepEqual((await call('GET', 'ZONE/workers/routes')).envelope?.result, [shown])
    assert.deepEqual((await call('GET', `ZONE/workers/routes/${id}`)).envelope?.result, shown)
    assert.equal(await at('example.com', '/x'), 'a')
    const off = await made('POST', 'ZONE/workers/routes', { pattern: 'example.com/off*' })
    assert.deepEqual([await at('example.com', '/off/x'), await at('example.com')], [404, 'a'])
    await made('PUT', `ZONE/workers/routes/${id}`, { pattern: 'www.example.com/*', script: 'b' })
    assert.deepEqual([await at('example.com'), await at('www.example.com')], [404, 'b'])
    for (const route of [off.id, id]) await made('DELETE', `ZONE/workers/routes/${route}`)
    assert.equal(await at('www.example.com'), 404)
    assert.deepEqual((await call('GET', 'ZONE/workers/routes')).envelope?.result, [])
  })

  test('a custom domain is made, shown, moved, switched off and removed', async () => {
    const wanted = { hostname: 'App.example.com', service: 'a', environment: 'production' }
    const { id } = await made('PUT', '~/workers/domains', { ...wanted, zone_id: zone })
    const shown = {
      id,
      hostname: 'app.example.com',
      service: 'a',
      environment: 'production',
      zone_id: zone,
      zone_name: 'example.com',
      enabled: true,
      previews_enabled: false,
    }
    for (const root of ['~/workers/domains', '~/workers/domains/records']) {
      assert.deepEqual((await call('GET', `${root}/${id}`)).envelope?.result, shown)
      assert.deepEqual((await call('GET', `${root}?service=a`)).envelope?.result, [shown])
      assert.deepEqual((await call('GET', `${root}?service=b`)).envelope?.result, [])
    }
    assert.equal(await at('app.example.com', '/x'), 'a')
    const moved = { ...wanted, service: 'b' }
    const refused = await call('PUT', '~/workers/domains', moved)
    assert.deepEqual([refused.status, refused.codes], [409, [100116]])
    await made('PUT', '~/workers/domains', { ...moved, override_existing_origin: true })
    assert.equal(await at('app.example.com'), 'b')
    const changeset = await call('POST', '~/workers/scripts/a/domains/changeset', [
      { hostname: 'app.example.com' },
      { hostname: 'new.example.com', previews_enabled: true },
    ])
    assert.partialDeepStrictEqual(changeset.envelope?.result, {
      added: [{ hostname: 'new.example.com', previews_enabled: true }],
      updated: [{ id, service: 'a', modified: true }],
      removed: [],
      conflicting: [],
    })
    const off = { origins: [{ hostname: 'app.example.com', enabled: false }] }
    assert.equal((await call('PUT', '~/workers/scripts/b/domains/records', off)).status, 200)
    assert.equal(await at('app.example.com'), 404)
    await made('DELETE', `~/workers/domains/${id}`)
    assert.equal((await call('GET', `~/workers/domains/${id}`)).status, 404)
  })

  test('what is wrong is refused with its code, and changes nothing', async () => {
    await made('POST', 'ZONE/workers/routes', { pattern: 'example.com/taken/*', script: 'a' })
    const route = (pattern: unknown, script: unknown = 'a') => ({ pattern, script })
    const domain = (hostname: string, more = {}) => ({ hostname, service: 'a', ...more })
    const cases: readonly (readonly [string, string, unknown, number, number])[] = [
      ['POST', 'ZONE/workers/routes', route('example.com/*', 'nobody'), 400, 10019],
      ['POST', 'ZONE/workers/routes', route('EXAMPLE.com/taken/*', 'b'), 409, 10020],
      ['POST', 'ZONE/workers/routes', route('example.com/taken/*'), 409, 10020],
      ['POST', 'ZONE/workers/routes', route('example.org/*'), 400, 10022],
      ['POST', 'ZONE/workers/routes', route(1), 400, 10026],
      ['POST', 'ZONE/workers/routes', route('example.com/*', 'No Name'), 400, 10026],
      ['GET', `ZONE/workers/routes/${'0'.repeat(32)}`, undefined, 404, 10005],
      ['PUT', 'ZONE/workers/routes/x', route('example.com/*'), 404, 10005],
      ['DELETE', 'ZONE/workers/routes/x', undefined, 404, 10005],
      ['GET', '/zones/x', undefined, 404, 7003],
      ['PUT', '~/workers/scripts/nobody/routes', [], 404, 10007],
      ['PUT', '~/workers/scripts/a/routes', [{ pattern: 'example.org/*' }], 404, 10083],
      ['PUT', '~/workers/scripts/a/routes', [{ pattern: '*/*' }], 404, 10083],
      [
        'PUT',
        '~/workers/scripts/a/routes',
        [{ pattern: 'example.com/*', zone_id: 'x' }],
        404,
        10083,
      ],
      [
        'PUT',
        '~/workers/scripts/a/routes',
        [{ pattern: 'example.com' }, { pattern: 'example.com/' }],
        409,
        10020,
      ],
      ['PUT', '~/workers/scripts/b/routes', [{ pattern: 'example.com/taken/*' }], 409, 10020],
      ['PUT', '~/workers/scripts/a/routes', {}, 400, 10026],
      ['PUT', '~/workers/domains', domain('example.org'), 404, 10083],
      ['PUT', '~/workers/domains', domain('*.example.com'), 400, 10022],
      ['PUT', '~/workers/domains', domain('x.example.com', { service: 'nobody' }), 404, 10007],
      ['PUT', '~/workers/domains', domain('x.example.com', { environment: 'staging' }), 404, 10007],
      ['POST', '/zones', { name: 'example.com', account: { id: server.account } }, 400, 1061],
      ['POST', '/zones', { name: 'a.localhost', account: { id: server.account } }, 400, 1097],
      ['POST', '/zones', { name: 'a b', account: { id: server.account } }, 400, 1049],
      ['POST', '/zones', { name: 'x.test', account: { id: '0'.repeat(32) } }, 404, 7003],
      ['POST', '/zones', { name: 'x.test' }, 400, 10026],
    ]
    const routesBefore = (await call('GET', 'ZONE/workers/routes')).text
    for (const [method, path, json, status, code] of cases) {
      const answer = await call(method, path, json)
      const what = `${method} ${path} ${JSON.stringify(json)}: ${answer.text}`
      assert.deepEqual([answer.status, answer.codes], [status, [code]], what)
    }
    assert.equal((await call('GET', 'ZONE/workers/routes')).text, routesBefore)
    assert.deepEqual((await call('GET', '~/workers/domains')).envelope?.result, [])
  })

  test('a zone is its account’s alone, and no token adds one but the operator’s', async () => {
    const body = { name: 'mine.test', account: { id: server.account } }
    const route = { pattern: 'example.com/*', script: 'a' }
    const cases: readonly (readonly [string, string, unknown, string, number])[] = [
      ['GET', 'ZONE', undefined, stranger, 404],
      ['GET', 'ZONE/workers/routes', undefined, stranger, 404],
      ['POST', 'ZONE/workers/routes', route, stranger, 404],
      ['DELETE', 'ZONE', undefined, stranger, 403],
      ['POST', '/zones', body, stranger, 403],
      ['PUT', '~/workers/scripts/a/routes', [], stranger, 403],
      ['GET', 'ZONE', undefined, reader, 200],
      ['POST', 'ZONE/workers/routes', route, reader, 403],
      ['PUT', '~/workers/scripts/a/routes', [], reader, 403],
      ['PUT', '~/workers/scripts/a/domains/records', { origins: [] }, reader, 403],
    ]
    for (const [method, path, json, token, status] of cases) {
      assert.equal((await call(method, path, json, token)).status, status, `${method} ${path}`)
    }
    const seen = await call('GET', '/zones?name=example.com', undefined, stranger)
    assert.deepEqual(seen.envelope?.result, [])
  })

  test('a zone of others’ Workers’ hosts routes none of them', async () => {
    const outer = await addZone('outer.test')
    await addZone('inner.outer.test')
    const path = `/zones/${outer}/workers/routes`
    const inside = await call('POST', path, { pattern: 'x.inner.outer.test/*', script: 'a' })
    assert.deepEqual(inside.codes, [10022])
    assert.equal((await call('POST', path, { pattern: '*.outer.test/*', script: 'a' })).status, 200)
    assert.equal(await at('x.outer.test'), 'a')
    assert.equal(await at('x.inner.outer.test'), 404)
    assert.equal((await call('DELETE', `/zones/${outer}`)).status, 200)
    assert.equal(await at('x.outer.test'), 404)
  })

  test('a zone has so many custom domains and no more, whosever they are', async () => {
    const names = Array.from({ length: domainsPerZone }, (_, n) => ({
      hostname: `${n}.example.com`,
    }))
    const set = (worker: string, origins: readonly object[]): Promise<Answer> =>
      call('PUT', `~/workers/scripts/${worker}/domains/records`, { origins })
    assert.equal((await set('a', names.slice(1))).status, 200)
    assert.equal((await set('b', names.slice(0, 1))).status, 200)
    const more = await set('b', [{ hostname: 'b.example.com' }, { hostname: 'c.example.com' }])
    assert.deepEqual([more.status, more.codes], [400, [10021]])
    assert.deepEqual([await at('0.example.com'), await at('b.example.com')], ['b', 404])
    for (const worker of ['a', 'b']) assert.equal((await set(worker, [])).status, 200)
    assert.equal(await at('0.example.com'), 404)
  })

  test('a zone has so many routes and no more', async () => {
    const full = await addZone('full.test')
    const patterns = Array.from({ length: routesPerZone }, (_, n) => ({
      pattern: `full.test/${n}`,
    }))
    assert.equal((await call('PUT', '~/workers/scripts/b/routes', patterns)).status, 200)
    const more = { pattern: 'full.test/more', script: 'a' }
    const refused = await call('POST', `/zones/${full}/workers/routes`, more)
    assert.deepEqual([refused.status, refused.codes], [400, [10021]])
    assert.equal(await at('full.test', `/${routesPerZone - 1}`), 'b')
    assert.equal((await call('PUT', '~/workers/scripts/b/routes', [])).status, 200)
  })
})
