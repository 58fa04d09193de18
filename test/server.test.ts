import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { deploy, placeOf } from '#test/deployer.ts'
import { startTestServer } from '#test/server.ts'

test('a server starts, stops, is killed and comes back on the same folder', async () => {
  await using server = await startTestServer()
  const first = { ...server.environment }
  await server.stop()
  await server.restart()
  await server.kill()
  await server.restart()
  assert.equal(server.environment['CLOUDFLARE_API_TOKEN'], first['CLOUDFLARE_API_TOKEN'])
  assert.equal(server.environment['CLOUDFLARE_ACCOUNT_ID'], first['CLOUDFLARE_ACCOUNT_ID'])
  assert.equal((await server.visit('nobody')).status, 404)
})

test('code that is lost takes its own Worker down, and no other', async () => {
  await using server = await startTestServer()
  const place = placeOf(server)
  await deploy(place, 'lost', { code: `export default { fetch: () => new Response('lost') }` })
  const folder = join(server.dataDirectory, 'code')
  const lost = await readdir(folder, { recursive: true })
  await deploy(place, 'other', { code: `export default { fetch: () => new Response('here') }` })
  await server.stop()
  for (const name of lost) if (/[0-9a-f]{64}$/.test(name)) await rm(join(folder, name))
  await server.restart()
  assert.equal(await (await server.visit('other')).text(), 'here')
  assert.equal((await server.visit('lost')).status, 502)
  const again = { code: `export default { fetch: () => new Response('again') }` }
  await deploy(placeOf(server), 'lost', again)
  assert.equal(await (await server.visit('lost')).text(), 'again')
})
