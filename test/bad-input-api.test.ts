import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { answerOf, type Answer } from '#test/contract/server.ts'
import { check, serveSteady, type Steady } from '#test/contract/steady.ts'

// Calls of the API that are wrong: by whom, where, with what.

let server: Steady
before(async () => {
  server = await serveSteady()
})
after(() => server[Symbol.asyncDispose]())

/** Below an account; the rest is in full. `NS` is a namespace that exists. */
const jsonRoutes: readonly (readonly [method: string, path: string])[] = [
  ['POST', '/user/tokens'],
  ['POST', '/accounts'],
  ['PUT', 'workers/subdomain'],
  ['PUT', 'workers/scripts/steady'],
  ['POST', 'workers/scripts/steady/versions'],
  ['PATCH', 'workers/scripts/steady/settings'],
  ['PATCH', 'workers/scripts/steady/script-settings'],
  ['POST', 'workers/scripts/steady/subdomain'],
  ['POST', 'workers/scripts/steady/deployments'],
  ['PUT', 'workers/scripts/steady/secrets'],
  ['PATCH', 'workers/scripts/steady/secrets-bulk'],
  ['PATCH', 'workers/workers/steady/versions/latest'],
  ['POST', 'workers/workers'],
  ['PATCH', 'workers/workers/steady'],
  ['PUT', 'workers/workers/steady'],
  ['POST', 'workers/workers/steady/versions'],
  ['POST', 'storage/kv/namespaces'],
  ['PUT', 'storage/kv/namespaces/NS'],
  ['PUT', 'storage/kv/namespaces/NS/bulk'],
  ['DELETE', 'storage/kv/namespaces/NS/bulk'],
  ['POST', 'storage/kv/namespaces/NS/bulk/delete'],
  ['POST', 'storage/kv/namespaces/NS/bulk/get'],
  ['POST', 'queues'],
  ['PATCH', 'queues/QUEUE'],
  ['PUT', 'queues/QUEUE'],
  ['POST', 'queues/QUEUE/purge'],
  ['POST', 'queues/QUEUE/consumers'],
  ['POST', 'queues/QUEUE/messages'],
  ['POST', 'queues/QUEUE/messages/batch'],
  ['POST', 'queues/QUEUE/messages/pull'],
  ['POST', 'queues/QUEUE/messages/ack'],
  ['POST', 'queues/QUEUE/messages/peek'],
  ['POST', 'queues/QUEUE/messages/purge'],
  ['POST', 'event_subscriptions/subscriptions'],
  ['POST', 'secrets_store/stores'],
  ['POST', 'secrets_store/stores/STORE/secrets'],
  ['DELETE', 'secrets_store/stores/STORE/secrets'],
  ['PATCH', 'secrets_store/stores/STORE/secrets/SECRET'],
  ['POST', 'secrets_store/stores/STORE/secrets/SECRET/duplicate'],
]

/** These take an empty list. */
const listRoute = /\/bulk(\/delete)?$/
/** These take as much as an upload may have. */
const largeRoute =
  /\/scripts\/steady$|\/steady\/versions$|\/bulk(\/delete)?$|^POST .*\/STORE\/secrets$/

const bodies: readonly (readonly [title: string, body: string])[] = [
  ['a list', '[]'],
  ['null', 'null'],
  ['a text', '"x"'],
  ['a number', '7'],
  ['half an object', '{'],
  ['a NUL', '\0'],
  ['nested too deeply', '['.repeat(100_000)],
  ['two megabytes', JSON.stringify('x'.repeat(2 * 1024 * 1024))],
]

