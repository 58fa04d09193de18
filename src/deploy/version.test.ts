import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Entry } from '#contract/binding.ts'
import type { Json } from '#contract/json.ts'
import * as limits from './limits.ts'
import { type BindingRequest, entryOf, resolveBindings, unservedBinding } from './version.ts'

function entry(type: string, name: string, rest: Record<string, Json> = {}): Entry {
  return { ...rest, type, name }
}

function entries(type: string, count: number): Entry[] {
  return Array.from({ length: count }, (_, index) => entry(type, `${type} ${index}`))
}

const nothing: BindingRequest = { entries: [], keep: undefined, previous: [], isStrict: false }

const variable = entry('plain_text', 'VAR', { text: 'old' })
const json = entry('json', 'JSON', { json: [1] })
const secret = entry('secret_text', 'SECRET', { sealed: 'x' })
const key = entry('secret_key', 'KEY', { sealed: 'y' })
const namespace = entry('kv_namespace', 'KV', { namespace_id: 'old' })
const previous = [variable, json, secret, key, namespace]

suite('bindings of a new version', () => {
  const newVariable = entry('plain_text', 'VAR', { text: 'new' })
  const cases: readonly (readonly [string, Partial<BindingRequest>, readonly Json[]])[] = [
    ['nothing of nothing', {}, []],
    ['uploaded entries, in their order', { entries: [namespace, json] }, [namespace, json]],
    ['without a list, secrets are kept', { previous }, [secret, key]],
    ['an empty list keeps nothing', { previous, keep: [] }, []],
    [
      'a list keeps its types and no others',
      { previous, keep: ['json', 'secret_key'] },
      [json, key],
    ],
    ['an unknown type keeps nothing', { previous, keep: ['constructor'] }, []],
    [
      'an uploaded entry replaces one of its name',
      { entries: [newVariable], previous, keep: ['plain_text', 'json'] },
      [newVariable, json],
    ],
    [
      'an uploaded entry replaces a secret of its name',
      { entries: [entry('plain_text', 'SECRET', { text: 'a' })], previous },
      [entry('plain_text', 'SECRET', { text: 'a' }), key],
    ],
    [
      'inherit keeps any type',
      { entries: [entry('inherit', 'KV')], previous, keep: [] },
      [namespace],
    ],
    [
      'inherit of what is kept anyway, once',
      { entries: [entry('inherit', 'SECRET')], previous },
      [secret, key],
    ],
    [
      'inherit under another name',
      { entries: [entry('inherit', 'KV_2', { old_name: 'KV' })], previous, keep: [] },
      [{ ...namespace, name: 'KV_2' }],
    ],
    [
      'inherit from the latest version, named',
      { entries: [entry('inherit', 'KV', { version_id: 'latest' })], previous, keep: [] },
      [namespace],
    ],
    [
      'inherit of a secret under its own name, said',
      { entries: [entry('inherit', 'KEY', { old_name: 'KEY' })], previous, keep: [] },
      [key],
    ],
    [
      'inherit of what is not there',
      { entries: [entry('inherit', 'X'), json], previous: [] },
      [json],
    ],
    [
      'strictly, inherit of what is there',
      { entries: [entry('inherit', 'KV')], previous, isStrict: true, keep: [] },
      [namespace],
    ],
  ]
  for (const [title, request, expected] of cases) {
    test(title, () => {
      assert.deepEqual(resolveBindings({ ...nothing, ...request }).map(entryOf), expected)
    })
  }

  test('each says where it comes from', () => {
    const sources = resolveBindings({
      ...nothing,
      entries: [newVariable, entry('inherit', 'KV')],
      previous,
    })
    assert.deepEqual(sources, [
      { origin: 'uploaded', entry: newVariable },
      { origin: 'kept', stored: namespace },
      { origin: 'kept', stored: secret },
      { origin: 'kept', stored: key },
    ])
  })
})

suite('bindings of a new version: refused', () => {
  const cases: readonly (readonly [string, Partial<BindingRequest>, number, RegExp])[] = [
    ['a name twice', { entries: [variable, entry('json', 'VAR')] }, 10021, /The name "VAR"/],
    [
      'a name twice, once inherited',
      { entries: [variable, entry('inherit', 'VAR')], previous },
      10021,
      /The name "VAR"/,
    ],
    [
      'strictly, inherit of what is not there',
      { entries: [entry('inherit', 'X')], previous, isStrict: true },
      10057,
      /inherit binding 'X' is invalid/,
    ],
    [
      'strictly, inherit in a first version',
      { entries: [entry('inherit', 'SECRET')], isStrict: true },
      10057,
      /inherit binding 'SECRET' is invalid/,
    ],
    [
      'another name of what is not there',
      { entries: [entry('inherit', 'A', { old_name: 'X' })], previous },
      10057,
      /inherit binding 'A' is invalid/,
    ],
    [
      'a secret under another name',
      { entries: [entry('inherit', 'A', { old_name: 'SECRET' })], previous },
      10057,
      /inherit binding 'A' is invalid/,
    ],
    [
      'a secret key under another name',
      { entries: [entry('inherit', 'A', { old_name: 'KEY' })], previous },
      10057,
      /inherit binding 'A' is invalid/,
    ],
    [
      'an old name that is no text',
      { entries: [entry('inherit', 'KV', { old_name: ['KV'] })], previous },
      10057,
      /inherit binding 'KV' is invalid/,
    ],
    [
      'a version that is not the latest',
      { entries: [entry('inherit', 'KV', { version_id: 'f2a5d2c6' })], previous },
      10057,
      /inherit binding 'KV' is invalid/,
    ],
  ]
  for (const [title, request, code, message] of cases) {
    test(title, () => {
      assert.throws(() => resolveBindings({ ...nothing, ...request }), {
        name: 'ApiError',
        code,
        status: 400,
        message,
      })
    })
  }
})

suite('bindings of a new version: how many variables and secrets', () => {
  const most = [
    ...entries('plain_text', limits.variables - 30),
    ...entries('json', 10),
    ...entries('secret_text', 10),
  ]
  const kept = entries('secret_key', 10)

  test('as many as the limit, kept ones among them', () => {
    const sources = resolveBindings({ ...nothing, entries: most, previous: kept })
    assert.equal(sources.length, limits.variables)
  })

  test('other bindings do not count', () => {
    const more = [...most, ...entries('kv_namespace', 100)]
    const sources = resolveBindings({ ...nothing, entries: more, previous: kept })
    assert.equal(sources.length, limits.variables + 100)
  })

  for (const type of ['plain_text', 'json', 'secret_text', 'secret_key']) {
    test(`refused: one more ${type}`, () => {
      const more = [...most, entry(type, 'ONE_MORE')]
      assert.throws(() => resolveBindings({ ...nothing, entries: more, previous: kept }), {
        code: 10055,
        message: /has 129 environment variables and secrets: the limit is 128/,
      })
    })
  }

  test('refused: one more, inherited', () => {
    const request = { ...nothing, entries: [...most, entry('inherit', 'VAR')] }
    assert.throws(() => resolveBindings({ ...request, previous: [...kept, variable] }), {
      code: 10055,
    })
  })
})

suite('bindings that nobody here serves', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['d1', /"D" is of type "d1", which is not available here yet/],
    ['vpc_service', /not available here yet/],
    ['kv', /"D" is of type "kv", which does not exist/],
    ['constructor', /which does not exist/],
  ]
  for (const [type, message] of cases) {
    test(type, () => {
      const error = unservedBinding(entry(type, 'D'))
      assert.match(error.message, message)
      assert.equal(error.name, 'ApiError')
    })
  }
})
