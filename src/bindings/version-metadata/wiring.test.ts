import assert from 'node:assert/strict'
import { test } from 'node:test'
import { versionMetadata } from './binding.ts'

test('version metadata: id, tag and timestamp of the version, all strings', () => {
  const entry = versionMetadata.parse({ type: 'version_metadata', name: 'VERSION' })
  const createdAt = '2026-11-24T12:00:00.000Z'
  assert.deepEqual(versionMetadata.wiring(entry, { id: 'some-id', tag: '', createdAt }), {
    type: 'json',
    json: { id: 'some-id', tag: '', timestamp: createdAt },
  })
})
