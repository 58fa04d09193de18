import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { killCells } from '#test/cells.ts'
import { withNewestAndOldest } from '#test/clients.ts'
import { ask, deploy, formOf, otherAccount, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// Rate limits of deployed Workers. Counters follow the wall clock: a test that counts takes a namespace
// of its own and a period of 60 s, and begins again if a bucket ended on the way.

const code = `
export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url)
    const { success } = await env[searchParams.get('binding')].limit({ key: searchParams.get('key') })
    return new Response(String(success))
  },
}`

const rateLimit = (name: string, namespace_id: string, limit: number): object => ({
  type: 'ratelimit',
  name,
  namespace_id,
  simple: { limit, period: 60 },
})
const withPeriod = (entry: object, period: number): object => ({
  ...entry,
  simple: { limit: 2, period },
})

suite('rate limits in deployed Workers', () => {
  let server: TestServer
  let place: Place
  before(async () => {
    server = await startTestServer()
    place = placeOf(server)
  })
  after(() => server[Symbol.asyncDispose]())

  /** Calls of a key by `Worker/binding`; each `true` if it is within the limit. */
  async function calls(at: string, key: string, count: number) {
    const [host = '', binding = ''] = at.split('/')
    const answers: string[] = []
    for (let n = 0; n < count; n++) {
      const response = await server.visit(host, `/?binding=${binding}&key=${key}`)
      assert.equal(response.status, 200)
      answers.push(await response.text())
    }
    return answers.map((text) => text === 'true')
  }

  test('are shared by all bindings of a namespace and period, each with its own limit', async () => {
    const bindings = [
      rateLimit('A', '1', 2),
      rateLimit('B', '1', 4),
      withPeriod(rateLimit('SHORT', '1', 2), 10),
      rateLimit('ELSE', '2', 2),
    ]
    await deploy(place, 'one', { code, bindings })
    await deploy(place, 'two', { code, bindings: [rateLimit('C', '1', 5)] })
    const other = await otherAccount(server, 'other')
    await deploy(other, 'one', { code, bindings })
    await inOneBucket(async (key) => {
      assert.deepEqual(await calls('one/A', key, 3), [true, true, false])
      assert.deepEqual(await calls('one/B', key, 3), [true, true, false])
      assert.deepEqual(await calls('two/C', key, 2), [true, false])
      assert.deepEqual(await calls('one/ELSE', key, 1), [true])
      assert.deepEqual(await calls('one/SHORT', key, 1), [true])
      assert.deepEqual(await calls('one/A', `${key}x`, 1), [true])
      assert.deepEqual(await calls(`one.${other.subdomain}/A`, key, 3), [true, true, false])
    })
  })

  test('survive the end of the process, and a new version', async () => {
    await deploy(place, 'lasting', { code, bindings: [rateLimit('A', '3', 2)] })
    await inOneBucket(async (key) => {
      assert.deepEqual(await calls('lasting/A', key, 2), [true, true])
      await killCells(server)
      assert.deepEqual(await eventually(() => calls('lasting/A', key, 1).catch(() => undefined)), [
        false,
      ])
    })
    const changed = { code: `${code}\n//`, bindings: [rateLimit('A', '3', 3)] }
    await inOneBucket(async (key) => {
      await deploy(place, 'lasting', { code, bindings: [rateLimit('A', '3', 2)] })
      assert.deepEqual(await calls('lasting/A', key, 3), [true, true, false])
      await deploy(place, 'lasting', changed)
      assert.deepEqual(await calls('lasting/A', key, 2), [true, false])
    })
  })

  test('can not be asked while a module loads, and code that has them passes its check', async () => {
    const early = `const early = import('cloudflare:workers')
      .then(({ env }) => env.A.limit({ key: 'k' })).then(String, ({ message }) => message)
    export default { fetch: async () => new Response(await early) }`
    await deploy(place, 'early', { code: early, bindings: [rateLimit('A', '4', 2)] })
    assert.match(await (await server.visit('early')).text(), /global scope/)
  })

  const refused: readonly (readonly [string, object, RegExp])[] = [
    ['namespace', rateLimit('A', 'x', 1), /namespace_id.*must be a string that holds a positive/],
    ['period', withPeriod(rateLimit('A', '1', 1), 30), /simple\.period.*must be either 10 or 60/],
    ['limit', rateLimit('A', '1', -1), /simple\.limit/],
    ['key', { ...rateLimit('A', '1', 1), burst: 1 }, /burst/],
  ]
  for (const [title, binding, message] of refused) {
    test(`an upload is refused for its ${title}`, async () => {
      const form = formOf({ code, bindings: [binding] })
      const { status, errors } = await ask(place, 'PUT', '~/workers/scripts/refused', form)
      assert.equal(status, 400)
      assert.match(errors[0]?.message ?? '', message)
      assert.equal((await ask(place, 'GET', '~/workers/scripts/refused/settings')).status, 404)
    })
  }
})

withNewestAndOldest('rate limits', (wrangler) => {
  const binding = { namespace_id: '1001', simple: { limit: 2, period: 60 } }
  const files = { 'index.js': code }

  async function deployed(name: string, config: object): Promise<void> {
    await wrangler.project(name, config, files)
    await wrangler.ok(['deploy'], { cwd: name })
    await inOneBucket(async (key) => {
      for (const success of ['true', 'true', 'false']) {
        assert.equal(await wrangler.visit(name, `/?binding=LIMIT&key=${key}`), success)
      }
    })
  }

  test('by unsafe bindings', async () => {
    await deployed('unsafe', {
      unsafe: { bindings: [{ name: 'LIMIT', type: 'ratelimit', ...binding }] },
    })
  })

  test('by their own key', { skip: wrangler.lacks('ratelimits') }, async () => {
    await deployed('own', { ratelimits: [{ name: 'LIMIT', ...binding }] })
  })
})

let attempts = 0

/** Runs a test that counts with a key of its own; again if its bucket ended before it did. */
async function inOneBucket(run: (key: string) => Promise<void>): Promise<void> {
  for (;;) {
    const bucket = currentBucket()
    try {
      return await run(`key-${attempts++}`)
    } catch (error) {
      if (bucket === currentBucket() || attempts > 20) throw error
    }
  }
}

function currentBucket(): number {
  return Math.floor(Date.now() / 60_000)
}
