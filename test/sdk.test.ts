import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import Cloudflare, { APIError, toFile } from 'cloudflare'
import { z } from 'zod'
import { startTestServer, type TestServer } from '#test/server.ts'

// The official SDK, with nothing but a base URL and a token of ours.

let server: TestServer
let client: Cloudflare
let account_id: string

before(async () => {
  server = await startTestServer()
  account_id = server.environment['CLOUDFLARE_ACCOUNT_ID'] ?? ''
  client = new Cloudflare({
    baseURL: server.environment['CLOUDFLARE_BASE_URL'] ?? '',
    apiToken: server.environment['CLOUDFLARE_API_TOKEN'] ?? '',
    maxRetries: 0,
  })
})
after(() => server[Symbol.asyncDispose]())

/** Every item of every page; fails the test if there is no end. */
async function all<Item>(pages: AsyncIterable<Item>, most = 3_000): Promise<Item[]> {
  const items: Item[] = []
  for await (const item of pages) {
    items.push(item)
    assert.ok(items.length <= most, 'the pages do not end')
  }
  return items
}

function script(source: string, name = 'index.js', type = 'application/javascript+module') {
  return toFile(Buffer.from(source), name, { type })
}

async function visit(worker: string): Promise<string> {
  const response = await server.visit(worker)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return text
}

/** How the SDK tells of a refusal. */
function refused(status: number, code: number) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof APIError, String(error))
    assert.deepEqual([error.status, error.errors[0]?.code], [status, code])
    return true
  }
}

const showEnv = 'export default { fetch: (request, env) => Response.json(env) }'
const date = '2026-11-01'

suite('who somebody is', () => {
  test('the token, the user, the accounts', async () => {
    assert.equal((await client.user.tokens.verify()).status, 'active')
    assert.partialDeepStrictEqual(await client.user.get(), { email: 'admin@localhost' })
    assert.deepEqual(
      (await all(client.accounts.list())).map(({ id }) => id),
      [account_id],
    )
    assert.equal((await client.accounts.get({ account_id })).name, 'Bindery')
    assert.equal((await client.workers.subdomains.get({ account_id })).subdomain, 'main')
  })

  test('what is refused: another token, another account, what is not here', async () => {
    const stranger = client.withOptions({ apiToken: 'none' })
    await assert.rejects(stranger.user.get(), refused(401, 10000))
    const nobody = { account_id: '0'.repeat(32) }
    await assert.rejects(all(client.workers.scripts.list(nobody)), refused(404, 7003))
    await assert.rejects(client.vectorize.indexes.list({ account_id }), refused(404, 7003))
    await assert.rejects(client.workers.scripts.get('none', { account_id }), refused(404, 10007))
  })
})

