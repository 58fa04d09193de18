import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { namespace, placeOf } from '#test/deployer.ts'

// Workers KV, with the unmodified wranglers that projects pin, and a Worker that looks on.

const namespaces = z.array(z.object({ id: z.string(), title: z.string() }))
const keys = z.array(
  z.object({
    name: z.string(),
    expiration: z.number().optional(),
    metadata: z.unknown().optional(),
  }),
)

const reader = `export default {
  async fetch(request, env) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1))
    const { value, metadata } = await env.SPACE.getWithMetadata(key)
    return Response.json([value, metadata])
  },
}`

withNewestAndOldest('KV', (wrangler) => {
  /** The id of one that is there, where making it is not what is tested. */
  const made = (title: string): Promise<string> => namespace(placeOf(wrangler.server), title)

  async function created(title: string): Promise<string> {
    const said = await wrangler.ok(['kv', 'namespace', 'create', title])
    return /"([0-9a-f]{32})"/.exec(said)?.[1] ?? assert.fail(said)
  }

  /** Ids by title. wrangler 3 puts the name of a Worker, or "worker", before the title. */
  async function listed(): Promise<Readonly<Record<string, string>>> {
    const all = await wrangler.json(namespaces, ['kv', 'namespace', 'list'])
    return Object.fromEntries(all.map(({ id, title }) => [title.replace('worker-', ''), id]))
  }

  test('namespaces are created, listed, renamed and deleted', async () => {
    const first = await created('first')
    const second = await created('second')
    assert.deepEqual(await listed(), { first, second })
    await wrangler.fails(['kv', 'namespace', 'create', 'first'], /10014|already exists/)
    if (wrangler.lacks('kv namespace rename') === false) {
      const to = ['--namespace-id', first, '--new-name', 'renamed']
      await wrangler.ok(['kv', 'namespace', 'rename', ...to])
      assert.deepEqual(await listed(), { renamed: first, second })
    }
    await wrangler.ok(['kv', 'namespace', 'delete', '--namespace-id', first])
    assert.deepEqual(await listed(), { second })
    const gone = ['--namespace-id', first, ...remote]
    await wrangler.fails(['kv', 'key', 'list', ...gone], /10013|not found/)
  })

  // Since version 4 the local copy of `wrangler dev` is asked unless one says otherwise.
  const remote = wrangler.version === '3.114' ? [] : ['--remote']

  const strange = ['a/b//c', 'Käse & Öl?#%41', '日本 語']

  wrangler.testAlike('keys of all sorts are put, read, listed and deleted', async () => {
    const space = ['--namespace-id', await made('keys'), ...remote]
    const metadata = { by: 'täst', n: [1, null] }
    const ttl = 3600
    const now = Math.floor(Date.now() / 1000)
    for (const key of strange) {
      await wrangler.ok(['kv', 'key', 'put', key, `value of ${key}`, ...space])
    }
    await wrangler.ok([
      'kv',
      'key',
      'put',
      'noted',
      'n',
      '--metadata',
      JSON.stringify(metadata),
      ...space,
    ])
    await wrangler.ok(['kv', 'key', 'put', 'brief', 'b', '--ttl', String(ttl), ...space])
    const all = await wrangler.json(keys, ['kv', 'key', 'list', ...space])
    // Lists are in the order of the keys' bytes.
    const names = [...strange, 'noted', 'brief']
      .map((name) => Buffer.from(name))
      .toSorted((a, b) => a.compare(b))
    assert.deepEqual(
      all.map(({ name }) => name),
      names.map(String),
    )
    assert.deepEqual(all.find(({ name }) => name === 'noted')?.metadata, metadata)
    const { expiration = 0 } = all.find(({ name }) => name === 'brief') ?? {}
    assert.ok(expiration >= now + ttl && expiration < now + ttl + 60, `${expiration} from ${now}`)
    const some = await wrangler.json(keys, ['kv', 'key', 'list', '--prefix', 'a/', ...space])
    assert.deepEqual(
      some.map(({ name }) => name),
      ['a/b//c'],
    )

    for (const key of strange) {
      const { stdout } = await wrangler.run(['kv', 'key', 'get', key, '--text', ...space])
      assert.ok(stdout.trimEnd().endsWith(`value of ${key}`), stdout)
    }
    await wrangler.ok(['kv', 'key', 'delete', 'a/b//c', ...space])
    await wrangler.fails(['kv', 'key', 'get', 'a/b//c', '--text', ...space], /not found|10009|404/i)
    await wrangler.fails(['kv', 'key', 'put', 'k', 'v', '--ttl', '1', ...space], /60/)
  })

  test('a binding names a namespace; files are values, byte by byte', async () => {
    const id = await made('bound')
    const bytes = new Uint8Array(300).map((_, index) => index)
    await wrangler.project(
      'reader',
      { kv_namespaces: [{ binding: 'SPACE', id }] },
      { 'index.js': reader, 'some.bin': bytes },
    )
    const inProject = { cwd: 'reader' }
    const space = ['--binding', 'SPACE', ...remote]
    await wrangler.ok(['deploy'], inProject)
    await wrangler.ok(['kv', 'key', 'put', 'file', '--path', 'some.bin', ...space], inProject)
    await wrangler.ok(
      ['kv', 'key', 'put', 'a/ä', 'hello', '--metadata', '{"m":1}', ...space],
      inProject,
    )
    assert.deepEqual(JSON.parse(await wrangler.visit('reader', '/a%2F%C3%A4')), ['hello', { m: 1 }])
    assert.deepEqual(JSON.parse(await wrangler.visit('reader', '/nothing')), [null, null])
    const { apiUrl, environment } = wrangler.server
    const account = environment['CLOUDFLARE_ACCOUNT_ID']
    const read = await fetch(
      `${apiUrl}/accounts/${account}/storage/kv/namespaces/${id}/values/file`,
      { headers: { authorization: `Bearer ${environment['CLOUDFLARE_API_TOKEN']}` } },
    )
    assert.deepEqual(new Uint8Array(await read.arrayBuffer()), bytes)
  })

  wrangler.testAlike('many at once', async () => {
    const space = ['--namespace-id', await made('many'), ...remote]
    const pairs = Array.from({ length: 1_200 }, (_, index) => ({
      key: `key/${String(index).padStart(4, '0')}`,
      value: `${index}`,
    }))
    await wrangler.project(
      'many',
      {},
      {
        'pairs.json': [
          ...pairs,
          {
            key: 'noted',
            value: Buffer.from([0, 255]).toString('base64'),
            base64: true,
            metadata: { a: 1 },
          },
        ],
        'names.json': pairs.map(({ key }) => key),
        'asked.json': ['key/0007', 'key/none'],
      },
    )
    const inProject = { cwd: 'many' }
    await wrangler.ok(['kv', 'bulk', 'put', 'pairs.json', ...space], inProject)
    // More than one page.
    const all = await wrangler.json(keys, ['kv', 'key', 'list', ...space])
    assert.deepEqual(
      all.map(({ name }) => name),
      [...pairs.map(({ key }) => key), 'noted'],
    )
    assert.deepEqual(all.at(-1)?.metadata, { a: 1 })
    if (wrangler.lacks('kv bulk get') === false) {
      const said = await wrangler.run(['kv', 'bulk', 'get', 'asked.json', ...space], inProject)
      assert.match(said.stdout, /"key\/0007"[^}]*"?7"?/)
      assert.doesNotMatch(said.stdout, /0008/)
    }
    await wrangler.ok(['kv', 'bulk', 'delete', 'names.json', '--force', ...space], inProject)
    const left = await wrangler.json(keys, ['kv', 'key', 'list', ...space])
    assert.deepEqual(
      left.map(({ name }) => name),
      ['noted'],
    )
  })
})
