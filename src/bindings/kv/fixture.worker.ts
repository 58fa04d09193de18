// Runs the scenarios of `worker.test.ts` in workerd and says how each came out.

type Scenario = (kv: KVNamespace) => Promise<unknown>

const long = 'k'.repeat(513)
const mebibyte = new Uint8Array(1024 * 1024)

const scenarios: Record<string, Scenario> = {
  'key empty': (kv) => kv.get(''),
  'key dot': (kv) => kv.get('.'),
  'key dots': (kv) => kv.put('..', 'v'),
  'key long, get': (kv) => kv.get(long),
  'key long, put': (kv) => kv.put(long, 'v'),
  'key long, delete': (kv) => kv.delete(long),
  'type unknown': async (kv) => {
    await kv.put('k', 'v')
    return kv.get('k', 'x' as never)
  },
  'type json, not JSON': async (kv) => {
    await kv.put('k', 'nonsense')
    return kv.get('k', 'json')
  },
  'put object': (kv) => kv.put('k', {} as never),
  'put number': async (kv) => {
    await kv.put('k', 5 as never)
    return kv.get('k')
  },
  'put null': async (kv) => {
    await kv.put('k', null as never)
    return kv.get('k')
  },
  'expiration beyond int32': (kv) => kv.put('k', 'v', { expiration: 2 ** 31 }),
  'expirationTtl NaN': (kv) => kv.put('k', 'v', { expirationTtl: NaN }),
  'expirationTtl short': (kv) => kv.put('k', 'v', { expirationTtl: 59 }),
  'expiration past': (kv) => kv.put('k', 'v', { expiration: 1 }),
  'cacheTtl short': (kv) => kv.get('k', { cacheTtl: 29 }),
  'cacheTtl fraction': async (kv) => {
    await kv.put('k', 'v')
    return kv.get('k', { cacheTtl: 60.9 })
  },
  'metadata long': (kv) => kv.put('k', 'v', { metadata: 'x'.repeat(1023) }),
  'list limit': (kv) => kv.list({ limit: 1001 }),
  'list cursor': (kv) => kv.list({ cursor: '!' }),
  'list prefix': (kv) => kv.list({ prefix: long }),
  'bulk none': (kv) => kv.get([]),
  'bulk many': (kv) => kv.get(Array.from({ length: 101 }, (_, n) => `${n}`)),
  'bulk not JSON': async (kv) => {
    await kv.put('k', 'nonsense')
    return kv.get(['k'], 'json')
  },
  missing: (kv) => kv.getWithMetadata('none'),
  'delete missing': (kv) => kv.delete('none').then((value) => value === undefined),
  'delete list': async (kv) => {
    await kv.put('a,b', 'v')
    await kv.delete(['a', 'b'] as never)
    return kv.get('a,b')
  },
  kinds: async (kv) => {
    await kv.put('text', 'é漢😀')
    await kv.put('json', '{"a":[1]}')
    await kv.put('buffer', new Uint8Array([0, 255, 1]).buffer)
    await kv.put('view', new Uint8Array([9, 0, 255, 9]).subarray(1, 3))
    const stream = await kv.get('view', 'stream')
    return [
      await kv.get('text'),
      await kv.get('json', 'json'),
      [...new Uint8Array((await kv.get('buffer', 'arrayBuffer')) ?? new ArrayBuffer())],
      stream && [...new Uint8Array(await new Response(stream).arrayBuffer())],
    ]
  },
  keys: async (kv) => {
    const keys = ['a/b', 'é漢😀', '\u0000', '%41', ' +&?#', 'k'.repeat(512), '..a']
    for (const key of keys) await kv.put(key, key)
    const same = await Promise.all(keys.map(async (key) => (await kv.get(key)) === key))
    const { keys: listed } = await kv.list()
    return [same, keys.every((key) => listed.some(({ name }) => name === key))]
  },
  metadata: async (kv) => {
    const metadata = { by: 'zoë 😀', n: null }
    await kv.put('m', 'v', { metadata, expirationTtl: 600 })
    const got = await kv.getWithMetadata('m')
    const { keys } = await kv.list({ prefix: 'm' })
    await kv.put('m', 'v')
    const [cleared] = (await kv.list({ prefix: 'm' })).keys
    const lasts = (keys[0]?.expiration ?? 0) - Date.now() / 1000
    return [got.metadata, keys[0]?.metadata, lasts > 590 && lasts <= 600, cleared]
  },
  'metadata of control characters': async (kv) => {
    const metadata = '\u0000\n\u001b\u0085\u2028'
    await kv.put('m', 'v', { metadata })
    return (await kv.getWithMetadata('m')).metadata === metadata
  },
  'metadata with DEL': (kv) => kv.put('m', 'v', { metadata: '\u007f' }),
  bulk: async (kv) => {
    await kv.put('a', '1', { metadata: 'm' })
    await kv.put('e', '')
    const plain = await kv.get(['a', 'e', 'none'])
    const full = await kv.getWithMetadata(['a', 'e', 'none'], { type: 'text', cacheTtl: 30 })
    const parsed = await kv.get(['a'], 'json')
    return [[...plain], [...full], [...parsed]]
  },
  pages: async (kv) => {
    for (let n = 0; n < 5; n++) await kv.put(`page/${n}`, '')
    const pages: string[][] = []
    let cursor: string | undefined
    do {
      const list: KVNamespaceListResult<unknown> = await kv.list({
        prefix: 'page/',
        limit: 2,
        ...(cursor !== undefined && { cursor }),
      })
      pages.push(list.keys.map(({ name }) => name))
      cursor = list.list_complete ? undefined : list.cursor
    } while (cursor !== undefined)
    return pages
  },
  large: async (kv) => {
    await kv.put('large', streamOf(25), {})
    const value = await kv.get('large', 'arrayBuffer')
    await kv.delete('large')
    return value?.byteLength
  },
  'too large, streamed': (kv) => kv.put('large', streamOf(26)),
  'too large': (kv) => kv.put('large', new Uint8Array(25 * 1024 * 1024 + 1)),
  'after too large': (kv) => kv.get('large'),
  'stream that fails': async (kv) => {
    await kv.put('dying', 'before')
    let count = 0
    const failing = new ReadableStream({
      pull(controller) {
        if (count++ < 3) controller.enqueue(mebibyte)
        else controller.error(new Error('gave up'))
      },
    })
    const refused = await kv.put('dying', failing).then(
      () => 'stored',
      () => 'refused',
    )
    return [refused, await kv.get('dying')]
  },
}

function streamOf(mebibytes: number): ReadableStream {
  let count = 0
  return new ReadableStream({
    pull(controller) {
      if (count++ < mebibytes) controller.enqueue(mebibyte)
      else controller.close()
    },
  })
}

export default {
  async fetch(request: Request, env: { readonly B: KVNamespace }): Promise<Response> {
    const scenario = scenarios[decodeURIComponent(new URL(request.url).pathname.slice(1))]
    if (!scenario) return Response.json(Object.keys(scenarios))
    try {
      return Response.json({ result: (await scenario(env.B)) ?? null })
    } catch (error) {
      return Response.json({ error: String(error) })
    }
  },
}
