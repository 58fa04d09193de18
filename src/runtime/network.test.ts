import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import { startFixture } from './fixture.ts'

// Spellings of this machine, and of addresses that lead to private ones in disguise. What becomes of
// each is decided by `egress/`, whose tests have many more.
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

const refused = 'proxy request failed, cannot connect to the specified address'

suite('the network of a cell', () => {
  test('has no way to this machine or to private addresses', async () => {
    let reached = 0
    const server = createServer((_, response) => void response.end('reached'))
    server.on('connection', () => (reached += 1))
    await new Promise<void>((resolve) => server.listen(0, resolve))
    const { port } = server.address() as AddressInfo
    await using fixture = await startFixture()
    const worker = await fixture.ready('w', {
      code: `import { connect } from 'cloudflare:sockets'
      const opened = async (address, options) => { const socket = connect(address, options); await socket.opened; return 'opened' }
      export default { async fetch(request) {
        const { hosts, port } = await request.json()
        const outcomes = await Promise.all(hosts.map(async (host) => [
          host,
          await fetch('http://' + host + ':' + port).then((r) => r.status),
          await opened(host + ':' + port).catch((e) => e.message),
          await opened(host + ':' + port, { secureTransport: 'on' }).catch((e) => e.message),
          await opened({ hostname: 'unix-abstract:x', port }).catch((e) => e.message),
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
      hosts.map((host) => [host, 403, refused, refused, refused]),
    )
    assert.equal(reached, 0)
    await new Promise((resolve) => server.close(resolve))
  })
})
