import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { rateLimit } from './binding.ts'

const version = { id: 'v', tag: '', createdAt: '2026-11-28T00:00:00.000Z' }
const simple = { limit: 100, period: 60 }
const entry = { type: 'ratelimit', name: 'R', namespace_id: '1001', simple }

suite('rate limits', () => {
  test('are wrapped in the shim; what they are set to is the resource', () => {
    const wire = rateLimit.wiring(rateLimit.parse(entry), version)
    assert.ok(wire.type === 'backend' && typeof wire.client === 'object')
    assert.match(wire.client.source, /^file:.*rate-limiting\/shim\.worker\.ts$/)
    assert.deepEqual(wire.resource, { namespaceId: '1001', limit: 100, period: 60 })
    const changed = { ...entry, namespace_id: '7', simple: { limit: 1, period: 10 } }
    const other = rateLimit.wiring(rateLimit.parse(changed), version)
    assert.deepEqual(other.type === 'backend' && other.client, wire.client)
  })

  for (const [limit, period] of [
    [0, 10],
    [0.5, 60],
    [1e9, 10],
  ] as const) {
    test(`${limit} in ${period} s`, () => {
      rateLimit.parse({ ...entry, simple: { limit, period } })
    })
  }

  const refused: readonly (readonly [string, object, RegExp])[] = [
    ['no namespace', { namespace_id: undefined }, /namespace_id/],
    ['a namespace that is a number', { namespace_id: 1001 }, /namespace_id/],
    ...['', '0', '-1', '1.5', 'x', ' 1', '1\n', '1e3'].map(
      (id) =>
        [`namespace ${JSON.stringify(id)}`, { namespace_id: id }, /positive integer/] as const,
    ),
    ['a namespace without end', { namespace_id: '1'.repeat(21) }, /namespace_id/],
    ['nothing that is simple', { simple: undefined }, /simple/],
    ['no limit', { simple: { period: 10 } }, /limit/],
    ['a limit that is text', { simple: { limit: '1', period: 10 } }, /limit/],
    ['a limit below 0', { simple: { limit: -1, period: 10 } }, /limit/],
    ['no period', { simple: { limit: 1 } }, /either 10 or 60/],
    ['another period', { simple: { limit: 1, period: 30 } }, /either 10 or 60/],
    ['a period that is text', { simple: { limit: 1, period: '10' } }, /either 10 or 60/],
    ['an unknown key', { limit: 1 }, /limit/],
    ['an unknown key of what is simple', { simple: { ...simple, burst: 1 } }, /burst/],
    ['no name', { name: '' }, /name/],
  ]
  for (const [title, over, message] of refused) {
    test(`refused: ${title}`, () => {
      assert.throws(() => rateLimit.parse({ ...entry, ...over }), message)
    })
  }
})
