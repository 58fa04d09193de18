import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { type ObjectId, objectId, objectNamespaceId } from '#contract/ids.ts'
import type { NamedFile } from '#contract/ports/object-files.ts'
import { readTar, type TarEntry, writeTar } from '#contract/tar.ts'
import { openObjectFiles } from '#drivers/object-files/local/driver.ts'
import { account, otherAccount } from '#test/backend.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { createApp } from './app.ts'
import { openStore } from './fixture.ts'
import type { ObjectDirectory } from './object-transfer.ts'
import { objectRoutes } from './objects-api.ts'
import { Tokens } from './tokens.ts'

// The routes of Durable Objects on stored objects that are real files. Which namespaces there are is
// the one thing that is made up.

const chat = objectNamespaceId.parse('1'.repeat(32))
const counter = objectNamespaceId.parse('2'.repeat(32))
const theirs = objectNamespaceId.parse('3'.repeat(32))
const root = '/workers/durable_objects/namespaces'

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number(), message: z.string() })),
  result: z.any(),
  result_info: z.any().optional(),
})

type Sent = {
  readonly of?: string
  readonly permission?: 'read' | 'admin' | 'admin of the account'
  readonly body?: Uint8Array
}

async function openApi() {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await temporaryFolder())
  const { ports, identities } = stack.use(await openStore())
  const files = stack.use(
    await openObjectFiles({ path: join(path, 'objects'), clock: ports.clock }),
  )
  const known = new Map([
    [account, [named(counter, 'kv', 'Counter'), named(chat, 'sqlite', 'Chat')]],
    [otherAccount, [named(theirs, 'sqlite', 'Theirs')]],
  ])
  const directory: ObjectDirectory = { namespaces: async (of) => known.get(of) ?? [] }
  const stopped: string[] = []
  const meanwhile = { run: (): void => undefined }
  const host = {
    async whileStopped(of: string, namespaces: readonly string[], run: () => Promise<void>) {
      stopped.push(`${of} ${namespaces.join()}`)
      meanwhile.run()
      await run()
    },
  }
  const tokens = new Tokens({ ...ports, store: identities })
  const values = new Map<string, string>()
  for (const [name, permission, of] of [
    ['read', 'read', null],
    ['admin', 'admin', null],
    ['admin of the account', 'admin', account],
  ] as const) {
    const { value } = await tokens.issue({ name, account: of, permission, expiresAt: null })
    values.set(name, value)
  }
  const app = createApp({
    tokens,
    identities,
    routes: [],
    mounts: [],
    guardedMounts: [],
    domain: 'localhost',
    log: ports.log,
    accountRoutes: objectRoutes({ directory, files, host, clock: ports.clock }),
  })
  const send = (method: string, at: string, sent: Sent = {}): Promise<Response> => {
    const { of = account, permission = 'read', body } = sent
    return app(
      new Request(`http://x/client/v4/accounts/${of}${root}${at}`, {
        method,
        headers: { authorization: `Bearer ${values.get(permission)}` },
        ...(body && { body: new Uint8Array(body) }),
      }),
    )
  }
  const ask = async (...args: Parameters<typeof send>) => {
    const response = await send(...args)
    return { status: response.status, ...envelope.parse(await response.json()) }
  }
  const owned = stack.move()
  return {
    path,
    files,
    known,
    stopped,
    meanwhile,
    send,
    ask,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
    async store(objects: Readonly<Record<string, Uint8Array>>) {
      const place = { account, namespace: chat }
      await using staged = await files.import(place, filesOf(objects))
      await staged.put(new Map([[idOf(1), 'room one']]))
    },
  }
}

