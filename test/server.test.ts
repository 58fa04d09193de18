import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { ask, deploy, placeOf } from '#test/deployer.ts'
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

test('a secret that does not open takes its own Worker down, and both can be deleted', async () => {
  await using server = await startTestServer()
  const secret = { type: 'secret_text', name: 'A', text: 'x' }
  const code = `export default { fetch: () => new Response('here') }`
  await deploy(placeOf(server), 'lost', { code, bindings: [secret] })
  await deploy(placeOf(server), 'other', { code })
  await server.stop()
  const database = new DatabaseSync(join(server.dataDirectory, 'control.db'))
  const sealed = `json_set(record, '$.bindings[0].sealed', 'AAAA')`
  database.exec(`UPDATE version SET record = ${sealed} WHERE worker = 'lost'`)
  database.close()
  await server.restart()
  assert.equal(await (await server.visit('other')).text(), 'here')
  for (const name of ['other', 'lost']) {
    const { status, errors } = await ask(placeOf(server), 'DELETE', `~/workers/scripts/${name}`)
    assert.equal(status, 200, JSON.stringify(errors))
  }
})
