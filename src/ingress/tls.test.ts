import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { constants } from 'node:http2'
import { connect } from 'node:net'
import { suite, test } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { WebSocket } from 'ws'
import {
  ask,
  authority,
  certificates,
  front,
  makeFront,
  openHttp2,
  seenOf,
  shake,
  useFront,
  visit,
  write,
} from './tls-fixture.ts'

useFront()

suite('TLS', () => {
  const shown: [string, string | undefined, string][] = [
    ['a name', 'w.test', 'w.test'],
    ['a wildcard', 'a.wild.test', 'w.test'],
    ['a name nobody has', 'nobody.test', 'default.test'],
    ['no name', undefined, 'default.test'],
  ]
  for (const [title, servername, subject] of shown) {
    test(`${title} is shown ${subject}`, async () => {
      const socket = await shake({ servername: servername ?? '', rejectUnauthorized: false })
      assert.equal(socket.getPeerCertificate().subject.CN, subject)
      socket.destroy()
    })
  }

  const protocols: [ConnectionOptions, string | false][] = [
    [{}, 'h2'],
    [{ ALPNProtocols: ['http/1.1'] }, 'http/1.1'],
    [{ ALPNProtocols: ['http/1.1', 'h2'] }, 'h2'],
    [{ ALPNProtocols: [] }, false],
    [{ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }, 'h2'],
  ]
  for (const [options, expected] of protocols) {
    test(`${JSON.stringify(options)} agrees on ${expected}`, async () => {
      const socket = await shake(options)
      assert.equal(socket.alpnProtocol, expected)
      socket.destroy()
    })
  }

  const refused: [string, ConnectionOptions][] = [
    ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }],
    ['a cipher without encryption', { maxVersion: 'TLSv1.2', ciphers: 'NULL@SECLEVEL=0' }],
    ['another protocol', { ALPNProtocols: ['spdy/3'] }],
  ]
  for (const [title, options] of refused) {
    test(`refused: ${title}`, async () => {
      await assert.rejects(shake(options))
    })
  }

  test('bytes that are no handshake end the connection', async () => {
    const outgoing = httpRequest({ host: '127.0.0.1', port: front.tlsPort }).end()
    await assert.rejects(once(outgoing, 'response'))
  })

  test('HTTP/1.1: the Worker is told the truth', async () => {
    const { body } = await visit({ path: '/a?b', headers: { 'x-forwarded-proto': 'http' } })
    const { url, cf, headers } = seenOf(body)
    assert.equal(url, 'https://w.test/a?b')
    assert.equal(cf['httpProtocol'], 'HTTP/1.1')
    assert.equal(cf['tlsVersion'], 'TLSv1.3')
    assert.match(cf['tlsCipher'] ?? '', /^AEAD-/)
    const byName = Object.fromEntries(headers)
    assert.equal(byName['x-forwarded-proto'], 'https')
    assert.equal(byName['cf-visitor'], '{"scheme":"https"}')
    assert.equal(byName['cf-connecting-ip'], '127.0.0.1')
  })

  test('a WebSocket', async () => {
    const trust = { ca: authority.cert, servername: 'w.test' }
    const socket = new WebSocket(`wss://127.0.0.1:${front.tlsPort}/ws`, {
      ...trust,
      headers: { host: 'w.test' },
    })
    await once(socket, 'open')
    socket.send('hello')
    assert.equal(String((await once(socket, 'message'))[0]), 'echo hello')
    socket.terminate()
  })

  test('a new certificate is shown without a restart', async () => {
    await write('late', ['late.test'])
    await certificates.refresh()
    const socket = await shake({ servername: 'late.test' })
    assert.equal(socket.getPeerCertificate().subject.CN, 'late.test')
    socket.destroy()
  })
})

suite('when the server stops', () => {
  test('HTTP/2 is told, and what is in flight finishes', async () => {
    const own = await makeFront()
    await using session = await openHttp2(own)
    const goaway = once(session, 'goaway')
    const answer = ask(session, { ':path': '/slow' })
    await new Promise((resolve) => void setTimeout(resolve, 150))
    const began = performance.now()
    const closed = own.ingress.close(5_000)
    assert.equal((await goaway)[0], constants.NGHTTP2_NO_ERROR)
    assert.equal((await answer).body, '0\n1\n2\n3\n4\n')
    await closed
    assert.ok(performance.now() - began < 2_500)
  })

  test('an idle connection and a handshake that does not go on do not hold it up', async () => {
    const own = await makeFront()
    const session = await openHttp2(own)
    const mute = connect(own.tlsPort, '127.0.0.1').on('error', () => undefined)
    await once(mute, 'connect')
    const began = performance.now()
    await own.ingress.close(10_000)
    assert.ok(performance.now() - began < 2_500)
    session.destroy()
    mute.destroy()
  })
})

suite('visitors without TLS', () => {
  test('are sent to where it is', async () => {
    const own = await makeFront({ httpsRedirect: true })
    try {
      const sent = { host: '127.0.0.1', port: own.port, path: '/a?b=c', agent: false }
      for (const headers of [
        { host: 'W.test:80' },
        { host: 'w.test', connection: 'Upgrade', upgrade: 'websocket' },
      ]) {
        const outgoing = httpRequest({ ...sent, headers }).end()
        const [response]: IncomingMessage[] = await once(outgoing, 'response')
        assert.equal(response?.statusCode, 308)
        assert.equal(response.headers.location, `https://w.test:${own.tlsPort}/a?b=c`)
        response.resume()
      }
    } finally {
      await own.ingress.close(0)
    }
  })
})