suite('bodies', () => {
  let namespace: string
  let queue: string
  let secret: Secret
  before(async () => {
    namespace = await makeNamespace('bodies')
    queue = await makeQueue('bodies')
    secret = await makeSecret('bodies')
  })

  for (const [method, path] of jsonRoutes) {
    test(`${method} ${path}`, async () => {
      const to = pathOf(path)
        .replace('NS', namespace)
        .replace('QUEUE', queue)
        .replace('STORE', secret.store_id)
        .replace('SECRET', secret.id)
      for (const [title, body] of bodies) {
        if (body === '[]' && listRoute.test(path)) continue
        const headers = { 'content-type': 'application/json' }
        const answer = await server.refuse(method, to, { body, headers })
        const isLarge = title === 'two megabytes' && !largeRoute.test(`${method} ${path}`)
        assert.equal(answer.status, isLarge ? 413 : 400, `${title}: ${answer.text}`)
      }
    })
  }

  const wrong: readonly (readonly [string, string, unknown, number, number, RegExp])[] = [
    ['PUT', 'secrets', { name: 'A', text: 'x'.repeat(5121) }, 400, 10054, /larger than 5120/],
    ['PUT', 'secrets', { name: '', text: 'x' }, 400, 10026, /name/],
    ['PUT', 'secrets', { name: 'A', text: 'x', type: 'plain_text' }, 400, 10026, /type/],
    ['PUT', 'secrets', { name: 'A' }, 400, 10021, /text/],
    ['PATCH', 'secrets-bulk', { secrets: manySecrets(101) }, 400, 10026, /more than 100 secrets/],
    ['DELETE', 'secrets/MISSING', undefined, 404, 10056, /no secret "MISSING"/],
    ['POST', 'deployments', { versions: [] }, 400, 10021, /1 to 2 versions/],
    ['POST', 'deployments', deployed([['x', 100]]), 404, 10007, /x of this Worker does not exist/],
    ['POST', 'deployments', deployed([[id(1), 100]]), 404, 10007, /does not exist/],
    ['POST', 'deployments', deployed([[id(1), 50]]), 400, 10021, /add up to 100, not to 50/],
    [
      'POST',
      'deployments',
      deployed([
        [id(1), 50],
        [id(1), 50],
      ]),
      400,
      10021,
      /each version once/,
    ],
    [
      'POST',
      'deployments',
      deployed([
        [id(1), -1],
        [id(2), 101],
      ]),
      400,
      10026,
      /percentage/,
    ],
    ['POST', 'deployments', { strategy: 'x', versions: [] }, 400, 10026, /strategy/],
    [
      'PATCH',
      'settings',
      { bindings: [{ type: 'vectorize', name: 'A' }] },
      400,
      10021,
      /not available/,
    ],
    ['PATCH', 'settings', { compatibility_date: 'x' }, 400, 10021, /Invalid compatibility date/],
    ['PATCH', 'script-settings', { logpush: 'x' }, 400, 10026, /logpush/],
    ['PATCH', 'script-settings', { observability: 7 }, 400, 10026, /observability/],
    ['PATCH', 'script-settings', { tags: [7] }, 400, 10026, /tags/],
  ]
  for (const [method, path, json, status, code, message] of wrong) {
    test(`${method} ${path} ${JSON.stringify(json ?? '').slice(0, 60)}`, async () => {
      const to = `${server.home}/workers/scripts/steady/${path}`
      const answer = await server.refuse(method, to, { json })
      assert.deepEqual([answer.status, answer.codes], [status, [code]], answer.text)
      assert.match(answer.message, message)
    })
  }
})

suite('tokens', () => {
  const read = `workers/scripts`
  const wrong: readonly (readonly [title: string, headers: Readonly<Record<string, string>>])[] = [
    ['no token', { authorization: '' }],
    ['another scheme', { authorization: `Basic ${'a'.repeat(97)}` }],
    ['nothing behind the scheme', { authorization: 'Bearer' }],
    ['no token of ours', { authorization: 'Bearer abc' }],
    ['a token that does not exist', { authorization: `Bearer ${tokenLike('0')}` }],
    ['a key that does not exist', { authorization: '', 'x-auth-key': tokenLike('0') }],
    ['a very long token', { authorization: `Bearer ${'a'.repeat(8_000)}` }],
  ]
  for (const [title, headers] of wrong) {
    test(title, async () => {
      for (const path of [pathOf(read), '/user', '/user/tokens/verify', '/nowhere']) {
        const answer = await server.refuse('GET', path, { headers })
        assert.deepEqual([answer.status, answer.codes], [401, [10000]])
      }
    })
  }

  test('a secret that is wrong in one digit', async () => {
    const other = server.token.endsWith('0') ? '1' : '0'
    const headers = { authorization: `Bearer ${server.token.slice(0, -1)}${other}` }
    assert.equal((await server.refuse('GET', '/user', { headers })).status, 401)
  })

  test('a token that was revoked, or has expired', async () => {
    const revoked = await issue({ name: 'revoked' })
    assert.equal((await server.call('GET', '/user', as(revoked))).status, 200)
    await server.call('DELETE', `/user/tokens/${revoked.split('.')[0]}`)
    const expired = await issue({ name: 'expired', expires_on: '2026-01-01' })
    for (const token of [revoked, expired]) {
      const answer = await server.refuse('GET', pathOf(read), as(token))
      assert.deepEqual([answer.status, answer.codes], [401, [10000]])
    }
  })

  test('a token that may read, and no more', async () => {
    const token = as(await issue({ name: 'reader', permission: 'read' }))
    assert.equal((await server.call('GET', pathOf(read), token)).status, 200)
    const calls = [...jsonRoutes, ['DELETE', 'workers/scripts/steady']] as const
    for (const [method, path] of calls) {
      // Reading many keys at once is a POST, and so is looking at messages.
      if (/\/(get|peek)$/.test(path)) continue
      const answer = await server.refuse(method, pathOf(path), token)
      assert.deepEqual([answer.status, answer.codes], [403, [10000]], path)
    }
  })

  test('a token that may write, and make no others', async () => {
    const token = as(await issue({ name: 'writer', permission: 'write' }))
    for (const [method, path] of [
      ['GET', '/user/tokens'],
      ['POST', '/user/tokens'],
      ['DELETE', '/user/tokens/x'],
      ['POST', '/accounts'],
    ] as const) {
      const answer = await server.refuse(method, path, token)
      assert.deepEqual([answer.status, answer.codes], [403, [10000]], path)
    }
  })

  test("another account's token", async () => {
    const made = await server.call('POST', '/accounts', { json: { name: 'other' } })
    const token = as(await issue({ name: 'theirs', account_id: idOf(made) }))
    for (const [method, path] of [['GET', read], ...jsonRoutes.slice(2)] as const) {
      const answer = await server.refuse(method, pathOf(path), token)
      assert.deepEqual([answer.status, answer.codes], [403, [10000]], path)
    }
    const listed = await server.call('GET', '/accounts', token)
    assert.deepEqual([listed.envelope?.result].flat().length, 1)
  })
})

