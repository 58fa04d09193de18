import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withEachWrangler } from '#test/clients.ts'

// Workers Sites, which Cloudflare deprecated and projects still have: wrangler puts the files into KV and
// gives the code a manifest.

withEachWrangler('Workers Sites', (wrangler) => {
  test('files are found by the manifest, in the namespace that wrangler makes', async () => {
    const cwd = 'old'
    await wrangler.project(
      cwd,
      { site: { bucket: './public' } },
      {
        'index.js': `import manifest from '__STATIC_CONTENT_MANIFEST'
        const files = JSON.parse(manifest)
        export default { async fetch(request, env) {
          const name = files[new URL(request.url).pathname.slice(1)]
          const body = name && await env.__STATIC_CONTENT.get(name, 'arrayBuffer')
          return body ? new Response(body) : new Response('none', { status: 404 })
        } }`,
        'public/a.txt': 'a of sites',
        'public/deep/b.bin': new Uint8Array([0, 255]),
      },
    )
    await wrangler.ok(['deploy'], { cwd })
    assert.equal(await wrangler.visit(cwd, '/a.txt'), 'a of sites')
    const bytes = await wrangler.server.visit(cwd, '/deep/b.bin')
    assert.deepEqual(new Uint8Array(await bytes.arrayBuffer()), new Uint8Array([0, 255]))
    assert.equal((await wrangler.server.visit(cwd, '/none')).status, 404)
  })
})
