import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { Wrangler } from '#test/clients.ts'

// Sites as people build them, with the tools that they build them with, deployed with wrangler as it is.

const clients = fileURLToPath(new URL('clients/', import.meta.url))
const packages = join(clients, 'node_modules')
const run = promisify(execFile)

suite('real sites', () => {
  const wrangler = new Wrangler('4.164')
  before(() => wrangler.start())
  after(() => wrangler[Symbol.asyncDispose]())

  /** A copy of a site to build in: some of these folders, one over the other. */
  async function copied(name: string, ...folders: readonly string[]): Promise<string> {
    const folder = join(wrangler.server.folder, name)
    for (const from of folders) await cp(from, folder, { recursive: true })
    await symlink(packages, join(folder, 'node_modules'))
    return folder
  }

  async function build(folder: string, program: string): Promise<void> {
    const environment = { ...process.env, ASTRO_TELEMETRY_DISABLED: '1', NO_COLOR: '1' }
    await run(process.execPath, [join(packages, program), 'build'], {
      cwd: folder,
      env: environment,
      timeout: 120_000,
    })
  }

  test('the React app of create-vite, with an API', async () => {
    const folder = await copied(
      'react-app',
      join(packages, 'create-vite/template-react'),
      join(clients, 'sites/react'),
    )
    await build(folder, 'vite/bin/vite.js')
    await wrangler.ok(['deploy'], { cwd: 'react-app' })
    const { server } = wrangler
    const page = await wrangler.visit('react-app')
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(page)?.[1] ?? assert.fail(page)
    const style = /href="(\/assets\/[^"]+\.css)"/.exec(page)?.[1] ?? assert.fail(page)
    const sent = await server.visit('react-app', script, {
      headers: { 'accept-encoding': 'gzip' },
    })
    assert.match(sent.headers.get('content-type') ?? '', /^text\/javascript/)
    assert.equal(sent.headers.get('content-encoding'), 'gzip')
    assert.match(gunzipSync(await sent.arrayBuffer()).toString(), /react/i)
    assert.match(await wrangler.visit('react-app', style), /\{/)
    // Its router is in the browser; its API is not.
    assert.equal(await wrangler.visit('react-app', '/some/page'), page)
    assert.equal(await wrangler.visit('react-app', '/api/visits'), '{"visits":1}')
    assert.equal(await wrangler.visit('react-app', '/api/visits'), '{"visits":2}')
    assert.equal((await server.visit('react-app', '/api/none')).status, 404)
    for (const name of await readdir(join(folder, 'dist'))) {
      if (!name.includes('.') || name.endsWith('.html')) continue
      assert.ok((await server.visit('react-app', `/${name}`)).ok, name)
    }
  })

  test('a blog of Astro', async () => {
    const folder = await copied('blog', join(clients, 'sites/blog'))
    await build(folder, 'astro/bin/astro.mjs')
    await wrangler.ok(['deploy'], { cwd: 'blog' })
    const { server } = wrangler
    assert.match(await wrangler.visit('blog'), /href="\/posts\/first\/"[^>]*>The first post/)
    assert.match(await wrangler.visit('blog', '/posts/first/'), /<strong>answered<\/strong>/)
    const moved: readonly (readonly [string, number, string])[] = [
      ['/posts/first', 307, '/posts/first/'],
      ['/posts/first/index.html', 307, '/posts/first/'],
      ['/2019/second', 301, '/posts/second/'],
      ['/p/second', 302, '/posts/second/'],
    ]
    for (const [path, status, location] of moved) {
      const response = await server.visit('blog', path)
      assert.deepEqual([response.status, response.headers.get('location')], [status, location])
    }
    const none = await server.visit('blog', '/posts/third/')
    assert.equal(none.status, 404)
    assert.match(await none.text(), /Not here/)
  })

  test('a Hono app with pages, an API and files', async () => {
    await copied('hono-app', join(clients, 'sites/hono'))
    await wrangler.ok(['deploy'], { cwd: 'hono-app' })
    const { server } = wrangler
    assert.match(await wrangler.visit('hono-app', '/?name=Ada'), /<h1>Hello, Ada<\/h1>/)
    const style = await server.visit('hono-app', '/style.css')
    assert.deepEqual([style.status, style.headers.get('x-app')], [200, null])
    const through = await server.visit('hono-app', '/files/style.css')
    assert.deepEqual(
      [await through.text(), through.headers.get('x-app')],
      ['h1 {\n  color: teal;\n}\n', 'hono'],
    )
    const put = await server.visit('hono-app', '/api/notes/1', { method: 'PUT', body: 'a note' })
    assert.equal(put.status, 204)
    const note = await server.visit('hono-app', '/api/notes/1')
    assert.equal(await note.text(), '{"note":"a note"}')
    const headers = { 'if-none-match': note.headers.get('etag') ?? '' }
    assert.equal((await server.visit('hono-app', '/api/notes/1', { headers })).status, 304)
    assert.equal((await server.visit('hono-app', '/none')).status, 404)
  })
})
