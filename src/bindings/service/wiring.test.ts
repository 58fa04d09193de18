import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Json } from '#contract/json.ts'
import { service } from './binding.ts'

const version = { id: 'v', tag: '', createdAt: '2026-11-24T00:00:00.000Z' }

suite('service bindings: an entry becomes a wire', () => {
  const cases: [string, Record<string, Json>, Record<string, Json>][] = [
    ['the default export', { service: 'b' }, { worker: 'b' }],
    ['said to be the default', { service: 'b', entrypoint: 'default' }, { worker: 'b' }],
    ['a named entrypoint', { service: 'b', entrypoint: 'Rpc' }, { worker: 'b', entrypoint: 'Rpc' }],
    ['props', { service: 'b', props: { a: [1] } }, { worker: 'b', props: { a: [1] } }],
    ['a legacy environment', { service: 'b', environment: 'staging' }, { worker: 'b-staging' }],
    [
      'one already in the name',
      { service: 'b-staging', environment: 'staging' },
      { worker: 'b-staging' },
    ],
    ['the environment of all', { service: 'b', environment: 'production' }, { worker: 'b' }],
  ]
  for (const [title, entry, expected] of cases) {
    test(title, () => {
      const parsed = service.parse({ type: 'service', name: 'B', ...entry })
      assert.deepEqual(service.wiring(parsed, version), { type: 'worker', ...expected })
    })
  }

  const refused: [string, Record<string, Json>][] = [
    ['no service', {}],
    ['a name that is no label', { service: 'a.b' }],
    ['a path', { service: '../b' }],
    ['props that are no object', { service: 'b', props: 'x' }],
    ['an empty entrypoint', { service: 'b', entrypoint: '' }],
  ]
  for (const [title, entry] of refused) {
    test(`refused: ${title}`, () => {
      assert.throws(() => service.parse({ type: 'service', name: 'B', ...entry }))
    })
  }
})
