import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import * as fc from 'fast-check'
import { type BlobKey, blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { integerColumn, sql, textColumn } from '#contract/ports/sql.ts'
import { account } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { kvNamespace } from './binding.ts'
import { inlineBytes } from './limits.ts'
import type { NamespaceId } from './schema.ts'
import { type Found, type KvStore, openStore } from './store.ts'

const folder = await temporaryFolder()
after(() => folder[Symbol.asyncDispose]())
const migrations = kvNamespace.migrations ?? assert.fail()
const start = 1_800_000_000_000
let stores = 0

async function open(path = join(folder.path, `${stores++}`)) {
  const clock = movableClock(start)
  const ports = await openPorts({ path, migrations, clock })
  const store = await openStore(ports)
  return {
    path,
    clock,
    ports,
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await ports[Symbol.asyncDispose]()
    },
  }
}

async function* chunksOf(value: Uint8Array): AsyncGenerator<Uint8Array> {
  yield value
}

/** As the service does: small at once, large as a stream. */
async function put(
  store: KvStore,
  namespace: NamespaceId,
  entry: { key: Uint8Array; value: Uint8Array; expiresAt?: number | null },
): Promise<void> {
  const { key, value, expiresAt = null } = entry
  const isLarge = value.byteLength > inlineBytes
  const source = isLarge ? chunksOf(value) : value
  await store.put(namespace, key, { value: source, metadata: null, expiresAt })
}

async function bytesOf(found: Found | undefined): Promise<Uint8Array | undefined> {
  if (!found) return undefined
  const { value } = found
  return value instanceof Uint8Array ? new Uint8Array(value) : value.bytes()
}

async function blobsOf({ blob }: Ports): Promise<readonly BlobKey[]> {
  return (await Array.fromAsync(blob.list())).map(({ key }) => key)
}

async function countOf({ sql: database }: Ports): Promise<number> {
  const [row] = await database.read(sql`SELECT count(*) AS n FROM entry`)
  return row ? integerColumn(row, 'n') : -1
}

/** Moves time until what is done behind the scenes has made `isDone` true. */
async function tidied(
  clock: { moveBy(milliseconds: number): void },
  isDone: () => Promise<boolean>,
): Promise<void> {
  await eventually(async () => {
    clock.moveBy(10_000)
    return isDone()
  })
}

const key = (text: string): Uint8Array => new TextEncoder().encode(text)
const large = (fill: number): Uint8Array => new Uint8Array(inlineBytes + 100).fill(fill)
const everything = { prefix: new Uint8Array(), after: undefined, limit: 1000 }

