import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { withNewestAndOldest, type Wrangler } from '#test/clients.ts'
import { ask, call, deploy, formOf, placeOf } from '#test/deployer.ts'
import { startLoad } from '#test/load.ts'
import { startTestServer } from '#test/server.ts'

// Durable Objects as clients deploy them.

/** A Worker whose class counts, in SQLite or, if `isKv`, in the older storage. */
const counter = (version: string, className = 'Counter', isKv = false): string => `
import { DurableObject } from 'cloudflare:workers'
export class ${className} extends DurableObject {
  async add() {
    const n = ((await this.ctx.storage.get('n')) ?? 0) + 1
    await this.ctx.storage.put('n', n)
    ${isKv ? '' : "this.ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS t (n)')"}
    return ${JSON.stringify(version)} + ' ' + n
  }
}
export default {
  async fetch(request, env) {
    return new Response(await env.C.getByName(new URL(request.url).pathname).add())
  },
}`

const bound = (className = 'Counter', more: object = {}): object => ({
  type: 'durable_object_namespace',
  name: 'C',
  class_name: className,
  ...more,
})

const binding = { durable_objects: { bindings: [{ name: 'C', class_name: 'Counter' }] } }
const v1 = { tag: 'v1', new_sqlite_classes: ['Counter'] }

function files(wrangler: Wrangler): readonly string[] {
  const objects = join(wrangler.server.dataDirectory, 'objects')
  return readdirSync(objects, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /[0-9a-f]{64}\.sqlite$/.test(name),
  )
}

withNewestAndOldest('Durable Objects', (wrangler) => {
  test('made, deployed again with their data, renamed and deleted', async () => {
    const at = { cwd: 'counter' }
    const config = { ...binding, migrations: [v1] }
    await wrangler.project('counter', config, { 'index.js': counter('one') })
    await wrangler.ok(['deploy'], at)
    assert.equal(await wrangler.visit('counter', '/a'), 'one 1')
    await wrangler.project('counter', config, { 'index.js': counter('two') })
    await wrangler.ok(['deploy'], at)
    assert.equal(await wrangler.visit('counter', '/a'), 'two 2')
    await wrangler.server.restart()
    assert.equal(await wrangler.visit('counter', '/a'), 'two 3')
    const renamed = { tag: 'v2', renamed_classes: [{ from: 'Counter', to: 'Tally' }] }
    const bindings = [{ name: 'C', class_name: 'Tally' }]
    await wrangler.project(
      'counter',
      { durable_objects: { bindings }, migrations: [v1, renamed] },
      { 'index.js': counter('three', 'Tally') },
    )
    await wrangler.ok(['deploy'], at)
    assert.equal(await wrangler.visit('counter', '/a'), 'three 4')
    assert.equal(files(wrangler).length, 1)
    const deleted = { tag: 'v3', deleted_classes: ['Tally'] }
    const plain = `export default { fetch: () => new Response('no objects') }`
    await wrangler.project('counter', { migrations: [v1, renamed, deleted] }, { 'index.js': plain })
    await wrangler.ok(['deploy'], at)
    assert.equal(await wrangler.visit('counter', '/a'), 'no objects')
    assert.deepEqual(files(wrangler), [])
    await wrangler.ok(['delete', '--force'], at)
  })

  test('of another Worker, and moved to it', async () => {
    await wrangler.project(
      'owner',
      { ...binding, migrations: [v1] },
      { 'index.js': counter('owner') },
    )
    await wrangler.ok(['deploy'], { cwd: 'owner' })
    assert.equal(await wrangler.visit('owner', '/a'), 'owner 1')
    const theirs = [{ name: 'C', class_name: 'Counter', script_name: 'owner' }]
    const guest = `export default { async fetch(request, env) {
      return new Response(await env.C.getByName('/a').add())
    } }`
    await wrangler.project(
      'guest',
      { durable_objects: { bindings: theirs } },
      { 'index.js': guest },
    )
    await wrangler.ok(['deploy'], { cwd: 'guest' })
    assert.equal(await wrangler.visit('guest'), 'owner 2')
    const moved = {
      tag: 'v1',
      transferred_classes: [{ from: 'Counter', from_script: 'owner', to: 'Counter' }],
    }
    await wrangler.project(
      'heir',
      { ...binding, migrations: [moved] },
      { 'index.js': counter('heir') },
    )
    await wrangler.ok(['deploy'], { cwd: 'heir' })
    assert.equal(await wrangler.visit('heir', '/a'), 'heir 3')
    // Who was bound to the class goes with it.
    assert.equal(await wrangler.visit('guest'), 'heir 4')
  })

  test('wrong, and refused with nothing changed', async () => {
    const config = { ...binding, migrations: [v1] }
    await wrangler.project('strict', config, { 'index.js': counter('one') })
    await wrangler.ok(['deploy'], { cwd: 'strict' })
    assert.equal(await wrangler.visit('strict', '/a'), 'one 1')
    const other = counter('two', 'Other')
    await wrangler.project('strict', { migrations: [v1] }, { 'index.js': other })
    await wrangler.fails(['deploy'], /10064|does not export class 'Counter'/, { cwd: 'strict' })
    const missing = { durable_objects: { bindings: [{ name: 'C', class_name: 'Lost' }] } }
    await wrangler.project('lost', missing, { 'index.js': counter('x') })
    await wrangler.fails(['deploy'], /Lost/, { cwd: 'lost' })
    await wrangler.project('bare', binding, { 'index.js': counter('x') })
    await wrangler.fails(['deploy'], /new-class|new_sqlite_classes|migration/, { cwd: 'bare' })
    assert.equal(await wrangler.visit('strict', '/a'), 'one 2')
  })
})

