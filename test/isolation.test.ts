import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { ask, call, deploy, namespace, otherAccount, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// Two accounts on one server: neither reaches what is the other's, whatever it sends.

const code = `export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    if (url.pathname === '/headers') {
      return Response.json({ cf: request.cf, headers: Object.fromEntries(request.headers), url })
    }
    if (url.pathname === '/fetch') {
      const target = url.searchParams.get('url')
      const answer = await fetch(target, { headers: { 'x-bindery-capability': 'guess' } })
        .then((response) => response.text(), (error) => 'refused: ' + error.message)
      return new Response(answer)
    }
    const listed = await env.KV.list()
    const values = await Promise.all(listed.keys.map(({ name }) => env.KV.get(name)))
    return Response.json({ values, secret: env.SECRET, names: Object.keys(env).sort() })
  },
}`

let server: TestServer
let mine: Place
let theirs: Place
let myNamespace: string
let theirNamespace: string

before(async () => {
  server = await startTestServer()
  mine = placeOf(server)
  theirs = await otherAccount(server, 'Theirs')
  myNamespace = await deployTo(mine, 'mine')
  theirNamespace = await deployTo(theirs, 'theirs')
})
after(() => server[Symbol.asyncDispose]())

/** The same Worker, under the same name, in each account. */
async function deployTo(place: Place, value: string): Promise<string> {
  const id = await namespace(place, 'data')
  await call(place, 'PUT', `~/storage/kv/namespaces/${id}/bulk`, [{ key: 'k', value }])
  const bindings = [
    { type: 'kv_namespace', name: 'KV', namespace_id: id },
    { type: 'secret_text', name: 'SECRET', text: `secret of ${value}` },
  ]
  await deploy(place, 'w', { code, bindings })
  return id
}

type Seen = {
  readonly cf: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>
  readonly url: string
}

suite('two accounts', () => {
  test('have Workers of the same name, each with its own data', async () => {
    const own = (value: string): object => ({
      values: [value],
      secret: `secret of ${value}`,
      names: ['KV', 'SECRET'],
    })
    assert.deepEqual(await (await server.visit('w')).json(), own('mine'))
    assert.deepEqual(await (await server.visit('w.theirs')).json(), own('theirs'))
  })

  test('have processes of their own', () => {
    const cells = readdirSync(join(server.dataDirectory, 'run'), { recursive: true }).filter(
      (name) => String(name).endsWith('/a'),
    )
    assert.ok(cells.length >= 2, cells.join(' '))
  })

  const calls: readonly (readonly [string, string, unknown?])[] = [
    ['GET', ''],
    ['GET', '/workers/scripts'],
    ['GET', '/workers/scripts/w'],
    ['GET', '/workers/scripts/w/settings'],
    ['GET', '/workers/scripts/w/secrets'],
    ['GET', '/workers/scripts/w/versions'],
    ['PUT', '/workers/scripts/w/secrets', { name: 'X', text: 'x', type: 'secret_text' }],
    ['DELETE', '/workers/scripts/w'],
    ['GET', '/storage/kv/namespaces'],
    ['POST', '/storage/kv/namespaces', { title: 'x' }],
    ['PUT', '/workers/subdomain', { subdomain: 'x' }],
  ]
  for (const [method, path, body] of calls) {
    test(`a token of one is refused for the other: ${method} ${path || '/'}`, async () => {
      const url = `/accounts/${mine.account}${path}`
      const { status, errors } = await ask({ ...theirs }, method, url, body)
      assert.deepEqual([status, errors[0]?.code], [403, 10000])
    })
  }

  const adminCalls: readonly (readonly [string, string, unknown?])[] = [
    ['GET', '/user/tokens'],
    ['POST', '/user/tokens', { name: 'x', permission: 'admin' }],
    ['DELETE', `/user/tokens/${'0'.repeat(32)}`],
    ['POST', '/accounts', { name: 'x' }],
  ]
  for (const [method, path, body] of adminCalls) {
    test(`a token of an account is no administrator's: ${method} ${path}`, async () => {
      const { status, errors } = await ask(theirs, method, path, body)
      assert.deepEqual([status, errors[0]?.code], [403, 10000])
      const grant = { name: 'x', permission: 'admin', account_id: theirs.account }
      const { value } = (await call(mine, 'POST', '/user/tokens', grant)) as { value: string }
      const ofAccount = await ask({ ...theirs, token: value }, method, path, body)
      assert.deepEqual([ofAccount.status, ofAccount.errors[0]?.code], [403, 10000])
    })
  }

  test("a namespace of one is not there for the other's API", async () => {
    for (const path of ['', '/keys', '/values/k', '/metadata/k']) {
      const { status } = await ask(theirs, 'GET', `~/storage/kv/namespaces/${myNamespace}${path}`)
      assert.equal(status, 404, path)
    }
    const put = await ask(theirs, 'PUT', `~/storage/kv/namespaces/${myNamespace}/values/k`, 'x')
    assert.equal(put.status, 404)
    assert.equal(
      (await ask(theirs, 'DELETE', `~/storage/kv/namespaces/${myNamespace}`)).status,
      404,
    )
  })

  test("a Worker can't be bound to what is the other's", async () => {
    const stolen = { type: 'kv_namespace', name: 'KV', namespace_id: myNamespace }
    await assert.rejects(deploy(theirs, 'thief', { code, bindings: [stolen] }), /10041/)
    await deploy(mine, 'only-mine', { code })
    const service = { type: 'service', name: 'S', service: 'only-mine' }
    await assert.rejects(deploy(theirs, 'thief', { code, bindings: [service] }), /10143/)
    assert.equal((await server.visit('thief.theirs')).status, 404)
  })

  test("fetch reaches no address of this machine: not the API, not the other's Worker", async () => {
    const targets = [
      `${server.apiUrl}/user`,
      `http://127.0.0.1:${server.visitorPort}/`,
      `http://localhost:${server.visitorPort}/`,
      `http://[::1]:${server.visitorPort}/`,
      `http://0.0.0.0:${server.visitorPort}/`,
      `http://2130706433:${server.visitorPort}/`,
    ]
    for (const target of targets) {
      const answer = await server.visit('w.theirs', `/fetch?url=${encodeURIComponent(target)}`)
      assert.match(await answer.text(), /^error code: 100[23]\n/, target)
    }
  })
})

suite('what a visitor sends', () => {
  test('does not pass for ours', async () => {
    const forged = {
      'cf-connecting-ip': '6.6.6.6',
      'cf-ray': 'forged',
      'cf-visitor': '{"scheme":"https"}',
      'cf-worker': 'forged',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'x-real-ip': '6.6.6.6',
      'x-bindery-capability': 'forged',
      'x-forwarded-host': 'w.theirs.localhost',
    }
    const answer = await server.visit('w', '/headers', { headers: forged })
    const { headers, cf, url } = (await answer.json()) as Seen
    assert.equal(headers['cf-connecting-ip'], '127.0.0.1')
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-real-ip'], '127.0.0.1')
    assert.equal(headers['cf-visitor'], '{"scheme":"http"}')
    assert.match(headers['cf-ray'] ?? '', /^[0-9a-f]{16}-/)
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith('x-bindery') || name === 'cf-worker'),
      [],
    )
    assert.equal(headers['x-forwarded-host'], undefined)
    assert.equal(new URL(url).host, `w.localhost`)
    assert.equal(typeof cf['colo'], 'string')
  })

  test('does not become request.cf, whatever header it is in', async () => {
    const blob = JSON.stringify({ country: 'XX', botManagement: { score: 99 } })
    const names = ['cf-blob', 'x-cf', 'cf', 'x-cf-blob', 'mf-cf-blob', 'x-cf-blob-header']
    const headers = Object.fromEntries(names.map((name) => [name, blob]))
    const { cf } = (await (await server.visit('w', '/headers', { headers })).json()) as Seen
    assert.equal(cf['country'], undefined)
    assert.equal(cf['botManagement'], undefined)
  })
})

