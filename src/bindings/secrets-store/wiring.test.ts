import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { secretsStoreSecret } from './binding.ts'

const version = { id: 'v', tag: '', createdAt: '2026-11-28T00:00:00.000Z' }
const entry = {
  type: 'secrets_store_secret',
  name: 'KEY',
  store_id: '1'.repeat(32),
  secret_name: 'API_KEY',
}

suite('secrets of stores', () => {
  test('are wrapped in the shim; which secret it is, is the resource', () => {
    const wire = secretsStoreSecret.wiring(secretsStoreSecret.parse(entry), version)
    assert.ok(wire.type === 'backend' && typeof wire.client === 'object')
    assert.match(wire.client.source, /^file:.*secrets-store\/shim\.worker\.ts$/)
    assert.deepEqual(wire.resource, { store: entry.store_id, secret: 'API_KEY' })
    const changed = { ...entry, store_id: '2'.repeat(32), secret_name: 'OTHER' }
    const other = secretsStoreSecret.wiring(secretsStoreSecret.parse(changed), version)
    assert.deepEqual(other.type === 'backend' && other.client, wire.client)
  })

  test('what an entry has besides is dropped', () => {
    assert.deepEqual(secretsStoreSecret.parse({ ...entry, raw: true }), entry)
  })
})