suite('workers.scripts', () => {
  const name = 'script'
  const of = () => ({ account_id, script_name: name })

  test('a script with modules and bindings is uploaded, listed and read back', async () => {
    const uploaded = await client.workers.scripts.update(name, {
      account_id,
      metadata: {
        main_module: 'index.js',
        compatibility_date: date,
        bindings: [
          { type: 'plain_text', name: 'TEXT', text: 'hällo' },
          { type: 'json', name: 'LIST', json: { of: ['some', 'words'] } },
          { type: 'secret_text', name: 'SECRET', text: 'sesame' },
        ],
      },
      files: [
        await script(
          'import note from "./note.txt"; export default { fetch: (_, env) => Response.json({ ...env, note }) }',
        ),
        await script('a note', 'note.txt', 'text/plain'),
      ],
    })
    assert.equal(uploaded.id, name)
    // Nobody can visit a Worker of the API until it is said where.
    assert.equal((await server.visit(name)).status, 404)
    await client.workers.scripts.subdomain.create(name, { account_id, enabled: true })
    assert.deepEqual(JSON.parse(await visit(name)), {
      TEXT: 'hällo',
      LIST: { of: ['some', 'words'] },
      SECRET: 'sesame',
      note: 'a note',
    })
    const listed = await all(client.workers.scripts.list({ account_id }))
    assert.deepEqual(
      listed.map(({ id, etag }) => [id, etag]),
      [[name, uploaded.etag]],
    )
    assert.match(await client.workers.scripts.get(name, { account_id }), /import note from/)
    const content = await client.workers.scripts.content.get(name, { account_id })
    assert.equal(content.headers.get('cf-entrypoint'), 'index.js')
    const modules = [...(await content.formData()).keys()]
    assert.deepEqual(modules.toSorted(), ['index.js', 'note.txt'])
  })

  test('other code keeps bindings and settings', async () => {
    await client.workers.scripts.content.update(name, {
      account_id,
      metadata: { main_module: 'index.js' },
      files: [await script(showEnv)],
    })
    const settings = client.workers.scripts.scriptAndVersionSettings
    assert.equal((await settings.get(name, { account_id })).compatibility_date, date)
    assert.deepEqual(JSON.parse(await visit(name)), {
      TEXT: 'hällo',
      LIST: { of: ['some', 'words'] },
      SECRET: 'sesame',
    })
  })

  test('settings of a version and of the script', async () => {
    await client.workers.scripts.scriptAndVersionSettings.edit(name, {
      account_id,
      settings: {
        bindings: [
          { type: 'plain_text', name: 'TEXT', text: 'edited' },
          { type: 'inherit', name: 'SECRET' },
        ],
      },
    })
    assert.deepEqual(JSON.parse(await visit(name)), { TEXT: 'edited', SECRET: 'sesame' })
    const { settings } = client.workers.scripts
    await settings.edit(name, { account_id, tags: ['a', 'b'] })
    // What is not named stays.
    await settings.edit(name, { account_id, logpush: true })
    const seen = await settings.get(name, { account_id })
    assert.deepEqual([seen.tags, seen.logpush], [['a', 'b'], true])
  })

  test('the subdomain is left and entered', async () => {
    const { subdomain } = client.workers.scripts
    assert.equal((await subdomain.get(name, { account_id })).enabled, true)
    assert.equal((await server.visit(name)).status, 200)
    assert.equal((await subdomain.delete(name, { account_id })).enabled, false)
    assert.equal((await server.visit(name)).status, 404)
    assert.equal((await subdomain.create(name, { account_id, enabled: true })).enabled, true)
    assert.equal((await server.visit(name)).status, 200)
  })

  test('secrets', async () => {
    const { secrets } = client.workers.scripts
    await secrets.update(name, { account_id, name: 'A', text: '1', type: 'secret_text' })
    const b = { name: 'B', text: '2', type: 'secret_text' } as const
    await secrets.bulkUpdate(name, { account_id, secrets: { A: null, B: b } })
    const listed = await all(secrets.list(name, { account_id }))
    assert.deepEqual(new Set(listed.map((each) => each.name)), new Set(['SECRET', 'B']))
    assert.ok(!JSON.stringify(listed).includes('sesame'))
    assert.equal((await secrets.get('B', of())).name, 'B')
    await secrets.delete('SECRET', of())
    await assert.rejects(secrets.get('SECRET', of()), refused(404, 10056))
    assert.deepEqual(JSON.parse(await visit(name)), { TEXT: 'edited', B: '2' })
  })

  test('versions and deployments', async () => {
    const { versions, deployments } = client.workers.scripts
    const earlier = await all(versions.list(name, { account_id }))
    const made = await versions.create(name, {
      account_id,
      metadata: { main_module: 'index.js', annotations: { 'workers/tag': 'next' } },
      files: [await script('export default { fetch: () => new Response("next") }')],
    })
    const id = made.id ?? assert.fail('no id')
    assert.notEqual(await visit(name), 'next')
    assert.equal((await all(versions.list(name, { account_id })))[0]?.id, id)
    assert.equal((await versions.get(id, of())).number, earlier.length + 1)
    const deployed = await deployments.create(name, {
      account_id,
      strategy: 'percentage',
      versions: [{ version_id: id, percentage: 100 }],
    })
    assert.equal(await visit(name), 'next')
    assert.equal((await deployments.get(deployed.id, of())).versions[0]?.version_id, id)
    // The SDK takes the list for pages of `items`, which it is not, so it finds none; they end.
    assert.deepEqual(await all(deployments.list(name, { account_id })), [])
    const page = await deployments.list(name, { account_id })
    const shown = z.object({ deployments: z.array(z.object({ id: z.string() })) })
    assert.equal(shown.parse(page.result).deployments[0]?.id, deployed.id)
  })

  test('a deleted script is gone', async () => {
    await client.workers.scripts.delete(name, { account_id })
    assert.equal((await server.visit(name)).status, 404)
    assert.deepEqual(await all(client.workers.scripts.list({ account_id })), [])
  })
})

