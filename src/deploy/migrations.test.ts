import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Json } from '#contract/json.ts'
import { type Case, decide, namespace, other, state } from './fixture.ts'
import { type ClassState, noClasses } from './object-classes.ts'

const step = (...list: Json[]): Json => ({ new_tag: 'v1', steps: list })
const next = (...list: Json[]): Json => ({ old_tag: 'v1', new_tag: 'v2', steps: list })

suite('migrations', () => {
  const cases: readonly (readonly [string, Case, ClassState])[] = [
    [
      'none: classes stay',
      { code: ['A'], state: state('v1', namespace('9', 'A')) },
      state('v1', namespace('9', 'A')),
    ],
    ['an empty one', { migrations: { new_classes: [] }, code: [] }, noClasses],
    [
      'a class with SQL',
      { migrations: step({ new_sqlite_classes: ['A'] }), code: ['A'] },
      state('v1', namespace('1', 'A')),
    ],
    [
      'a class without',
      { migrations: step({ new_classes: ['A'] }), code: ['A'] },
      state('v1', namespace('1', 'A', 'kv')),
    ],
    [
      'flat and without a tag',
      { migrations: { new_sqlite_classes: ['A'] }, code: ['A'] },
      state(undefined, namespace('1', 'A')),
    ],
    [
      'renamed: the namespace stays',
      {
        migrations: next({ renamed_classes: [{ from: 'A', to: 'B' }] }),
        code: ['B'],
        state: state('v1', namespace('9', 'A')),
      },
      state('v2', namespace('9', 'B')),
    ],
    [
      'all steps of a history at once, in order',
      {
        migrations: step(
          { new_classes: ['A'] },
          { renamed_classes: [{ from: 'A', to: 'B' }] },
          { new_sqlite_classes: ['A'] },
        ),
        code: ['A', 'B'],
      },
      state('v1', namespace('1', 'B', 'kv'), namespace('2', 'A')),
    ],
    ['a tag alone', { migrations: { new_tag: 'only', steps: [] }, code: [] }, state('only')],
    [
      'bound and made at once',
      { migrations: step({ new_sqlite_classes: ['A'] }), code: ['A'], bound: ['A'] },
      state('v1', namespace('1', 'A')),
    ],
  ]
  for (const [title, given, expected] of cases) {
    test(title, () => assert.deepEqual(decide(given).state, expected))
  }

  test('deleted: the objects are to go; made and deleted at once: there are none', () => {
    const gone = decide({
      migrations: next({ deleted_classes: ['A'] }),
      code: [],
      state: state('v1', namespace('9', 'A')),
    })
    assert.deepEqual([gone.state, gone.deleted], [state('v2'), ['9'.repeat(32)]])
    const both = decide({
      migrations: step({ new_classes: ['A'] }, { deleted_classes: ['A'] }),
      code: [],
    })
    assert.deepEqual([both.state, both.deleted], [state('v1'), []])
  })

  test('transferred: the other Worker loses it', () => {
    const moved = decide({
      migrations: step({
        transferred_classes: [{ from: 'Theirs', from_script: 'other', to: 'Mine' }],
      }),
      code: ['Mine'],
      other: state('x', namespace('8', 'Theirs'), namespace('7', 'Kept')),
    })
    assert.deepEqual(moved.state, state('v1', namespace('8', 'Mine')))
    assert.deepEqual([...moved.others], [[other, state('x', namespace('7', 'Kept'))]])
    assert.deepEqual(moved.deleted, [])
  })

  const has = state('v1', namespace('9', 'A'))
  const refused: readonly (readonly [string, Case, number, RegExp])[] = [
    [
      'a tag that is not the last',
      { migrations: { old_tag: 'v0', new_tag: 'v2', steps: [] }, code: ['A'], state: has },
      10079,
      /current tag is v1/,
    ],
    [
      'no old tag where there is one',
      { migrations: step({ new_classes: ['B'] }), code: ['A', 'B'], state: has },
      10079,
      /current tag is v1/,
    ],
    [
      'an old tag where there is none',
      { migrations: next(), code: [] },
      10079,
      /got tag 'v1' when expected no tags/,
    ],
    [
      'a class that is there',
      { migrations: next({ new_classes: ['A'] }), code: ['A'], state: has },
      10074,
      /^Cannot apply new-class migration to class 'A' that is already depended on/,
    ],
    [
      'from KV to SQLite',
      {
        migrations: next({ new_sqlite_classes: ['A'] }),
        code: ['A'],
        state: state('v1', namespace('9', 'A', 'kv')),
      },
      10074,
      /new-sqlite-class/,
    ],
    [
      'a new class that is not exported',
      { migrations: step({ new_classes: ['A'] }), code: [] },
      10070,
      /'A' that is not exported/,
    ],
    [
      'code without a class that has objects',
      { code: [], state: has },
      10064,
      /does not export class 'A' which is depended on/,
    ],
    [
      'a rename of nothing',
      {
        migrations: next({ renamed_classes: [{ from: 'X', to: 'B' }] }),
        code: ['A', 'B'],
        state: has,
      },
      10071,
      /'X' that does not exist/,
    ],
    [
      'a rename onto another',
      {
        migrations: next({ new_classes: ['B'] }, { renamed_classes: [{ from: 'B', to: 'A' }] }),
        code: ['A'],
        state: has,
      },
      10074,
      /rename-class/,
    ],
    [
      'a deletion of nothing',
      { migrations: next({ deleted_classes: ['X'] }), code: ['A'], state: has },
      10071,
      /'X' that does not exist/,
    ],
    [
      'a deletion of a bound class',
      { migrations: next({ deleted_classes: ['A'] }), code: ['A'], state: has, bound: ['A'] },
      10061,
      /without also removing the binding/,
    ],
    [
      'a deletion of a class bound elsewhere',
      { migrations: next({ deleted_classes: ['A'] }), code: [], state: has, boundElsewhere: '9' },
      10061,
      /\(in other\)/,
    ],
    [
      'a transfer from nobody',
      {
        migrations: step({ transferred_classes: [{ from: 'A', from_script: 'nobody', to: 'A' }] }),
        code: ['A'],
      },
      10071,
      /no other script 'nobody'/,
    ],
    [
      'a transfer of nothing',
      {
        migrations: step({ transferred_classes: [{ from: 'X', from_script: 'other', to: 'A' }] }),
        code: ['A'],
        other: state('x'),
      },
      10071,
      /'X' that does not exist/,
    ],
    [
      'a binding to a class that is not exported',
      { code: [], bound: ['A'] },
      10061,
      /'A' that is not exported/,
    ],
    [
      'a binding to a class without migration',
      { code: ['A'], bound: ['A'] },
      10061,
      /Did you forget to apply a --new-class migration/,
    ],
    [
      'steps that are none',
      { migrations: { new_tag: 'v1', steps: [{ new_classes: 'A' }] }, code: ['A'] },
      10021,
      /^could not read content for part metadata: migrations: steps\.0\.new_classes/,
    ],
  ]
  for (const [title, given, wanted, message] of refused) {
    test(`refused: ${title}`, () => assert.throws(() => decide(given), { code: wanted, message }))
  }
})
