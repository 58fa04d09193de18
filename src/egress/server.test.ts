import assert from 'node:assert/strict'
import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { type Address, parseAddress } from './addresses.ts'
import type { Resolve } from './resolver.ts'
import { createEgress } from './server.ts'
import { privateNames, privateSpellings } from './spellings.fixture.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const worker = {
  account: accountId.parse('0123456789abcdef0123456789abcdef'),
  worker: workerName.parse('w'),
}

type Answer = { readonly status: number; readonly body: string; readonly headers: object }

/** A proxy, and what a cell would send to it. */
async function startProxy(options: { allow?: string[]; resolve?: Resolve } = {}) {
  const folder = await temporaryFolder()
  const socketPath = `${folder.path}/e`
  const { allow = [], resolve } = options
  const egress = createEgress({ allow, log: silent, ...(resolve && { resolve }) })
  const exit = await egress.open(worker, socketPath, () => true)
  const ask = (method: string, path: string, body?: string): Promise<Answer> =>
    new Promise((done, reject) => {
      const outgoing = httpRequest({ socketPath, method, path, agent: false, setHost: false })
      outgoing.on('response', (response) => {
        let text = ''
        response.setEncoding('latin1').on('data', (data: string) => (text += data))
        response.on('error', reject)
        response.on('end', () =>
          done({ status: response.statusCode ?? 0, body: text, headers: response.headers }),
        )
      })
      outgoing.on('connect', (response, socket) => {
        socket.destroy()
        done({ status: response.statusCode ?? 0, body: '', headers: {} })
      })
      outgoing.on('error', reject).end(body)
    })
  return {
    get: (url: string) => ask('GET', url),
    ask,
    connect: (place: string) => ask('CONNECT', place),
    async [Symbol.asyncDispose]() {
      await exit[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function addresses(...texts: string[]): readonly Address[] {
  return texts.flatMap((text) => parseAddress(text) ?? [])
}

async function listen(server: Server, host?: string): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return (server.address() as AddressInfo).port
}

suite('what a Worker can not reach', () => {
  let reached = 0
  let port = 0
  const honeypot = createTcpServer((socket) => {
    reached += 1
    socket.destroy()
  })
  before(async () => {
    port = await listen(honeypot)
  })
  after(() => new Promise((resolve) => honeypot.close(resolve)))

  test('any spelling of a private address, by http, https, CONNECT and TLS', async () => {
    await using proxy = await startProxy()
    const open: string[] = []
    for (const host of [...privateSpellings, ...privateNames]) {
      const answers = await Promise.all([
        proxy.get(`http://${host}:${port}/`),
        proxy.get(`https://${host}:${port}/`),
        proxy.connect(`${host}:${port}`),
        proxy.connect(`_tls.${host}:${port}`),
        proxy.connect(`_start.0123456789abcdef.${host}:${port}`),
      ])
      if (answers.some(({ status }) => status !== 403)) open.push(host)
    }
    assert.deepEqual(open, [])
    assert.equal(reached, 0)
  })

  const names: [what: string, addresses: readonly Address[]][] = [
    ['loopback', addresses('127.0.0.1')],
    ['loopback of IPv6', addresses('::1')],
    ['a mapped address', addresses('::ffff:127.0.0.1')],
    ['the metadata service', addresses('169.254.169.254')],
    ['NAT64', addresses('64:ff9b::7f00:1')],
    ['two private ones', addresses('10.0.0.1', 'fd00::1')],
  ]
  for (const [what, found] of names) {
    test(`a name that resolves to ${what}`, async () => {
      await using proxy = await startProxy({ resolve: async () => found })
      assert.match((await proxy.get(`http://evil.test:${port}/`)).body, /^error code: 1002\n/)
      assert.equal((await proxy.connect(`evil.test:${port}`)).status, 403)
      assert.equal(reached, 0)
    })
  }

  test('a name that has a private address beside an open one gets to the open one', async () => {
    const open = createServer((_, response) => void response.end('open'))
    const openPort = await listen(open, '127.0.0.2')
    await using proxy = await startProxy({
      allow: ['127.0.0.2'],
      resolve: async () => addresses('127.0.0.1', '127.0.0.2'),
    })
    assert.equal((await proxy.get(`http://both.test:${openPort}/`)).body, 'open')
    await new Promise((resolve) => open.close(resolve))
  })

  test('DNS that answers differently the second time: there is no second time', async () => {
    let lookups = 0
    const open = createServer((_, response) => void response.end('open'))
    const openPort = await listen(open, '127.0.0.2')
    await using proxy = await startProxy({
      allow: ['127.0.0.2'],
      resolve: async () => addresses(lookups++ % 2 === 0 ? '127.0.0.2' : '127.0.0.1'),
    })
    assert.equal((await proxy.get(`http://rebind.test:${openPort}/`)).body, 'open')
    assert.equal(lookups, 1)
    // The next connection asks again, and is refused what it is told then.
    assert.equal((await proxy.connect(`rebind.test:${openPort}`)).status, 403)
    assert.equal((await proxy.connect(`rebind.test:${openPort}`)).status, 200)
    assert.equal(lookups, 3)
    await new Promise((resolve) => open.close(resolve))
  })

  test('ports of mail', async () => {
    await using proxy = await startProxy({ resolve: async () => addresses('8.8.8.8') })
    for (const closed of [25, 465, 587]) {
      assert.equal((await proxy.connect(`mail.test:${closed}`)).status, 403)
      assert.equal((await proxy.get(`http://mail.test:${closed}/`)).status, 403)
      assert.equal((await proxy.connect(`8.8.8.8:${closed}`)).status, 403)
    }
  })

  const malformed = [
    '/path',
    '*',
    'ftp://127.0.0.1/',
    'file:///etc/passwd',
    'http://',
    'http:///x',
    'http://a b/',

    ...`http://user:word@127.0.0.1/ http://[::1/ unix:/run/x http://1.2.3.4.5/`.split(' '),
  ]
  for (const url of malformed) {
    test(`a request for ${url}`, async () => {
      await using proxy = await startProxy({ resolve: async () => [] })
      const refused = await proxy.get(url.replaceAll(' ', '%20')).catch(() => ({ status: 400 }))
      assert.ok([400, 403, 530].includes(refused.status), `${refused.status}`)
    })
  }

  const places = [
    ...`unix-abstract:x:5 unix:x:5 127.0.0.1 127.0.0.1:0 127.0.0.1:70000 :80 a:b`.split(' '),
    ...`_tls.:80 _upgrade.0123456789abcdef.127.0.0.1:80 _start.x.127.0.0.1:80 [::1] [x]:1`.split(
      ' ',
    ),
  ]
  for (const place of places) {
    test(`a tunnel to ${place}`, async () => {
      await using proxy = await startProxy({ resolve: async () => [] })
      const refused = await proxy.connect(place).catch(() => ({ status: 400 }))
      assert.ok([400, 403, 530].includes(refused.status), `${refused.status}`)
    })
  }
})

suite('what a Worker is told of an origin that does not answer', () => {
  test('refused, unknown, cut off', async () => {
    const cut = createTcpServer((socket) => socket.destroy())
    const cutPort = await listen(cut, '127.0.0.1')
    const gone = createTcpServer()
    const gonePort = await listen(gone, '127.0.0.1')
    await new Promise((resolve) => gone.close(resolve))
    await using proxy = await startProxy({ allow: ['127.0.0.1'], resolve: async () => [] })
    const cases: [url: string, status: number, code: number][] = [
      [`http://127.0.0.1:${gonePort}/`, 521, 521],
      ['http://nowhere.test/', 530, 1016],
      [`http://127.0.0.1:${cutPort}/`, 520, 520],
      [`https://127.0.0.1:${cutPort}/`, 525, 525],
    ]
    for (const [url, status, code] of cases) {
      const answer = await proxy.get(url)
      assert.equal(answer.status, status, url)
      assert.match(answer.body, new RegExp(`^error code: ${code}\n`))
    }
    await new Promise((resolve) => cut.close(resolve))
  })

  test('one Worker has so many connections and no more', async () => {
    const held = createTcpServer(() => {})
    const port = await listen(held, '127.0.0.1')
    const { connectionsPerWorker } = await import('./limits.ts')
    const { Dialer } = await import('./dialer.ts')
    const { createRules } = await import('./rules.ts')
    const dialer = new Dialer({
      rules: createRules(['127.0.0.1']),
      resolve: async () => [],
      secureContext: undefined,
      offersCertificate: false,
    })
    const dial = () => dialer.dial({ host: '127.0.0.1', port, secure: false, allowHalfOpen: false })
    await Promise.all(Array.from({ length: connectionsPerWorker }, dial))
    await assert.rejects(dial(), { name: 'RefusedError', refusal: 'busy' })
    dialer.close()
    await new Promise((resolve) => held.close(resolve))
  })
})