suite('Durable Objects through the API', () => {
  test('who is bound to a class is told, and keeps its Worker from being deleted', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const metadata = { migrations: { new_sqlite_classes: ['Counter'] } }
    await deploy(place, 'owner', { code: counter('owner'), metadata })
    const guest = `export default { fetch: () => new Response('guest') }`
    const bindings = [bound('Counter', { script_name: 'owner' })]
    await deploy(place, 'guest', { code: guest, bindings })
    const references = await call(place, 'GET', '~/workers/scripts/owner/references')
    assert.partialDeepStrictEqual(references, {
      durable_objects: [{ service: 'guest', durable_object_namespace_name: 'owner_Counter' }],
    })
    const refused = await ask(place, 'DELETE', '~/workers/scripts/owner')
    assert.equal(refused.status, 409)
    assert.match(refused.errors[0]?.message ?? '', /\(guest\)/)
    await call(place, 'DELETE', '~/workers/scripts/owner?force=true')
    assert.equal(await (await server.visit('guest')).text(), 'guest')
  })

  test('by declared exports, and a transfer in two phases', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const live = { type: 'durable-object', storage: 'sqlite' }
    const put = async (name: string, upload: Parameters<typeof formOf>[0]): Promise<unknown> => {
      const made = await call(place, 'PUT', `~/workers/scripts/${name}`, formOf(upload))
      await call(place, 'POST', `~/workers/scripts/${name}/subdomain`, { enabled: true })
      return (made as { exports_reconciliation?: unknown }).exports_reconciliation
    }
    const made = await put('from', {
      code: counter('from'),
      bindings: [bound()],
      metadata: { exports: { Counter: live } },
    })
    assert.partialDeepStrictEqual(made, { created: ['Counter'], removable_entries: [] })
    assert.equal(await (await server.visit('from', '/a')).text(), 'from 1')
    const waiting = await put('to', {
      code: counter('to'),
      metadata: {
        exports: { Counter: { ...live, state: 'expecting-transfer', transfer_from: 'from' } },
      },
    })
    assert.partialDeepStrictEqual(waiting, {
      transfer_pending: [{ class: 'Counter', from: 'from' }],
    })
    const given = await put('from', {
      code: `export default { fetch: () => new Response('given away') }`,
      metadata: {
        exports: {
          Counter: { type: 'durable-object', state: 'transferred', transferred_to: 'to' },
        },
      },
    })
    assert.partialDeepStrictEqual(given, {
      transferred: [{ class: 'Counter', phase: 'committed', to: 'to' }],
    })
    await put('to', {
      code: counter('to'),
      bindings: [bound()],
      metadata: { exports: { Counter: live } },
    })
    assert.equal(await (await server.visit('to', '/a')).text(), 'to 2')
    assert.equal(await (await server.visit('from')).text(), 'given away')
  })

  test('are not deleted with their Worker while another takes them over', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const migrations = { new_sqlite_classes: ['Counter'] }
    await deploy(place, 'from', {
      code: counter('a'),
      bindings: [bound()],
      metadata: { migrations },
    })
    assert.equal(await (await server.visit('from', '/a')).text(), 'a 1')
    const moved = { from: 'Counter', from_script: 'from', to: 'Counter' }
    const taking = deploy(place, 'to', {
      code: counter('b'),
      bindings: [bound()],
      metadata: { migrations: { transferred_classes: [moved] } },
    })
    await new Promise((resolve) => void setTimeout(resolve, 60))
    await call(place, 'DELETE', '~/workers/scripts/from?force=true')
    await taking
    assert.equal(await (await server.visit('to', '/a')).text(), 'b 2')
  })

  test('released under load: held, never refused', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const upload = (version: string, first = false): Parameters<typeof deploy>[2] => ({
      code: counter(version),
      bindings: [bound()],
      ...(first && { metadata: { migrations: { new_sqlite_classes: ['Counter'] } } }),
    })
    await deploy(place, 'w', upload('v0', true))
    const load = startLoad({ port: server.visitorPort, host: 'w.localhost', perSecond: 100 })
    for (let n = 1; n <= 6; n++) {
      await deploy(place, 'w', upload(`v${n}`))
      await new Promise((resolve) => void setTimeout(resolve, 150))
    }
    const { failures, bodies, sent } = await load.stop()
    assert.deepEqual(failures, [])
    const counts = [...bodies.keys()].map((body) => Number(body.split(' ')[1]))
    assert.equal(new Set(counts).size, sent, 'every answer counted once')
    assert.equal(Math.max(...counts), sent, 'and none was lost')
  })

  test('tags exactly; a secret keeps objects and isolate; a split runs them once', async () => {
    await using server = await startTestServer()
    const place = placeOf(server)
    const migrations = { new_tag: 'a tag, as it is', steps: [{ new_classes: ['Counter'] }] }
    const first = { code: counter('one', 'Counter', true), bindings: [bound()] }
    await deploy(place, 'w', { ...first, metadata: { migrations } })
    const service = await call(place, 'GET', '~/workers/services/w')
    assert.partialDeepStrictEqual(service, {
      default_environment: { script: { migration_tag: 'a tag, as it is' } },
    })
    const settings = await call(place, 'GET', '~/workers/scripts/w/settings')
    assert.partialDeepStrictEqual(settings, { bindings: [{ name: 'C', class_name: 'Counter' }] })
    assert.equal(await (await server.visit('w', '/a')).text(), 'one 1')
    const secret = { name: 'S', text: 'x', type: 'secret_text' }
    await call(place, 'PUT', '~/workers/scripts/w/secrets', secret)
    assert.equal(await (await server.visit('w', '/a')).text(), 'one 2')
    const refused = await ask(
      place,
      'POST',
      '~/workers/scripts/w/versions',
      formOf({ ...first, metadata: { migrations: { ...migrations, old_tag: 'a tag, as it is' } } }),
    )
    assert.equal(refused.errors[0]?.code, 10211)
    const two = { ...first, code: counter('two', 'Counter', true) }
    const made = await call(place, 'POST', '~/workers/scripts/w/versions', formOf(two))
    const { deployments } = (await call(place, 'GET', '~/workers/scripts/w/deployments')) as {
      deployments: { versions: { version_id: string }[] }[]
    }
    const current = deployments[0]?.versions[0]?.version_id
    const split = [
      { version_id: current, percentage: 40 },
      { version_id: (made as { id: string }).id, percentage: 60 },
    ]
    await call(place, 'POST', '~/workers/scripts/w/deployments', { versions: split })
    const seen = new Set<string>()
    for (let n = 3; n < 23; n++) {
      const text = await (await server.visit('w', '/a')).text()
      assert.equal(text.split(' ')[1], String(n))
      seen.add(text.split(' ')[0] ?? '')
    }
    assert.deepEqual([...seen], ['two'], 'objects run in the larger share')
  })
})