suite('GET /workers/durable_objects/namespaces', () => {
  test('lists the namespaces of the account, as Cloudflare does', async () => {
    await using api = await openApi()
    const { status, result, result_info: info } = await api.ask('GET', '')
    assert.equal(status, 200)
    assert.deepEqual(result, [
      { id: counter, name: 'w_Counter', script: 'w', class: 'Counter', use_sqlite: false },
      { id: chat, name: 'w_Chat', script: 'w', class: 'Chat', use_sqlite: true },
    ])
    assert.deepEqual(info, { page: 1, per_page: 20, count: 2, total_count: 2, total_pages: 1 })
    const second = await api.ask('GET', '?page=2&per_page=1')
    assert.deepEqual([second.result.length, second.result[0].class], [1, 'Chat'])
    const others = await api.ask('GET', '', { of: otherAccount })
    assert.deepEqual(
      others.result.map((each: { id: string }) => each.id),
      [theirs],
    )
  })

  test('shows one, with what it holds', async () => {
    await using api = await openApi()
    await api.store({
      [`${idOf(1)}.sqlite`]: database('one'),
      [`${idOf(2)}.sqlite`]: database('two'),
    })
    const { result } = await api.ask('GET', `/${chat}`)
    assert.deepEqual([result.class, result.objects], ['Chat', 2])
    assert.ok(result.size_bytes >= 16_384)
    assert.equal((await api.ask('GET', `/${counter}`)).result.objects, 0)
  })
})

const missing = [404, 10066] as const
const refusals: readonly (readonly [string, string, string, readonly [number, number], Sent?])[] = [
  ['a namespace that is none', 'GET', `/${'9'.repeat(32)}`, missing],
  ['an id that is none', 'GET', '/..%2f..', missing],
  ['a namespace of another account', 'GET', `/${theirs}`, missing],
  ['objects of another account', 'GET', `/${theirs}/objects`, missing],
  ['an export of another account', 'GET', `/${theirs}/export`, missing],
  ['an import into another account', 'POST', `/${theirs}/import`, missing, { permission: 'admin' }],
  ['an object of another account', 'GET', `/${theirs}/objects/${idOf(1)}/export`, missing],
  ['an object that is not there', 'GET', `/${chat}/objects/${idOf(9)}/export`, missing],
  ['an object whose id is none', 'GET', `/${chat}/objects/..%2fx/export`, missing],
  [
    'an archive of an object that is not there',
    'GET',
    `/${chat}/export?object=${idOf(9)}`,
    missing,
  ],
  ['a cursor that is none', 'GET', `/${chat}/objects?cursor=..%2f`, [400, 10026]],
  ['an import without the right to it', 'POST', `/${chat}/import`, [403, 10000]],
  [
    'an import by who administers the account alone',
    'POST',
    `/${chat}/import`,
    [403, 10000],
    { permission: 'admin of the account' },
  ],
  ['an import of nothing', 'POST', `/${chat}/import`, [400, 10026], { permission: 'admin' }],
  [
    'an import of what is no archive',
    'POST',
    `/${chat}/import`,
    [400, 10026],
    { permission: 'admin', body: new Uint8Array(2_000).fill(65) },
  ],
]

suite('what is refused', () => {
  for (const [title, method, at, [status, code], sent] of refusals) {
    test(title, async () => {
      await using api = await openApi()
      await api.store({ [`${idOf(1)}.sqlite`]: database('one') })
      const answer = await api.ask(method, at, sent)
      assert.deepEqual([answer.status, answer.errors[0]?.code], [status, code])
      assert.deepEqual(api.stopped, [])
    })
  }

  const one = { [`${idOf(1)}.sqlite`]: database('one') }
  const imports: Readonly<Record<string, readonly [Readonly<Record<string, Uint8Array>>, RegExp]>> =
    {
      'files of another namespace': [
        { [`${idOf(1, counter)}.sqlite`]: database('one') },
        /is not an id of this namespace/,
      ],
      'an export of another namespace': [
        { 'namespace.json': json({ id: counter, alarms: [] }) },
        /objects of the namespace 2{32}, which is another/,
      ],
      'a namespace.json that is none': [
        { ...one, 'namespace.json': json([]) },
        /not as it was exported/,
      ],
      'no object': [
        { 'namespace.json': json({ id: chat, alarms: [] }) },
        /There is no object in it/,
      ],
      'another file': [{ ...one, 'x.txt': json(1) }, /"x\.txt" is not the name of a file/],
      'a broken database': [{ [`${idOf(1)}.sqlite`]: new Uint8Array(9_000) }, /not a sound SQLite/],
    }
  for (const [title, [content, message]] of Object.entries(imports)) {
    test(`an import of ${title}`, async () => {
      await using api = await openApi()
      await api.store({ [`${idOf(1)}.sqlite`]: database('kept') })
      const body = await archiveOf(content)
      const answer = await api.ask('POST', `/${chat}/import`, { permission: 'admin', body })
      assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 10026])
      assert.match(answer.errors[0]?.message ?? '', message)
      assert.deepEqual(api.stopped, [])
      assert.deepEqual(await readdir(join(api.path, 'objects', '.staging')), [])
    })
  }
})