suite('paths', () => {
  const wrong: readonly (readonly [method: string, path: string, status: number, code: number])[] =
    [
      ['GET', '/nowhere', 404, 7003],
      ['GET', 'nowhere', 404, 7003],
      ['DELETE', '/user', 404, 7003],
      ['OPTIONS', '/user', 404, 7003],
      ['PATCH', 'workers/scripts/steady', 404, 7003],
      ['GET', '/user//tokens/verify', 404, 7003],
      ['GET', '/%ff', 404, 7003],
      ['GET', `/accounts/%ff/workers/scripts`, 404, 7003],
      ['GET', `/accounts/${'a'.repeat(32)}/workers/scripts`, 404, 7003],
      ['GET', 'workers/scripts/%ff', 404, 10007],
      ['GET', 'workers/scripts/%00', 404, 10007],
      ['GET', 'workers/scripts/%', 404, 10007],
      ['GET', 'workers/scripts/..%2f..%2fx', 404, 10007],
      ['GET', 'workers/scripts/..', 404, 7003],
      ['GET', 'workers/scripts/%2e%2e', 404, 7003],
      ['GET', `workers/scripts/${'a'.repeat(10_000)}`, 404, 10007],
      ['GET', 'workers/scripts/steady/versions/%ff', 404, 10007],
      ['GET', 'workers/scripts/steady/versions/%00', 404, 10007],
      ['GET', 'workers/scripts/steady/secrets/%ff', 404, 10056],
      ['GET', 'workers/scripts/steady/deployments/x', 404, 10007],
      ['GET', 'workers/services/steady/environments/staging', 404, 10007],
      ['DELETE', 'workers/scripts/steady/', 404, 7003],
      ['DELETE', 'workers/scripts/steady/secrets/..', 404, 7003],
      ['DELETE', 'workers/scripts/steady/secrets/%2e%2e?url_encoded=true', 404, 7003],
      ['DELETE', 'workers/scripts/missing', 404, 10007],
      ['GET', 'queues/x', 404, 10104],
      ['GET', 'queues/%ff', 404, 10104],
      ['GET', `queues/${'0'.repeat(32)}/consumers`, 404, 10104],
      ['DELETE', `queues/${'0'.repeat(32)}`, 404, 10104],
      ['GET', 'event_subscriptions/subscriptions/x', 404, 11011],
    ]
  for (const [method, path, status, code] of wrong) {
    test(`${method} ${path.slice(0, 60)}`, async () => {
      const answer = await send(method, `/client/v4${pathOf(path)}`)
      check(answer, path)
      assert.deepEqual([answer.status, answer.codes], [status, [code]], answer.text)
      const kept = await server.call('GET', pathOf('workers/scripts/steady/settings'))
      assert.equal(kept.status, 200)
    })
  }

  test('outside of /client/v4 there is nothing', async () => {
    for (const path of ['/', '/client', '/CLIENT/v4/user', '//client/v4/user', '/client/v4']) {
      const answer = await send('GET', path)
      assert.deepEqual([answer.status, answer.codes], [404, [7003]], path)
    }
  })

  test('a doubled slash behind the base, and one at the end, are nothing', async () => {
    for (const path of ['//user', '///user', '/user/', `/${pathOf('workers/scripts')}`]) {
      assert.equal((await send('GET', `/client/v4${path}`)).status, 200, path)
    }
  })

  test('HEAD is GET without a body', async () => {
    const found = await send('HEAD', '/client/v4/user')
    assert.deepEqual([found.status, found.text], [200, ''])
    assert.equal((await send('HEAD', '/client/v4/nowhere')).status, 404)
  })

  test('a host that is none', async () => {
    for (const host of ['', 'a b', 'x:99999']) {
      const { status } = await send('GET', '/client/v4/user', { host })
      assert.ok(status === 400 || status === 200, `${host}: ${status}`)
    }
  })
})

