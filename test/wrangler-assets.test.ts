import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withNewestAndOldest } from '#test/clients.ts'

// Static assets, with the unmodified wranglers that projects pin.

const assetsOnly = { main: undefined, workers_dev: true, assets: { directory: 'public' } }
const page = (text: string): string => `<!doctype html><title>${text}</title>`

/** Answers from the files, and for itself below /api. */
const worker = `export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname.startsWith('/api/')) return new Response(env.GREETING + ' ' + pathname)
    const file = await env.ASSETS.fetch(request)
    return new Response(file.body, { status: file.status, headers: { ...Object.fromEntries(file.headers), 'x-by': 'worker' } })
  },
}`

withNewestAndOldest('static assets', (wrangler) => {
  /** The status and the text of what a visitor is shown. */
  async function shown(name: string, path = '/'): Promise<readonly [number, string]> {
    const response = await wrangler.server.visit(name, path)
    return [response.status, await response.text()]
  }

  test('a site without code: its files, types, redirects and headers', async () => {
    const cwd = 'only'
    await wrangler.project(cwd, assetsOnly, {
      'public/index.html': page('home'),
      'public/about.html': page('about'),
      'public/deep/ly/nested file.txt': 'text',
      'public/é.css': 'b{}',
      'public/bytes.bin': new Uint8Array([0, 255, 10, 13]),
      'public/_headers': '/*\n  X-Site: yes\n',
      'public/_redirects': '/old /about 301\n/blog/:post /about?post=:post\n',
      'public/.assetsignore': 'secret.txt\n',
      'public/secret.txt': 'secret',
    })
    const said = await wrangler.ok(['deploy'], { cwd })
    assert.match(said, /5 (new or modified )?static assets?|Uploaded 5/i)
    const home = await wrangler.server.visit(cwd)
    assert.equal(home.status, 200)
    assert.match(home.headers.get('content-type') ?? '', /^text\/html; ?charset=utf-8$/)
    assert.equal(home.headers.get('x-site'), 'yes')
    assert.match(home.headers.get('etag') ?? '', /^"[0-9a-f]{32}"$/)
    assert.deepEqual(await shown(cwd, '/about'), [200, page('about')])
    assert.deepEqual(await shown(cwd, '/deep/ly/nested%20file.txt'), [200, 'text'])
    assert.deepEqual(await shown(cwd, '/%C3%A9.css'), [200, 'b{}'])
    const bytes = await wrangler.server.visit(cwd, '/bytes.bin')
    assert.deepEqual(new Uint8Array(await bytes.arrayBuffer()), new Uint8Array([0, 255, 10, 13]))
    for (const path of ['/secret.txt', '/_headers', '/_redirects', '/.assetsignore', '/none']) {
      assert.equal((await wrangler.server.visit(cwd, path)).status, 404, path)
    }
    const moved: readonly (readonly [string, number, string])[] = [
      ['/about.html?q=1', 307, '/about?q=1'],
      ['/old', 301, '/about'],
      ['/blog/one', 302, '/about?post=one'],
    ]
    for (const [path, status, location] of moved) {
      const response = await wrangler.server.visit(cwd, path)
      assert.deepEqual([response.status, response.headers.get('location')], [status, location])
    }
  })

  wrangler.testAlike(
    'what is there is not sent again, what is gone is not shown any more',
    async () => {
      const cwd = 'again'
      await wrangler.project(cwd, assetsOnly, {
        'public/a.txt': 'a of again',
        'public/b.txt': 'b of again',
      })
      await wrangler.ok(['deploy'], { cwd })
      await writeFile(join(wrangler.server.folder, cwd, 'public/c.txt'), 'c of again')
      await rm(join(wrangler.server.folder, cwd, 'public/a.txt'))
      const said = await wrangler.ok(['deploy'], { cwd })
      assert.match(said, /1 (new or modified )?static asset|Uploaded 1/i)
      assert.equal((await shown(cwd, '/a.txt'))[0], 404)
      assert.deepEqual(await shown(cwd, '/b.txt'), [200, 'b of again'])
      assert.deepEqual(await shown(cwd, '/c.txt'), [200, 'c of again'])
      // Nothing at all is sent for the same files once more.
      await wrangler.ok(['deploy'], { cwd })
      assert.deepEqual(await shown(cwd, '/c.txt'), [200, 'c of again'])
      await wrangler.server.restart()
      assert.deepEqual(await shown(cwd, '/c.txt'), [200, 'c of again'])
      await wrangler.ok(['delete', '--force'], { cwd })
      assert.equal((await shown(cwd, '/c.txt'))[0], 404)
    },
  )

  test('a Worker with files: who answers what, and what a secret and a rollback keep', async () => {
    const cwd = 'both'
    const rules = wrangler.lacks('rules in run_worker_first') ? undefined : ['/api/*', '/by/*']
    const config = {
      assets: { directory: 'public', binding: 'ASSETS', run_worker_first: rules },
      vars: { GREETING: 'one' },
    }
    await wrangler.project(cwd, config, {
      'index.js': worker,
      'public/index.html': page('first'),
      'public/by/worker.txt': 'from a file',
    })
    await wrangler.ok(['deploy'], { cwd })
    assert.deepEqual(await shown(cwd), [200, page('first')])
    assert.deepEqual(await shown(cwd, '/api/x'), [200, 'one /api/x'])
    const by = await wrangler.server.visit(cwd, '/by/worker.txt')
    assert.deepEqual(
      [await by.text(), by.headers.get('x-by')],
      ['from a file', rules ? 'worker' : null],
    )
    const missing = await wrangler.server.visit(cwd, '/none')
    assert.deepEqual([missing.status, missing.headers.get('x-by')], [404, 'worker'])

    await wrangler.ok(['secret', 'put', 'KEY'], { cwd, stdin: 'value' })
    assert.deepEqual(await shown(cwd), [200, page('first')])

    await wrangler.project(
      cwd,
      { ...config, vars: { GREETING: 'two' } },
      {
        'index.js': worker,
        'public/index.html': page('second'),
      },
    )
    await wrangler.ok(['deploy'], { cwd })
    assert.deepEqual(await shown(cwd), [200, page('second')])
    assert.deepEqual(await shown(cwd, '/api/x'), [200, 'two /api/x'])
    await wrangler.ok(['rollback', '--message', 'back', '--yes'], { cwd })
    assert.deepEqual(await shown(cwd), [200, page('first')])
    assert.deepEqual(await shown(cwd, '/api/x'), [200, 'one /api/x'])
  })

  wrangler.testAlike('a preview of a version shows its own files', async () => {
    const cwd = 'seen'
    await wrangler.project(
      cwd,
      { ...assetsOnly, preview_urls: true },
      {
        'public/index.html': page('live'),
      },
    )
    await wrangler.ok(['deploy'], { cwd })
    await writeFile(join(wrangler.server.folder, cwd, 'public/index.html'), page('next'))
    const said = await wrangler.ok(['versions', 'upload'], { cwd })
    const id = /Version ID: ([0-9a-f]{8})/.exec(said)?.[1] ?? assert.fail(said)
    assert.deepEqual(await shown(cwd), [200, page('live')])
    assert.deepEqual(await shown(`${id}-${cwd}`), [200, page('next')])
  })

  wrangler.testAlike('a service binding to a Worker with files reaches both', async () => {
    const cwd = 'caller'
    const target = { assets: { directory: 'public' } }
    await wrangler.project('callee', target, {
      'index.js': `import { WorkerEntrypoint } from 'cloudflare:workers'
        export default class extends WorkerEntrypoint {
          fetch(request) { return new Response('code ' + new URL(request.url).pathname) }
          double(n) { return 2 * n }
        }`,
      'public/page.html': page('callee'),
    })
    await wrangler.ok(['deploy'], { cwd: 'callee' })
    await wrangler.project(
      cwd,
      { services: [{ binding: 'S', service: 'callee' }] },
      {
        'index.js': `export default { async fetch(request, env) {
        const { pathname } = new URL(request.url)
        if (pathname === '/double') return Response.json(await env.S.double(21))
        return env.S.fetch(request)
      } }`,
      },
    )
    await wrangler.ok(['deploy'], { cwd })
    assert.deepEqual(await shown(cwd, '/page'), [200, page('callee')])
    assert.deepEqual(await shown(cwd, '/other'), [200, 'code /other'])
    assert.deepEqual(await shown(cwd, '/double'), [200, '42'])
  })

  test('refused: rules that lead nowhere, and what is in no version', async () => {
    const cwd = 'refused'
    await wrangler.project(cwd, assetsOnly, {
      'public/index.html': page('never'),
      'public/_redirects': '/* /index.html 200\n',
    })
    await wrangler.fails(['deploy'], /Infinite loop detected|100324/, { cwd })
    assert.equal((await shown(cwd))[0], 404)
  })
})
