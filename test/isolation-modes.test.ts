import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { workerdPath } from '#runtime/binary.ts'
import { openJail } from '#runtime/jail.ts'
import { ask, deploy, placeOf } from '#test/deployer.ts'
import { startTestServer } from '#test/server.ts'

const opened = openJail({ workerdPath, runDirectory: '/tmp/bindery-none', firstUid: 61_000 })
const missing = 'reason' in opened ? opened.reason : false
if (!('reason' in opened)) opened[Symbol.dispose]()

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
