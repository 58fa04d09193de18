import assert from 'node:assert/strict'
import { test } from 'node:test'
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