suite('objects', () => {
  test('are listed in pages with a cursor', async () => {
    await using api = await openApi()
    const ids = [1, 2, 3, 4, 5].map((n) => idOf(n)).toSorted()
    await api.store(
      Object.fromEntries(
        ids.map((id) => [
          `${id}.sqlite`,
          database(id, id === idOf(1) ? 1_900_000_000_000 : undefined),
        ]),
      ),
    )
    const seen: string[] = []
    for (let cursor = '', pages = 0; pages === 0 || cursor !== ''; pages++) {
      const { result, result_info: info } = await api.ask(
        'GET',
        `/${chat}/objects?limit=2&cursor=${cursor}`,
      )
      assert.equal(info.count, result.length)
      assert.equal(info.cursors.after, info.cursor)
      for (const each of result) {
        assert.deepEqual(Object.keys(each).toSorted(), [
          'alarm_on',
          'hasStoredData',
          'id',
          'modified_on',
          'size_bytes',
        ])
        assert.equal(each.hasStoredData, true)
        assert.equal(each.alarm_on, each.id === idOf(1) ? '2030-03-17T17:46:40.000Z' : null)
        seen.push(each.id)
      }
      cursor = info.cursor
      assert.ok(pages < 4)
    }
    assert.deepEqual(seen, ids)
    for (const limit of ['0', '-1', 'x', '99999999']) {
      assert.equal((await api.ask('GET', `/${chat}/objects?limit=${limit}`)).result.length, 5)
    }
  })

  test('one is exported as a plain file', async () => {
    await using api = await openApi()
    await api.store({
      [`${idOf(1)}.sqlite`]: database('one'),
      [`${idOf(1)}.1.sqlite`]: database('a facet'),
      [`${idOf(1)}.facets`]: new Uint8Array(8),
    })
    for (const method of ['HEAD', 'GET']) {
      const response = await api.send(method, `/${chat}/objects/${idOf(1)}/export`)
      assert.equal(response.status, 200)
      assert.equal(response.headers.get('content-type'), 'application/vnd.sqlite3')
      assert.equal(response.headers.get('x-bindery-facets'), '1')
      const bytes = new Uint8Array(await response.arrayBuffer())
      if (method === 'GET') assert.equal(textOf(bytes), 'one')
    }
    await response404(api)
  })

  test('a namespace goes out and comes back, with facets and alarms', async () => {
    await using api = await openApi()
    const at = 1_900_000_000_000
    await api.store({
      [`${idOf(1)}.sqlite`]: database('one', at),
      [`${idOf(1)}.1.sqlite`]: database('a facet'),
      [`${idOf(1)}.facets`]: new Uint8Array(8),
      [`${idOf(2)}.sqlite`]: database('two'),
    })
    const archive = new Uint8Array(await (await api.send('GET', `/${chat}/export`)).arrayBuffer())
    const content = await contentOf(archive)
    const names = ['.sqlite', '.1.sqlite', '.facets'].map((end) => idOf(1) + end)
    assert.deepEqual(
      Object.keys(content).toSorted(),
      [...names, `${idOf(2)}.sqlite`, 'namespace.json'].toSorted(),
    )
    const { exported_on: on, ...said } = JSON.parse(
      new TextDecoder().decode(content['namespace.json']),
    )
    assert.ok(Math.abs(Date.parse(on) - Date.now()) < 60_000)
    assert.deepEqual(said, {
      id: chat,
      script: 'w',
      class: 'Chat',
      storage: 'sqlite',
      objects: 2,
      alarms: [{ object: idOf(1), at: '2030-03-17T17:46:40.000Z', name: 'room one' }],
    })
    const place = { account, namespace: chat }
    await api.files.delete(place)
    const sent = { permission: 'admin', body: archive } as const
    const answer = await api.ask('POST', `/${chat}/import`, sent)
    assert.deepEqual([answer.status, answer.result], [200, { objects: 2 }])
    assert.deepEqual(api.stopped, [`${account} ${chat}`])
    assert.deepEqual([...(await api.files.alarms(place))], [[idOf(1), { at, name: 'room one' }]])
    const again = new Uint8Array(await (await api.send('GET', `/${chat}/export`)).arrayBuffer())
    assert.deepEqual(Object.keys(await contentOf(again)), Object.keys(content))
    // One object alone.
    const alone = await api.send('GET', `/${chat}/export?object=${idOf(2)}`)
    const files = await contentOf(new Uint8Array(await alone.arrayBuffer()))
    assert.deepEqual(Object.keys(files), [`${idOf(2)}.sqlite`, 'namespace.json'])
    assert.deepEqual(await readdir(join(api.path, 'objects', '.exports')), [])
  })

  test('are not put into a namespace that is deleted meanwhile', async () => {
    await using api = await openApi()
    const body = await archiveOf({ [`${idOf(1)}.sqlite`]: database('one') })
    api.meanwhile.run = () => void api.known.set(account, [])
    const answer = await api.ask('POST', `/${chat}/import`, { permission: 'admin', body })
    assert.deepEqual([answer.status, answer.errors[0]?.code], missing)
    assert.equal((await api.files.sizeOf({ account, namespace: chat })).objects, 0)
  })
})

