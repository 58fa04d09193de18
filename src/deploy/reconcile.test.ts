import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ApiError } from '#contract/errors.ts'
import type { Json } from '#contract/json.ts'
import { type Case, decide, me, namespace, other, state } from './fixture.ts'
import { type ClassState, noClasses } from './object-classes.ts'

const live = { type: 'durable-object', storage: 'sqlite' } as const

suite('exports', () => {
  const empty = {
    created: [],
    updated: [],
    deleted: [],
    renamed: [],
    transferred: [],
    transfer_pending: [],
    warnings: [],
    info: [],
    removable_entries: [],
  }
  const cases: readonly (readonly [string, Case, ClassState, object])[] = [
    [
      'a new class',
      { exports: { A: live }, code: ['A'] },
      state(undefined, namespace('1', 'A')),
      { created: ['A'] },
    ],
    [
      'one that is there',
      { exports: { A: live }, code: ['A'], state: state('v1', namespace('9', 'A')) },
      state('v1', namespace('9', 'A')),
      {},
    ],
    [
      'legacy storage that is there',
      {
        exports: { A: { ...live, storage: 'legacy-kv' } },
        code: ['A'],
        state: state(undefined, namespace('9', 'A', 'kv')),
      },
      state(undefined, namespace('9', 'A', 'kv')),
      {},
    ],
    [
      'a Worker among them',
      { exports: { A: live, default: { type: 'worker' } }, code: ['A'] },
      state(undefined, namespace('1', 'A')),
      { created: ['A'] },
    ],
    [
      'renamed',
      {
        exports: { A: { type: 'durable-object', state: 'renamed', renamed_to: 'B' }, B: live },
        code: ['B'],
        state: state(undefined, namespace('9', 'A')),
      },
      state(undefined, namespace('9', 'B')),
      { renamed: [{ from: 'A', to: 'B' }] },
    ],
    [
      'a tombstone that has done its work',
      {
        exports: { A: { type: 'durable-object', state: 'renamed', renamed_to: 'B' }, B: live },
        code: ['B'],
        state: state(undefined, namespace('9', 'B')),
      },
      state(undefined, namespace('9', 'B')),
      {
        removable_entries: ['A'],
        info: [
          {
            class: 'A',
            scenario: 'stale_tombstone',
            message: 'There is nothing left to do for this tombstone.',
          },
        ],
      },
    ],
    [
      'a class in the code that nobody declares',
      { exports: {}, code: ['A'] },
      noClasses,
      {
        warnings: [
          {
            class: 'A',
            scenario: 'code_class_not_in_exports',
            message: 'The code exports this class, but "exports" does not name it.',
          },
        ],
      },
    ],
  ]
  for (const [title, given, expected, result] of cases) {
    test(title, () => {
      const decision = decide(given)
      assert.deepEqual(decision.state, expected)
      assert.deepEqual(decision.reconciliation, { ...empty, ...result })
    })
  }

  test('deleted', () => {
    const gone = decide({
      exports: { A: { type: 'durable-object', state: 'deleted' } },
      code: [],
      state: state(undefined, namespace('9', 'A')),
    })
    assert.deepEqual([gone.state, gone.deleted], [noClasses, ['9'.repeat(32)]])
  })

  test('what is expected means the same in any order', () => {
    const expecting: Json = { ...live, state: 'expecting-transfer', transfer_from: 'other' }
    const expected = ['A', 'B'].map((className) => ({ className, from: other }))
    for (const exports of [
      { A: expecting, B: expecting },
      { B: expecting, A: expecting },
    ]) {
      const theirs = state(undefined, namespace('7', 'A'), namespace('8', 'B'))
      const decision = decide({ exports, code: ['A', 'B'], other: theirs })
      assert.deepEqual(decision.state, { ...noClasses, expected })
    }
  })

  test('a transfer in two phases', () => {
    const expecting: Json = { ...live, state: 'expecting-transfer', transfer_from: 'other' }
    const first = decide({
      exports: { A: expecting },
      code: ['A'],
      other: state(undefined, namespace('8', 'A')),
    })
    assert.deepEqual(first.state, { ...noClasses, expected: [{ className: 'A', from: other }] })
    assert.deepEqual(first.reconciliation, {
      ...empty,
      transfer_pending: [{ class: 'A', from: 'other' }],
    })
    const second = decide({
      exports: { A: { type: 'durable-object', state: 'transferred', transferred_to: 'other' } },
      code: [],
      state: state(undefined, namespace('9', 'A')),
      other: { ...noClasses, expected: [{ className: 'A', from: me }] },
    })
    assert.deepEqual(second.state, noClasses)
    assert.deepEqual([...second.others], [[other, state(undefined, namespace('9', 'A'))]])
    const { reconciliation } = second
    assert.deepEqual(reconciliation, {
      ...empty,
      transferred: [{ class: 'A', phase: 'committed', to: 'other' }],
    })
  })

  const has = state(undefined, namespace('9', 'A'))
  const tombstone = (name: string, more: object = {}): Json => ({
    type: 'durable-object',
    state: name,
    ...more,
  })
  const refused: readonly (readonly [string, Case, string])[] = [
    [
      'a class with objects that is left out',
      { exports: {}, code: ['A'], state: has },
      'provisioned_class_missing_from_config',
    ],
    [
      'a class that the code has not',
      { exports: { A: live }, code: [] },
      'config_export_not_in_code',
    ],
    [
      'another storage',
      { exports: { A: { ...live, storage: 'legacy-kv' } }, code: ['A'], state: has },
      'storage_type_mismatch',
    ],
    [
      'new legacy storage',
      { exports: { A: { ...live, storage: 'legacy-kv' } }, code: ['A'] },
      'storage_type_mismatch',
    ],
    ['no storage', { exports: { A: { type: 'durable-object' } }, code: ['A'] }, 'invalid_export'],
    [
      'a deletion that the code contradicts',
      { exports: { A: tombstone('deleted') }, code: ['A'], state: has },
      'tombstone_delete_class_still_in_code',
    ],
    [
      'a deletion of what others use',
      { exports: { A: tombstone('deleted') }, code: [], state: has, boundElsewhere: '9' },
      'tombstone_delete_blocked_by_external_bindings',
    ],
    [
      'a rename to nothing',
      { exports: { A: tombstone('renamed', { renamed_to: 'B' }) }, code: [], state: has },
      'invalid_export',
    ],
    [
      'a rename onto another',
      {
        exports: { A: tombstone('renamed', { renamed_to: 'B' }), B: live },
        code: ['B'],
        state: state(undefined, namespace('9', 'A'), namespace('8', 'B')),
      },
      'tombstone_renamed_to_occupied',
    ],
    [
      'a transfer to nobody',
      { exports: { A: tombstone('transferred', { transferred_to: 'x' }) }, code: [], state: has },
      'transferred_target_missing',
    ],
    [
      'a transfer that nobody expects',
      {
        exports: { A: tombstone('transferred', { transferred_to: 'other' }) },
        code: [],
        state: has,
        other: noClasses,
      },
      'transferred_pending_not_found',
    ],
    [
      'waiting for nobody',
      { exports: { A: { ...live, state: 'expecting-transfer', transfer_from: 'x' } }, code: ['A'] },
      'phase_one_transfer_source_missing',
    ],
    [
      'waiting for nothing',
      {
        exports: { A: { ...live, state: 'expecting-transfer', transfer_from: 'other' } },
        code: ['A'],
        other: noClasses,
      },
      'phase_one_transfer_source_namespace_missing',
    ],
  ]
  for (const [title, given, scenario] of refused) {
    test(`refused: ${title}`, () => {
      assert.throws(
        () => decide(given),
        (error) => {
          assert.ok(error instanceof ApiError)
          assert.equal(error.code, 100402)
          const details = JSON.stringify(error.meta)
          assert.ok(details.includes(`"scenario":"${scenario}"`), details)
          return true
        },
      )
    })
  }

  test('kinds that are not here', () => {
    assert.throws(
      () => decide({ exports: { F: { type: 'workflow' } }, code: [] }),
      /Exports of type "workflow"/,
    )
    assert.throws(() => decide({ exports: { A: 7 }, code: [] }), /exports/)
  })
})