suite('what is done behind the scenes', () => {
  test('expired entries and their blobs go; they are never seen before that', async () => {
    await using opened = await open()
    const { store, clock, ports } = opened
    const { id } = await store.createNamespace(account, 'n')
    for (let n = 0; n < 1200; n++) {
      const value = n < 5 ? large(n) : key('v')
      void put(store, id, { key: key(`k${n}`), value, expiresAt: start / 1000 + 60 })
    }
    await put(store, id, { key: key('stays'), value: large(1) })
    await eventually(async () => (await countOf(ports)) === 1201)
    assert.equal((await blobsOf(ports)).length, 6)
    clock.moveBy(59_999)
    assert.ok(await store.get(id, key('k1000')))
    clock.moveBy(1)
    assert.equal(await store.get(id, key('k1000')), undefined)
    const { keys, next } = await store.list(id, everything)
    assert.deepEqual([keys.map((each) => each.key), next], [[key('stays')], undefined])
    await tidied(clock, async () => (await countOf(ports)) === 1)
    await tidied(clock, async () => (await blobsOf(ports)).length === 1)
  })

  test('a deleted namespace is gone at once, its keys and blobs soon', async () => {
    await using opened = await open()
    const { store, clock, ports } = opened
    const { id } = await store.createNamespace(account, 'n')
    const kept = await store.createNamespace(account, 'kept')
    const puts = Array.from({ length: 1200 }, (_, n) =>
      put(store, id, { key: key(`k${n}`), value: n < 5 ? large(n) : key('v') }),
    )
    await Promise.all(puts)
    await put(store, kept.id, { key: key('k'), value: large(9) })
    await store.deleteNamespace(id)
    assert.equal(store.ownerOf(id), undefined)
    await assert.rejects(store.namespace(id), { code: 10_013 })
    await assert.rejects(store.deleteNamespace(id), { code: 10_013 })
    await tidied(clock, async () => (await countOf(ports)) === 1)
    await tidied(clock, async () => (await blobsOf(ports)).length === 1)
    await tidied(clock, async () => {
      const rows = await ports.sql.read(sql`SELECT id FROM namespace`)
      return rows.length === 1 && textColumn(rows[0] ?? {}, 'id') === kept.id
    })
    // A put that was on its way when the last key went.
    await assert.rejects(put(store, id, { key: key('late'), value: key('v') }), { code: 10_013 })
    await assert.rejects(put(store, id, { key: key('late'), value: large(1) }), { code: 10_013 })
    assert.equal((await blobsOf(ports)).length, 1)
  })

  test('blobs that are replaced or deleted go; who reads one goes on', async () => {
    await using opened = await open()
    const { store, clock, ports } = opened
    const { id } = await store.createNamespace(account, 'n')
    await put(store, id, { key: key('a'), value: large(1) })
    const reading = await store.get(id, key('a'))
    for (let n = 2; n < 20; n++) await put(store, id, { key: key('a'), value: large(n) })
    await put(store, id, { key: key('b'), value: large(1) })
    await store.delete(id, key('b'))
    await tidied(clock, async () => (await blobsOf(ports)).length === 1)
    assert.deepEqual(await bytesOf(reading), large(1))
    assert.deepEqual(await bytesOf(await store.get(id, key('a'))), large(19))
  })

  test('blobs that a crash left without a row are removed after the next start', async () => {
    const path = join(folder.path, 'orphans')
    {
      await using first = await open(path)
      const { id } = await first.store.createNamespace(account, 'n')
      await put(first.store, id, { key: key('a'), value: large(1) })
      for (let n = 0; n < 250; n++) {
        await first.ports.blob.put(blobKey.parse(n.toString(16).padStart(32, '0')), key('left'))
      }
    }
    await using second = await open(path)
    await tidied(second.clock, async () => (await blobsOf(second.ports)).length === 1)
    const { page } = await second.store.namespaces(account, {
      order: 'id',
      descending: false,
      offset: 0,
      limit: 9,
    })
    const id = page[0]?.id ?? assert.fail()
    assert.deepEqual(await bytesOf(await second.store.get(id, key('a'))), large(1))
  })

  test('a list looks at so many rows and no more, and goes on where it stopped', async () => {
    await using opened = await open()
    const { store, clock } = opened
    const { id } = await store.createNamespace(account, 'n')
    const names = Array.from({ length: 12_000 }, (_, n) => `k${String(n).padStart(6, '0')}`)
    for (let at = 0; at < names.length; at += 3000) {
      await Promise.all(
        names
          .slice(at, at + 3000)
          .map((name) =>
            put(store, id, { key: key(name), value: key(''), expiresAt: start / 1000 + 60 }),
          ),
      )
    }
    await put(store, id, { key: key('z'), value: key('') })
    // Closed, so that nothing is tidied up while it lists.
    await store[Symbol.asyncDispose]()
    clock.moveBy(60_000)
    const first = await store.list(id, everything)
    assert.deepEqual(first.keys, [])
    const second = await store.list(id, { ...everything, after: first.next ?? assert.fail() })
    assert.deepEqual(
      second.keys.map((each) => each.key),
      [key('z')],
    )
    assert.equal(second.next, undefined)
  })
})

// A model: a map of names to values and times.
type Command =
  | {
      readonly type: 'put'
      readonly key: string
      readonly value: Uint8Array
      readonly ttl: number | null
    }
  | { readonly type: 'delete' | 'get'; readonly key: string }
  | { readonly type: 'list'; readonly prefix: string; readonly limit: number }
  | { readonly type: 'wait'; readonly seconds: number }

const someKey = fc.oneof(
  fc.constantFrom('a', 'aa', 'ab', 'b', 'é', '😀', '\uff5e', 'a\u0000', '\u0000'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }).filter((text) => text.isWellFormed()),
)
const someValue = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.constantFrom(large(1), large(2), new Uint8Array(inlineBytes)),
)
const someCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    type: fc.constant('put'),
    key: someKey,
    value: someValue,
    ttl: fc.constantFrom(null, null, 60, 100),
  }),
  fc.record({ type: fc.constantFrom('delete', 'get'), key: someKey }),
  fc.record({
    type: fc.constant('list'),
    prefix: fc.oneof(fc.constant(''), someKey),
    limit: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ type: fc.constant('wait'), seconds: fc.integer({ min: 1, max: 70 }) }),
)