/** Nothing of a request for what is not there stays. */
async function response404(api: Awaited<ReturnType<typeof openApi>>): Promise<void> {
  assert.equal((await api.send('GET', `/${chat}/objects/${idOf(3)}/export`)).status, 404)
  assert.deepEqual(await readdir(join(api.path, 'objects', '.exports')), [])
}

function named(id: typeof chat, storage: 'sqlite' | 'kv', className: string) {
  return { id, worker: 'w', className, storage }
}

/** Ids as workerd makes them. */
function idOf(n: number, of: string = chat): ObjectId {
  const key = createHash('sha256').update(of).digest()
  const code = (input: string | Buffer): Buffer =>
    createHmac('sha256', key).update(input).digest().subarray(0, 16)
  const half = code(`object ${n}`)
  return objectId.parse(Buffer.concat([half, code(half)]).toString('hex'))
}

function database(text: string, alarmAt?: number): Uint8Array {
  const made = new DatabaseSync(':memory:')
  made.exec('CREATE TABLE t (text TEXT)')
  made.prepare('INSERT INTO t VALUES (?)').run(text)
  if (alarmAt !== undefined) {
    made.exec('CREATE TABLE _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)')
    made.prepare('INSERT INTO _cf_METADATA VALUES (1, ?)').run(BigInt(alarmAt) * 1_000_000n)
  }
  return made.serialize()
}

function textOf(bytes: Uint8Array): string {
  const opened = new DatabaseSync(':memory:')
  opened.deserialize(bytes)
  return String(opened.prepare('SELECT text FROM t').get()?.['text'])
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

async function* filesOf(
  files: Readonly<Record<string, Uint8Array>>,
): AsyncGenerator<NamedFile & TarEntry> {
  for (const [name, content] of Object.entries(files)) {
    const bytes = (async function* () {
      yield content
    })()
    yield { name, bytes, sizeBytes: content.byteLength }
  }
}

async function archiveOf(files: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(writeTar(filesOf(files), 0)))
}

async function contentOf(archive: Uint8Array): Promise<Record<string, Uint8Array>> {
  const found: Record<string, Uint8Array> = {}
  const whole = (async function* () {
    yield archive
  })()
  for await (const { name, bytes } of readTar(whole)) {
    found[name] = new Uint8Array(Buffer.concat(await Array.fromAsync(bytes)))
  }
  return found
}
