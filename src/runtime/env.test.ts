import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { WorkerPlan } from '#contract/cell.ts'
import { workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { type Fixture, type Source, startFixture } from './fixture.ts'

// One Worker that tells what each road to `env` leads to, and how often its isolate was asked.
const code = `
import { env as imported, exports, withEnv, WorkerEntrypoint } from 'cloudflare:workers'
let requests = 0
const top = imported.TEXT
export class Named extends WorkerEntrypoint {
  text() { return this.env.TEXT }
  async later() { await new Promise((resolve) => setTimeout(resolve, 5)); return imported.TEXT }
}
export const plain = { fetch() {} }
export default { async fetch(request, env, ctx) {
  const url = new URL(request.url)
  if (url.pathname === '/hold') {
    const { readable, writable } = new TransformStream()
    const write = async () => {
      const writer = writable.getWriter()
      for (const _ of [1, 2, 3, 4, 5, 6, 7, 8]) { await writer.write(new TextEncoder().encode(env.TEXT + ',')); await scheduler.wait(50) }
      await writer.close()
    }
    ctx.waitUntil(write())
    return new Response(readable)
  }
  return Response.json({
    requests: ++requests,
    top,
    argument: env.TEXT,
    named: await env.SELF.text(),
    imported: imported.TEXT,
    later: await env.SELF.later(),
    withEnv: withEnv({ TEXT: 'other' }, () => imported.TEXT),
    json: env.JSON ?? null,
    keys: Object.keys(env).sort().join(),
    processEnv: globalThis.process?.env ? { TEXT: process.env.TEXT, JSON: process.env.JSON, ADDED: process.env.ADDED } : null,
    exports: [...Object.keys(exports ?? {}), '|', ...Object.getOwnPropertyNames(ctx.exports ?? {}), '|', ...Reflect.ownKeys(ctx.exports ?? {})].join(' '),
    kv: env.KV ? await env.KV.get('k') : null,
  })
} }`

const self: Wire = { type: 'worker', worker: workerName.parse('w'), entrypoint: 'Named' }
const text = (value: string): Wire => ({ type: 'text', text: value })
const kv = (resource: string): Wire => ({ type: 'backend', client: 'kvNamespace', resource })
const kinds: Readonly<
  Record<string, Pick<Source, 'date' | 'flags'> & { processEnv: boolean; ctxExports: boolean }>
> = {
  today: { date: '2026-11-01', processEnv: true, ctxExports: true },
  'nodejs_compat, populated': {
    date: '2025-04-01',
    flags: ['nodejs_compat'],
    processEnv: true,
    ctxExports: false,
  },
  'nodejs_compat, populated by a flag': {
    date: '2025-01-01',
    flags: ['nodejs_compat', 'nodejs_compat_populate_process_env'],
    processEnv: true,
    ctxExports: false,
  },
  'nodejs_compat, not populated': {
    date: '2026-11-01',
    flags: ['nodejs_compat_do_not_populate_process_env'],
    processEnv: false,
    ctxExports: true,
  },
  'an older nodejs_compat': {
    date: '2025-03-31',
    flags: ['nodejs_compat'],
    processEnv: false,
    ctxExports: false,
  },
  'without node': { date: '2026-08-03', processEnv: false, ctxExports: true },
}

/** What each road says while the value is `value`. */
function roads(value: string): object {
  return { argument: value, named: value, imported: value, later: value, withEnv: 'other' }
}

function sourceOf(
  compatibility: Pick<Source, 'date' | 'flags'>,
  bindings: Readonly<Record<string, Wire>>,
): Source {
  return { code, ...compatibility, bindings: { SELF: self, ...bindings } }
}

function withText(value: string): Source {
  return { code, bindings: { SELF: self, TEXT: text(value) } }
}

suite('env', () => {
  let fixture: Fixture
  before(async () => {
    fixture = await startFixture()
  })
  after(() => fixture[Symbol.asyncDispose]())

  async function report(): Promise<Record<string, unknown>> {
    const { status, body } = await fixture.visit('w')
    assert.equal(status, 200, body)
    return JSON.parse(body) as Record<string, unknown>
  }

  test('that user code has frozen is replaced with its isolate', async () => {
    const frozen = (value: string): Source => ({
      code: `export default { fetch: (_, env) => new Response(Object.freeze(env).TEXT) }`,
      bindings: { TEXT: text(value) },
    })
    for (const value of ['one', 'two', 'three']) {
      await fixture.apply([await fixture.ready('w', frozen(value))])
      assert.equal((await fixture.visit('w')).body, value)
    }
  })

  for (const [name, { processEnv, ctxExports, ...compatibility }] of Object.entries(kinds)) {
    test(`by all roads, before and after a change: ${name}`, async () => {
      const first = await fixture.ready(
        'w',
        sourceOf(compatibility, {
          TEXT: text('one'),
          JSON: { type: 'json', json: { n: 1 } },
          KV: kv('first'),
        }),
      )
      await fixture.apply([first])
      const [door] = fixture.targets('w')
      const asked = await report()
      const names = 'default plain Named'
      const exported = `${names} | ${ctxExports ? `${names} | ${names}` : '|'}`
      const hasProcess = asked['processEnv'] !== null
      assert.ok(hasProcess || !processEnv)
      assert.deepEqual(asked, {
        requests: 1,
        top: 'one',
        ...roads('one'),
        json: { n: 1 },
        keys: 'JSON,KV,SELF,TEXT',
        processEnv: hasProcess ? { ...(processEnv && { TEXT: 'one', JSON: '{"n":1}' }) } : null,
        exports: exported,
        kv: '"first"',
      })

      const second: WorkerPlan = {
        ...fixture.plan(
          'w',
          sourceOf(compatibility, {
            TEXT: text('two'),
            ADDED: { type: 'json', json: [2] },
            KV: kv('second'),
          }),
        ),
        exports: first.exports,
      }
      await fixture.apply([second])
      assert.deepEqual(await report(), {
        requests: 2,
        top: 'one',
        ...roads('two'),
        json: null,
        keys: 'ADDED,KV,SELF,TEXT',
        processEnv: hasProcess ? { ...(processEnv && { TEXT: 'two', ADDED: '[2]' }) } : null,
        exports: exported,
        kv: '"second"',
      })
      assert.deepEqual(fixture.targets('w'), [door], 'it is the same process, in the same place')

      await fixture.apply([first])
      const back = await report()
      assert.deepEqual([back['requests'], back['argument'], back['json']], [3, 'one', { n: 1 }])
    })
  }

  test('a request that is running sees the new value, and is not disturbed', async () => {
    const first = await fixture.ready('w', withText('old'))
    await fixture.apply([first])
    const held = fixture.visit('w', '/hold')
    await new Promise((resolve) => setTimeout(resolve, 120))
    await fixture.apply([{ ...fixture.plan('w', withText('new')), exports: first.exports }])
    assert.match((await held).body, /^(old,)+(new,)+$/)
  })

  test('what user code does to env and to built-ins does not keep new values out', async () => {
    const hostile = `
    const seen = []
    JSON.parse = () => { seen.push('parse'); return 'wrong' }
    Reflect.defineProperty = () => { seen.push('defineProperty') }
    let isFirst = true
    export default { fetch(request, env) {
      if (isFirst) Object.defineProperty(env, 'TEXT', { get: () => 'mine', set() { seen.push('set') }, configurable: true })
      isFirst = false
      return new Response([env.TEXT, env.J?.n, seen].join())
    } }`
    const source = (value: string): Source => ({
      code: hostile,
      // Without process.env, whose own code would use the built-ins that the user replaced.
      date: '2026-08-03',
      bindings: { TEXT: text(value), J: { type: 'json', json: { n: value } } },
    })
    const first = await fixture.ready('w', source('one'))
    await fixture.apply([first])
    assert.equal((await fixture.visit('w')).body, 'mine,one,')
    await fixture.apply([{ ...fixture.plan('w', source('two')), exports: first.exports }])
    assert.equal((await fixture.visit('w')).body, 'two,two,')
  })

  test('the hidden entrypoint can be found as a file, and not be called', async () => {
    const searching = `
    import fs from 'node:fs'
    import { env, exports } from 'cloudflare:workers'
    const atTop = Object.getOwnPropertyNames(exports)
    export class Named extends (await import('cloudflare:workers')).WorkerEntrypoint { hello() { return 1 } }
    export default { async fetch(request, env, ctx) {
      const tried = {}
      const files = fs.readdirSync('/bundle')
      const names = files.map((file) => file.match(/__bindery_[0-9a-f]{32}/)?.[0]).filter(Boolean)
      tried.found = names.length > 0
      const hidden = names[0]
      const attempt = async (name, run) => { try { tried[name] = await run() } catch (error) { tried[name] = error.message } }
      await attempt('exports', () => exports[hidden].assign({ values: [{ name: 'TEXT', text: 'evil' }], removed: [] }))
      await attempt('ctx', () => ctx.exports[hidden].assign({ values: [], removed: [] }))
      await attempt('prototype', () => Object.keys(Object.getPrototypeOf(ctx.exports)).includes(hidden))
      await attempt('rpc', () => env.SELF[hidden]())
      await attempt('rpc of the entrypoint', () => env.SELF.assign({ values: [], removed: [] }))
      await attempt('fetch', () => env.OTHER.fetch('http://x').then((r) => r.text()))
      tried.names = [...Object.getOwnPropertyNames(ctx.exports), ...Object.getOwnPropertyNames(exports), ...atTop].filter((name) => name.startsWith('__'))
      return Response.json(tried)
    } }`
    const other: Wire = {
      type: 'worker',
      worker: workerName.parse('w'),
      entrypoint: '__bindery_guess',
    }
    const worker = await fixture.ready('w', {
      code: searching,
      bindings: { SELF: self, OTHER: other, TEXT: text('kept') },
    })
    await fixture.apply([worker])
    const { body } = await fixture.visit('w')
    const { found, names, prototype, ...tried } = JSON.parse(body) as Record<string, unknown>
    assert.deepEqual([found, names, prototype], [true, [], false], body)
    assert.match(String(tried['exports']), /Cannot read properties of undefined/)
    assert.match(String(tried['ctx']), /Cannot read properties of undefined/)
    assert.match(String(tried['rpc']), /does not implement the method/)
    assert.match(String(tried['rpc of the entrypoint']), /does not implement the method/)
    assert.match(String(tried['fetch']), /does not exist/)
  })
})
