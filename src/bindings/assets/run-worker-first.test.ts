import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ApiError } from '#contract/errors.ts'
import { readWorkerFirst } from './run-worker-first.ts'

suite('run_worker_first: rules', () => {
  for (const [rules, worker, assets] of [
    [['/api/*'], ['/api/*'], []],
    [['/api/*', '!/api/docs/*'], ['/api/*'], ['/api/docs/*']],
    [['!/b', '/a', '/c*'], ['/a', '/c*'], ['/b']],
    [[`/${'a'.repeat(99)}`], [`/${'a'.repeat(99)}`], []],
  ] as const) {
    test(JSON.stringify(rules).slice(0, 60), () => {
      assert.deepEqual(readWorkerFirst(rules), { worker, assets })
    })
  }

  const many = Array.from({ length: 101 }, (_, n) => `/p${n}`)
  for (const [rules, message] of [
    [[], 'No `run_worker_first` rules were provided; must provide at least 1 rule.'],
    [
      many,
      'Too many `run_worker_first` rules were provided; 101 rules provided exceeds max of 100.',
    ],
    [
      [...many.slice(0, 99), '/p1', '/p1'],
      'Too many `run_worker_first` rules were provided; 101 rules provided (99 distinct, 2 duplicate entries) exceeds max of 100. Note: duplicate entries count towards the route limit. Ensure that no duplicate rules are present in your `run_worker_first` configuration.\n\nThe duplicated rules found are:\n- "/p1"',
    ],
    [
      ['!/a'],
      'Only negative `run_worker_first` rules were provided; must provide at least 1 non-negative rule',
    ],
    [
      ['x', '!x', '/a'],
      "Invalid routes in `run_worker_first`:\n'x': rules must start with '/' or '!/'\n'!x': negative rules must start with '!/'",
    ],
    [
      [`/${'a'.repeat(100)}`],
      `Invalid routes in \`run_worker_first\`:\n'/${'a'.repeat(100)}': all rules must be less than 100 characters in length`,
    ],
    [
      ['/a', '/a'],
      "Invalid routes in `run_worker_first`:\n'/a': rule is a duplicate; rules must be unique",
    ],
    [
      ['/a*', '/ab', '/b'],
      "Invalid routes in `run_worker_first`:\n'/ab': rule '/a*' makes it redundant",
    ],
    [
      ['/x', '!/a*', '!/ab'],
      "Invalid routes in `run_worker_first`:\n'!/ab': rule '!/a*' makes it redundant",
    ],
  ] as const) {
    test(`refused: ${JSON.stringify(rules).slice(0, 60)}`, () => {
      assert.throws(
        () => readWorkerFirst(rules),
        (error) => error instanceof ApiError && error.message === message && error.code === 10021,
      )
    })
  }
})
