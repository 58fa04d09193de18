import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { withNewestAndOldest, type Wrangler } from '#test/clients.ts'
import { bindery } from '#test/command.ts'
import { ask, call, otherAccount, placeOf } from '#test/deployer.ts'

// Routes and custom domains, with the unmodified wranglers that projects pin.

const says = (text: string): string =>
  `export default { fetch: (request) => new Response(${JSON.stringify(text)}) }`

/** What each URL answers: a Worker's name, or the status. */
async function assertVisits(
  { server }: Wrangler,
  expected: Readonly<Record<string, string | number>>,
): Promise<void> {
  const seen: Record<string, string | number> = {}
  for (const url of Object.keys(expected)) {
    const [, host = '', path] = /^([^/]+)(\/.*)$/.exec(url) ?? []
    const response = await server.visit('', path, { host })
    seen[url] = response.status === 200 ? await response.text() : response.status
  }
  assert.deepEqual(seen, expected)
}

withNewestAndOldest('routes', (wrangler) => {
  before(async () => {
    const place = placeOf(wrangler.server)
    for (const name of ['example.com', 'shop.test', 'inner.example.com']) {
      await call(place, 'POST', '/zones', { name, account: { id: place.account } })
    }
  })

  function domain(...args: readonly string[]) {
    return bindery(['domain', ...args, '--data', wrangler.server.dataDirectory])
  }

  async function deploy(name: string, config: object, ...args: string[]): Promise<string> {
    await wrangler.project(name, config, { 'index.js': says(name) })
    return wrangler.ok(args.length > 0 ? args : ['deploy'], { cwd: name })
  }

  test('a Worker has routes and custom domains, others, and none', async () => {
    const routes = [
      'example.com/api/*',
      { pattern: '*.example.com/*', zone_name: 'example.com' },
      { pattern: 'shop.test', custom_domain: true },
    ]
    const said = await deploy('site', { routes })
    for (const text of ['example.com/api/*', '*.example.com/*', 'shop.test (custom domain']) {
      assert.ok(said.includes(text), said)
    }
    await assertVisits(wrangler, {
      'example.com/api/x?q=1': 'site',
      'example.com/': 404,
      'www.example.com/': 'site',
      'inner.example.com/': 404,
      'shop.test/any': 'site',
      'www.shop.test/': 404,
      // Routes instead of the Worker's own host.
      'site.localhost/': 404,
    })
    // The most specific route wins, and comes before a custom domain.
    const narrower = [
      'example.com/api/v2/*',
      { pattern: 'shop.test/cart*', zone_name: 'shop.test' },
    ]
    await deploy('narrow', { routes: narrower, workers_dev: true })
    await assertVisits(wrangler, {
      'example.com/api/v2/x': 'narrow',
      'example.com/api/v1': 'site',
      'shop.test/cart': 'narrow',
      'shop.test/': 'site',
      'narrow.localhost/': 'narrow',
    })
    // Routes alone are changed without a version.
    const changed = [{ pattern: 'api.shop.test', custom_domain: true }, 'example.com/v3']
    await deploy('narrow', { routes: changed, workers_dev: false }, 'triggers', 'deploy')
    await assertVisits(wrangler, {
      'example.com/api/v2/x': 'site',
      'example.com/v3': 'narrow',
      'shop.test/cart': 'site',
      'api.shop.test/': 'narrow',
      'narrow.localhost/': 404,
    })
    // A restart finds all of them again.
    await wrangler.server.restart()
    await assertVisits(wrangler, { 'example.com/v3': 'narrow', 'api.shop.test/': 'narrow' })
    await wrangler.ok(['delete', '--force'], { cwd: 'narrow' })
    await assertVisits(wrangler, {
      'example.com/v3': 404,
      'api.shop.test/': 404,
      'shop.test/': 'site',
    })
    await wrangler.ok(['delete', '--force'], { cwd: 'site' })
    await assertVisits(wrangler, { 'example.com/api/x': 404, 'shop.test/': 404 })
  })

  wrangler.testAlike('what can not be routed says why', async () => {
    await deploy('owner', { routes: ['example.com/owned/*'] })
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ routes: ['example.com/owned/*'] }, /assigned to (another worker|routes)[^]*owned|10020/],
      [{ routes: ['example.com/owned/*'], workers_dev: true }, /10020/],
      [{ routes: ['example.org/*'] }, /Could not find zone|10083/],
      [{ routes: [{ pattern: 'example.com/*.jpg', zone_name: 'example.com' }] }, /10022/],
      [{ routes: [{ pattern: 'example.com/?a', zone_name: 'example.com' }] }, /10022|query/],
      [{ routes: [{ pattern: 'www.localhost', custom_domain: true }] }, /10083|zone/],
      [{ routes: [{ pattern: 'inner.example.com/*', zone_name: 'example.com' }] }, /10022/],
    ]
    for (const [config, why] of cases) {
      await wrangler.project('thief', config, { 'index.js': says('thief') })
      await wrangler.fails(['deploy'], why, { cwd: 'thief' })
    }
    await assertVisits(wrangler, { 'example.com/owned/x': 'owner', 'example.com/a.jpg': 404 })
  })

  test('a custom domain moves to the Worker that is deployed with it', async () => {
    const routes = [{ pattern: 'moving.example.com', custom_domain: true }]
    await deploy('before', { routes })
    await assertVisits(wrangler, { 'moving.example.com/': 'before' })
    await deploy('after', { routes })
    await assertVisits(wrangler, { 'moving.example.com/': 'after' })
  })

  wrangler.testAlike('a zone belongs to one account, and its routes go with it', async () => {
    const stranger = await otherAccount(wrangler.server, 'stranger')
    const taken = await domain('add', 'Example.COM', '--account', stranger.account)
    assert.match(taken.stderr, /example\.com already exists/)
    for (const name of ['localhost', 'x.localhost', 'a b', '*.example.org']) {
      const refused = await domain('add', name)
      assert.equal(refused.code, 1, name)
    }
    assert.equal((await domain('add', 'theirs.test', '--account', stranger.account)).code, 0)
    const list = await domain('list')
    assert.match(list.stdout, /theirs\.test +stranger/)
    const own = placeOf(wrangler.server)
    const refused = await ask(own, 'PUT', '~/workers/scripts/after/routes', [
      { pattern: 'theirs.test/*' },
    ])
    assert.deepEqual(
      refused.errors.map(({ code }) => code),
      [10083],
    )
    await deploy('leaving', { routes: ['shop.test/*'] })
    await assertVisits(wrangler, { 'shop.test/': 'leaving' })
    assert.match((await domain('remove', 'shop.test')).stdout, /with 1 routes/)
    await assertVisits(wrangler, { 'shop.test/': 404 })
    assert.equal((await domain('remove', 'shop.test')).code, 1)
  })
})
