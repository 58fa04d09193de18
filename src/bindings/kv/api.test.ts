import assert from 'node:assert/strict'
import { validateHeaderValue } from 'node:http'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { utf8OfHeader } from '#contract/backend.ts'
import { accountId } from '#contract/ids.ts'
import { apiOf, json, type Sent } from '#test/api.ts'
import { bytes, caller, callOf, otherAccount } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { kvNamespace, openKv } from './binding.ts'
import { inlineBytes, keyLimit, valueLimit } from './limits.ts'

const folder = await temporaryFolder()
const now = 1_800_000_000
const clock = movableClock(now * 1000)
const migrations = kvNamespace.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'kv'), migrations, clock })
const kv = await openKv(ports)
after(async () => {
  await kv[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const { ask, send } = apiOf(kv)

async function newNamespace(title: string): Promise<string> {
  const { result } = await ask('POST', '', json({ title }))
  return result.id
}

suite('namespaces', () => {
  test('are made, shown, renamed and removed', async () => {
    const made = await ask('POST', '', json({ title: 'one' }))
    const { id } = made.result
    assert.match(id, /^[0-9a-f]{32}$/)
    const shown = { id, title: 'one', supports_url_encoding: true }
    assert.deepEqual(made.result, shown)
    assert.deepEqual((await ask('GET', `/${id}`)).result, shown)
    assert.deepEqual((await ask('PUT', `/${id}`, json({ title: 'two' }))).result.title, 'two')
    assert.deepEqual((await ask('GET', `/${id}`)).result.title, 'two')
    assert.equal((await ask('DELETE', `/${id}`)).result, null)
    assert.equal((await ask('GET', `/${id}`)).code, 10_013)
    assert.equal((await ask('POST', '', json({ title: 'two' }))).status, 200)
  })

  test('have titles of their own within an account', async () => {
    const id = await newNamespace('taken')
    const again = await ask('POST', '', json({ title: 'taken' }))
    assert.deepEqual([again.status, again.code], [400, 10_014])
    assert.match(again.message, /a namespace with this account ID and title already exists/)
    const other = await newNamespace('other')
    assert.equal((await ask('PUT', `/${other}`, json({ title: 'taken' }))).code, 10_014)
    assert.equal((await ask('PUT', `/${id}`, json({ title: 'taken' }))).status, 200)
    const as = { ...caller, account: otherAccount }
    assert.equal((await ask('POST', '', { ...json({ title: 'taken' }), as })).status, 200)
    assert.equal((await ask('GET', `/${id}`, { as })).code, 10_013)
    assert.equal((await ask('DELETE', `/${id}`, { as })).code, 10_013)
  })

  test('are listed page by page until an empty one', async () => {
    const as = { ...caller, account: otherAccount }
    for (let n = 0; n < 24; n++) await ask('POST', '', { ...json({ title: `t${n}` }), as })
    for (const [query, sign, field] of [
      ['order=title&direction=asc', 1, 'title'],
      ['order=title&direction=desc', -1, 'title'],
      ['', 1, 'id'],
    ] as const) {
      const seen: string[] = []
      for (let page = 1; page < 10; page++) {
        const { result, info } = await ask('GET', `?${query}&per_page=10&page=${page}`, { as })
        assert.deepEqual(info, {
          page,
          per_page: 10,
          count: result.length,
          total_count: 25,
          total_pages: 3,
        })
        if (result.length === 0) break
        seen.push(...result.map((each: Record<string, string>) => each[field]))
      }
      assert.equal(seen.length, 25)
      assert.deepEqual(
        seen,
        seen.toSorted((a, b) => (a < b ? -sign : sign)),
      )
    }
    assert.equal((await ask('GET', '', { as })).result.length, 20)
    assert.equal((await ask('GET', '/?per_page=100', { as })).result.length, 25)
  })

  const wrong: [string, string | undefined][] = [
    ['no body', undefined],
    ['not JSON', '{'],
    ['no title', '{}'],
    ['an empty title', '{"title":""}'],
    ['a title that is a number', '{"title":1}'],
    ['a long title', JSON.stringify({ title: 'é'.repeat(257) })],
    ['an unknown jurisdiction', '{"title":"x","jurisdiction":"moon"}'],
  ]
  for (const [title, body] of wrong) {
    test(`refused: ${title}`, async () => {
      const { status, code } = await ask('POST', '', body === undefined ? {} : { body })
      assert.deepEqual([status, code], [400, 10_001])
    })
  }

  test('an account has 1000 at most', async () => {
    const as = {
      ...caller,
      account: accountId.parse('c'.repeat(32)),
    }
    const asked = Array.from({ length: 1001 }, (_, n) =>
      ask('POST', '', { ...json({ title: `t${n}` }), as }),
    )
    const refused = (await Promise.all(asked)).filter(({ status }) => status !== 200)
    assert.equal(refused.length, 1)
    assert.match(refused[0]?.message ?? '', /no more than 1000 namespaces/)
  })
})

const ns = await newNamespace('values')

suite('values', () => {
  const keys = ['a', 'dir/file.txt', 'k/2 ü', '100%', 'a?b#c', '\n', 'x/', 'a//b', '%2F', 'é漢😀']
  for (const key of keys) {
    for (const encode of [
      encodeURIComponent,
      (text: string) => encodeURI(text).replaceAll(/[?#]/g, encodeURIComponent),
    ]) {
      test(`key ${JSON.stringify(key)} as ${encode(key)}`, async () => {
        const path = `/${ns}/values/${encode(key)}`
        await ask('PUT', path, { body: key })
        const reply = await send('GET', path)
        assert.equal(reply.headers.get('content-type'), 'application/octet-stream')
        assert.equal(await reply.text(), key)
        const list = await ask('GET', `/${ns}/keys?prefix=${encodeURIComponent(key)}`)
        assert.ok(
          list.result.some(({ name }: { name: string }) => name === key),
          JSON.stringify(list.result),
        )
        assert.equal((await ask('GET', `/${ns}/metadata/${encode(key)}`)).result, null)
        assert.equal((await ask('DELETE', path)).result, null)
        const missing = await ask('GET', path)
        assert.deepEqual(
          [missing.status, missing.code, missing.message],
          [404, 10_009, "get: 'key not found'"],
        )
        assert.equal((await ask('DELETE', path)).status, 200)
      })
    }
  }

  const value = Uint8Array.from({ length: inlineBytes * 2 }, (_, n) => n * 7)
  const bodies: [string, Sent, Uint8Array, unknown][] = [
    ['text', { body: 'v' }, bytes('v'), null],
    ['bytes without a type', { body: value }, value, null],
    [
      'a form type that is none',
      { body: 'v', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      bytes('v'),
      null,
    ],
    ['nothing', {}, new Uint8Array(), null],
    ['a form with a field', { body: form({ value: 'v' }) }, bytes('v'), null],
    [
      'a form with files',
      { body: form({ value: new Blob([value]), metadata: new Blob(['{"a":"é"}']) }) },
      value,
      { a: 'é' },
    ],
    ['a form with metadata', { body: form({ value: '', metadata: '[1]' }) }, new Uint8Array(), [1]],
  ]
  for (const [title, body, stored, metadata] of bodies) {
    test(`put ${title}`, async () => {
      const put = await ask('PUT', `/${ns}/values/body?expiration_ttl=60`, body)
      assert.equal(put.status, 200, put.message)
      const reply = await send('GET', `/${ns}/values/body`)
      assert.equal(reply.headers.get('expiration'), `${now + 60}`)
      assert.deepEqual(new Uint8Array(await reply.arrayBuffer()), new Uint8Array(stored))
      assert.deepEqual((await ask('GET', `/${ns}/metadata/body`)).result, metadata)
      const list = await ask('GET', `/${ns}/keys?prefix=body`)
      const shown = { name: 'body', expiration: now + 60, ...(metadata !== null && { metadata }) }
      assert.deepEqual([list.result, list.info], [[shown], { count: 1, cursor: '' }])
    })
  }

  const none = 'f'.repeat(32)
  const refused: [string, string, Sent, number, number, RegExp][] = [
    [
      'PUT',
      `/${ns}/values/k?expiration_ttl=59`,
      { body: 'v' },
      400,
      10_001,
      /^put: 'Invalid expiration_ttl of 59\. Expiration TTL must be at least 60\.'$/,
    ],
    ['PUT', `/${ns}/values/k?expiration_ttl=0`, { body: 'v' }, 400, 10_001, /greater than 0/],
    [
      'PUT',
      `/${ns}/values/k?expiration=${now}`,
      { body: 'v' },
      400,
      10_001,
      /since the UNIX epoch/,
    ],
    [
      'PUT',
      `/${ns}/values/k?expiration=${now + 59}`,
      { body: 'v' },
      400,
      10_001,
      /60 seconds in the future/,
    ],
    [
      'PUT',
      `/${ns}/values/${'k'.repeat(keyLimit + 1)}`,
      { body: 'v' },
      414,
      10_001,
      /513 exceeds key length limit of 512/,
    ],
    ['PUT', `/${ns}/values/`, { body: 'v' }, 400, 10_001, /must not be empty/],
    ['PUT', `/${ns}/values/%ff`, { body: 'v' }, 400, 10_001, /UTF-8/],
    [
      'PUT',
      `/${ns}/values/k`,
      { body: new Uint8Array(valueLimit + 1) },
      413,
      10_001,
      /Value length of 26214401 exceeds limit of 26214400/,
    ],
    [
      'PUT',
      `/${ns}/values/k`,
      { body: form({ value: new Blob([new Uint8Array(valueLimit + 1)]) }) },
      413,
      10_001,
      /Value length of 26214401/,
    ],
    ['PUT', `/${ns}/values/k`, { body: form({ metadata: '1' }) }, 400, 10_001, /no part "value"/],
    [
      'PUT',
      `/${ns}/values/k`,
      { body: form({ value: 'v', metadata: '{' }) },
      400,
      10_001,
      /valid JSON/,
    ],
    [
      'PUT',
      `/${ns}/values/k`,
      { body: form({ value: 'v', metadata: `"${'x'.repeat(1023)}"` }) },
      413,
      10_001,
      /Metadata length of 1025/,
    ],
    [
      'PUT',
      `/${ns}/values/k`,
      { body: 'x', headers: { 'content-type': 'multipart/form-data' } },
      400,
      10_001,
      /not a valid form/,
    ],
    ['GET', `/${ns}/keys?limit=0`, {}, 400, 10_001, /^list keys: 'Invalid key_count_limit of 0/],
    ['GET', `/${ns}/keys?limit=1001`, {}, 400, 10_001, /less than 1000/],
    ['GET', `/${ns}/keys?cursor=%21`, {}, 400, 10_001, /Invalid cursor\./],
    ['GET', `/${ns}/keys?prefix=${'k'.repeat(513)}`, {}, 414, 10_001, /513/],
    ['GET', `/${ns}/metadata/none`, {}, 404, 10_009, /key not found/],
    ['GET', `/${none}/values/k`, {}, 404, 10_013, /^get: 'namespace not found'$/],
    ['PUT', `/nonsense/values/k`, { body: 'v' }, 404, 10_013, /namespace not found/],
    ['GET', `/${none}/keys`, {}, 404, 10_013, /namespace not found/],
    ['DELETE', `/${none}`, {}, 404, 10_013, /^remove namespace: 'namespace not found'$/],
    ['GET', `/${ns}/nonsense`, {}, 404, 7003, /Could not route/],
  ]
  for (const [method, path, body, status, code, message] of refused) {
    test(`refused: ${method} ${path.slice(34, 80)} ${message.source.slice(0, 40)}`, async () => {
      const answer = await ask(method, path, body)
      assert.deepEqual([answer.status, answer.code], [status, code])
      assert.match(answer.message, message)
    })
  }
})

suite('bulk', () => {
  test('writes, reads, lists by cursor and deletes', async () => {
    const bulk = await newNamespace('bulk')
    const pairs = [
      ...Array.from({ length: 2500 }, (_, n) => pair(n)),
      { key: 'c', value: 'AP8=', base64: true },
      { key: 'd', value: 'x'.repeat(inlineBytes + 1), metadata: { m: 1 }, expiration_ttl: 60 },
      { key: 'e', value: 'first' },
      { key: 'e', value: 'second', expiration: now + 90 },
    ]
    const put = await ask('PUT', `/${bulk}/bulk`, json(pairs))
    assert.deepEqual(put.result, { successful_key_count: 2504, unsuccessful_keys: [] })
    assert.deepEqual(
      new Uint8Array(await (await send('GET', `/${bulk}/values/c`)).arrayBuffer()),
      new Uint8Array([0, 255]),
    )
    const names: string[] = []
    let cursor = ''
    do {
      const page = await ask('GET', `/${bulk}/keys?cursor=${cursor}`)
      names.push(...page.result.map(({ name }: { name: string }) => name))
      cursor = page.info.cursor
    } while (cursor !== '')
    assert.deepEqual(names, [...new Set(pairs.map(({ key }) => key))].toSorted())
    const plain = await ask('POST', `/${bulk}/bulk/get`, json({ keys: ['e', 'none', 'b00001'] }))
    assert.deepEqual(plain.result.values, { e: 'second', none: null, b00001: '1' })
    const full = await ask(
      'POST',
      `/${bulk}/bulk/get`,
      json({ keys: ['d', 'e', 'none'], withMetadata: true }),
    )
    assert.deepEqual(full.result.values, {
      d: { value: 'x'.repeat(inlineBytes + 1), metadata: { m: 1 }, expiration: now + 60 },
      e: { value: 'second', metadata: null, expiration: now + 90 },
      none: null,
    })
    const half = names.slice(0, 1200)
    const deleted = await ask('DELETE', `/${bulk}/bulk`, json(half))
    assert.deepEqual(deleted.result, { successful_key_count: 1200, unsuccessful_keys: [] })
    await ask('POST', `/${bulk}/bulk/delete`, json([...names.slice(1200), 'none']))
    assert.deepEqual((await ask('GET', `/${bulk}/keys`)).result, [])
  })

  const deep: unknown = JSON.parse('['.repeat(2_000) + ']'.repeat(2_000))
  const refused: [string, string, string, unknown, RegExp][] = [
    [
      'more than 10 000 pairs',
      'PUT',
      'bulk',
      Array.from({ length: 10_001 }, (_, n) => pair(n)),
      /10000/,
    ],
    [
      'more than 10 000 keys',
      'DELETE',
      'bulk',
      Array.from({ length: 10_001 }, (_, n) => `${n}`),
      /10000/,
    ],
    ['not a list', 'PUT', 'bulk', { key: 'a', value: 'b' }, /array/],
    ['a value that is a number', 'PUT', 'bulk', [{ key: 'a', value: 1 }], /0\.value/],
    ['bad Base64', 'PUT', 'bulk', [{ key: 'a', value: '***', base64: true }], /Base64/],
    ['an empty key', 'PUT', 'bulk', [{ key: '', value: 'b' }], /empty/],
    ['a short life', 'PUT', 'bulk', [pair(1), { ...pair(2), expiration_ttl: 1 }], /at least 60/],
    [
      'a fraction',
      'PUT',
      'bulk',
      [{ key: 'a', value: 'b', expiration_ttl: 60.5 }],
      /Invalid expiration_ttl of 60\.5/,
    ],
    [
      'large metadata',
      'PUT',
      'bulk',
      [{ key: 'a', value: 'b', metadata: 'x'.repeat(1023) }],
      /Metadata length of 1025/,
    ],
    ['metadata that nests', 'PUT', 'bulk', [{ key: 'a', value: 'b', metadata: deep }], /not valid/],
    ['a long key to delete', 'POST', 'bulk/delete', ['k'.repeat(513)], /513/],
    [
      '101 keys to read',
      'POST',
      'bulk/get',
      { keys: Array.from({ length: 101 }, (_, n) => `${n}`) },
      /maximum of 100 keys/,
    ],
    ['no key to read', 'POST', 'bulk/get', { keys: [] }, /minimum of 1 key/],
  ]
  for (const [title, method, path, body, message] of refused) {
    test(`refused, and nothing done: ${title}`, async () => {
      const before = (await ask('GET', `/${ns}/keys`)).result
      const answer = await ask(method, `/${ns}/${path}`, json(body))
      assert.equal(answer.code, 10_001)
      assert.match(answer.message, message)
      assert.deepEqual((await ask('GET', `/${ns}/keys`)).result, before)
    })
  }
})

test('metadata that the API took fits the header in which a Worker gets it', async () => {
  const call = callOf(kv, { type: 'kv_namespace', resource: { namespace: ns } })
  const metadata = '{\n\t"a": "\u007f \u0085 é",\r\n "b": "\\n"\n}'
  await ask('PUT', `/${ns}/values/form`, { body: form({ value: 'v', metadata }) })
  await ask(
    'PUT',
    `/${ns}/bulk`,
    json([{ key: 'bulk', value: 'v', metadata: JSON.parse(metadata) }]),
  )
  for (const name of ['form', 'bulk']) {
    const { reply } = await call('GET', `/${name}?urlencoded=true`)
    const header = reply.headers?.['CF-KV-Metadata'] ?? ''
    validateHeaderValue('CF-KV-Metadata', header)
    assert.deepEqual(JSON.parse(utf8OfHeader(header)), JSON.parse(metadata))
  }
})

function form(parts: Record<string, string | Blob>): FormData {
  const made = new FormData()
  for (const [name, part] of Object.entries(parts)) made.set(name, part)
  return made
}

function pair(n: number): { key: string; value: string } {
  return { key: `b${String(n).padStart(5, '0')}`, value: `${n}` }
}