suite('workers.beta.workers', () => {
  test('Workers are made, listed in pages, changed in parts and as a whole, and deleted', async () => {
    const { workers } = client.workers.beta
    const names = Array.from({ length: 25 }, (_, index) => `many-${index}`)
    for (const name of names) await workers.create({ account_id, name, tags: ['made'] })
    const listed = await all(workers.list({ account_id, per_page: 10 }))
    assert.deepEqual(listed.map(({ name }) => name).toSorted(), names.toSorted())
    const { id } = await workers.get('many-0', { account_id })
    assert.equal((await workers.get(id, { account_id })).name, 'many-0')
    // The SDK's types ask for everything, which is not what a PATCH is.
    const edited = await client.patch<{ result: { tags: string[]; logpush: boolean } }>(
      `/accounts/${account_id}/workers/workers/${id}`,
      { body: { logpush: true } },
    )
    assert.deepEqual([edited.result.tags, edited.result.logpush], [['made'], true])
    const updated = await workers.update(id, { account_id, name: 'many-0' })
    await assert.rejects(workers.update(id, { account_id, name: 'renamed' }), /cannot be renamed/)
    assert.deepEqual([updated.tags, updated.logpush], [[], false])
    await workers.delete(id, { account_id })
    await assert.rejects(workers.get('many-0', { account_id }), refused(404, 10007))
  })

  test('versions', async () => {
    const { workers } = client.workers.beta
    await workers.create({ account_id, name: 'beta', subdomain: { enabled: true } })
    const { versions } = workers
    const made = await versions.create('beta', {
      account_id,
      deploy: true,
      main_module: 'index.js',
      compatibility_date: date,
      bindings: [{ type: 'json', name: 'VALUE', json: [1, null, true] }],
      modules: [
        {
          name: 'index.js',
          content_type: 'application/javascript+module',
          content_base64: Buffer.from(showEnv).toString('base64'),
        },
      ],
    })
    assert.deepEqual(JSON.parse(await visit('beta')), { VALUE: [1, null, true] })
    const inBeta = { account_id, worker_id: 'beta' }
    const seen = await versions.get(made.id, { ...inBeta, include: 'modules' })
    assert.partialDeepStrictEqual(seen, {
      number: 1,
      main_module: 'index.js',
      compatibility_date: date,
      bindings: [{ type: 'json', name: 'VALUE', json: [1, null, true] }],
    })
    assert.equal(Buffer.from(seen.modules?.[0]?.content_base64 ?? '', 'base64').toString(), showEnv)
    assert.equal((await versions.get(made.id, inBeta)).modules, undefined)
    assert.deepEqual(
      (await all(versions.list('beta', { account_id }))).map(({ id }) => id),
      [made.id],
    )
  })
})

suite('kv.namespaces', () => {
  let namespace: string
  const inSpace = () => ({ account_id, namespace_id: namespace })

  test('namespaces are made, listed in pages, renamed and deleted', async () => {
    const { namespaces } = client.kv
    const made = await Promise.all(
      Array.from({ length: 25 }, (_, index) =>
        namespaces.create({ account_id, title: `space ${index}` }),
      ),
    )
    const listed = await all(namespaces.list({ account_id, per_page: 10 }))
    assert.deepEqual(new Set(listed.map(({ id }) => id)), new Set(made.map(({ id }) => id)))
    assert.equal(listed.length, 25)
    namespace = made[0]?.id ?? ''
    await namespaces.update(namespace, { account_id, title: 'renamed' })
    assert.equal((await namespaces.get(namespace, { account_id })).title, 'renamed')
    for (const { id } of made.slice(1)) await namespaces.delete(id, { account_id })
    assert.equal((await all(namespaces.list({ account_id }))).length, 1)
    await assert.rejects(namespaces.get(made[1]?.id ?? '', { account_id }), refused(404, 10013))
  })

  for (const key of ['plain', 'a/b//c', 'with spaces', 'Käse & Öl?#%41']) {
    test(`the key "${key}": value, metadata, expiry`, async () => {
      const { values, metadata } = client.kv.namespaces
      await values.update(key, {
        ...inSpace(),
        value: `of ${key}`,
        metadata: `{"is":${JSON.stringify(key)}}`,
      })
      assert.equal(await (await values.get(key, inSpace())).text(), `of ${key}`)
      assert.deepEqual(await metadata.get(key, inSpace()), { is: key })
      await values.update(key, { ...inSpace(), value: 'brief', expiration_ttl: 600 })
      const { expiration = 0 } =
        (await all(client.kv.namespaces.keys.list(namespace, { account_id, prefix: key })))[0] ?? {}
      assert.ok(Math.abs(expiration - Date.now() / 1000 - 600) < 60, String(expiration))
      await values.delete(key, inSpace())
      await assert.rejects(values.get(key, inSpace()), refused(404, 10009))
    })
  }

  test('many at once: written, listed in pages, read and deleted', async () => {
    const { keys } = client.kv.namespaces
    const names = Array.from({ length: 1_100 }, (_, index) => `n/${String(index).padStart(4, '0')}`)
    const body = names.map((key) => ({ key, value: `of ${key}` }))
    const written = await keys.bulkUpdate(namespace, { account_id, body })
    assert.equal(written?.successful_key_count, names.length)
    for (const limit of [1_000, 400]) {
      const listed = await all(keys.list(namespace, { account_id, limit }))
      assert.deepEqual(
        listed.map(({ name }) => name),
        names,
      )
    }
    const read = await keys.bulkGet(namespace, { account_id, keys: ['n/0007', 'none'] })
    assert.deepEqual(read, { values: { 'n/0007': 'of n/0007', none: null } })
    await keys.bulkDelete(namespace, { account_id, body: names.slice(1) })
    assert.deepEqual(
      (await all(keys.list(namespace, { account_id }))).map(({ name }) => name),
      ['n/0000'],
    )
  })
})

