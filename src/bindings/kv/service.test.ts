import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { z } from 'zod'
import { headerOfUtf8, utf8OfHeader } from '#contract/backend.ts'
import type { Entry } from '#contract/binding.ts'
import { workerName } from '#contract/ids.ts'
import {
  account,
  type Answer,
  bytes,
  type Call,
  caller,
  callOf,
  otherAccount,
  textOf,
} from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { kvNamespace, openKv } from './binding.ts'
import { inlineBytes, keyLimit, valueLimit } from './limits.ts'

const folder = await temporaryFolder()
const clock = movableClock(1_800_000_000_000)
const now = 1_800_000_000
const migrations = kvNamespace.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'kv'), migrations, clock })
const kv = await openKv(ports)
after(async () => {
  await kv[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const base = 'http://x/storage/kv/namespaces'

async function newNamespace(title: string): Promise<string> {
  const body = JSON.stringify({ title })
  const reply = await kv.api?.[0]?.handle(new Request(base, { method: 'POST', body }), caller)
  return z.object({ result: z.object({ id: z.string() }) }).parse(await reply?.json()).result.id
}

function kvCall(namespace: string, owner = account, live = kv): Call {
  return callOf(live, { type: 'kv_namespace', resource: { namespace } }, owner)
}

const json = (answer: Answer) => JSON.parse(textOf(answer))

const namespace = await newNamespace('main')
const call = kvCall(namespace)

suite('values come back as they were', () => {
  const random = Uint8Array.from({ length: 3 * inlineBytes }, (_, n) => (n * n) >> 3)
  for (const size of [0, 1, 100, inlineBytes, inlineBytes + 1, random.length]) {
    test(`${size} bytes`, async () => {
      const value = random.subarray(0, size)
      const chunks = [value.subarray(0, size >> 1), value.subarray(size >> 1)]
      const key = `/size-${size}?urlencoded=true`
      assert.equal((await call('PUT', key, { body: chunks })).status, 200)
      const got = await call('GET', key)
      assert.equal(got.status, 200)
      assert.deepEqual(got.body, new Uint8Array(value))
      assert.equal((await call('DELETE', key)).status, 200)
      assert.equal((await call('GET', key)).status, 404)
      assert.equal((await call('DELETE', key)).status, 200)
    })
  }

  for (const key of [
    'a',
    'a/b',
    'é漢😀',
    '\u0000',
    'a\u0000b',
    '%',
    '%41',
    ' +&?#',
    '..a',
    '__proto__',
  ]) {
    test(`key ${JSON.stringify(key)}`, async () => {
      const url = `/${encodeURIComponent(key)}?urlencoded=true`
      await call('PUT', url, { body: [bytes(key)] })
      assert.equal(textOf(await call('GET', url)), key)
      const list = json(await call('GET', `/?prefix=${encodeURIComponent(key)}&cursor=`))
      assert.ok(list.keys.some(({ name }: { name: string }) => name === key))
      const body = [bytes(JSON.stringify({ keys: [key, 'none'] }))]
      const many = json(await call('POST', '/bulk/get', { body }))
      assert.deepEqual(Object.entries(many), [
        [key, key],
        ['none', null],
      ])
      await call('DELETE', url)
    })
  }

  test('metadata is raw UTF-8 in headers, text in lists; an overwrite clears it', async () => {
    const metadata = JSON.stringify({ by: 'zoë 😀' })
    await call('PUT', '/meta?urlencoded=true&expiration_ttl=60', {
      headers: { 'cf-kv-metadata': headerOfUtf8(metadata) },
      body: [bytes('v')],
    })
    const { reply } = await call('GET', '/meta?urlencoded=true&cache_ttl=30')
    assert.equal(utf8OfHeader(reply.headers?.['CF-KV-Metadata'] ?? ''), metadata)
    assert.deepEqual(json(await call('GET', '/?prefix=meta')), {
      keys: [{ name: 'meta', expiration: now + 60, metadata }],
      list_complete: true,
    })
    await call('PUT', '/meta?urlencoded=true', { body: [bytes('w')] })
    assert.deepEqual(json(await call('GET', '/?prefix=meta')).keys, [{ name: 'meta' }])
  })
})

suite('limits and their sentences', () => {
  const long = 'k'.repeat(keyLimit + 1)
  const past = 'integer greater than the current number of seconds since the UNIX epoch.'
  const keyText = 'UTF-8 encoded length of 513 exceeds key length limit of 512.'
  const cases: [string, string, number, string][] = [
    [
      'PUT',
      '/k?expiration_ttl=abc',
      400,
      'Invalid expiration_ttl of abc. Please specify integer greater than 0.',
    ],
    [
      'PUT',
      '/k?expiration_ttl=0',
      400,
      'Invalid expiration_ttl of 0. Please specify integer greater than 0.',
    ],
    [
      'PUT',
      '/k?expiration_ttl=-1',
      400,
      'Invalid expiration_ttl of -1. Please specify integer greater than 0.',
    ],
    [
      'PUT',
      '/k?expiration_ttl=59',
      400,
      'Invalid expiration_ttl of 59. Expiration TTL must be at least 60.',
    ],
    ['PUT', '/k?expiration=x', 400, `Invalid expiration of x. Please specify ${past}`],
    ['PUT', `/k?expiration=${now}`, 400, `Invalid expiration of ${now}. Please specify ${past}`],
    [
      'PUT',
      `/k?expiration=${now + 59}`,
      400,
      `Invalid expiration of ${now + 59}. Expiration times must be at least 60 seconds in the future.`,
    ],
    ['GET', '/k?cache_ttl=29', 400, 'Invalid cache_ttl of 29. Cache TTL must be at least 30.'],
    ['GET', '/k?cache_ttl=-1', 400, 'Invalid cache_ttl of -1. Cache TTL must be at least 30.'],
    ['GET', '/k?cache_ttl=x', 400, 'Invalid cache_ttl of x. Cache TTL must be at least 30.'],
    [
      'GET',
      '/?key_count_limit=0',
      400,
      'Invalid key_count_limit of 0. Please specify an integer greater than 0.',
    ],
    [
      'GET',
      '/?key_count_limit=x',
      400,
      'Invalid key_count_limit of x. Please specify an integer greater than 0.',
    ],
    [
      'GET',
      '/?key_count_limit=1001',
      400,
      'Invalid key_count_limit of 1001. Please specify an integer less than 1000.',
    ],
    ['GET', '/?cursor=!', 400, 'Invalid cursor.'],
    ['GET', '/?cursor=abcde', 400, 'Invalid cursor.'],
    ['GET', `/?prefix=${long}`, 414, keyText],
    ['GET', `/${long}`, 414, keyText],
    ['PUT', `/${long}`, 414, keyText],
    ['DELETE', `/${long}`, 414, keyText],
    ['PUT', `/${'%C3%A9'.repeat(256)}x`, 414, keyText],
    ['PUT', '/', 400, 'Key names must not be empty'],
    ['PUT', '/%2e%2E', 400, 'Illegal key name "..". Please use a different name.'],
    ['PUT', '/%ff', 400, 'Key names must be UTF-8.'],
  ]
  for (const [method, url, status, reason] of cases) {
    test(`${method} ${url.slice(0, 40)}`, async () => {
      const answer = await call(method, url)
      assert.deepEqual([answer.status, answer.reason], [status, reason])
      assert.equal(answer.body.byteLength, 0)
    })
  }

  for (const url of [
    `/k?expiration=${now + 60}`,
    '/k?expiration_ttl=60',
    '/k?expiration_ttl=60&expiration=1',
    `/${'k'.repeat(keyLimit)}`,
  ]) {
    test(`taken: PUT ${url.slice(0, 40)}`, async () => {
      assert.equal((await call('PUT', url, { body: [bytes('v')] })).status, 200)
    })
  }

  for (const [size, status] of [
    [1024, 200],
    [1025, 413],
  ] as const) {
    test(`metadata of ${size} bytes`, async () => {
      const metadata = JSON.stringify(`é${'x'.repeat(size - 4)}`)
      const headers = { 'cf-kv-metadata': headerOfUtf8(metadata) }
      const answer = await call('PUT', '/k', { headers })
      assert.equal(answer.status, status)
      if (status === 413)
        assert.equal(answer.reason, 'Metadata length of 1025 exceeds limit of 1024.')
    })
  }

  const mebibyte = new Uint8Array(1024 * 1024)
  const of = function* (count: number, more: number): Generator<Uint8Array> {
    for (let n = 0; n < count; n++) yield mebibyte
    if (more > 0) yield mebibyte.subarray(0, more)
  }
  test('a value of 25 MiB', async () => {
    assert.equal((await call('PUT', '/large', { body: of(25, 0) })).status, 200)
    assert.equal((await call('GET', '/large')).body.byteLength, valueLimit)
  })
  for (const [title, headers] of [
    ['streamed', {}],
    ['declared', { 'content-length': `${valueLimit + 10}` }],
  ] as const) {
    test(`a value of 25 MiB and ten bytes, ${title}`, async () => {
      await call('PUT', '/larger', { body: [bytes('before')] })
      const answer = await call('PUT', '/larger', { body: of(25, 10), headers })
      assert.equal(answer.status, 413)
      assert.equal(answer.reason, 'Value length of 26214410 exceeds limit of 26214400.')
      assert.equal(textOf(await call('GET', '/larger')), 'before')
    })
  }

  const bulk: [string, object, number, string][] = [
    ['no keys', { keys: [] }, 400, 'You must request a minimum of 1 key'],
    [
      '101 keys',
      { keys: Array.from({ length: 101 }, (_, n) => `${n}`) },
      400,
      'You can request a maximum of 100 keys',
    ],
    ['a type', { keys: ['a'], type: 'x' }, 400, '"x" is not a valid type. Use "json" or "text"'],
    ['an empty key', { keys: [''] }, 400, 'Key names must not be empty'],
    ['a dot', { keys: ['.'] }, 400, 'Illegal key name ".". Please use a different name.'],
    ['a long key', { keys: [long] }, 414, keyText],
    [
      'a short cacheTtl',
      { keys: ['a'], cacheTtl: '29' },
      400,
      'Invalid cache_ttl of 29. Cache TTL must be at least 30.',
    ],
    [
      'not JSON',
      { keys: ['larger'], type: 'json' },
      400,
      'At least one of the requested keys corresponds to a non-json value',
    ],
    [
      'too much',
      { keys: ['large', 'larger'] },
      413,
      'Total size of request exceeds the limit of 25MB',
    ],
  ]
  for (const [title, body, status, reason] of bulk) {
    test(`bulk read: ${title}`, async () => {
      await call('PUT', '/larger', { body: [bytes('before')] })
      const answer = await call('POST', '/bulk/get', { body: [bytes(JSON.stringify(body))] })
      assert.deepEqual([answer.status, answer.reason], [status, reason])
    })
  }

  test('a reason has no control characters', async () => {
    const answer = await call('PUT', '/k?expiration_ttl=%0D%0AX%3A%201%00')
    assert.doesNotMatch(answer.reason ?? '', /\p{Cc}/u)
  })

  test('the second write of a second is refused, if so told', async () => {
    const slow = kvCall(await newNamespace('slow'), account, await openKvOfSame())
    assert.equal((await slow('PUT', '/k')).status, 200)
    const second = await slow('PUT', '/k')
    assert.deepEqual([second.status, second.reason], [429, 'Too Many Requests'])
    assert.equal((await slow('PUT', '/other')).status, 200)
    clock.moveBy(1000)
    assert.equal((await slow('PUT', '/k')).status, 200)
    clock.moveBy(-1000)
  })
})

/** The namespaces of a store are read when it opens. */
async function openKvOfSame(): Promise<typeof kv> {
  const again = await openKv(ports, { oneWritePerSecond: true })
  after(() => again[Symbol.asyncDispose]())
  return again
}

suite('bulk reads', () => {
  test('keep the wrapper for falsy values, and null for what is not there', async () => {
    const values = { e: '""', z: '0', f: 'false', n: 'null', o: '{"a":[1]}' }
    for (const [key, value] of Object.entries(values))
      await call('PUT', `/b${key}`, { body: [bytes(value)] })
    const keys = ['be', 'bz', 'bf', 'bn', 'bo', 'none', 'be']
    const body = [bytes(JSON.stringify({ keys, type: 'json', withMetadata: true, cacheTtl: '30' }))]
    assert.deepEqual(json(await call('POST', '/bulk/get', { body })), {
      be: { value: '', metadata: null },
      bz: { value: 0, metadata: null },
      bf: { value: false, metadata: null },
      bn: { value: null, metadata: null },
      bo: { value: { a: [1] }, metadata: null },
      none: null,
    })
  })
})

suite('lists', () => {
  test('are in the order of UTF-8 bytes, page by page, with a byte-exact prefix', async () => {
    const list = kvCall(await newNamespace('lists'))
    // In UTF-16 the last two are the other way round; LIKE would take `P` for `p`.
    const names = ['P1', 'p', 'p%', 'p\u0000', 'p/1', 'p/2', 'p_', 'pé', 'p\uff5e', 'p😀', 'q']
    for (const name of names) await list('PUT', `/${encodeURIComponent(name)}`)
    const inOrder = names.toSorted((a, b) => Buffer.compare(bytes(a), bytes(b)))
    for (const prefix of ['', 'p', 'p/', 'p😀', 'x']) {
      for (const limit of [1, 2, 3, 1000]) {
        const seen: string[] = []
        let cursor = ''
        for (let pages = 0; pages < 20; pages++) {
          const query = new URLSearchParams({ key_count_limit: `${limit}`, prefix, cursor })
          const page = json(await list('GET', `/?${query.toString()}`))
          assert.ok(page.keys.length <= limit)
          seen.push(...page.keys.map(({ name }: { name: string }) => name))
          assert.equal(page.list_complete, page.cursor === undefined)
          if (page.list_complete) break
          cursor = page.cursor
        }
        assert.deepEqual(
          seen,
          inOrder.filter((name) => name.startsWith(prefix)),
          `${prefix} ${limit}`,
        )
      }
    }
  })
})

suite('the right to a namespace', () => {
  test('another account’s, an unknown or a deleted one is never "no such key"', async () => {
    const doomed = await newNamespace('doomed')
    const held = kvCall(doomed)
    await held('PUT', '/k', { body: [bytes('v')] })
    await kv.api?.[0]?.handle(new Request(`${base}/${doomed}`, { method: 'DELETE' }), caller)
    for (const refused of [kvCall(namespace, otherAccount), kvCall('f'.repeat(32)), held]) {
      for (const [method, url] of [
        ['GET', '/k'],
        ['PUT', '/k'],
        ['DELETE', '/k'],
        ['GET', '/'],
        ['POST', '/bulk/get'],
      ] as const) {
        const { status, reason } = await refused(method, url)
        assert.deepEqual([status, reason], [403, 'namespace not found'])
      }
    }
  })

  test('a binding to what is not the account’s is refused', async () => {
    const owner = { account, worker: workerName.parse('w') }
    assert.deepEqual(await kv.admit?.(entry(namespace), owner), entry(namespace))
    for (const id of ['f'.repeat(32), 'nonsense', '']) {
      await assert.rejects(Promise.resolve(kv.admit?.(entry(id), owner)), {
        code: 10_041,
        status: 400,
      })
    }
    const stranger = { ...owner, account: otherAccount }
    await assert.rejects(Promise.resolve(kv.admit?.(entry(namespace), stranger)), { code: 10_041 })
  })

  test('wiring names the namespace', () => {
    const raw = kvNamespace.parse({
      type: 'kv_namespace',
      name: 'KV',
      namespace_id: namespace,
      raw: true,
    })
    const version = { id: 'v', tag: '', createdAt: '' }
    assert.deepEqual(kvNamespace.wiring(raw, version), {
      type: 'backend',
      client: 'kvNamespace',
      resource: { namespace },
    })
  })
})

test('a put whose sender dies stores nothing', async () => {
  await call('PUT', '/dying', { body: [bytes('before')] })
  for (const size of [10, 2 * inlineBytes]) {
    const body = (async function* () {
      yield new Uint8Array(size)
      throw new Error('aborted')
    })()
    await assert.rejects(call('PUT', '/dying', { body }), /aborted/)
    assert.equal(textOf(await call('GET', '/dying')), 'before')
  }
})

test('other methods are not answered', async () => {
  assert.equal((await call('POST', '/k')).status, 405)
  assert.equal((await call('PATCH', '/k')).status, 405)
})

function entry(id: string): Entry {
  return kvNamespace.parse({ type: 'kv_namespace', name: 'KV', namespace_id: id })
}