suite('on disk and on sockets', () => {
  test('the sockets of cells are the server’s alone', () => {
    assert.equal(statSync(join(server.dataDirectory, 'run')).mode & 0o077, 0)
    assert.equal(statSync(server.dataDirectory).mode & 0o077, 0)
  })

  test('the backplane answers nobody without a capability of that very cell', async () => {
    const run = join(server.dataDirectory, 'run')
    const names = readdirSync(run, { recursive: true }).map(String)
    const sockets = names.filter((name) => name.endsWith('/b'))
    assert.ok(sockets.length >= 2)
    for (const socket of sockets) {
      for (const capability of [undefined, '', 'guess', '0'.repeat(64), theirNamespace]) {
        assert.equal(await statusOf(join(run, socket), capability), 403)
      }
    }
  })

  test('no file holds a secret or a token in the clear', () => {
    const needles = ['secret of mine', 'secret of theirs', theirs.token.split('.')[1] ?? 'missing']
    const files = readdirSync(server.dataDirectory, { recursive: true, withFileTypes: true })
    let read = 0
    for (const file of files) {
      if (!file.isFile()) continue
      const bytes = readFileSync(join(file.parentPath, file.name))
      read++
      for (const needle of needles) assert.ok(!bytes.includes(needle), `${file.name}: ${needle}`)
    }
    assert.ok(read > 5)
    assert.ok(!needles.some((needle) => server.log.includes(needle)), 'nor does the log')
  })
})

function statusOf(socketPath: string, capability: string | undefined): Promise<number> {
  const headers = capability === undefined ? {} : { 'x-bindery-capability': capability }
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/k?urlencoded=true', headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}