test('any sequence of calls does what a map with times does', async (t) => {
  await using opened = await open()
  const { store, clock } = opened
  const seed = Date.now() & 0x7fffffff
  t.diagnostic(`seed ${seed}`)
  const now = (): number => Math.floor(clock.now() / 1000)
  let runs = 0
  const property = fc.asyncProperty(fc.array(someCommand, { maxLength: 40 }), async (commands) => {
    const { id } = await store.createNamespace(account, `run ${runs++}`)
    const model = new Map<string, { value: Uint8Array; expiresAt: number }>()
    for (const command of commands) {
      if (command.type === 'wait') clock.moveBy(command.seconds * 1000)
      for (const [name, { expiresAt }] of model) if (expiresAt <= now()) model.delete(name)
      if (command.type === 'put') {
        const { value, ttl } = command
        const expiresAt = ttl === null ? null : now() + ttl
        await put(store, id, { key: key(command.key), value, expiresAt })
        model.set(command.key, { value, expiresAt: expiresAt ?? Infinity })
      } else if (command.type === 'delete') {
        await store.delete(id, key(command.key))
        model.delete(command.key)
      } else if (command.type === 'get') {
        assert.deepEqual(
          await bytesOf(await store.get(id, key(command.key))),
          model.get(command.key)?.value,
        )
      } else if (command.type === 'list') {
        const expected = [...model.keys()].filter((name) => name.startsWith(command.prefix))
        assert.deepEqual(
          (await listAll(store, id, command)).map((each) => Buffer.from(each)),
          expected.map((name) => Buffer.from(name)).toSorted((a, b) => Buffer.compare(a, b)),
        )
      }
    }
    await store.deleteNamespace(id)
  })
  await fc.assert(property, { seed, numRuns: 60 })
})

async function listAll(
  store: KvStore,
  id: NamespaceId,
  { prefix, limit }: { prefix: string; limit: number },
): Promise<Uint8Array[]> {
  const seen: Uint8Array[] = []
  let last: Uint8Array | undefined
  for (let pages = 0; pages < 100; pages++) {
    const { keys, next } = await store.list(id, { prefix: key(prefix), limit, after: last })
    assert.ok(keys.length <= limit)
    seen.push(...keys.map((each) => each.key))
    if (!next) return seen
    last = next
  }
  return assert.fail('a list without end')
}

/** A value that says which write it is of, small or large. */
function valueOf(write: number): Uint8Array {
  const size = write % 3 === 0 ? inlineBytes + 1 + (write % 1000) : write % 200
  return new Uint8Array(size).fill(write % 251)
}

/** A process that puts until it is killed, and prints what was acknowledged. */
const writer = `
  const [, path, namespace, from] = process.argv
  const { openPorts } = await import(${JSON.stringify(import.meta.resolve('#test/ports.ts'))})
  const { openStore } = await import(${JSON.stringify(import.meta.resolve('./store.ts'))})
  const ports = await openPorts({ path, migrations: new URL(${JSON.stringify(migrations.href)}) })
  const store = await openStore(ports)
  const inlineBytes = ${inlineBytes}
  ${valueOf.toString()}
  async function* streamOf(value) { yield value }
  let next = Number(from)
  const client = async () => {
    for (;;) {
      const write = next++
      const value = valueOf(write)
      const source = value.byteLength > inlineBytes ? streamOf(value) : value
      const entry = { value: source, metadata: null, expiresAt: null }
      await store.put(namespace, new TextEncoder().encode('k' + write), entry)
      process.stdout.write(write + '\\n')
    }
  }
  await Promise.all(Array.from({ length: 16 }, client))
`

test('kill -9: every acknowledged value is there, and no blob without its row', async (t) => {
  const path = join(folder.path, 'killed')
  const namespace = await namespaceAt(path)
  const acknowledged: number[] = []
  const rounds = 10
  for (let round = 0; round < rounds; round++) {
    const argv = ['--input-type=module', '-e', writer, path, namespace, `${round * 1_000_000}`]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (data: string) => (output += data))
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    await new Promise((resolve) => void setTimeout(resolve, 5 + Math.random() * 150))
    child.kill('SIGKILL')
    await once(child, 'close')
    acknowledged.push(...output.split('\n').slice(0, -1).map(Number))
  }
  t.diagnostic(`${acknowledged.length} acknowledged writes in ${rounds} rounds`)
  assert.ok(acknowledged.length > 100, `${acknowledged.length} writes`)
  await using last = await open(path)
  for (const write of acknowledged) {
    const value = await bytesOf(await last.store.get(namespace, key(`k${write}`)))
    assert.deepEqual(value, valueOf(write), `write ${write}`)
  }
  const rows = await last.ports.sql.read(sql`SELECT blob FROM entry WHERE blob IS NOT NULL`)
  const named = rows.map((row) => textColumn(row, 'blob')).toSorted()
  await tidied(last.clock, async () => (await blobsOf(last.ports)).length <= named.length)
  assert.deepEqual((await blobsOf(last.ports)).toSorted(), named)
})

async function namespaceAt(path: string): Promise<NamespaceId> {
  await using opened = await open(path)
  return (await opened.store.createNamespace(account, 'n')).id
}
