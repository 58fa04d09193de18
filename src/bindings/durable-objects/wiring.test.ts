import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Json } from '#contract/json.ts'
import { durableObjects } from './binding.ts'

const version = { id: 'v', tag: '', createdAt: '2026-11-24T00:00:00.000Z' }
const base = { type: 'durable_object_namespace', name: 'B' }

suite('Durable Object bindings: an entry becomes a wire', () => {
  test('by the namespace that control has found', () => {
    const stored = { ...base, class_name: 'C', namespace_id: 'a'.repeat(32) }
    assert.deepEqual(durableObjects.wiring(stored, version), {
      type: 'objects',
      namespace: 'a'.repeat(32),
    })
  })

  test('which a client can not say', () => {
    const parsed = durableObjects.parse({ ...base, class_name: 'C', namespace_id: 'a'.repeat(32) })
    assert.deepEqual(parsed, { ...base, class_name: 'C' })
    assert.deepEqual(durableObjects.wiring(parsed, version), {
      type: 'objects',
      namespace: '0'.repeat(32),
    })
  })

  const refused: readonly (readonly [string, Record<string, Json>])[] = [
    ['no class', {}],
    ['an empty class', { class_name: '' }],
    ['a script that is no name', { class_name: 'C', script_name: '../x' }],
  ]
  for (const [title, entry] of refused) {
    test(`refused: ${title}`, () => {
      assert.throws(() => durableObjects.parse({ ...base, ...entry }))
    })
  }
})
