import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { eventually } from '#test/temporary.ts'

// Versions, deployments, rollbacks and secrets, with the unmodified wranglers that projects pin.

const version = z.object({
  id: z.string(),
  annotations: z.record(z.string(), z.string()),
  resources: z.object({ bindings: z.array(z.object({ name: z.string(), type: z.string() })) }),
})
const deployment = z.object({
  annotations: z.record(z.string(), z.string()),
  versions: z.array(z.object({ version_id: z.string(), percentage: z.number() })),
})
const secrets = z.array(z.object({ name: z.string(), type: z.literal('secret_text') }))

const says = (text: string): string =>
  `export default { fetch: () => new Response(${JSON.stringify(text)}) }`
/** Tells visitors all that is text in \`env\`. */
const showEnv = `export default { fetch: (request, env) => Response.json(env) }`

withNewestAndOldest('versions and secrets', (wrangler) => {
  async function versionIds(cwd: string): Promise<string[]> {
    const all = await wrangler.json(z.array(version), ['versions', 'list', '--json'], { cwd })
    return all.map(({ id }) => id)
  }

  async function sharesOf(cwd: string): Promise<Record<string, number>> {
    const { versions } = await wrangler.json(deployment, ['deployments', 'status', '--json'], {
      cwd,
    })
    return Object.fromEntries(versions.map((each) => [each.version_id, each.percentage]))
  }

  async function envOf(worker: string): Promise<unknown> {
    return JSON.parse(await wrangler.visit(worker))
  }

  test('versions are uploaded, shown, deployed, split and rolled back', async () => {
    const cwd = 'steps'
    await wrangler.project(cwd, {}, { 'index.js': says('one') })
    await wrangler.ok(['deploy'], { cwd })
    await wrangler.project(cwd, {}, { 'index.js': says('two') })
    const uploaded = await wrangler.ok(
      ['versions', 'upload', '--tag', 'v2', '--message', 'the second'],
      { cwd },
    )
    const [one = '', two = ''] = await versionIds(cwd)
    assert.ok(uploaded.includes(`Worker Version ID: ${two}`), uploaded)
    assert.equal(await wrangler.visit(cwd), 'one')

    const view = await wrangler.json(version, ['versions', 'view', two, '--json'], { cwd })
    assert.partialDeepStrictEqual(view, {
      id: two,
      annotations: { 'workers/tag': 'v2', 'workers/message': 'the second' },
    })
    await wrangler.fails(['versions', 'view', one.replaceAll(/[1-9a-f]/g, '0')], /10007|valid/, {
      cwd,
    })

    await wrangler.ok(['versions', 'deploy', `${two}@100%`, '-y'], { cwd })
    assert.equal(await wrangler.visit(cwd), 'two')

    const half = [`${one}@50%`, `${two}@50%`]
    await wrangler.ok(['versions', 'deploy', ...half, '--message', 'half', '-y'], { cwd })
    assert.deepEqual(await sharesOf(cwd), { [one]: 50, [two]: 50 })
    const seen = new Set<string>()
    await eventually(async () => seen.add(await wrangler.visit(cwd)).size === 2)
    assert.deepEqual([...seen].toSorted(), ['one', 'two'])

    // A deployment of everything ends the split; a rollback goes to the stable one before it.
    await wrangler.project(cwd, {}, { 'index.js': says('three') })
    await wrangler.ok(['deploy'], { cwd })
    assert.equal(await wrangler.visit(cwd), 'three')
    const said = await wrangler.ok(['rollback', '--message', 'oh no', '-y'], { cwd })
    assert.ok(said.includes(`Current Version ID: ${two}`), said)
    assert.equal(await wrangler.visit(cwd), 'two')
    await wrangler.ok(['rollback', one, '-y'], { cwd })
    assert.equal(await wrangler.visit(cwd), 'one')

    const list = ['deployments', 'list', '--json']
    const deployments = await wrangler.json(z.array(deployment), list, { cwd })
    assert.deepEqual(
      deployments.map((each) => each.annotations['workers/triggered_by']),
      ['upload', 'deployment', 'deployment', 'deployment', 'rollback', 'rollback'],
    )
    assert.deepEqual(
      deployments.flatMap((each) => each.annotations['workers/message'] || []),
      ['half', 'oh no', 'Rollback'],
    )
    assert.match(await wrangler.ok(['deployments', 'list'], { cwd }), /Source: +Rollback/)
  })

  wrangler.testAlike('a version of a Worker that is not there is refused', async () => {
    const cwd = 'unborn'
    await wrangler.project(cwd, {}, { 'index.js': says('?') })
    await wrangler.fails(['versions', 'upload'], /not (yet )?exist/, { cwd })
    await wrangler.fails(['deployments', 'status'], /10007/, { cwd })
    assert.equal((await wrangler.server.visit(cwd)).status, 404)
  })

  wrangler.testAlike('secrets are put, listed, changed at once and deleted', async () => {
    const cwd = 'vault'
    await wrangler.project(cwd, {}, { 'index.js': showEnv, 'some.json': { B: 'two', C: 'drei ß' } })
    await wrangler.ok(['deploy'], { cwd })
    await wrangler.ok(['secret', 'put', 'A'], { cwd, stdin: 'one\n' })
    assert.deepEqual(await envOf(cwd), { A: 'one' })
    await wrangler.ok(['secret', 'put', 'A'], { cwd, stdin: 'once more' })
    await wrangler.ok(['secret', 'bulk', 'some.json'], { cwd })
    assert.deepEqual(await envOf(cwd), { A: 'once more', B: 'two', C: 'drei ß' })
    await wrangler.ok(['secret', 'delete', 'B'], { cwd })
    assert.deepEqual(await envOf(cwd), { A: 'once more', C: 'drei ß' })
    const listed = await wrangler.json(secrets, ['secret', 'list'], { cwd })
    assert.deepEqual(listed.map(({ name }) => name).toSorted(), ['A', 'C'])
    await wrangler.fails(['secret', 'delete', 'B'], /10056/, { cwd })
    assert.ok(!wrangler.server.log.includes('once more'), 'the log tells a secret')
  })

  test('null in secret bulk deletes', async (t) => {
    const lacks = wrangler.lacks('null in secret bulk')
    if (lacks) return t.skip(lacks)
    const cwd = 'nothing'
    await wrangler.project(cwd, {}, { 'index.js': showEnv, 'first.json': { A: '1', B: '2' } })
    await wrangler.ok(['deploy'], { cwd })
    await wrangler.ok(['secret', 'bulk', 'first.json'], { cwd })
    await wrangler.ok(['secret', 'bulk'], { cwd, stdin: '{"A":null,"C":"3"}' })
    assert.deepEqual(await envOf(cwd), { B: '2', C: '3' })
    if (wrangler.lacks('null in versions secret bulk')) return undefined
    await wrangler.ok(['versions', 'secret', 'bulk'], { cwd, stdin: '{"B":null,"D":"4"}' })
    assert.deepEqual(await envOf(cwd), { B: '2', C: '3' })
    await wrangler.ok(['versions', 'deploy', `${(await versionIds(cwd)).at(-1)}@100%`, '-y'], {
      cwd,
    })
    return assert.deepEqual(await envOf(cwd), { C: '3', D: '4' })
  })

  test('a secret for a Worker that is not there makes a draft, which a deployment keeps', async () => {
    const cwd = 'draft'
    await wrangler.project(cwd, {}, { 'index.js': showEnv })
    await wrangler.ok(['secret', 'put', 'EARLY'], { cwd, stdin: 'bird' })
    await wrangler.ok(['deploy'], { cwd })
    assert.deepEqual(await envOf(cwd), { EARLY: 'bird' })
  })

  wrangler.testAlike('secrets of versions take effect when they are deployed', async () => {
    const cwd = 'later'
    const files = { 'index.js': showEnv, 'some.json': { B: '2', C: '3' } }
    await wrangler.project(cwd, { vars: { V: 'v' } }, files)
    await wrangler.ok(['deploy'], { cwd })
    await wrangler.ok(['versions', 'secret', 'put', 'A'], { cwd, stdin: '1' })
    await wrangler.ok(['versions', 'secret', 'bulk', 'some.json'], { cwd })
    await wrangler.ok(['versions', 'secret', 'delete', 'B'], { cwd })
    assert.deepEqual(await envOf(cwd), { V: 'v' })
    const newest = await wrangler.ok(['versions', 'secret', 'list', '--latest-version'], { cwd })
    assert.deepEqual(
      new Set([...newest.matchAll(/Secret Name: +(\w+)/g)].map(([, name]) => name)),
      new Set(['A', 'C']),
    )
    // Secrets of the Worker can't be changed while the newest version is not the deployed one.
    const refused = await wrangler.run(['secret', 'put', 'D'], { cwd, stdin: '4' })
    assert.equal(refused.code, 1, refused.all)
    assert.match(refused.all, /latest version of your Worker isn't currently deployed/)

    const [first = '', ...others] = await versionIds(cwd)
    await wrangler.ok(['versions', 'deploy', `${others.at(-1)}@100%`, '-y'], { cwd })
    assert.deepEqual(await envOf(cwd), { V: 'v', A: '1', C: '3' })
    const listed = await wrangler.ok(['versions', 'secret', 'list'], { cwd })
    assert.match(listed, /Secret Name: +A/)
    assert.doesNotMatch(listed, /Secret Name: +B/)

    // A rollback to other secrets is asked about; in CI the answer is yes.
    const said = await wrangler.ok(['rollback', first, '-y'], { cwd })
    assert.match(said, /secrets have changed/)
    assert.deepEqual(await envOf(cwd), { V: 'v' })
  })
})
