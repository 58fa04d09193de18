import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { apiOf, json } from '#test/api.ts'
import { account, caller, otherAccount } from '#test/backend.ts'
import { type MovableClock, movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { openSecretsStore, secretsStoreSecret } from './binding.ts'
import { secretsPerAccount, storesPerAccount } from './limits.ts'

// The REST resources, as `wrangler secrets-store` and the SDK ask for them.

const start = Date.UTC(2026, 10, 28)
const stranger = { ...caller, account: otherAccount }
const none = '0'.repeat(32)

let clock: MovableClock
let api: ReturnType<typeof apiOf>
const stack = new AsyncDisposableStack()
before(async () => {
  const folder = stack.use(await temporaryFolder())
  const migrations = secretsStoreSecret.migrations ?? assert.fail()
  clock = movableClock(start)
  const ports = stack.use(
    await openPorts({ path: join(folder.path, 'secrets'), migrations, clock }),
  )
  api = apiOf(stack.use(await openSecretsStore(ports)))
})
after(() => stack.disposeAsync())

const ask = (...args: Parameters<typeof api.ask>) => api.ask(...args)

async function store(name: string): Promise<string> {
  const { result, message } = await ask('POST', '/stores', json({ name }))
  assert.equal(message, '')
  return result.id
}

const secret = (name: string, more: object = {}): object => ({
  name,
  value: `value of ${name}`,
  scopes: ['workers'],
  ...more,
})

/** Makes secrets, a millisecond after one another; gives their ids. */
async function secrets(at: string, ...given: readonly object[]): Promise<readonly string[]> {
  const ids: string[] = []
  for (const each of given) {
    clock.moveBy(1)
    const { result, message } = await ask('POST', `/stores/${at}/secrets`, json([each]))
    assert.equal(message, '')
    ids.push(result[0].id)
  }
  return ids
}

const isoOf = (time: number): string => new Date(time).toISOString()

suite('stores', () => {
  test('are made, shown, listed and deleted', async () => {
    const id = await store('first')
    assert.match(id, /^[0-9a-f]{32}$/)
    const created = isoOf(clock.now())
    const shown = { id, account_id: account, name: 'first', created, modified: created }
    assert.deepEqual((await ask('GET', `/stores/${id}`)).result, shown)
    const { result, info } = await ask('GET', '/stores?per_page=10&page=1')
    assert.deepEqual(result, [shown])
    assert.deepEqual(info, { page: 1, per_page: 10, count: 1, total_count: 1, total_pages: 1 })
    assert.equal((await ask('DELETE', `/stores/${id}`)).result, null)
    assert.deepEqual((await ask('GET', '/stores')).result, [])
    assert.equal((await ask('GET', `/stores/${id}`)).status, 404)
  })

  test('by an array, as earlier SDKs ask', async () => {
    const { result } = await ask('POST', '/stores', json([{ name: 'x' }, { name: 'y' }]))
    assert.deepEqual(
      result.map(({ name }: { name: string }) => name),
      ['x', 'y'],
    )
    const all = ['x', 'z']
    const refused = await ask('POST', '/stores', json(all.map((name) => ({ name }))))
    assert.equal(refused.status, 409)
    const { result: listed } = await ask('GET', '/stores?order=name&direction=asc')
    assert.deepEqual(
      listed.map(({ name }: { name: string }) => name),
      ['x', 'y'],
    )
    for (const { id } of result) await ask('DELETE', `/stores/${id}`)
  })

  test('with secrets are deleted only if that is forced', async () => {
    const id = await store('full')
    await secrets(id, secret('A'))
    const refused = await ask('DELETE', `/stores/${id}`)
    assert.deepEqual([refused.status, refused.code], [409, 1003])
    assert.match(refused.message, /^store_not_empty/)
    assert.equal((await ask('DELETE', `/stores/${id}?force=false`)).status, 409)
    assert.equal((await ask('DELETE', `/stores/${id}?force=true`)).status, 200)
    assert.equal((await ask('GET', `/stores/${id}/secrets`)).status, 404)
  })

  test('are as many as an account may have, each with a name of its own', async () => {
    const names = Array.from({ length: storesPerAccount }, (_, n) => ({ name: `n${n}` }))
    const { result } = await ask('POST', '/stores', json(names))
    const taken = await ask('POST', '/stores', { ...json({ name: 'n0' }), as: stranger })
    assert.equal(taken.status, 200)
    const refused = await ask('POST', '/stores', json({ name: 'more' }))
    assert.deepEqual([refused.status, refused.code], [400, 1003])
    assert.match(refused.message, /^maximum_stores_exceeded/)
    const { result: page, info } = await ask('GET', '/stores?per_page=1000&page=1')
    assert.deepEqual([page.length, info.per_page, info.total_count], [100, 100, 100])
    for (const { id } of result) await ask('DELETE', `/stores/${id}`)
    await ask('DELETE', `/stores/${taken.result.id}`, { as: stranger })
  })
})

suite('secrets', () => {
  let at: string
  before(async () => {
    at = await store('secrets')
  })
  after(() => ask('DELETE', `/stores/${at}?force=true`))

  test('are made, shown without a value, changed and deleted', async () => {
    const given = [secret('KEY', { comment: 'é' }), secret('other-1', { scopes: ['dex', 'dex'] })]
    const { result } = await ask('POST', `/stores/${at}/secrets`, json(given))
    const created = isoOf(clock.now())
    const shown = {
      id: result[0].id,
      store_id: at,
      name: 'KEY',
      comment: 'é',
      scopes: ['workers'],
      created,
      modified: created,
      status: 'active',
    }
    assert.deepEqual(result, [
      shown,
      { ...shown, id: result[1].id, name: 'other-1', comment: '', scopes: ['dex'] },
    ])
    const path = `/stores/${at}/secrets/${shown.id}`
    assert.deepEqual((await ask('GET', path)).result, shown)
    clock.moveBy(1000)
    const modified = isoOf(clock.now())
    const changes: readonly (readonly [object, object])[] = [
      [{ value: 'new' }, {}],
      [{ comment: 'c' }, { comment: 'c' }],
      [{ scopes: ['access', 'workers'] }, { comment: 'c', scopes: ['access', 'workers'] }],
      [
        { name: 'KEY', comment: '' },
        { comment: '', scopes: ['access', 'workers'] },
      ],
      [{}, { comment: '', scopes: ['access', 'workers'] }],
    ]
    for (const [change, shows] of changes) {
      const changed = await ask('PATCH', path, json(change))
      assert.deepEqual(changed.result, { ...shown, modified, ...shows })
    }
    assert.equal((await ask('DELETE', path)).result, null)
    assert.deepEqual(
      [(await ask('GET', path)).status, (await ask('DELETE', path)).status],
      [404, 404],
    )
    const left = await ask('DELETE', `/stores/${at}/secrets`, json([{ id: result[1]?.id }]))
    assert.equal(left.result, null)
    assert.deepEqual((await ask('GET', `/stores/${at}/secrets`)).result, [])
  })

  test('what is wrong is said in the words of upstream, and never shows a value', async () => {
    const value = 'NEVERSHOWN'
    const long = value.padEnd(65_537, '.')
    const [id] = await secrets(at, secret('TAKEN', { value }))
    const create = `POST /stores/${at}/secrets`
    const change = `PATCH /stores/${at}/secrets/${id}`
    const copy = `POST /stores/${at}/secrets/${id}/duplicate`
    const cases: readonly (readonly [string, unknown, string, number?])[] = [
      [create, [secret('', { value })], 'secret_name_empty'],
      [create, [secret('a b', { value })], 'secret_name_invalid'],
      [create, [secret('é', { value })], 'secret_name_invalid'],
      [create, [secret('a\n', { value })], 'secret_name_invalid'],
      [create, [secret('a'.repeat(256), { value })], 'secret_name_too_long'],
      [create, [secret('TAKEN', { value })], 'secret_name_already_exists', 409],
      [create, [secret('A', { value }), secret('A', { value })], 'secret_name_already_exists', 409],
      [create, [secret('A', { value: long })], 'secret_value_too_long'],
      [create, [secret('A', { value: `${'é'.repeat(32_768)}a` })], 'secret_value_too_long'],
      [create, [secret('A', { value: `${value}\ud800` })], 'secret_value_invalid'],
      [create, [secret('A', { value: 5 })], 'invalid_json_body'],
      [create, [secret('A', { value, scopes: [] })], 'secret_scopes_empty'],
      [create, [secret('A', { value, scopes: ['worker'] })], 'secret_scope_invalid'],
      [create, [secret('A', { value, scopes: Array(7).fill('dex') })], 'secret_scope_invalid'],
      [create, [secret('A', { value, scopes: 'workers' })], 'invalid_json_body'],
      [create, [secret('A', { value, scopes: undefined })], 'invalid_json_body'],
      [create, [secret('A', { value, comment: 'c'.repeat(1025) })], 'secret_comment_too_long'],
      [create, [secret('A', { value, comment: '\udc00' })], 'secret_comment_invalid'],
      [create, secret('A', { value }), 'invalid_json_body'],
      [create, [], 'invalid_json_body'],
      [create, Array.from({ length: 101 }, (_, n) => secret(`n${n}`)), 'invalid_json_body'],
      [create, value, 'invalid_json_body'],
      [change, { value: long }, 'secret_value_too_long'],
      [change, { name: 'OTHER', value }, 'secret_name_immutable'],
      [change, { scopes: [] }, 'secret_scopes_empty'],
      [change, [], 'invalid_json_body'],
      [copy, { name: 'TAKEN', scopes: ['workers'] }, 'secret_name_already_exists', 409],
      [copy, { name: 'B' }, 'invalid_json_body'],
      [copy, { scopes: ['workers'] }, 'invalid_json_body'],
      [`DELETE /stores/${at}/secrets`, [], 'invalid_json_body'],
      [`DELETE /stores/${at}/secrets`, [id, none], 'secret_not_found', 404],
      ['POST /stores', { name: '' }, 'store_name_empty'],
      ['POST /stores', { name: 'a\u0000' }, 'store_name_invalid'],
      ['POST /stores', { name: 's'.repeat(256) }, 'store_name_too_long'],
      ['POST /stores', { name: 'secrets' }, 'store_name_already_exists', 409],
      ['POST /stores', [{ name: '' }], 'store_name_empty'],
      ['POST /stores', {}, 'invalid_json_body'],
      [`GET /stores/${at}/secrets?order=value`, undefined, 'invalid_query'],
      [`GET /stores/${at}/secrets?direction=up`, undefined, 'invalid_query'],
      [`GET /stores/${at}/secrets?scopes=worker`, undefined, 'secret_scope_invalid'],
      ['GET /stores?order=status', undefined, 'invalid_query'],
    ]
    for (const [call, body, word, status = 400] of cases) {
      const [method = '', path = ''] = call.split(' ')
      const sent = body === undefined ? {} : json(body)
      const { message, code, status: said } = await ask(method, path, sent)
      const what = `${call} ${JSON.stringify(body)?.slice(0, 100)}: ${message}`
      assert.ok(message.startsWith(word), what)
      assert.deepEqual([said, code], [status, status === 409 ? 1003 : 1001], what)
      assert.ok(!message.includes(value), what)
    }
    for (const body of ['', '{', `[{"value":"${value}`, new Uint8Array([0x22, 0xff, 0x22])]) {
      const { message, status } = await ask('POST', `/stores/${at}/secrets`, { body })
      assert.equal(status, 400)
      assert.match(message, /^invalid_json_body: it is not JSON/)
    }
    const swarm = { body: `[${'{},'.repeat(2_500_000)}{}]` }
    assert.match((await ask('POST', `/stores/${at}/secrets`, swarm)).message, /<=100 items/)
    const large = { body: `"${'x'.repeat(8 * 1024 * 1024)}"` }
    assert.equal((await ask('POST', `/stores/${at}/secrets`, large)).status, 413)
    const tooLarge = { body: `"${'x'.repeat(512 * 1024)}"` }
    const { status } = await ask('PATCH', `/stores/${at}/secrets/${id}`, tooLarge)
    assert.equal(status, 413)
    const { result } = await ask('GET', `/stores/${at}/secrets`)
    assert.deepEqual(
      result.map(({ name }: { name: string }) => name),
      ['TAKEN'],
    )
    await ask('DELETE', `/stores/${at}/secrets`, json([id]))
  })

  test('a value of any size that may be, with all of it escaped', async () => {
    const nulls = Array.from({ length: 10 }, (_, n) =>
      secret(`n${n}`, { value: '\u0000'.repeat(65_536) }),
    )
    const { result } = await ask('POST', `/stores/${at}/secrets`, json(nulls))
    const ids = result.map(({ id }: { id: string }) => id)
    assert.equal(ids.length, 10)
    const change = { value: '\u0000'.repeat(65_536) }
    assert.equal((await ask('PATCH', `/stores/${at}/secrets/${ids[0]}`, json(change))).status, 200)
    await ask('DELETE', `/stores/${at}/secrets`, json(ids))
  })

  test('a duplicate is a secret of its own', async () => {
    const [id = ''] = await secrets(at, secret('ORIGINAL', { comment: 'of the first' }))
    const as = { name: 'COPY', scopes: ['access'] }
    const path = `/stores/${at}/secrets`
    const { result } = await ask('POST', `${path}/${id}/duplicate`, json(as))
    assert.partialDeepStrictEqual(result, { ...as, store_id: at, comment: '', status: 'active' })
    await ask('DELETE', `${path}/${id}`)
    assert.equal((await ask('GET', `${path}/${result.id}`)).result.name, 'COPY')
    assert.equal((await ask('POST', `${path}/${id}/duplicate`, json(as))).status, 404)
    await ask('DELETE', `${path}/${result.id}`)
  })

  test('lists are searched, filtered, ordered, and in pages that say how many there are', async () => {
    const [b, a, c] = await secrets(
      at,
      secret('b_key', { comment: 'Zebra', scopes: ['workers', 'dex'] }),
      secret('a-key', { comment: 'apple' }),
      secret('c', { comment: 'A key', scopes: ['dex'] }),
    )
    clock.moveBy(1)
    await ask('PATCH', `/stores/${at}/secrets/${b}`, json({ value: 'changed' }))
    clock.moveBy(1)
    await ask('PATCH', `/stores/${at}/secrets/${a}`, json({ comment: 'apple' }))
    const cases: readonly (readonly [string, readonly (string | undefined)[]])[] = [
      ['', [c, a, b]],
      ['?direction=asc', [b, a, c]],
      ['?order=name&direction=asc', [a, b, c]],
      ['?order=name', [c, b, a]],
      ['?order=comment&direction=asc', [c, b, a]],
      ['?order=modified', [a, b, c]],
      ['?search=KEY', [c, a, b]],
      ['?search=zebra', [b]],
      ['?search=%25', []],
      // The one that is called so is first.
      ['?search=a-key', [a]],
      ['?search=c', [c]],
      ['?scopes=dex', [c, b]],
      ['?scopes=dex&scopes=workers', [b]],
      ['?scopes[]=dex,workers', [b]],
      ['?scopes=containers', []],
      ['?per_page=2', [c, a]],
      ['?per_page=2&page=2', [b]],
      ['?per_page=2&page=3', []],
    ]
    for (const [query, ids] of cases) {
      const { result } = await ask('GET', `/stores/${at}/secrets${query}`)
      assert.deepEqual(
        result.map(({ id }: { id: string }) => id),
        ids,
        query,
      )
    }
    const { info } = await ask('GET', `/stores/${at}/secrets?per_page=2&page=2`)
    assert.deepEqual(info, { page: 2, per_page: 2, count: 1, total_count: 3, total_pages: 2 })
    const many = Array.from({ length: 20 }, (_, n) => secret(`c${n}`))
    const more = await secrets(at, ...many)
    const { result, info: first } = await ask('GET', `/stores/${at}/secrets?search=c`)
    assert.deepEqual([result[0].id, result.length, first.total_count], [c, 10, 21])
    await ask('DELETE', `/stores/${at}/secrets`, json([a, b, c, ...more]))
  })

  test('are as many as an account may have, in all its stores', async () => {
    const elsewhere = await store('elsewhere')
    await secrets(elsewhere, secret('ONE'))
    for (let n = 0; n < secretsPerAccount - 100; n += 100) {
      const hundred = Array.from({ length: 100 }, (_, m) => secret(`n${n + m}`))
      assert.equal((await ask('POST', `/stores/${at}/secrets`, json(hundred))).status, 200)
    }
    const quota = async (as = caller) => (await ask('GET', '/quota', { as })).result
    assert.deepEqual(await quota(), { secrets: { quota: 1_000, usage: 901 } })
    const hundred = Array.from({ length: 100 }, (_, n) => secret(`more${n}`))
    const refused = await ask('POST', `/stores/${at}/secrets`, json(hundred))
    assert.deepEqual([refused.status, refused.code], [400, 1003])
    assert.match(refused.message, /^maximum_secrets_exceeded/)
    assert.equal((await quota()).secrets.usage, 901)
    const rest = await ask('POST', `/stores/${elsewhere}/secrets`, json(hundred.slice(0, 99)))
    assert.equal(rest.status, 200)
    assert.equal((await ask('POST', `/stores/${at}/secrets`, json([secret('X')]))).code, 1003)
    assert.deepEqual(await quota(stranger), { secrets: { quota: 1_000, usage: 0 } })
    await ask('DELETE', `/stores/${elsewhere}?force=true`)
  })
})

suite('another account', () => {
  test('finds nothing of it, and changes nothing', async () => {
    const at = await store('mine')
    const [id] = await secrets(at, secret('KEY'))
    const path = `/stores/${at}/secrets`
    const calls: readonly (readonly [string, string, unknown?])[] = [
      ['GET', `/stores/${at}`],
      ['DELETE', `/stores/${at}?force=true`],
      ['GET', path],
      ['POST', path, [secret('MORE')]],
      ['DELETE', path, [id]],
      ['GET', `${path}/${id}`],
      ['PATCH', `${path}/${id}`, { value: 'theirs' }],
      ['DELETE', `${path}/${id}`],
      ['POST', `${path}/${id}/duplicate`, secret('COPY')],
    ]
    for (const [method, to, body] of calls) {
      const sent = body === undefined ? {} : json(body)
      const { status, code, message } = await ask(method, to, { ...sent, as: stranger })
      assert.deepEqual([status, code, message], [404, 1001, 'store_not_found'], `${method} ${to}`)
    }
    assert.deepEqual((await ask('GET', '/stores', { as: stranger })).result, [])
    // Nor by a store of its own.
    const { result } = await ask('POST', '/stores', { ...json({ name: 'theirs' }), as: stranger })
    const theirs = `/stores/${result.id}/secrets`
    for (const [method, to, body] of calls.slice(5)) {
      const sent = body === undefined ? {} : json(body)
      const across = to.replace(path, theirs)
      const answer = await ask(method, across, { ...sent, as: stranger })
      assert.deepEqual([answer.status, answer.message], [404, 'secret_not_found'], across)
    }
    assert.equal((await ask('GET', path)).result.length, 1)
  })

  for (const path of ['', '/stores/x/y', '/secrets', `/stores/${none}/secrets/${none}/value`]) {
    test(`there is no ${path || 'root'}`, async () => {
      assert.deepEqual((await ask('GET', path)).code, 7003)
    })
  }

  for (const id of ['', 'x', none, '%00', `${none}0`, "' OR 1=1 --"]) {
    test(`no store is called ${JSON.stringify(id)}`, async () => {
      const { status } = await ask('GET', `/stores/${encodeURIComponent(id)}/secrets`)
      assert.equal(status, 404)
    })
  }
})