suite('Durable Objects', () => {
  test('namespaces, and the objects of one in pages', async () => {
    const code = `import { DurableObject } from 'cloudflare:workers'
export class Room extends DurableObject { put() { this.ctx.storage.kv.put('x', 1) } }
export default { async fetch(request, env) {
  for (let n = 0; n < 25; n++) await env.R.getByName('room ' + n).put()
  return new Response('25')
} }`
    await client.workers.scripts.update('rooms', {
      account_id,
      metadata: {
        main_module: 'index.js',
        compatibility_date: date,
        bindings: [{ type: 'durable_object_namespace', name: 'R', class_name: 'Room' }],
        migrations: { new_tag: 'v1', new_sqlite_classes: ['Room'] },
      },
      files: [await script(code)],
    })
    await client.workers.scripts.subdomain.create('rooms', { account_id, enabled: true })
    assert.equal(await visit('rooms'), '25')
    const [namespace, ...more] = await all(client.durableObjects.namespaces.list({ account_id }))
    assert.deepEqual(more, [])
    const { id = '', ...shown } = namespace ?? {}
    const expected = { name: 'rooms_Room', script: 'rooms', class: 'Room', use_sqlite: true }
    assert.deepEqual(shown, expected)
    const list = client.durableObjects.namespaces.objects.list(id, { account_id, limit: 10 })
    const objects = await all(list)
    assert.equal(new Set(objects.map((object) => object.id)).size, 25)
    assert.ok(objects.every((object) => object.hasStoredData))
  })
})

suite('r2.buckets', () => {
  test('buckets and objects', async () => {
    const { buckets } = client.r2
    const at = { account_id }
    assert.equal((await buckets.create({ ...at, name: 'from-sdk' })).name, 'from-sdk')
    const { buckets: listed = [] } = await buckets.list(at)
    assert.deepEqual(
      listed.map(({ name }) => name),
      ['from-sdk'],
    )
    const of = { ...at, bucket_name: 'from-sdk' }
    const put = await buckets.objects.upload('a/b.txt', new File(['hello'], 'b'), of)
    assert.deepEqual([put.key, put.size], ['a/b.txt', '5'])
    const got = await buckets.objects.get('a/b.txt', of)
    assert.equal(await got.text(), 'hello')
    assert.deepEqual(
      (await all(buckets.objects.list('from-sdk', at))).map(({ key }) => key),
      ['a/b.txt'],
    )
    const rules = [{ id: 'x', enabled: true, conditions: { prefix: '' } }]
    await buckets.lifecycle.update('from-sdk', { ...at, rules })
    assert.deepEqual((await buckets.lifecycle.get('from-sdk', at)).rules, rules)
    const domain = await buckets.domains.managed.update('from-sdk', { ...at, enabled: true })
    assert.match(domain.domain, /^pub-/)
    assert.equal((await buckets.metrics.list(at)).standard?.published?.objects, 1)
    await assert.rejects(buckets.delete('from-sdk', at), refused(409, 10_008))
    await buckets.objects.delete('a/b.txt', of)
    await buckets.delete('from-sdk', at)
    await assert.rejects(buckets.get('from-sdk', at), refused(404, 10_006))
  })
})
