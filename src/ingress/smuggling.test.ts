import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { liveKey } from '#contract/snapshot.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { hidden, next, refused, understood } from '#http1/smuggling-fixture.ts'
import { type RawWorkerd, startRawWorkerd } from '#test/raw-workerd.ts'
import { createIngress, type Ingress } from './server.ts'
import { trustIn } from './visitor.ts'

// Bytes that two parsers might read in two ways. What counts is what the Worker sees: each request
// once, as it was meant, or not at all.

/** Remembers what it was asked, and tells it at `/seen`. */
const module = `
let seen = []
export default {
  async fetch(request) {
    const url = new URL(request.url)
    if (url.hostname === 'seen') { const told = seen; seen = []; return Response.json(told) }
    const body = await request.text()
    if (url.pathname === '/slow') await scheduler.wait(100)
    seen.push([request.method, url.pathname + url.search, body].join(' ').trim())
    if (url.hostname !== 'w.test') seen.push('host ' + url.host)
    for (const [name, value] of request.headers) {
      if (/forged|evil/.test(name + value)) seen.push('header ' + name)
    }
    return new Response('ok')
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
  ingress.publishRoutes({ hosts: new Map([['w.test', { account, worker }]]) })
  ingress.publishLive({
    workers: new Map([
      [
        liveKey({ account, worker }),
        [
          {
            id: 't1',
            version: '00000000-0000-4000-8000-000000000001',
            percentage: 100,
            socketPath: workerd.socketPath,
            cfBlobHeader: 'x-cf-blob-secret',
            protoHeader: 'x-proto-secret',
            state: 'up',
          },
        ],
      ],
    ]),
  })
  ;({ port } = await ingress.listen({ host: '127.0.0.1', port: 0 }))
})

after(async () => {
  await ingress.close(100)
  await workerd[Symbol.asyncDispose]()
})

/** Sends bytes as they are; resolves with the statuses that came, once nothing more comes. */
function statusesOf(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'))
    let answer = ''
    socket.setTimeout(400, () => socket.destroy())
    socket.on('data', (data) => (answer += data.toString('latin1')))
    socket.on('error', reject).on('close', () => {
      resolve([...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]).join(' '))
    })
  })
}

/** What the Worker was asked since the last time. */
async function seen(): Promise<string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const { socketPath } = workerd
  request({ socketPath, path: '/', headers: { host: 'seen' }, agent: false }, (response) => {
    void text(response).then(resolve, reject)
  })
    .on('error', reject)
    .end()
  return JSON.parse(await promise)
}

suite('refused, and nothing of it is seen', () => {
  for (const [title, bytes] of refused) {
    test(title, async () => {
      const answered = await statusesOf(bytes + next)
      assert.deepEqual(await seen(), [])
      assert.match(answered, /^(400|413|431|505)?$/)
    })
  }
})

suite('understood, and nothing else is seen', () => {
  test('what comes behind an upgrade that does not take place is not read', async () => {
    const head = 'GET /slow HTTP/1.1\r\nHost: w.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'
    const socket = connect(port, '127.0.0.1', () => socket.write(`${head}POST /p HTTP/1.1\r\n`))
    setTimeout(() => socket.write(hidden), 20)
    let answer = ''
    for await (const data of socket) answer += String(data)
    assert.match(answer, /^HTTP\/1\.1 200/)
    assert.deepEqual(await seen(), ['GET /slow'])
  })

  for (const [title, bytes, statuses, expected] of understood) {
    test(title, async () => {
      const answered = await statusesOf(bytes + next)
      assert.deepEqual(await seen(), expected)
      assert.match(answered, statuses)
    })
  }

  test("what can't be understood does not answer for what came before", async () => {
    assert.match(await statusesOf(`${hidden}NONSENSE\r\n\r\n`), /^200 400$/)
    assert.deepEqual(await seen(), ['GET /hidden'])
  })
})

test('there are enough of them', () => {
  assert.ok(refused.length + understood.length >= 60)
})
