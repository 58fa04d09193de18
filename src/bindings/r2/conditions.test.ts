import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Conditions, type EtagMatcher, holds } from './conditions.ts'

const strong = (value: string): EtagMatcher => ({ type: 'strong', value })
const weak = (value: string): EtagMatcher => ({ type: 'weak', value })
const any: EtagMatcher = { type: 'wildcard' }
const object = { etag: 'e', uploadedAt: 5_500 }

const cases: readonly (readonly [string, Conditions, boolean, whereAbsent: boolean])[] = [
  ['none', {}, true, true],
  ['the same etag', { etagMatches: [strong('x'), strong('e')] }, true, false],
  ['a weak etag is none to match', { etagMatches: [weak('e')] }, false, false],
  ['any etag', { etagMatches: [any] }, true, false],
  ['no etag at all', { etagMatches: [] }, false, false],
  ['not this etag', { etagDoesNotMatch: [strong('e')] }, false, true],
  ['not this weak etag', { etagDoesNotMatch: [weak('e')] }, false, true],
  ['not another etag', { etagDoesNotMatch: [strong('x')] }, true, true],
  ['not there', { etagDoesNotMatch: [any] }, false, true],
  ['uploaded after', { uploadedAfter: 5_499 }, true, false],
  ['not uploaded after', { uploadedAfter: 5_500 }, false, false],
  ['uploaded before', { uploadedBefore: 5_501 }, true, true],
  ['not uploaded before', { uploadedBefore: 5_500 }, false, true],
  ['seconds, after', { uploadedAfter: 5_400, secondsGranularity: true }, false, false],
  ['seconds, before', { uploadedBefore: 5_900, secondsGranularity: true }, false, true],
  [
    'another etag beats time',
    { etagDoesNotMatch: [strong('x')], uploadedAfter: 9_000 },
    true,
    false,
  ],
  ['the same etag beats time', { etagMatches: [strong('e')], uploadedBefore: 1 }, true, false],
  ['both must hold', { etagMatches: [strong('e')], etagDoesNotMatch: [any] }, false, false],
]

suite('conditions', () => {
  for (const [title, conditions, expected, whereAbsent] of cases) {
    test(title, () => {
      assert.equal(holds(conditions, object), expected)
      assert.equal(holds(conditions, undefined), whereAbsent)
    })
  }
})
