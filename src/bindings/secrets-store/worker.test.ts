import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import { account } from '#test/backend.ts'
import { startBoundWorkerd } from '#test/bound-workerd.ts'
import { openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { AccessLog } from './access-log.ts'
import { secretsStoreSecret } from './binding.ts'
import { serveSecret } from './service.ts'
import { openStore } from './store.ts'

// The shim in a real workerd, over the real backplane: what user code sees.

const folder = await temporaryFolder()
const migrations = secretsStoreSecret.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'secrets'), migrations })
const store = await openStore(ports)
const accesses = new AccessLog(ports)
after(async () => {
  accesses[Symbol.dispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Each is what `get()` gives, to the byte. */
const values: readonly (readonly [string, string])[] = [
  ['plain', 'sesame'],
  ['empty', ''],
  ['lines', 'a\nb\r\n\tc\n'],
  ['NUL and controls', '\u0000a\u0000\u0007\u001b\u007f\u0085'],
  ['a byte order mark', '\ufeffa\ufeff'],
  ['not ASCII', 'Käse 日本語 😀 \u{10ffff}'],
  ['the replacement character', '\ufffd'],
  ['what looks like markup of a header', 'HTTP/1.1 200 OK\r\n\r\n{"a":"\\ud800"}'],
  ['as long as may be', 'é'.repeat(32_768)],
]

for (const compatibilityDate of ['2026-11-01', '2023-01-01', '2021-11-03']) {
  suite(`a secret in a Worker of ${compatibilityDate}`, () => {
    test('is what the store has at that moment', async () => {
      const [made] = await store.createStores(account, [compatibilityDate])
      assert.ok(made)
      const entry = {
        type: 'secrets_store_secret',
        name: 'B',
        store_id: made.id,
        secret_name: 'KEY',
      }
      const version = { id: 'v', tag: '', createdAt: '' }
      const wire = secretsStoreSecret.wiring(secretsStoreSecret.parse(entry), version)
      assert.ok(wire.type === 'backend')
      const { client, resource } = wire
      const worker = workerName.parse('w')
      const grant = { capability: 'c', cell: 'cell', account, worker, name: 'B', type: entry.type }
      const serve = serveSecret({ store, accesses }, { ...grant, resource })
      let isOver = false
      await using workerd = await startBoundWorkerd({
        fixture: new URL('./fixture.worker.ts', import.meta.url),
        client,
        compatibilityDate,
        type: entry.type,
        resource,
        handler: async (request) =>
          isOver ? { status: 429, reason: 'Too many calls.' } : serve(request),
        log: ports.log,
      })
      const ask = async (scenario: string): Promise<unknown> =>
        JSON.parse(await workerd.get(`/${encodeURIComponent(scenario)}`))
      const missing = { rejected: 'Error: Secret "KEY" not found' }

      assert.deepEqual(await ask('get'), missing)
      assert.deepEqual(await ask('a promise, whatever it comes to'), { result: true })
      const secret = { name: 'KEY', scopes: ['workers' as const], comment: '' }
      const [{ id } = assert.fail()] = await store.createSecrets(made, [
        { ...secret, value: bytes('first') },
      ])
      for (const [title, value] of values) {
        await store.updateSecret(made, id, { value: bytes(value) })
        assert.deepEqual(await ask('get'), { result: value }, title)
      }
      await store.updateSecret(made, id, { value: bytes('v') })
      assert.deepEqual(await ask('get with arguments'), { result: 'v' })
      assert.deepEqual(await ask('twice at once'), { result: ['v', 'v'] })
      assert.deepEqual(await ask('surface'), {
        result: ['object', '[object Object]', [], false, false, 'function', 0],
      })
      await store.updateSecret(made, id, { scopes: ['dex'] })
      assert.deepEqual(await ask('get'), missing)
      await store.updateSecret(made, id, { scopes: ['dex', 'workers'] })
      assert.deepEqual(await ask('get'), { result: 'v' })
      await store.deleteSecrets(made, [id])
      assert.deepEqual(await ask('get'), missing)
      await store.createSecrets(made, [{ ...secret, value: bytes('again') }])
      assert.deepEqual(await ask('get'), { result: 'again' })
      isOver = true
      assert.deepEqual(await ask('get'), { rejected: 'Error: Too many calls.' })
      isOver = false
      await store.deleteStore(account, made.id, true)
      assert.deepEqual(await ask('get'), missing)
    })
  })
}
