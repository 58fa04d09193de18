import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { liveKey } from '#contract/snapshot.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { type RawWorkerd, startRawWorkerd } from '#test/raw-workerd.ts'
import { createIngress, type Ingress } from './server.ts'
import { trustIn } from './visitor.ts'

// What a Host header can look like, and what the Worker is told of a visitor, whatever that says.

const module = `export default {
  fetch(request) {
    const named = [...request.headers].map(([name, value]) => name + ': ' + value)
    const text = JSON.stringify({ url: request.url, cf: request.cf, named })
    return new Response(text, { headers: { 'content-length': String(text.length) } })
  }
}`

const account = accountId.parse('0'.repeat(32))
const worker = workerName.parse('w')
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

let workerd: RawWorkerd
let ingress: Ingress
let port: number

before(async () => {
  workerd = await startRawWorkerd(
    module,
    'cfBlobHeader = "x-cf-blob-secret", forwardedProtoHeader = "x-proto-secret"',
  )
  ingress = createIngress({ trust: trustIn([]), random: systemRandom, log: silent })
  const hosts = ['w.test', 'xn--bcher-kva.test', '127.0.0.1', '[::1]']
  ingress.publishRoutes({ hosts: new Map(hosts.map((host) => [host, { account, worker }])) })
  const target = {
    id: 't1',
    version: '00000000-0000-4000-8000-000000000001',
    percentage: 100,
    socketPath: workerd.socketPath,
    cfBlobHeader: 'x-cf-blob-secret',
    protoHeader: 'x-proto-secret',
    state: 'up' as const,
  }
  ingress.publishLive({ workers: new Map([[liveKey({ account, worker }), [target]]]) })
  ;({ port } = await ingress.listen({ host: '127.0.0.1', port: 0 }))
})

after(async () => {
  await ingress.close(0)
  await workerd[Symbol.asyncDispose]()
})

async function answerTo(head: string): Promise<{ status: number; body: string }> {
  const socket = connect(port, '127.0.0.1', () => {
    socket.write(`${head}\r\nConnection: close\r\n\r\n`, 'latin1')
  })
  socket.setTimeout(5_000, () => socket.destroy())
  let answer = ''
  for await (const data of socket) answer += String(data)
  const [first = '', body = ''] = answer.split('\r\n\r\n')
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1]), body }
}

/** A host that the Worker is asked by as it is in the URL; or the status in its place. */
const hosts: readonly (readonly [string, string | 400 | 404])[] = [
  ['w.test', 'w.test'],
  ['W.TEST', 'w.test'],
  ['w.TeSt:8787', 'w.test:8787'],
  ['w.test:80', 'w.test'],
  ['w.test:080', 400],
  ['w.test:443', 'w.test:443'],
  ['w.test:0', 400],
  ['w.test:65535', 'w.test:65535'],
  ['w.test.', 'w.test.'],
  ['w.test.:81', 'w.test.:81'],
  [' w.test', 'w.test'],
  ['w.test \t', 'w.test'],
  ['xn--bcher-kva.test', 'xn--bcher-kva.test'],
  ['XN--Bcher-Kva.test', 'xn--bcher-kva.test'],
  ['127.0.0.1', '127.0.0.1'],
  ['[::1]', '[::1]'],
  ['[::1]:8787', '[::1]:8787'],
  ['other.test', 404],
  ['a.w.test', 404],
  ['test', 404],
  ['w..test', 404],
  ['127.1', 404],
  ['0x7f000001', 404],
  ['2130706433', 404],
  ['[::]', 404],
  ['_dmarc.w.test', 404],
  ['', 400],
  ['.', 400],
  ['.w.test', 400],
  ['w.test..', 400],
  ['-w.test', 400],
  ['w.test:', 400],
  ['w.test:65536', 400],
  ['w.test:-1', 400],
  ['w.test:8o', 400],
  ['w.test:80:80', 400],
  ['a@w.test', 400],
  ['w.test@evil.test', 400],
  ['w.test:80@evil.test', 400],
  ['a:b@w.test', 400],
  ['http://w.test', 400],
  ['//w.test', 400],
  ['w.test/', 400],
  ['w.test/../evil', 400],
  ['w.test?x', 400],
  ['w.test#x', 400],
  ['w.test\\evil', 400],
  ['w.test, other.test', 400],
  ['w.test other.test', 400],
  ['w.test;other.test', 400],
  ['*.test', 400],
  ['w%2etest', 400],
  ['w.test%00', 400],
  ['b\u00fccher.test', 400],
  ['b\u00c3\u00bccher.test', 400],
  ['\u00ef\u00bd\u0097.test', 400],
  ['w\u3002test'.replace('\u3002', '\u00e3\u0080\u0082'), 400],
  ['[::1', 400],
  ['::1', 400],
  ['[::g]', 400],
  ['[::1]x', 400],
  ['"w.test"', 400],
  ['<w.test>', 400],
  ['w.test\u0000', 400],
  ['w.test\u007f', 400],
  [`${'a'.repeat(300)}.test`, 400],
]

suite('hosts', () => {
  for (const [host, expected] of hosts) {
    test(`${JSON.stringify(host).slice(0, 60)} is ${expected}`, async () => {
      const { status, body } = await answerTo(`GET /x HTTP/1.1\r\nHost: ${host}`)
      if (typeof expected === 'number') return assert.equal(status, expected)
      assert.equal(status, 200)
      assert.equal(JSON.parse(body).url, `http://${expected}/x`)
    })
  }

  test('there are enough of them', () => {
    assert.ok(hosts.length >= 40)
  })
})

suite('what a visitor says of itself', () => {
  const names = [
    'CF-Connecting-IP',
    'CF-Connecting-IPv6',
    'CF-Pseudo-IPv4',
    'CF-IPCountry',
    'CF-Ray',
    'CF-Visitor',
    'CF-Worker',
    'CF-EW-Via',
    'CF-Access-Jwt-Assertion',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'X-Forwarded-Port',
    'X-Real-IP',
    'True-Client-IP',
    'Forwarded',
    'X-Bindery-Capability',
    'X-CF-Blob-Secret',
    'X-Proto-Secret',
  ]
  const spellings: readonly ((name: string) => string)[] = [
    (name) => name,
    (name) => name.toLowerCase(),
    (name) => name.toUpperCase(),
    (name) =>
      name.replaceAll(/./g, (char, at) => (at % 2 ? char.toUpperCase() : char.toLowerCase())),
  ]
  for (const name of names) {
    test(`${name} is not believed, however it is written`, async () => {
      for (const spell of spellings) {
        const value = '{"evil":"6.6.6.6"}'
        const twice = `${spell(name)}: ${value}\r\n${name}: https`
        const { status, body } = await answerTo(
          `GET / HTTP/1.1\r\n${twice}\r\nHost: w.test\r\n${twice}`,
        )
        assert.equal(status, 200)
        const { url, cf, named } = JSON.parse(body)
        assert.equal(url, 'http://w.test/')
        assert.equal(cf.evil, undefined)
        assert.equal(cf.colo, 'BND')
        assert.doesNotMatch(named.join('\n'), /evil|6\.6\.6\.6|https/)
      }
    })
  }
})