suite('pages', () => {
  const lists = [
    '/accounts',
    '/memberships',
    '/user/tokens',
    'workers/scripts/steady/versions',
    'workers/workers',
    'workers/workers/steady/versions',
    'storage/kv/namespaces',
    'queues',
    'event_subscriptions/subscriptions',
    'workers/durable_objects/namespaces',
    '/zones',
  ]
  for (const path of lists) {
    test(path, async () => {
      const first = await page(path, '')
      for (const query of ['?page=0', '?page=-1', '?page=x', '?page=1.5', '?page=', '?page=1']) {
        assert.deepEqual(await page(path, query), first, query)
      }
      for (const query of ['?page=2', '?page=99', '?page=1e9']) {
        assert.deepEqual(await page(path, query), [], query)
      }
      for (const query of ['?per_page=0', '?per_page=-1', '?per_page=x', '?per_page=1e9']) {
        assert.deepEqual(await page(path, query), first, query)
      }
    })
  }
})

function pathOf(path: string): string {
  return path.startsWith('/') ? path : `${server.home}/${path}`
}

/** Sends a path as it is: `fetch` would tidy it up. */
function send(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { hostname, port } = new URL(server.apiUrl)
  const sent = { host: hostname, port, method, path, agent: false }
  return new Promise((resolve, reject) => {
    const authorization = `Bearer ${server.token}`
    const outgoing = request({ ...sent, headers: { authorization, ...headers } }, (incoming) => {
      const chunks: Uint8Array<ArrayBuffer>[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(new Uint8Array(chunk)))
      incoming.on('end', () => {
        const status = incoming.statusCode ?? 0
        resolve(answerOf(new Response(new Blob(chunks), { status })))
      })
      incoming.on('error', reject)
    })
    outgoing.on('error', reject).end()
  })
}

async function page(path: string, query: string): Promise<readonly unknown[]> {
  const { status, envelope, text } = await server.call('GET', pathOf(path) + query)
  assert.equal(status, 200, text)
  const rows = z.union([z.array(z.unknown()), z.object({ items: z.array(z.unknown()) })])
  const result = rows.parse(envelope?.result)
  return 'items' in result ? result.items : result
}

async function makeNamespace(title: string): Promise<string> {
  return idOf(await server.call('POST', pathOf('storage/kv/namespaces'), { json: { title } }))
}

async function makeQueue(name: string): Promise<string> {
  const { envelope } = await server.call('POST', pathOf('queues'), { json: { queue_name: name } })
  return z.object({ queue_id: z.string() }).parse(envelope?.result).queue_id
}

const aSecret = z.object({ id: z.string(), store_id: z.string() })
type Secret = z.output<typeof aSecret>

async function makeSecret(name: string): Promise<Secret> {
  const stores = pathOf('secrets_store/stores')
  const made = await server.call('POST', stores, { json: { name } })
  const store = z.object({ id: z.string() }).parse(made.envelope?.result).id
  const json = [{ name, value: 'v', scopes: ['workers'] }]
  const { envelope } = await server.call('POST', `${stores}/${store}/secrets`, { json })
  return z.tuple([aSecret]).parse(envelope?.result)[0]
}

async function issue(grant: object): Promise<string> {
  const { envelope } = await server.call('POST', '/user/tokens', { json: grant })
  return z.object({ value: z.string() }).parse(envelope?.result).value
}

function as(token: string) {
  return { headers: { authorization: `Bearer ${token}` } }
}

function idOf({ envelope }: Answer): string {
  return z.object({ id: z.string() }).parse(envelope?.result).id
}

function tokenLike(digit: string): string {
  return `${digit.repeat(32)}.${digit.repeat(64)}`
}

function id(number: number): string {
  return `00000000-0000-4000-8000-00000000000${number}`
}

function deployed(shares: readonly (readonly [version: string, percentage: number])[]): object {
  return { versions: shares.map(([version_id, percentage]) => ({ version_id, percentage })) }
}

function manySecrets(count: number): object {
  const names = Array.from({ length: count }, (_, at) => `S${at}`)
  return Object.fromEntries(names.map((name) => [name, { text: 'x' }]))
}
