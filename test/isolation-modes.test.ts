import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ask, deploy, placeOf } from '#test/deployer.ts'
import { noJail } from '#test/jails.ts'
import { startTestServer } from '#test/server.ts'

const missing = noJail()

const code = `export default { async fetch() {
  const { status } = await fetch('http://127.0.0.1:1/')
  return new Response('here, ' + status)
} }`

suite('--isolation', () => {
  test('none: no jail, and the same way out', async () => {
    await using server = await startTestServer({ flags: ['--isolation', 'none'] })
    const { result } = await ask(placeOf(server), 'GET', '/bindery/status')
    const isolation = { mode: 'none', network: 'host', seccomp: false, cgroup: 'none' }
    assert.deepEqual(result, { isolation: { ...isolation, reason: 'it was not asked for' } })
    assert.ok(!server.log.includes('not jailed'), 'nobody is warned of what they asked for')
    await deploy(placeOf(server), 'w', { code })
    assert.equal(await (await server.visit('w')).text(), 'here, 403')
  })

  test('auto: a jail', { skip: missing }, async () => {
    await using server = await startTestServer()
    const { result } = await ask(placeOf(server), 'GET', '/bindery/status')
    assert.match(JSON.stringify(result), /"mode":"jail","network":"none","seccomp":true/)
    assert.match(server.log, /"ready".*"isolation":"jail"/)
    await deploy(placeOf(server), 'w', { code })
    assert.equal(await (await server.visit('w')).text(), 'here, 403')
  })

  test('jail: the server starts only with one', { skip: missing }, async () => {
    await using server = await startTestServer({ flags: ['--isolation', 'jail'] })
    const { result } = await ask(placeOf(server), 'GET', '/bindery/status')
    assert.match(JSON.stringify(result), /"mode":"jail"/)
  })
})
