import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { LiveBinding } from '#contract/binding.ts'
import { ApiError } from '#contract/errors.ts'
import { blobKey, workerName } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import type { Log, LogFields } from '#contract/ports/log.ts'
import { sql } from '#contract/ports/sql.ts'
import { apiOf, json } from '#test/api.ts'
import { account, callOf, otherAccount, textOf } from '#test/backend.ts'
import { type MovableClock, movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { openSecretsStore, secretsStoreSecret } from './binding.ts'

// The service, in process, on the drivers that it has in production.

const migrations = secretsStoreSecret.migrations ?? assert.fail()
const type = 'secrets_store_secret'
const owner = { account, worker: workerName.parse('w') }

type Line = readonly [message: string, fields: LogFields]

/** One server's binding, which can be closed and opened again. */
class House implements AsyncDisposable {
  readonly path: string
  readonly clock: MovableClock
  readonly lines: Line[] = []
  #open: { readonly ports: Ports & AsyncDisposable; readonly live: LiveBinding } | undefined

  constructor(path: string, clock = movableClock(Date.UTC(2026, 10, 28))) {
    this.path = path
    this.clock = clock
  }

  async open(): Promise<this> {
    const keep = (message: string, fields: LogFields = {}): void =>
      void this.lines.push([message, fields])
    const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: () => log }
    const ports = { ...(await openPorts({ path: this.path, migrations, clock: this.clock })), log }
    this.#open = { ports, live: await openSecretsStore(ports) }
    return this
  }

  async close(): Promise<void> {
    await this.#open?.live[Symbol.asyncDispose]()
    await this.#open?.ports[Symbol.asyncDispose]()
    this.#open = undefined
  }

  get live(): LiveBinding {
    return this.#open?.live ?? assert.fail('it is closed')
  }

  get ports(): Ports {
    return this.#open?.ports ?? assert.fail('it is closed')
  }

  /** Calls the API; gives the id of what it made, or nothing. */
  async api(method: string, path: string, body?: unknown): Promise<string> {
    const sent = body === undefined ? {} : json(body)
    const { result, message } = await apiOf(this.live).ask(method, path, sent)
    assert.equal(message, '', `${method} ${path}`)
    return [result].flat()[0]?.id ?? ''
  }

  async store(name = 's'): Promise<string> {
    return this.api('POST', '/stores', { name })
  }

  async secret(store: string, name: string, value: string): Promise<string> {
    return this.api('POST', `/stores/${store}/secrets`, [{ name, value, scopes: ['workers'] }])
  }

  /** What `get()` of a binding comes to: the value, or why not. */
  async get(store: string, secret: string, as = account): Promise<readonly [number, string]> {
    const answer = await callOf(this.live, { type, resource: { store, secret } }, as)('GET', '/')
    return [answer.status, answer.status === 200 ? textOf(answer) : (answer.reason ?? '')]
  }

  /** Every byte that is on disk. */
  onDisk(): Buffer {
    const files = globSync('**', { cwd: this.path, withFileTypes: true }).filter((file) =>
      file.isFile(),
    )
    return Buffer.concat(files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

async function inHouse(run: (house: House) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder()
  await using house = await new House(join(folder.path, 'data')).open()
  await run(house)
}

const notFound = (name: string) => [404, `Secret "${name}" not found`]

suite('what a Worker asks for', () => {
  test('is what was written last, by name, of its own account, with the scope', () =>
    inHouse(async (house) => {
      const at = await house.store()
      const other = await house.store('other')
      const id = await house.secret(at, 'KEY', 'one')
      const path = `/stores/${at}/secrets`
      assert.deepEqual(await house.get(at, 'KEY'), [200, 'one'])
      assert.deepEqual(await house.get(at, 'key'), notFound('key'))
      assert.deepEqual(await house.get(other, 'KEY'), notFound('KEY'))
      assert.deepEqual(await house.get(at, 'KEY', otherAccount), notFound('KEY'))
      await house.api('PATCH', `${path}/${id}`, { value: 'two' })
      assert.deepEqual(await house.get(at, 'KEY'), [200, 'two'])
      const copy = { name: 'COPY', scopes: ['workers'] }
      await house.api('POST', `${path}/${id}/duplicate`, copy)
      await house.api('PATCH', `${path}/${id}`, { value: 'three' })
      assert.deepEqual(await house.get(at, 'COPY'), [200, 'two'])
      await house.api('PATCH', `${path}/${id}`, { scopes: ['dex'] })
      assert.deepEqual(await house.get(at, 'KEY'), notFound('KEY'))
      await house.api('PATCH', `${path}/${id}`, { scopes: ['workers'], comment: 'back' })
      assert.deepEqual(await house.get(at, 'KEY'), [200, 'three'])
      await house.api('DELETE', `${path}/${id}`)
      assert.deepEqual(await house.get(at, 'KEY'), notFound('KEY'))
      await house.secret(at, 'KEY', 'four')
      assert.deepEqual(await house.get(at, 'KEY'), [200, 'four'])
      await house.close()
      await house.open()
      assert.deepEqual(await house.get(at, 'KEY'), [200, 'four'])
      await house.api('DELETE', `/stores/${at}?force=true`)
      assert.deepEqual(await house.get(at, 'KEY'), notFound('KEY'))
    }))

  test('is never older than a write that was acknowledged', () =>
    inHouse(async (house) => {
      const at = await house.store()
      const id = await house.secret(at, 'KEY', '0')
      let acknowledged = 0
      const over = new AbortController()
      const reader = async (): Promise<number> => {
        let reads = 0
        for (; !over.signal.aborted; reads++) {
          const least = acknowledged
          const [status, value] = await house.get(at, 'KEY')
          assert.ok(status === 200 && Number(value) >= least, `${value} after ${least}`)
          await new Promise((resolve) => void setImmediate(resolve))
        }
        return reads
      }
      const readers = Array.from({ length: 8 }, reader)
      for (let n = 1; n <= 100; n++) {
        await house.api('PATCH', `/stores/${at}/secrets/${id}`, { value: String(n) })
        acknowledged = n
      }
      over.abort()
      assert.ok((await Promise.all(readers)).every((reads) => reads > 0))
    }))
})

suite('an upload', () => {
  test('is refused if it names what is not there, or may not be bound', () =>
    inHouse(async (house) => {
      const at = await house.store()
      await house.secret(at, 'KEY', 'v')
      const dex = [{ name: 'DEX', value: 'v', scopes: ['dex'] }]
      await house.api('POST', `/stores/${at}/secrets`, dex)
      const admit = async (store: string, secret: string, as = account): Promise<unknown> => {
        const entry = { type, name: 'B', store_id: store, secret_name: secret }
        const parsed = secretsStoreSecret.parse(entry)
        assert.deepEqual(parsed, entry)
        return house.live.admit?.(parsed, { ...owner, account: as })
      }
      await admit(at, 'KEY')
      for (const [store, secret, as] of [
        [at, 'NONE'],
        [at, 'key'],
        [at, ''],
        [at, 'DEX'],
        [at, 'KEY', otherAccount],
        ['0'.repeat(32), 'KEY'],
        ['s', 'KEY'],
        ['', ''],
      ] as const) {
        await assert.rejects(admit(store, secret, as), (error) => {
          assert.ok(error instanceof ApiError)
          assert.deepEqual([error.code, error.status], [10_182, 400])
          const said = `Secrets Store binding 'B' references store '${store}' and secret '${secret}' which were not found.`
          assert.ok(error.message.startsWith(said), error.message)
          return true
        })
      }
    }))

  for (const [title, over] of [
    ['no store', { store_id: undefined }],
    ['a store that is a number', { store_id: 5 }],
    ['no secret', { secret_name: undefined }],
    ['no name', { name: '' }],
    ['a name without end', { secret_name: 'x'.repeat(256) }],
  ] as const) {
    test(`is refused for ${title}`, () => {
      const entry = { type, name: 'B', store_id: '0'.repeat(32), secret_name: 'KEY', ...over }
      assert.throws(() => secretsStoreSecret.parse(entry))
    })
  }
})

suite('at rest', () => {
  const values = ['sesame-of-the-first', 'sesame-of-the-second', 'sesame-of-the-third']

  test('no value is to be seen, whatever was done to it', () =>
    inHouse(async (house) => {
      const at = await house.store()
      const path = `/stores/${at}/secrets`
      const id = await house.secret(at, 'KEY', values[0] ?? '')
      const large = `${values[1]}${'.'.repeat(60_000)}${values[1]}`
      await house.api('PATCH', `${path}/${id}`, { value: large })
      await house.api('POST', `${path}/${id}/duplicate`, { name: 'COPY', scopes: ['workers'] })
      await house.api('PATCH', `${path}/${id}`, { value: values[2] })
      await house.get(at, 'KEY')
      await house.api('DELETE', `${path}/${id}`)
      const look = (): void => {
        const bytes = house.onDisk()
        assert.ok(bytes.includes('COPY'), 'the names are there')
        for (const value of values) {
          const spelt = [
            value,
            Buffer.from(value).toString('base64').slice(0, 20),
            Buffer.from(value).toString('hex'),
          ]
          for (const text of spelt) assert.ok(!bytes.includes(text), text)
        }
      }
      look()
      await house.close()
      look()
      assert.ok(!JSON.stringify(house.lines).includes('sesame'))
    }))

  test('each store has a key of its own, which is destroyed with it', () =>
    inHouse(async (house) => {
      const keys = (): readonly string[] =>
        globSync('blobs/??/*', { cwd: house.path }).map((file) => file.slice(-32))
      const [one, two] = [await house.store('one'), await house.store('two')]
      for (const at of [one, two]) await house.secret(at, 'KEY', 'same')
      assert.deepEqual(new Set(keys()), new Set([one, two]))
      const keyOf = (id: string) => readFile(join(house.path, 'blobs', id.slice(0, 2), id), 'utf8')
      const sealedKey = await keyOf(one)
      assert.notEqual(sealedKey, await keyOf(two))
      assert.ok(house.onDisk().includes(sealedKey))
      await house.api('DELETE', `/stores/${one}?force=true`)
      assert.ok(!house.onDisk().includes(sealedKey), 'no page and no log of a database has it')
      assert.deepEqual(keys(), [two])
      assert.deepEqual(await house.get(two, 'KEY'), [200, 'same'])
      // Refused ones leave none.
      const { status } = await apiOf(house.live).ask('POST', '/stores', json({ name: 'two' }))
      assert.deepEqual([status, keys()], [409, [two]])
    }))

  test('a key that a crash kept from being destroyed is, at the next start', () =>
    inHouse(async (house) => {
      const at = await house.store()
      const file = join(house.path, 'blobs', at.slice(0, 2), at)
      const key = await readFile(file)
      await house.api('DELETE', `/stores/${at}`)
      await house.close()
      // As a server would leave it that was killed after the transaction.
      await writeFile(file, key)
      await house.open()
      await house.ports.sql.write([sql`INSERT INTO discarded_key (store) VALUES (${at})`])
      await house.close()
      await house.open()
      await assert.rejects(readFile(file), { code: 'ENOENT' })
      assert.deepEqual(await house.ports.sql.read(sql`SELECT * FROM discarded_key`), [])
    }))

  test('what was changed on disk is not given out', () =>
    inHouse(async (house) => {
      const at = await house.store()
      await house.secret(at, 'A', 'value of A')
      await house.secret(at, 'B', 'value of B')
      const swap = sql`UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'B')
        WHERE name = 'A'`
      await house.ports.sql.write([swap])
      await assert.rejects(house.get(at, 'A'))
      assert.deepEqual(await house.get(at, 'B'), [200, 'value of B'])
      const renamed = sql`UPDATE secret SET name = name || '2' WHERE name = 'B'`
      await house.ports.sql.write([renamed])
      await assert.rejects(house.get(at, 'B2'))
      await house.ports.sql.write([sql`UPDATE secret SET name = 'B' WHERE name = 'B2'`])
      const [row] = await house.ports.sql.read(sql`SELECT sealed FROM secret WHERE name = 'B'`)
      const sealed = row?.['sealed']
      assert.ok(sealed instanceof Uint8Array)
      for (let at2 = 0; at2 < sealed.byteLength; at2++) {
        const changed = sealed.with(at2, (sealed[at2] ?? 0) ^ 1)
        await house.ports.sql.write([sql`UPDATE secret SET sealed = ${changed} WHERE name = 'B'`])
        await assert.rejects(house.get(at, 'B'), `byte ${at2}`)
      }
      await house.ports.sql.write([
        sql`UPDATE secret SET sealed = ${new Uint8Array(5)} WHERE name = 'B'`,
      ])
      await assert.rejects(house.get(at, 'B'), /not a sealed value/)
    }))

  test('a missing key is damage, and no secret that is not found', () =>
    inHouse(async (house) => {
      const at = await house.store()
      await house.secret(at, 'KEY', 'v')
      await house.close()
      await house.open()
      const key = join('blobs', at.slice(0, 2), at)
      await writeFile(join(house.path, key), 'v1.1.damaged')
      await assert.rejects(house.get(at, 'KEY'))
      await house.ports.blob.delete(blobKey.parse(at))
      await assert.rejects(house.get(at, 'KEY'), /data key .* is missing/)
      await assert.rejects(house.secret(at, 'MORE', 'v'), /data key .* is missing/)
    }))
})

suite('the log', () => {
  test('says who read which secret and how often, and no value', () =>
    inHouse(async (house) => {
      const at = await house.store()
      const secret = await house.secret(at, 'KEY', 'sesame')
      const who = { account, worker: 'w', binding: 'B', store: at, secretName: 'KEY', secret }
      const since = (): string => new Date(house.clock.now()).toISOString()
      const taken = (): readonly Line[] => house.lines.splice(0)
      const first = since()
      for (let n = 0; n < 3; n++) await house.get(at, 'KEY')
      await house.get(at, 'NONE')
      const none = { ...who, secretName: 'NONE', secret: undefined }
      assert.deepEqual(taken(), [
        ['secret read', { ...who, count: 1, since: first }],
        ['secret asked for and not found', { ...none, count: 1, since: first }],
      ])
      house.clock.moveBy(9_999)
      assert.deepEqual(taken(), [])
      house.clock.moveBy(1)
      assert.deepEqual(taken(), [['secret read', { ...who, count: 2, since: first }]])
      house.clock.moveBy(60_000)
      assert.deepEqual(taken(), [])
      for (let n = 0; n < 1_000; n++) await house.get(at, 'KEY')
      const second = since()
      await house.close()
      assert.deepEqual(taken(), [
        ['secret read', { ...who, count: 1, since: second }],
        ['secret read', { ...who, count: 999, since: second }],
      ])
    }))

  test('counts as many as there are, in bounded memory', () =>
    inHouse(async (house) => {
      const at = await house.store()
      const asked = 10_500
      for (let n = 0; n < asked; n++) await house.get(at, `N${n}`)
      for (let n = 0; n < 100; n++) await house.get(at, `N${n}`)
      await house.close()
      const total = house.lines.reduce((sum, [, { count }]) => sum + Number(count), 0)
      assert.equal(total, asked + 100)
    }))
})
