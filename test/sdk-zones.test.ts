import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import Cloudflare, { APIError, toFile } from 'cloudflare'
import { startTestServer, type TestServer } from '#test/server.ts'

// Zones, routes and custom domains, with the official SDK.

let server: TestServer
let client: Cloudflare
let account_id: string

before(async () => {
  server = await startTestServer()
  account_id = server.environment['CLOUDFLARE_ACCOUNT_ID'] ?? ''
  client = new Cloudflare({
    baseURL: server.environment['CLOUDFLARE_BASE_URL'] ?? '',
    apiToken: server.environment['CLOUDFLARE_API_TOKEN'] ?? '',
    maxRetries: 0,
  })
  const code = `export default { fetch: () => new Response('here') }`
  await client.workers.scripts.update('here', {
    account_id,
    metadata: { main_module: 'a.js', compatibility_date: '2026-11-01' },
    files: [await toFile(Buffer.from(code), 'a.js', { type: 'application/javascript+module' })],
  })
})
after(() => server[Symbol.asyncDispose]())

async function statusAt(host: string): Promise<number> {
  return (await server.visit('', '/', { host })).status
}

suite('zones', () => {
  test('are added, listed by account and by name, and removed', async () => {
    const added = await client.zones.create({ account: { id: account_id }, name: 'sdk.test' })
    assert.partialDeepStrictEqual(added, { name: 'sdk.test', account: { id: account_id } })
    const { id: zone_id } = added
    assert.equal((await client.zones.get({ zone_id })).name, 'sdk.test')
    const cases: readonly (readonly [Parameters<typeof client.zones.list>[0], number])[] = [
      [{}, 1],
      [{ name: 'sdk.test' }, 1],
      [{ name: 'other.test' }, 0],
      [{ account: { id: account_id } }, 1],
      [{ account: { id: '0'.repeat(32) } }, 0],
    ]
    for (const [query, count] of cases) {
      const found: string[] = []
      for await (const { name } of client.zones.list(query)) found.push(name)
      assert.equal(found.length, count, JSON.stringify(query))
    }
    await client.zones.delete({ zone_id })
    await assert.rejects(client.zones.get({ zone_id }), APIError)
  })

  test('have routes and custom domains', async () => {
    const { id: zone_id } = await client.zones.create({
      account: { id: account_id },
      name: 'routed.test',
    })
    const { routes, domains } = client.workers
    const { id } = await routes.create({ zone_id, pattern: 'a.routed.test/*', script: 'here' })
    assert.equal(await statusAt('a.routed.test'), 200)
    const shown = await routes.get(id, { zone_id })
    assert.partialDeepStrictEqual(shown, { pattern: 'a.routed.test/*', script: 'here' })
    await routes.update(id, { zone_id, pattern: 'b.routed.test/*', script: 'here' })
    assert.deepEqual([await statusAt('a.routed.test'), await statusAt('b.routed.test')], [404, 200])
    await routes.delete(id, { zone_id })

    const environment = 'production'
    const wanted = { hostname: 'c.routed.test', service: 'here', environment }
    const domain = await domains.update({ account_id, zone_id, ...wanted })
    assert.equal(await statusAt('c.routed.test'), 200)
    const hostnames: (string | undefined)[] = []
    for await (const { hostname } of domains.list({ account_id, zone_id })) hostnames.push(hostname)
    assert.deepEqual(hostnames, ['c.routed.test'])
    await domains.delete(domain.id ?? '', { account_id })
    assert.equal(await statusAt('c.routed.test'), 404)
    await client.zones.delete({ zone_id })
  })
})
