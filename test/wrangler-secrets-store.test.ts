import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { call, placeOf } from '#test/deployer.ts'

// Secrets Store, with the unmodified wranglers that projects pin, and a Worker that looks on.

const reader = `export default {
  async fetch(request, env) {
    return Response.json(await env.KEY.get().catch(String))
  },
}`
const madeByApi = z.object({ id: z.string() })
const none = '0'.repeat(32)

withNewestAndOldest('Secrets Store', (wrangler) => {
  const skip = wrangler.lacks('secrets-store')
  const own = (kind: string, verb: string, ...args: readonly string[]): readonly string[] => [
    'secrets-store',
    kind,
    verb,
    ...args,
    '--remote',
  ]
  /** Runs a command that makes something; gives its id. */
  async function made(args: readonly string[], stdin = ''): Promise<string> {
    const said = await wrangler.ok(args, { stdin })
    return /✅.*ID: ([0-9a-f]{32})/.exec(said)?.[1] ?? assert.fail(said)
  }
  const store = (name: string): Promise<string> => made(own('store', 'create', name))
  const named = (name: string): readonly string[] => ['--name', name, '--scopes', 'workers']
  const of = (id: string): readonly string[] => ['--secret-id', id]

  // Where making it is not what is tested.
  const root = '~/secrets_store/stores'
  const storeByApi = async (name: string): Promise<string> =>
    madeByApi.parse(await call(placeOf(wrangler.server), 'POST', root, { name })).id
  const secret = async (at: string, name: string, value: string): Promise<string> => {
    const body = [{ name, value, scopes: ['workers'] }]
    const all = await call(placeOf(wrangler.server), 'POST', `${root}/${at}/secrets`, body)
    return z.tuple([madeByApi]).parse(all)[0].id
  }

  test('stores are made, listed and deleted', { skip }, async () => {
    const id = await store('listed')
    const listed = await wrangler.ok(own('store', 'list', '--per-page', '100'))
    assert.match(listed, new RegExp(`listed.*${id}.*${placeOf(wrangler.server).account}`))
    await wrangler.ok(own('store', 'delete', id))
    await wrangler.fails(own('store', 'delete', id), /store_not_found \[code: 1001\]/)
  })

  test('secrets are made, listed, shown, changed, duplicated and deleted', { skip }, async () => {
    const at = await store('secrets')
    const create = own('secret', 'create', at, ...named('API_KEY'), '--comment', 'of the bank')
    const id = await made(create, 'sesame-é\n')
    await wrangler.fails([...create, '--value', 'v'], /secret_name_already_exists.*1003/)
    const all = [await wrangler.ok(own('secret', 'list', at))]
    all.push(await wrangler.ok(own('secret', 'get', at, ...of(id))))
    for (const said of all) {
      assert.match(said, /API_KEY/)
      assert.match(said, new RegExp(id))
      assert.match(said, /of the bank/)
      assert.match(said, /workers/)
      assert.match(said, /active/)
    }
    const comment = ['--comment', 'of another']
    const changed = await wrangler.ok(own('secret', 'update', at, ...of(id), ...comment))
    assert.match(changed, /of another/)
    const more = ['--value', 'sesame-2', '--scopes', 'workers,ai_gateway']
    all.push(changed, await wrangler.ok(own('secret', 'update', at, ...of(id), ...more)))
    assert.match(all.at(-1) ?? '', /workers, ai_gateway/)
    const as = named('COPY')
    const copy = await made(own('secret', 'duplicate', at, ...of(id), ...as, '--comment', 'c'))
    assert.notEqual(copy, id)
    await wrangler.ok(own('secret', 'delete', at, ...of(id)))
    const gone = /secret_not_found \[code: 1001\]/
    await wrangler.fails(own('secret', 'get', at, ...of(id)), gone)
    await wrangler.fails(own('store', 'delete', at), /store_not_empty/)
    const left = await wrangler.ok(own('secret', 'list', at, '--per-page', '1', '--page', '1'))
    assert.match(left, /COPY/)
    assert.ok(!all.join('').includes('sesame'))
  })

  test('a Worker sees a new value without a deploy', { skip }, async () => {
    const at = await storeByApi('bound')
    const id = await secret(at, 'BOUND', 'one\ntwo')
    const binding = { binding: 'KEY', store_id: at, secret_name: 'BOUND' }
    await wrangler.project('reader', { secrets_store_secrets: [binding] }, { 'index.js': reader })
    const inProject = { cwd: 'reader' }
    const said = await wrangler.ok(['deploy'], inProject)
    assert.match(said, new RegExp(`env\\.KEY \\(${at}/BOUND\\) +Secrets Store Secret`))
    assert.deepEqual(JSON.parse(await wrangler.visit('reader')), 'one\ntwo')
    await wrangler.ok(own('secret', 'update', at, ...of(id), '--value', 'rotated'))
    assert.deepEqual(JSON.parse(await wrangler.visit('reader')), 'rotated')

    const version = /Current Version ID: (\S+)/.exec(said)?.[1] ?? assert.fail(said)
    const shown = await wrangler.ok(['versions', 'view', version], inProject)
    assert.match(shown, new RegExp(`${at}/BOUND`))

    await wrangler.ok(own('secret', 'delete', at, ...of(id)))
    const missing = 'Error: Secret "BOUND" not found'
    assert.deepEqual(JSON.parse(await wrangler.visit('reader')), missing)
    await wrangler.fails(['deploy'], new RegExp(`'KEY'.*'${at}'.*'BOUND'.*10182`), inProject)
    await secret(at, 'BOUND', 'again')
    assert.deepEqual(JSON.parse(await wrangler.visit('reader')), 'again')
  })

  test('by unsafe bindings, which any wrangler has', async () => {
    const at = await storeByApi('unsafe')
    await secret(at, 'PLAIN', 'v')
    const config = (store_id: string): object => {
      const entry = { name: 'KEY', type: 'secrets_store_secret', store_id, secret_name: 'PLAIN' }
      return { unsafe: { bindings: [entry] } }
    }
    const files = { 'index.js': reader }
    const inProject = { cwd: 'unsafe' }
    await wrangler.project('unsafe', config(none), files)
    await wrangler.fails(['deploy'], /10182/, inProject)
    await wrangler.project('unsafe', config(at), files)
    await wrangler.ok(['deploy'], inProject)
    assert.deepEqual(JSON.parse(await wrangler.visit('unsafe')), 'v')
  })
})
