import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { Target } from '#contract/snapshot.ts'
import { numbersFrom } from '#test/random.ts'
import { overridesLength } from './limits.ts'
import { pick, versionKeyHeader, versionOverridesHeader } from './split.ts'

const routed = { account: accountId.parse('0'.repeat(32)), worker: workerName.parse('w') }
const versions = ['a', 'b', 'c'].map((digit) => `${digit.repeat(8)}-0000-4000-8000-000000000000`)
const [first = '', second = '', third = ''] = versions

/** One target for each share; negative ones are down. */
function split(...shares: readonly number[]): readonly Target[] {
  return shares.map((share, index) => ({
    id: `t${index}`,
    version: versions[index] ?? assert.fail(),
    percentage: Math.abs(share),
    socketPath: '',
    cfBlobHeader: '',
    protoHeader: '',
    state: share < 0 || Object.is(share, -0) ? 'down' : 'up',
  }))
}

function picked(
  targets: readonly Target[],
  headers: Readonly<Record<string, string>> = {},
  chance = (): number => 0.5,
): string | undefined {
  return pick({ routed, targets }, { header: (name) => headers[name], chance })?.version
}

/** How many of so many requests each version gets, in %. */
function counted(targets: readonly Target[], headersOf?: (n: number) => Record<string, string>) {
  const random = numbersFrom(7)
  const rounds = 20_000
  const counts = versions.map(() => 0)
  for (let n = 0; n < rounds; n++) {
    const version = picked(targets, headersOf?.(n), random)
    const index = versions.indexOf(version ?? '')
    counts[index] = (counts[index] ?? 0) + 1
  }
  return counts.map((count) => (100 * count) / rounds)
}

function assertNear(actual: readonly number[], expected: readonly number[], what: string): void {
  for (const [index, share] of expected.entries()) {
    assert.ok(Math.abs((actual[index] ?? 0) - share) < 1.2, `${what}: ${actual.join()}`)
    if (share === 0) assert.equal(actual[index], 0, what)
  }
}

const shares: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[100], [100, 0, 0]],
  [
    [50, 50],
    [50, 50, 0],
  ],
  [
    [10, 90],
    [10, 90, 0],
  ],
  [
    [90, 10],
    [90, 10, 0],
  ],
  [
    [0.5, 99.5],
    [0.5, 99.5, 0],
  ],
  [
    [0, 100],
    [0, 100, 0],
  ],
  [
    [100, 0],
    [100, 0, 0],
  ],
  [
    [20, 30, 50],
    [20, 30, 50],
  ],
  // What is down is passed over, by the shares of the others.
  [
    [50, -50],
    [100, 0, 0],
  ],
  [
    [-99, 1],
    [0, 100, 0],
  ],
  [
    [20, -30, 50],
    [100 / 3.5, 0, 250 / 3.5],
  ],
]
const keys = Array.from({ length: 2_000 }, (_, n) => `user-${n}`)
const withKey = (key: string): Record<string, string> => ({ [versionKeyHeader]: key })
const forced = (text: string): Record<string, string> => ({ [versionOverridesHeader]: text })

suite('a split of traffic', () => {
  test('is kept to by chance, and by keys', () => {
    for (const [given, expected] of shares) {
      assertNear(counted(split(...given)), expected, `chance ${given.join()}`)
      const byKey = counted(split(...given), (n) => withKey(`key ${n}`))
      assertNear(byKey, expected, `keys ${given.join()}`)
    }
  })

  test('nothing is picked where nothing is up, or where nothing has a share', () => {
    const cases = [split(), split(-100), split(-50, -50), split(0, -100), split(-100, 0)]
    for (const targets of cases) assert.equal(picked(targets), undefined)
  })

  test('a key keeps to its version, in whichever order the targets come', () => {
    for (const key of keys) {
      const [seen] = [picked(split(30, 70), withKey(key))]
      assert.equal(
        picked(split(30, 70), withKey(key), () => 0.999),
        seen,
      )
      assert.equal(
        picked(split(30, 70).toReversed(), withKey(key), () => 0),
        seen,
      )
    }
  })

  test('where a version grows, its keys stay; the others come over, and go back', () => {
    for (const grows of [first, second]) {
      let before = new Set<string>()
      for (const share of [0, 1, 10, 20, 50, 80, 99, 100]) {
        const targets = grows === first ? split(share, 100 - share) : split(100 - share, share)
        const now = new Set(keys.filter((key) => picked(targets, withKey(key)) === grows))
        assert.ok(
          [...before].every((key) => now.has(key)),
          `${share}`,
        )
        before = now
      }
      assert.equal(before.size, keys.length)
    }
  })

  test('a key whose version is down has another meanwhile, and the rest keep theirs', () => {
    for (const key of keys) {
      const usual = picked(split(20, 30, 50), withKey(key))
      const now = picked(split(20, -30, 50), withKey(key))
      if (usual === second) assert.notEqual(now, second)
      else assert.equal(now, usual)
    }
  })

  test('an empty key is none', () => {
    assert.equal(
      picked(split(50, 50), withKey(''), () => 0.01),
      first,
    )
    assert.equal(
      picked(split(50, 50), withKey(''), () => 0.99),
      second,
    )
  })

  const overrides: readonly (readonly [string, string, readonly number[], string])[] = [
    ['a version that is deployed', `w="${second}"`, [90, 10], second],
    ['one without traffic', `w="${second}"`, [100, 0], second],
    ['in capitals', `w="${second.toUpperCase()}"`, [100, 0], second],
    ['among others', `v="${first}", w="${second}";x=1`, [100, 0], second],
    ['the last of two', `w="${first}", w="${second}"`, [100, 0], second],
    ['a version that is not deployed', `w="${third}"`, [100, 0], first],
    ['a version that is down', `w="${second}"`, [100, -0], first],
    ['another Worker', `v="${second}"`, [100, 0], first],
    ['a token', `w=${second}`, [100, 0], first],
    ['malformed behind it', `w="${second}",`, [100, 0], first],
    ['nothing', '', [100, 0], first],
    ['too long', `w="${second}", x="${'x'.repeat(overridesLength)}"`, [100, 0], first],
  ]
  for (const [what, text, given, expected] of overrides) {
    test(`forced: ${what}`, () => {
      assert.equal(picked(split(...given), forced(text)), expected)
      const both = { ...forced(text), ...withKey('user') }
      if (expected === second) assert.equal(picked(split(...given), both), second)
    })
  }
})
