import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { answerOf, ask, front, openHttp2, seenOf, useFront } from './tls-fixture.ts'

useFront()

suite('HTTP/2', () => {
  test('the Worker is told the truth', async () => {
    await using session = await openHttp2()
    const { url, cf, headers } = seenOf(
      (await ask(session, { ':path': '/a?b', 'x-own': 'kept' })).body,
    )
    assert.equal(url, 'https://w.test/a?b')
    assert.equal(cf['httpProtocol'], 'HTTP/2')
    assert.equal(cf['tlsVersion'], 'TLSv1.3')
    const byName = Object.fromEntries(headers)
    assert.equal(byName['x-own'], 'kept')
    assert.equal(byName['cf-connecting-ip'], '127.0.0.1')
    assert.equal(byName['x-forwarded-proto'], 'https')
  })

  const forged = ['cf-connecting-ip', 'cf-ray', 'x-forwarded-for', 'x-real-ip', 'x-cf-blob-secret']
  for (const name of forged) {
    test(`a visitor cannot forge ${name}`, async () => {
      await using session = await openHttp2()
      const answer = await ask(session, { [name]: '6.6.6.6' })
      assert.equal(answer.status, 200)
      assert.doesNotMatch(answer.body, /6\.6\.6\.6/)
    })
  }

  test('crumbs of cookies are one cookie', async () => {
    await using session = await openHttp2()
    const { headers } = seenOf((await ask(session, { cookie: ['a=1', 'b=2'] })).body)
    assert.equal(Object.fromEntries(headers)['cookie'], 'a=1; b=2')
  })

  test('bodies stream both ways at once', async () => {
    await using session = await openHttp2()
    const stream = session.request({ ':authority': 'w.test', ':path': '/echo', ':method': 'POST' })
    stream.write('one ')
    const [headers]: IncomingHttpHeaders[] = await once(stream, 'response')
    assert.equal(headers?.['x-method'], 'POST')
    const [first] = await once(stream, 'data')
    assert.equal(String(first), 'one ')
    stream.end('two')
    assert.equal(await text(stream), 'two')
  })

  const sizes: [string, OutgoingHttpHeaders][] = [
    ['without a length', {}],
    ['with its length', { 'content-length': '3000000' }],
  ]
  for (const [title, headers] of sizes) {
    test(`3 MB ${title}`, async () => {
      await using session = await openHttp2()
      const sent = { ':path': '/echo', ':method': 'POST', ...headers }
      const { body } = await ask(session, sent, Buffer.alloc(3_000_000, 'x'))
      assert.equal(body.length, 3_000_000)
    })
  }

  test('a body that the Worker does not read does not keep the connection', async () => {
    await using session = await openHttp2()
    const sent = { ':path': '/early', ':method': 'POST' }
    const stream = session.request({ ':authority': 'w.test', ...sent })
    const answer = answerOf(stream)
    stream.on('error', () => undefined).write(Buffer.alloc(1_000_000))
    assert.equal((await answer).body, 'early')
    assert.equal((await ask(session, {})).status, 200, 'the connection goes on')
  })

  test('trailers end a body and are not passed on', async () => {
    await using session = await openHttp2()
    const stream = session.request(
      { ':authority': 'w.test', ':path': '/length', ':method': 'POST', trailer: 'x-late' },
      { waitForTrailers: true },
    )
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-late': '1', host: 'evil' }))
    stream.end('12345')
    assert.equal((await answerOf(stream)).body, '5')
  })

  for (const code of [200, 204, 205, 304, 404, 500]) {
    test(`status ${code} without a body`, async () => {
      await using session = await openHttp2()
      assert.equal((await ask(session, { ':path': `/status?code=${code}` })).status, code)
    })
  }

  test('HEAD', async () => {
    await using session = await openHttp2()
    const { status, body } = await ask(session, { ':method': 'HEAD' })
    assert.deepEqual([status, body], [200, ''])
  })

  test('each cookie is set; headers that HTTP/2 has not are dropped', async () => {
    await using session = await openHttp2()
    const { headers, body } = await ask(session, { ':path': '/cookies' })
    assert.deepEqual([headers['set-cookie'], body], [['a=1', 'b=2'], 'c'])
    assert.equal(headers['http2-settings'], undefined)
  })

  test('pages are sent', async () => {
    await using session = await openHttp2()
    const threw = await ask(session, { ':path': '/throw' })
    assert.equal(threw.status, 500)
    assert.match(threw.body, /Error 1101/)
    assert.equal((await ask(session, { ':authority': 'nobody.test' })).status, 404)
  })

  const malformed: [string, OutgoingHttpHeaders, number][] = [
    ['a host that is not the authority', { host: 'other.test' }, 400],
    ['the same host twice', { host: 'W.test' }, 200],
    ['userinfo', { ':authority': 'a@w.test' }, 400],
    ['an empty authority', { ':authority': '' }, 400],
    ['two in one', { ':authority': 'w.test,other.test' }, 400],
    ['an absolute URL', { ':path': 'http://other.test/' }, 400],
    ['a star', { ':path': '*', ':method': 'OPTIONS' }, 400],
    ['letters that no URL has', { ':path': '/é' }, 400],
    ['characters that no byte has', { ':path': '/€' }, 400],
    ['a space in the path', { ':path': '/a HTTP/1.1' }, 400],
    ['a line in the path', { ':path': '/a\r\nHost: evil' }, 400],
    ['a method that is two', { ':method': 'GET / HTTP/1.1' }, 400],
    ['a method in lower case', { ':method': 'get' }, 400],
    ['an unknown method', { ':method': 'EVIL' }, 400],
    ['a scheme that is not that of the connection', { ':scheme': 'http' }, 200],
    ['te: trailers', { te: 'trailers' }, 200],
    ['a URL of 17 KB', { ':path': `/${'a'.repeat(17_000)}` }, 414],
    [
      '40 KB of headers',
      Object.fromEntries(['a', 'b', 'c', 'd'].map((n) => [n, 'x'.repeat(10_000)])),
      431,
    ],
  ]
  for (const [title, headers, status] of malformed) {
    test(`${title} is ${status}`, async () => {
      await using session = await openHttp2()
      const stream = session.request({ ':authority': 'w.test', ...headers })
      const answer = answerOf(stream).catch((error: Error) => error)
      const seen = await answer
      if (seen instanceof Error) assert.notEqual(status, 200, String(seen))
      else assert.equal(seen.status, status)
    })
  }

  test('a visitor who leaves ends the stream', async () => {
    await using session = await openHttp2()
    const stream = session.request({ ':authority': 'w.test', ':path': '/endless' })
    stream.on('error', () => undefined)
    await once(stream, 'data')
    stream.close(constants.NGHTTP2_CANCEL)
    await front.ingress.drain(['t1'], 5_000)
    assert.equal((await ask(session, {})).status, 200)
  })

  test('a thousand resets end the connection, not the server', async () => {
    await using session = await openHttp2()
    const closed = new Promise((resolve) => session.once('close', resolve))
    for (let n = 0; n < 2_000 && !session.destroyed && !session.closed; n++) {
      const stream = session.request({ ':authority': 'w.test', ':path': '/endless' })
      stream.on('error', () => undefined)
      // A stream that was never opened needs no reset.
      await new Promise((resolve) => setImmediate(resolve))
      stream.close(constants.NGHTTP2_CANCEL)
    }
    await closed
    await using other = await openHttp2()
    assert.equal((await ask(other, {})).status, 200)
  })

  test('streams beyond the limit wait for others to end', async () => {
    await using session = await openHttp2()
    assert.equal(session.remoteSettings.maxConcurrentStreams, 128)
    const answers = await Promise.all(Array.from({ length: 300 }, () => ask(session, {})))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  })
})
