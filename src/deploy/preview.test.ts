import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ApiError } from '#contract/errors.ts'
import { workerName } from '#contract/ids.ts'
import { checkAlias, hasPreviewName, previewNames, previewPrefix } from './preview.ts'

const worker = workerName.parse('my-worker')

suite('the names of previews', () => {
  test('an alias is lower-case letters, digits and dashes, and fits into a label with its Worker', () => {
    const good = ['a', 'staging', 'feature-1', 'a-', 'deadbeef', 'x'.repeat(53)]
    for (const alias of good) checkAlias(alias, worker)
    const bad = ['', '1a', '-a', 'A', 'aB', 'a_b', 'a.b', 'ä', 'a b', 'a\n', 'x'.repeat(54)]
    for (const alias of bad) {
      assert.throws(
        () => checkAlias(alias, worker),
        (error) => error instanceof ApiError && error.code === 10021,
        alias,
      )
    }
  })

  test('a Worker with too long a name has none', () => {
    assert.equal(hasPreviewName(workerName.parse('w'.repeat(54))), true)
    assert.equal(hasPreviewName(workerName.parse('w'.repeat(55))), false)
    assert.equal(previewPrefix('dc8dcd28-271b-4367-9840-6c244f84cb40'), 'dc8dcd28')
  })

  test('a label is read in every way that there is a Worker for, the longest name first', () => {
    const known = new Set(['api', 'staging-api', 'a-b-c', 'c'])
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ['x-api', ['x/api']],
      ['x-staging-api', ['x/staging-api', 'x-staging/api']],
      ['staging-api', ['staging/api']],
      ['dc8dcd28-api', ['dc8dcd28/api']],
      ['x-a-b-c', ['x/a-b-c', 'x-a-b/c']],
      ['x--c', ['x-/c']],
      ['-api', []],
      ['api', []],
      ['x-other', []],
      ['x-', []],
      ['-', []],
      ['', []],
      ['-'.repeat(63), []],
    ]
    for (const [label, names] of cases) {
      const found = previewNames(label, (name) => known.has(name))
      assert.deepEqual(
        found.map(({ name, worker: of }) => `${name}/${of}`),
        names,
        label,
      )
    }
  })
})
