import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { connect, type PeerCertificate } from 'node:tls'
import { deploy, placeOf } from '#test/deployer.ts'
import { makePebble } from '#test/pebble.ts'
import { without } from '#test/programs-of-system.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// Certificates from a real ACME server, which comes and looks whether the host is ours.

const code = `export default {
  fetch(request) { return new Response(new URL(request.url).href) },
}`

async function shownAt(server: TestServer, servername: string): Promise<PeerCertificate> {
  const socket = connect({
    port: server.tlsPort,
    host: '127.0.0.1',
    servername,
    rejectUnauthorized: false,
  })
  await once(socket, 'secureConnect')
  const certificate = socket.getPeerCertificate()
  socket.destroy()
  return certificate
}

async function visit(server: TestServer, host: string, path: string): Promise<[number, string]> {
  const { visitorPort: port } = server
  const sent = request({ port, path, agent: false, headers: { host } }).end()
  const [response] = await once(sent, 'response')
  return [response.statusCode, await text(response)]
}

/** The hosts for which certificates were issued, in turn. */
function issued({ log }: TestServer): readonly string[] {
  const lines = log.matchAll(/"a certificate was issued".*?"host":"([^"]+)"/g)
  return [...lines].map((match) => match[1] ?? '')
}

suite('ACME', { skip: without('pebble') }, () => {
  test('a host that is routed gets a certificate, keeps it, and no other host gets one', async () => {
    await using pebble = await makePebble()
    await using server = await startTestServer({
      flags: [
        '--domain',
        'example.com',
        '--tls-listen',
        '127.0.0.1:0',
        '--acme-email',
        'operator@example.com',
        '--acme-directory',
        pebble.directory,
        '--acme-ca',
        pebble.caFile,
        '--https-redirect',
      ],
    })
    await pebble.start(server.visitorPort)
    await deploy(placeOf(server), 'w', { code })
    // Of the first account, a Worker has two hosts.
    await eventually(() => issued(server).length === 2, 60_000)
    const shown = await shownAt(server, 'w.example.com')
    assert.match(String(shown.issuer.CN), /^Pebble/)
    assert.match(shown.subjectaltname ?? '', /DNS:w\.example\.com/)

    const folder = join(server.dataDirectory, 'certificates', 'acme')
    const hosts = issued(server)
    assert.deepEqual(
      (await readdir(folder)).toSorted(),
      ['account.key', ...hosts.map((host) => `${host}.pem`)].toSorted(),
    )
    assert.ok(hosts.includes('w.example.com'), hosts.join())
    assert.ok(
      hosts.every((host) => host.endsWith('.example.com')),
      hosts.join(),
    )
    for (const name of await readdir(folder)) {
      assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600)
    }
    // What is no challenge of ours is the Worker's, or goes where all else goes.
    const [status] = await visit(server, 'w.example.com', '/.well-known/acme-challenge/x')
    assert.equal(status, 308)
    await shownAt(server, 'other.example.com')
    await server.restart()
    const again = await shownAt(server, 'w.example.com')
    assert.equal(again.fingerprint256, shown.fingerprint256)
    await new Promise((resolve) => void setTimeout(resolve, 6_000))
    assert.deepEqual(issued(server), hosts, server.log)
  })

  test("a host that the authority can't reach is told of, and nothing else suffers", async () => {
    await using pebble = await makePebble()
    await using server = await startTestServer({
      flags: [
        '--domain',
        'example.com',
        '--tls-listen',
        '127.0.0.1:0',
        '--acme-email',
        'operator@example.com',
        '--acme-directory',
        pebble.directory,
        '--acme-ca',
        pebble.caFile,
      ],
    })
    // Nobody listens where it looks.
    await pebble.start(1)
    await deploy(placeOf(server), 'w', { code })
    await eventually(() => server.log.includes('a certificate could not be had'), 90_000)
    assert.match(server.log, /"host":"w\.example\.com".*"nextTry"/)
    const path = '/.well-known/acme-challenge/x'
    assert.deepEqual(await visit(server, 'w.example.com', path), [
      200,
      `http://w.example.com${path}`,
    ])
  })
})
