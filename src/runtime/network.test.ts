import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { suite, test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { temporaryFolder } from '#test/temporary.ts'
import { workerdPath } from './binary.ts'
import { writeConfig } from './config.ts'
import { startFixture } from './fixture.ts'
import { WorkerdProcess } from './process.ts'
import { sources } from './sources.ts'

// Spellings of this machine, and of addresses that lead to private ones in disguise.
const hosts = [
  '127.0.0.1',
  'localhost',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0.0.0.0',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b:1::7f00:1]',
  '[2002:7f00:1::]',
  '[2001:0:7f00:1::]',
  '169.254.169.254',
  '10.0.0.1',
  '100.64.0.1',
  '[fd00::1]',
  '[fe80::1]',
]

suite('the network of a cell', () => {
  test('has no way to this machine or to private addresses', async () => {
    let reached = 0
    const server = createServer((_, response) => void response.end('reached'))
    server.on('connection', () => (reached += 1))
    await new Promise<void>((resolve) => server.listen(0, resolve))
    const bound = server.address()
    const port = typeof bound === 'object' && bound ? bound.port : 0
    await using fixture = await startFixture()
    const worker = await fixture.ready('w', {
      code: `import { connect } from 'cloudflare:sockets'
      const within = (promise) => Promise.race([promise, scheduler.wait(1500).then(() => { throw new Error('timeout') })])
      export default { async fetch(request) {
        const { hosts, port } = await request.json()
        const outcomes = await Promise.all(hosts.map(async (host) => [
          host,
          await within(fetch('http://' + host + ':' + port)).then((r) => 'answered ' + r.status, (e) => 'refused'),
          await within((async () => { const s = connect(host + ':' + port); await s.opened; return 'opened' })()).catch(() => 'refused'),
        ]))
        return Response.json(outcomes)
      } }`,
    })
    await fixture.apply([worker])
    const { body } = await fixture.visit('w', '/', {
      method: 'POST',
      body: JSON.stringify({ hosts, port }),
    })
    assert.deepEqual(
      JSON.parse(body),
      hosts.map((host) => [host, 'refused', 'refused']),
    )
    assert.equal(reached, 0)
    await new Promise((resolve) => server.close(resolve))
  })

  test('starts with the root certificates that Node brings', async () => {
    await using folder = await temporaryFolder()
    const agentSocket = `${folder.path}/a`
    const started = await WorkerdProcess.start({
      workerdPath,
      config: writeConfig({
        slots: [],
        agentSocket,
        backplaneSocket: '',
        hiddenName: 'hidden',
        rootCertificates,
        objectsDirectory: '',
        isCheck: true,
        agentSource: sources.agent,
        hiddenSource: sources.hidden,
        splitSource: sources.split,
        capabilityHeader: 'x',
        read: () => new Uint8Array(),
      }),
      agentSocket,
      sockets: [agentSocket],
      runDirectory: folder.path,
      startTimeoutMs: 5_000,
      signal: new AbortController().signal,
      log: { debug() {}, info() {}, warn() {}, error() {}, child: () => assert.fail() },
    })
    assert.deepEqual(await started.call([], 1_000), [])
    assert.equal(started.isGone, false)
    await started.stop(1_000)
    // It may have got round to handling the signal, or not yet.
    assert.match(await started.exited, /^(SIGTERM|code 0)$/)
  })
})
