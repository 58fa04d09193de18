import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { workerLoader } from './binding.ts'

const version = { id: 'v', tag: '', createdAt: '2026-11-28T00:00:00.000Z' }
const entry = { type: 'worker_loader', name: 'LOADER' }

suite('loaders', () => {
  test('are wrapped in a shim that loads', () => {
    const wire = workerLoader.wiring(workerLoader.parse(entry), version)
    assert.ok(wire.type === 'backend' && typeof wire.client === 'object')
    assert.equal(wire.client.loads, true)
    assert.match(wire.client.source, /^file:.*worker-loader\/shim\.worker\.ts$/)
  })

  for (const [title, over, message] of [
    ['no name', { name: '' }, /name/],
    ['an unknown key', { id: 'x' }, /id/],
  ] as const) {
    test(`refused: ${title}`, () => {
      assert.throws(() => workerLoader.parse({ ...entry, ...over }), message)
    })
  }
})
