import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import Cloudflare, { APIError } from 'cloudflare'
import { z } from 'zod'
import { ask, call, deploy, formOf, otherAccount, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// Secrets of stores in deployed Workers, and by the official SDK.

const reader = `
const said = (promise) => promise.then((value) => ({ value }), (error) => ({ rejected: String(error) }))
export default {
  async fetch(request, env) {
    return Response.json(await said(env.KEY.get()))
  },
}`

let server: TestServer
let place: Place
let client: Cloudflare
let account_id: string

before(async () => {
  server = await startTestServer()
  place = placeOf(server)
  account_id = place.account
  const baseURL = server.environment['CLOUDFLARE_BASE_URL'] ?? ''
  client = new Cloudflare({ baseURL, apiToken: place.token, maxRetries: 0 })
})
after(() => server[Symbol.asyncDispose]())

const made = z.object({ id: z.string() })
const root = '~/secrets_store/stores'

async function store(name: string, at = place): Promise<string> {
  return made.parse(await call(at, 'POST', root, { name })).id
}

async function secret(at: string, name: string, value: string): Promise<string> {
  const body = [{ name, value, scopes: ['workers'] }]
  const all = await call(place, 'POST', `${root}/${at}/secrets`, body)
  return z.tuple([made]).parse(all)[0].id
}

async function database(): Promise<string> {
  const created = await call(place, 'POST', '~/d1/database', { name: 'formats' })
  return z.object({ uuid: z.string() }).parse(created).uuid
}

const bound = (store_id: string, secret_name: string, name = 'KEY'): object => ({
  type: 'secrets_store_secret',
  name,
  store_id,
  secret_name,
})

async function read(worker: string): Promise<unknown> {
  const response = await server.visit(worker)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}

const missing = { rejected: 'Error: Secret "SHARED" not found' }

suite('secrets of stores in deployed Workers', () => {
  test('are shared, rotated without a deploy, gone and back, and survive a kill of the server', async () => {
    const at = await store('shared')
    const id = await secret(at, 'SHARED', 'one')
    for (const worker of ['first', 'second']) {
      await deploy(place, worker, { code: reader, bindings: [bound(at, 'SHARED')] })
      assert.deepEqual(await read(worker), { value: 'one' })
    }
    await call(place, 'PATCH', `${root}/${at}/secrets/${id}`, { value: 'two\u0000é\n' })
    assert.deepEqual(await read('first'), { value: 'two\u0000é\n' })
    assert.deepEqual(await read('second'), { value: 'two\u0000é\n' })
    await call(place, 'PATCH', `${root}/${at}/secrets/${id}`, { scopes: ['ai_gateway'] })
    assert.deepEqual(await read('first'), missing)
    await call(place, 'DELETE', `${root}/${at}/secrets/${id}`)
    assert.deepEqual(await read('second'), missing)
    // Another variable is another version: the binding is kept as it was admitted.
    const text = { name: 'TEXT', text: 't', type: 'secret_text' }
    await call(place, 'PUT', '~/workers/scripts/first/secrets', text)
    assert.deepEqual(await read('first'), missing)
    await secret(at, 'SHARED', 'three')
    await server.kill()
    await server.restart()
    place = placeOf(server)
    client.baseURL = server.environment['CLOUDFLARE_BASE_URL'] ?? ''
    assert.deepEqual(await read('first'), { value: 'three' })
    await call(place, 'DELETE', `${root}/${at}?force=true`)
    assert.deepEqual(await read('first'), missing)
  })

  test('in Workers of any age', async () => {
    const at = await store('ages')
    await secret(at, 'SHARED', 'of any age')
    const bindings = [bound(at, 'SHARED')]
    for (const date of ['2021-11-03', '2023-01-01', '2024-03-25', '2026-11-01']) {
      const metadata = { compatibility_date: date }
      await deploy(place, 'age', { code: reader, bindings, metadata })
      assert.deepEqual(await read('age'), { value: 'of any age' }, date)
    }
  })

  test('and not in the service-worker format, for which workerd has no such clients', async () => {
    const at = await store('formats')
    await secret(at, 'SHARED', 'v')
    const script = `addEventListener('fetch', (event) => event.respondWith(new Response('old')))`
    const old = (bindings: readonly object[]): FormData => {
      const form = new FormData()
      const metadata = { body_part: 'script', compatibility_date: '2021-01-01', bindings }
      form.set('metadata', JSON.stringify(metadata))
      form.set('script', new File([script], 'script', { type: 'application/javascript' }))
      return form
    }
    const path = '~/workers/scripts/old'
    const limit = { namespace_id: '1', simple: { limit: 1, period: 10 } }
    for (const binding of [
      bound(at, 'SHARED'),
      { type: 'ratelimit', name: 'KEY', ...limit },
      { type: 'd1', name: 'KEY', id: await database() },
    ]) {
      const { status, errors } = await ask(place, 'PUT', path, old([binding]))
      assert.equal(status, 400)
      assert.match(
        errors[0]?.message ?? '',
        /"KEY" of type ".*" needs a Worker in the modules format/,
      )
    }
    await call(place, 'PUT', path, old([]))
    const form = new FormData()
    form.set('settings', JSON.stringify({ bindings: [bound(at, 'SHARED')] }))
    assert.equal((await ask(place, 'PATCH', `${path}/settings`, form)).status, 400)
  })

  test('are reached by all roads to env, and not while a module loads', async () => {
    const at = await store('roads')
    await secret(at, 'SHARED', 'v')
    const code = `import { env as imported, WorkerEntrypoint } from 'cloudflare:workers'
      const early = imported.KEY.get().then(String, ({ message }) => message)
      export default class extends WorkerEntrypoint {
        async fetch() {
          return Response.json([await early, await imported.KEY.get(), await this.env.KEY.get()])
        }
      }`
    await deploy(place, 'roads', { code, bindings: [bound(at, 'SHARED')] })
    const [early, ...values] = z.array(z.string()).parse(await read('roads'))
    assert.match(early ?? '', /global scope/)
    assert.deepEqual(values, ['v', 'v'])
  })

  test('an upload is refused if it names what is not there; settings show what is bound', async () => {
    const at = await store('uploads')
    await secret(at, 'THERE', 'sesame')
    const unscoped = [{ name: 'UNSCOPED', value: 'sesame', scopes: ['dex'] }]
    await call(place, 'POST', `${root}/${at}/secrets`, unscoped)
    const other = await otherAccount(server, 'other')
    const theirs = await store('theirs', other)
    const body = [{ name: 'THERE', value: 'v', scopes: ['workers'] }]
    await call(other, 'POST', `${root}/${theirs}/secrets`, body)
    for (const [store_id, name] of [
      [at, 'NONE'],
      [at, 'UNSCOPED'],
      [theirs, 'THERE'],
      ['nonsense', 'THERE'],
    ] as const) {
      const bindings = [bound(at, 'THERE'), bound(store_id, name, 'B')]
      const form = formOf({ code: reader, bindings })
      const { status, errors } = await ask(place, 'PUT', '~/workers/scripts/refused', form)
      assert.deepEqual([status, errors[0]?.code], [400, 10_182])
      const names = [`'B'`, `'${store_id}'`, `'${name}'`]
      for (const each of names) assert.ok(errors[0]?.message.includes(each), errors[0]?.message)
      assert.equal((await ask(place, 'GET', '~/workers/scripts/refused/settings')).status, 404)
    }
    await deploy(place, 'bound', { code: reader, bindings: [bound(at, 'THERE')] })
    const settings = await call(place, 'GET', '~/workers/scripts/bound/settings')
    assert.partialDeepStrictEqual(settings, { bindings: [bound(at, 'THERE')] })
  })

  test('nothing of a value is in the log or in the data directory', async () => {
    const at = await store('quiet')
    const value = 'sesame-that-nobody-sees'
    const id = await secret(at, 'SHARED', value)
    await deploy(place, 'quiet', { code: reader, bindings: [bound(at, 'SHARED')] })
    assert.deepEqual(await read('quiet'), { value })
    const lines = server.log.split('\n').filter((line) => line.includes('secret read'))
    const line = lines.find((each) => each.includes(id)) ?? assert.fail(server.log)
    const logged: unknown = JSON.parse(line)
    const who = { worker: 'quiet', binding: 'KEY', store: at, secret: id, count: 1 }
    assert.partialDeepStrictEqual(logged, { level: 'info', message: 'secret read', ...who })
    assert.ok(!server.log.includes(value))
    const files = readdirSync(server.dataDirectory, { recursive: true, withFileTypes: true })
    const kept = files.filter((file) => file.isFile())
    assert.ok(kept.some(({ name }) => name === 'secrets_store_secret.db-wal'))
    for (const { parentPath, name } of kept) {
      assert.ok(!readFileSync(join(parentPath, name)).includes(value), name)
    }
  })
})

suite('secretsStore of the SDK', () => {
  const refused =
    (status: number, code: number) =>
    (error: unknown): boolean => {
      assert.ok(error instanceof APIError, String(error))
      assert.deepEqual([error.status, error.errors[0]?.code], [status, code])
      return true
    }

  test('stores, secrets, duplicates, bulk deletes and the quota', async () => {
    const { stores, quota } = client.secretsStore
    const { id: store_id } = await stores.create({ account_id, name: 'sdk' })
    const at = { account_id, store_id }
    assert.equal((await stores.get(store_id, { account_id })).name, 'sdk')
    const names = Array.from({ length: 25 }, (_, n) => `KEY_${n}`)
    const body = names.map((name) => ({ name, value: `of ${name}`, scopes: ['workers' as const] }))
    const created = await Array.fromAsync(stores.secrets.create(store_id, { account_id, body }))
    assert.deepEqual(
      created.map(({ name }) => name),
      names,
    )
    const list = { account_id, per_page: 10, scopes: ['workers' as const] }
    const listed = await Array.fromAsync(stores.secrets.list(store_id, list))
    assert.deepEqual(new Set(listed.map(({ name }) => name)), new Set(names))
    assert.equal(listed.length, 25)
    assert.ok(!JSON.stringify(listed).includes('of KEY'))
    const [first] = created
    const id = first?.id ?? ''
    const edited = await stores.secrets.edit(id, { ...at, comment: 'c', scopes: ['dex'] })
    assert.partialDeepStrictEqual(edited, { comment: 'c', scopes: ['dex'], status: 'active' })
    assert.deepEqual(await stores.secrets.get(id, at), edited)
    const copy = { ...at, name: 'COPY', scopes: ['workers' as const] }
    assert.equal((await stores.secrets.duplicate(id, copy)).name, 'COPY')
    await assert.rejects(stores.secrets.duplicate(id, copy), refused(409, 1003))
    assert.ok((await quota.get({ account_id })).secrets.usage >= 26)
    await stores.secrets.delete(id, at)
    await assert.rejects(stores.secrets.get(id, at), refused(404, 1001))
    const ids = created.slice(1).map((each) => each.id)
    await stores.secrets.bulkDelete(store_id, { account_id }, { body: ids })
    assert.equal((await Array.fromAsync(stores.secrets.list(store_id, { account_id }))).length, 1)
    await assert.rejects(stores.delete(store_id, { account_id }), refused(409, 1003))
    await stores.delete(store_id, { account_id, force: true })
    const left = await Array.fromAsync(stores.list({ account_id }))
    assert.ok(left.every(({ name }) => name !== 'sdk'))
  })
})
