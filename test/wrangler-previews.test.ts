import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withNewestAndOldest } from '#test/clients.ts'
import { call, placeOf } from '#test/deployer.ts'

// Splits of traffic and previews of versions, with the unmodified wranglers that projects pin.

const says = (text: string): string =>
  `export default { fetch: (request) => new Response(${JSON.stringify(text)}) }`
const key = 'Cloudflare-Workers-Version-Key'
const overrides = 'Cloudflare-Workers-Version-Overrides'

withNewestAndOldest('versions that run side by side', (wrangler) => {
  /** Uploads a version that answers so; gives its id. */
  async function upload(cwd: string, text: string, ...args: readonly string[]): Promise<string> {
    await wrangler.project(cwd, {}, { 'index.js': says(text) })
    const said = await wrangler.ok(['versions', 'upload', ...args], { cwd })
    const [, id] = /Worker Version ID: ([0-9a-f-]{36})/.exec(said) ?? []
    assert.match(said, new RegExp(`Version Preview URL: https://${id?.slice(0, 8)}-${cwd}\\.`))
    return id ?? assert.fail(said)
  }

  async function deploy(cwd: string, source: string, config = {}): Promise<string> {
    await wrangler.project(cwd, config, { 'index.js': source })
    const said = await wrangler.ok(['deploy'], { cwd })
    return /Current Version ID: ([0-9a-f-]{36})/.exec(said)?.[1] ?? assert.fail(said)
  }

  async function at(label: string, headers: Record<string, string> = {}): Promise<string | number> {
    const response = await wrangler.server.visit(label, '/', { headers })
    return response.status === 200 ? response.text() : response.status
  }

  wrangler.testAlike(
    'visitors get a version by its share, by their key, or by its name',
    async () => {
      const cwd = 'split'
      const one = await deploy(cwd, says('one'))
      const two = await upload(cwd, 'two', '--tag', 'second')
      const share = (...given: readonly string[]): Promise<string> =>
        wrangler.ok(['versions', 'deploy', ...given, '-y'], { cwd })
      const visitors = Array.from({ length: 40 }, (_, n) => `visitor ${n}`)
      const seenBy = async (): Promise<readonly (string | number)[]> =>
        Promise.all(visitors.map((visitor) => at(cwd, { [key]: visitor })))

      // A version without traffic is there for those who name it.
      await share(`${one}@100%`, `${two}@0%`)
      assert.deepEqual(new Set(await seenBy()), new Set(['one']))
      assert.equal(await at(cwd, { [overrides]: `other="${one}", ${cwd}="${two}"` }), 'two')
      assert.equal(await at(cwd, { [overrides]: `${cwd}=${two}` }), 'one')

      let before = await seenBy()
      for (const percentage of [12.5, 50, 90]) {
        await share(`${one}@${100 - percentage}%`, `${two}@${percentage}%`)
        const now = await seenBy()
        assert.deepEqual(await seenBy(), now, 'a key keeps to its version')
        for (const [index, version] of before.entries()) {
          if (version === 'two')
            assert.equal(now[index], 'two', `${percentage} % ${visitors[index]}`)
        }
        before = now
      }
      assert.deepEqual(new Set(before), new Set(['one', 'two']))
      assert.equal(await at(cwd, { [overrides]: `${cwd}="${one}"`, [key]: 'any' }), 'one')

      await share('--version-id', two, '--percentage', '100')
      if (!wrangler.lacks('tags in versions deploy')) {
        await share('--version-tag', 'second@25%', '--version-id', one)
        await share('--version-tag', 'second@100%')
      }
      assert.deepEqual(new Set(await seenBy()), new Set(['two']))
      assert.equal(
        await at(cwd, { [overrides]: `${cwd}="${one}"` }),
        'two',
        'it is deployed no more',
      )
      const refused = ['versions', 'deploy', `${one}@60%`, `${two}@60%`, '-y']
      await wrangler.fails(refused, /100/, { cwd })
    },
  )

  test('a version is previewed at a host of its own, and runs beside what is deployed', async () => {
    const cwd = 'preview-me'
    await deploy('callee', says('called'))
    const one = await deploy(cwd, says('one'))
    const two = await upload(cwd, 'two')
    assert.deepEqual(
      [await at(cwd), await at(`${two.slice(0, 8)}-${cwd}`), await at(`${one.slice(0, 8)}-${cwd}`)],
      ['one', 'two', 'one'],
    )
    assert.equal(await at(`${two.slice(0, 8)}-${cwd}.main`), 'two', 'below its account’s subdomain')
    for (const label of [`00000000-${cwd}`, `${two.slice(0, 7)}-${cwd}`, `${two}-${cwd}`]) {
      assert.equal(await at(label), 404, label)
    }
    // It sees the other Workers as they are deployed.
    const calls = `export default { fetch: (_, env) => env.CALLEE.fetch('http://x/') }`
    const services = [{ binding: 'CALLEE', service: 'callee' }]
    await wrangler.project(cwd, { services }, { 'index.js': calls })
    const said = await wrangler.ok(['versions', 'upload'], { cwd })
    const [, three = ''] = /Version Preview URL: https:\/\/([0-9a-f]{8})-/.exec(said) ?? []
    assert.equal(await at(`${three}-${cwd}`), 'called')
    // Another deployment changes nothing of it, and nothing of the deployment is changed by it.
    await wrangler.ok(['versions', 'deploy', `${two}@100%`, '-y'], { cwd })
    assert.deepEqual([await at(`${one.slice(0, 8)}-${cwd}`), await at(cwd)], ['one', 'two'])

    await deploy(cwd, says('four'), { preview_urls: false })
    assert.deepEqual([await at(`${one.slice(0, 8)}-${cwd}`), await at(cwd)], [404, 'four'])
  })

  test('an alias leads to the newest version that has it', async (t) => {
    const lacks = wrangler.lacks('preview aliases')
    if (lacks) return t.skip(lacks)
    const cwd = 'named'
    await deploy(cwd, says('one'))
    await upload(cwd, 'two', '--preview-alias', 'staging')
    assert.equal(await at(`staging-${cwd}`), 'two')
    await upload(cwd, 'three', '--preview-alias', 'staging')
    await upload(cwd, 'four', '--preview-alias', 'my-branch')
    assert.deepEqual([await at(`staging-${cwd}`), await at(`my-branch-${cwd}`)], ['three', 'four'])
    assert.equal(await at(`other-${cwd}`), 404)
    for (const alias of ['Upper', '1st', 'under_score', 'x'.repeat(58)]) {
      await wrangler.fails(['versions', 'upload', '--preview-alias', alias], /alias/i, { cwd })
    }
    return assert.equal(await at(cwd), 'one')
  })

  wrangler.testAlike(
    'a version that implements Durable Objects has no preview, and nobody is told of one',
    async () => {
      const cwd = 'objects'
      const source = `import { DurableObject } from 'cloudflare:workers'
      export class Counter extends DurableObject {}
      export default { fetch: () => new Response('objects') }`
      const config = {
        durable_objects: { bindings: [{ name: 'COUNTER', class_name: 'Counter' }] },
        migrations: [{ tag: 'v1', new_sqlite_classes: ['Counter'] }],
      }
      const id = await deploy(cwd, source, config)
      assert.deepEqual([await at(`${id.slice(0, 8)}-${cwd}`), await at(cwd)], [404, 'objects'])
      const said = await wrangler.ok(['versions', 'upload'], { cwd })
      assert.doesNotMatch(said, /Preview URL/)
    },
  )

  wrangler.testAlike('the API says where a version is', async () => {
    const cwd = 'shown'
    const id = await deploy(cwd, says('one'))
    const place = placeOf(wrangler.server)
    const port = wrangler.server.visitorPort
    const prefix = id.slice(0, 8)
    assert.partialDeepStrictEqual(await call(place, 'GET', `~/workers/workers/${cwd}`), {
      subdomain: {
        enabled: true,
        previews_enabled: true,
        url: `http://${cwd}.localhost:${port}`,
        preview_url_suffix: `-${cwd}.localhost:${port}`,
      },
    })
    assert.partialDeepStrictEqual(await call(place, 'GET', `~/workers/workers/${cwd}/versions`), [
      { id, urls: [`http://${prefix}-${cwd}.localhost:${port}`] },
    ])
    const version = await call(place, 'GET', `~/workers/scripts/${cwd}/versions/${id}`)
    assert.partialDeepStrictEqual(version, { metadata: { has_preview: true } })
    const list = await call(place, 'GET', `~/workers/scripts/${cwd}/versions?deployable=true`)
    assert.partialDeepStrictEqual(list, { items: [{ id }] })
  })
})
