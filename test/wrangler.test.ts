import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { withEachWrangler } from '#test/clients.ts'
import { call, placeOf } from '#test/deployer.ts'

// Deploying, with the unmodified wranglers that projects pin: what they say, and what visitors see.

const versionPattern = /Current Version ID: ([0-9a-f-]{36})/
const versions = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      metadata: z.object({ source: z.string() }),
      annotations: z.record(z.string(), z.string()),
    }),
  ),
})

const says = (text: string): string =>
  `export default { fetch: () => new Response(${JSON.stringify(text)}) }`

/** Tells visitors what of `env` can be told. */
const showEnv = `export default {
  fetch: (request, env) => Response.json(env),
}`

/** A module that adds two numbers: \`(func (export "add") (param i32 i32) (result i32) ...)\`. */
const wasm = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01,
  0x7f, 0x03, 0x02, 0x01, 0x00, 0x07, 0x07, 0x01, 0x03, 0x61, 0x64, 0x64, 0x00, 0x00, 0x0a, 0x09,
  0x01, 0x07, 0x00, 0x20, 0x00, 0x20, 0x01, 0x6a, 0x0b,
])
const bytes = new Uint8Array([0, 255, 128, 10])

withEachWrangler('deploy', (wrangler) => {
  test('whoami', async () => {
    const said = await wrangler.ok(['whoami'])
    assert.match(said, /admin@localhost/)
    assert.ok(said.includes(wrangler.server.environment['CLOUDFLARE_ACCOUNT_ID'] ?? ''), said)
  })

  test('a Worker is deployed, and again: visitors see the version that was said', async () => {
    const config = { version_metadata: { binding: 'VERSION' } }
    const source = (text: string): string =>
      `export default { fetch: (_, env) => Response.json([${text}, env.VERSION.id]) }`
    const ids: (string | undefined)[] = []
    for (const text of ['1', '2']) {
      await wrangler.project('hello', config, { 'index.js': source(text) })
      const said = await wrangler.ok(['deploy'], { cwd: 'hello' })
      const [, id] = versionPattern.exec(said) ?? []
      assert.deepEqual(JSON.parse(await wrangler.visit('hello')), [Number(text), id])
      ids.unshift(id)
    }
    const { items } = versions.parse(
      await call(placeOf(wrangler.server), 'GET', '~/workers/scripts/hello/versions'),
    )
    assert.deepEqual(
      items.map(({ id }) => id),
      ids,
    )
    // The first by PUT of the script, the next by POST of a version.
    assert.deepEqual(
      items.map(({ annotations, metadata }) => [
        annotations['workers/triggered_by'],
        metadata.source,
      ]),
      [
        ['version_upload', 'wrangler'],
        ['upload', 'wrangler'],
      ],
    )
  })

  test('what can not be deployed says why, and changes nothing', async () => {
    const cases: readonly (readonly [string, object, string, RegExp])[] = [
      ['an error at the start', {}, 'throw new Error("not today")', /not today.*10021/s],
      ['a module that is not there', {}, 'import "cloudflare:nothing"; export default {}', /10021/],
      [
        'a service that is not there',
        { services: [{ binding: 'S', service: 'nobody' }] },
        says('x'),
        /nobody/,
      ],
      [
        'a flag that is not there',
        { compatibility_flags: ['no_such_flag'] },
        says('x'),
        /no_such_flag/,
      ],
    ]
    await wrangler.project('steady', {}, { 'index.js': says('steady') })
    await wrangler.ok(['deploy'], { cwd: 'steady' })
    for (const [what, config, source, why] of cases) {
      await wrangler.project('steady', config, { 'index.js': source })
      await wrangler.fails(['deploy'], why, { cwd: 'steady' })
      assert.equal(await wrangler.visit('steady'), 'steady', what)
    }
  })

  test('a Worker with every binding', async () => {
    await wrangler.project(
      'callee',
      {},
      {
        'index.js': `import { WorkerEntrypoint } from 'cloudflare:workers'
        export class Greeter extends WorkerEntrypoint {
          greet(name) { return \`\${this.ctx.props.salutation}, \${name}\` }
        }
        export default { fetch: (request) => new Response(\`callee at \${new URL(request.url).pathname}\`) }`,
      },
    )
    await wrangler.ok(['deploy'], { cwd: 'callee' })
    const title = wrangler.lacks('automatic provisioning') ? 'by-hand' : 'caller-notes'
    const kv = wrangler.lacks('automatic provisioning')
      ? { binding: 'NOTES', id: await createNamespace(title) }
      : { binding: 'NOTES' }
    const config = {
      vars: { TEXT: 'täxt\n"', SETTINGS: { list: [1, null, { deep: true }] }, NUMBER: 4.5 },
      kv_namespaces: [kv],
      services: [
        { binding: 'HTTP', service: 'callee' },
        { binding: 'DEFAULT', service: 'callee', entrypoint: 'default' },
        { binding: 'RPC', service: 'callee', entrypoint: 'Greeter', props: { salutation: 'Ahoy' } },
      ],
      version_metadata: { binding: 'VERSION' },
    }
    await wrangler.project('caller', config, {
      'index.js': `export default {
        async fetch(request, env) {
          const before = await env.NOTES.get('visits')
          await env.NOTES.put('visits', String(Number(before) + 1))
          return Response.json({
            text: env.TEXT, settings: env.SETTINGS, number: env.NUMBER, secret: env.SECRET ?? null,
            before, http: await (await env.HTTP.fetch('https://callee/a/path')).text(),
            rpc: await env.RPC.greet('sailor'), version: env.VERSION,
            named: await (await env.DEFAULT.fetch('https://callee/by/name')).text(),
          })
        },
      }`,
    })
    const first = await wrangler.ok(['deploy'], { cwd: 'caller' })
    const answer = {
      text: 'täxt\n"',
      settings: { list: [1, null, { deep: true }] },
      number: 4.5,
      http: 'callee at /a/path',
      named: 'callee at /by/name',
    }
    const seen = JSON.parse(await wrangler.visit('caller'))
    assert.partialDeepStrictEqual(seen, { ...answer, before: null, secret: null })
    assert.equal(
      seen.rpc,
      wrangler.lacks('props of service bindings') ? 'undefined, sailor' : 'Ahoy, sailor',
    )
    assert.equal(seen.version.id, versionPattern.exec(first)?.[1])
    assert.ok(Date.parse(seen.version.timestamp) <= Date.now())
    await wrangler.ok(['secret', 'put', 'SECRET'], { cwd: 'caller', stdin: 'sesame' })
    // What was provisioned is inherited, and secrets stay.
    await wrangler.ok(['deploy'], { cwd: 'caller' })
    const again = JSON.parse(await wrangler.visit('caller'))
    assert.partialDeepStrictEqual(again, { ...answer, before: '1', secret: 'sesame' })
    const spaces = await wrangler.json(namespaces, ['kv', 'namespace', 'list'])
    assert.equal(spaces.filter((each) => each.title.endsWith(title)).length, 1)
  })

  const namespaces = z.array(z.object({ id: z.string(), title: z.string() }))

  async function createNamespace(title: string): Promise<string> {
    await wrangler.ok(['kv', 'namespace', 'create', title])
    const all = await wrangler.json(namespaces, ['kv', 'namespace', 'list'])
    return all.find((each) => each.title.endsWith(title))?.id ?? assert.fail(`no ${title}`)
  }

  wrangler.testAlike('a script in the service-worker format, with its parts', async () => {
    const config = {
      main: 'worker.js',
      vars: { TEXT: 'global' },
      wasm_modules: { ADD: 'add.wasm' },
      text_blobs: { POEM: 'poem.txt' },
      data_blobs: { BYTES: 'bytes.bin' },
    }
    await wrangler.project('classic', config, {
      'worker.js': `addEventListener('fetch', (event) => event.respondWith(answer()))
        async function answer() {
          const add = (await WebAssembly.instantiate(ADD)).exports.add
          return Response.json([TEXT, add(2, 3), POEM, [...new Uint8Array(BYTES)]])
        }`,
      'add.wasm': wasm,
      'poem.txt': 'Rosen sind röt',
      'bytes.bin': bytes,
    })
    for (const _ of ['the first upload', 'the next']) {
      await wrangler.ok(['deploy'], { cwd: 'classic' })
      const answer = JSON.parse(await wrangler.visit('classic'))
      assert.deepEqual(answer, ['global', 5, 'Rosen sind röt', [...bytes]])
    }
  })

  test('modules of every kind, bundled and found', async () => {
    const config = {
      find_additional_modules: true,
      rules: [{ type: 'ESModule', globs: ['parts/**/*.js'] }],
    }
    await wrangler.project('modules', config, {
      'index.js': `import add from './add.wasm'
        import poem from './poem.txt'
        import bytes from './bytes.bin'
        export default {
          async fetch(request) {
            const instance = await WebAssembly.instantiate(add)
            const { pathname } = new URL(request.url)
            const path = './parts' + pathname + '.js'
            const found = await import(path)
            return Response.json([instance.exports.add(20, 22), poem, [...new Uint8Array(bytes)], found.name])
          },
        }`,
      'add.wasm': wasm,
      'poem.txt': 'Veilchen sind blau',
      'bytes.bin': bytes,
      'parts/one.js': `export const name = 'one'`,
      'parts/deep/two.js': `import { name as other } from '../one.js'; export const name = 'two after ' + other`,
    })
    await wrangler.ok(['deploy'], { cwd: 'modules' })
    const answer = [42, 'Veilchen sind blau', [...bytes]]
    assert.deepEqual(JSON.parse(await wrangler.visit('modules', '/one')), [...answer, 'one'])
    assert.deepEqual(JSON.parse(await wrangler.visit('modules', '/deep/two')), [
      ...answer,
      'two after one',
    ])
  })

  wrangler.testAlike(
    '--keep-vars keeps what was set elsewhere; without it, that is gone',
    async () => {
      await wrangler.project('kept', { vars: { OWN: 'config' } }, { 'index.js': showEnv })
      await wrangler.ok(['deploy', '--var', 'OTHER:elsewhere'], { cwd: 'kept' })
      assert.deepEqual(JSON.parse(await wrangler.visit('kept')), {
        OWN: 'config',
        OTHER: 'elsewhere',
      })
      await wrangler.ok(['deploy', '--keep-vars'], { cwd: 'kept' })
      assert.deepEqual(JSON.parse(await wrangler.visit('kept')), {
        OWN: 'config',
        OTHER: 'elsewhere',
      })
      await wrangler.ok(['deploy'], { cwd: 'kept' })
      assert.deepEqual(JSON.parse(await wrangler.visit('kept')), { OWN: 'config' })
    },
  )

  wrangler.testAlike('an environment is a Worker of its own', async () => {
    const config = { vars: { WHERE: 'top' }, env: { staging: { vars: { WHERE: 'staging' } } } }
    await wrangler.project('place', config, { 'index.js': showEnv })
    await wrangler.ok(['deploy'], { cwd: 'place' })
    await wrangler.ok(['deploy', '--env', 'staging'], { cwd: 'place' })
    await wrangler.ok(['deploy', '--env', 'staging'], { cwd: 'place' })
    assert.deepEqual(JSON.parse(await wrangler.visit('place')), { WHERE: 'top' })
    assert.deepEqual(JSON.parse(await wrangler.visit('place-staging')), { WHERE: 'staging' })
  })

  wrangler.testAlike('workers_dev says whether a Worker has a host', async () => {
    await wrangler.project('hidden', { workers_dev: false }, { 'index.js': says('found') })
    await wrangler.ok(['deploy'], { cwd: 'hidden' })
    assert.equal((await wrangler.server.visit('hidden')).status, 404)
    await wrangler.project('hidden', { workers_dev: true }, {})
    await wrangler.ok(['deploy'], { cwd: 'hidden' })
    assert.equal(await wrangler.visit('hidden'), 'found')
  })

  test('a deployed Worker is downloaded, and the copy deployed', async (t) => {
    const lacks = wrangler.lacks('init --from-dash without npm')
    if (lacks) return t.skip(lacks)
    const config = { vars: { TEXT: 'of the original' } }
    await wrangler.project('original', config, { 'index.js': showEnv })
    await wrangler.ok(['deploy'], { cwd: 'original' })
    const options = ['--from-dash', 'original', '--yes', '--no-delegate-c3']
    await wrangler.ok(['init', ...options], { cwd: 'copies' })
    await wrangler.ok(['deploy', '--name', 'copy'], { cwd: 'copies/original' })
    return assert.deepEqual(JSON.parse(await wrangler.visit('copy')), config.vars)
  })

  wrangler.testAlike('a deleted Worker is gone, also when others are bound to it', async () => {
    const config = { services: [{ binding: 'OTHER', service: 'leaving' }] }
    await wrangler.project('leaving', {}, { 'index.js': says('still here') })
    await wrangler.project('staying', config, {
      'index.js': `export default {
        fetch: (request, env) => env.OTHER.fetch(request).catch((error) => new Response('nobody there')),
      }`,
    })
    await wrangler.ok(['deploy'], { cwd: 'leaving' })
    await wrangler.ok(['deploy'], { cwd: 'staying' })
    assert.equal(await wrangler.visit('staying'), 'still here')
    await wrangler.ok(['delete', '--force'], { cwd: 'leaving' })
    assert.equal((await wrangler.server.visit('leaving')).status, 404)
    assert.notEqual(await (await wrangler.server.visit('staying')).text(), 'still here')
    await wrangler.fails(['delete', '--force'], /10007/, { cwd: 'leaving' })
    await wrangler.ok(['delete'], { cwd: 'staying' })
    assert.equal((await wrangler.server.visit('staying')).status, 404)
  })

  wrangler.testAlike('what was deployed survives a restart and a crash of the server', async () => {
    await wrangler.project('lasting', {}, { 'index.js': says('as before') })
    await wrangler.ok(['deploy'], { cwd: 'lasting' })
    await wrangler.server.restart()
    assert.equal(await wrangler.visit('lasting'), 'as before')
    await wrangler.server.kill()
    await wrangler.server.restart()
    assert.equal(await wrangler.visit('lasting'), 'as before')
  })
})
