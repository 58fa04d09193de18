import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { RouteTable } from '#contract/snapshot.ts'
import { type Failure, hostsOf, type InUse, nextHost, retryAt } from './due.ts'

const routed = { account: accountId.parse('0'.repeat(32)), worker: workerName.parse('w') }
const hourMs = 3_600_000
const now = 1_000 * hourMs

suite('hosts that are to have certificates', () => {
  const route = (host: string, over: object = {}) => ({
    host,
    isHostWild: false,
    path: '/',
    isPathWild: true,
    worker: routed,
    ...over,
  })
  const table: RouteTable = {
    hosts: new Map(
      ['w.example.com', 'w.localhost', 'localhost', '10.0.0.1', '[::1]', 'single'].map((host) => [
        host,
        routed,
      ]),
    ),
    zones: new Map([
      [
        'example.org',
        {
          domains: new Map([['shop.example.org', routed]]),
          routes: [
            route('example.org'),
            route('example.org', { path: '/api' }),
            route('.example.org', { isHostWild: true }),
            route('off.example.org', { worker: undefined }),
            route('bad_name.example.org'),
          ],
        },
      ],
    ]),
  }
  test('are those that visitors are led by, one by one, and that are public names', () => {
    assert.deepEqual(hostsOf(table), ['example.org', 'shop.example.org', 'w.example.com'])
    assert.deepEqual(hostsOf({ hosts: new Map() }), [])
  })
})

suite('whose turn it is', () => {
  const valid = (leftHours: number, over: Partial<InUse> = {}): InUse => ({
    isOurs: true,
    notBefore: now - (90 - leftHours) * hourMs,
    notAfter: now + leftHours * hourMs,
    ...over,
  })
  const failed = (count: number, agoMs: number): Failure => ({ count, lastAt: now - agoMs })

  type Case = {
    readonly have?: Readonly<Record<string, InUse>>
    readonly failures?: Readonly<Record<string, Failure>>
    readonly orders?: readonly number[]
    readonly next: string | undefined
  }
  const cases: Readonly<Record<string, Case>> = {
    'the first without a certificate': { have: { 'a.test': valid(80) }, next: 'b.test' },
    "nobody's": { have: { 'a.test': valid(80), 'b.test': valid(31) }, next: undefined },
    'one of which a third is left': {
      have: { 'a.test': valid(80), 'b.test': valid(30) },
      next: 'b.test',
    },
    'one that has expired': { have: { 'a.test': valid(80), 'b.test': valid(-5) }, next: 'b.test' },
    "not one of the operator's": {
      have: { 'a.test': valid(80), 'b.test': valid(-5, { isOurs: false }) },
      next: undefined,
    },
    'one that has none before one to renew': { have: { 'a.test': valid(1) }, next: 'b.test' },
    'not one that has just failed': { failures: { 'a.test': failed(1, 60_000) }, next: 'b.test' },
    'one that failed and waited': { failures: { 'a.test': failed(1, 120_000) }, next: 'a.test' },
    "nobody's when there were many": {
      orders: Array.from({ length: 60 }, () => now - 1_000),
      next: undefined,
    },
    "the first's when those were long ago": {
      orders: Array.from({ length: 60 }, () => now - hourMs),
      next: 'a.test',
    },
  }
  for (const [title, { have = {}, failures = {}, orders = [], next }] of Object.entries(cases)) {
    test(title, () => {
      const state = {
        wanted: ['a.test', 'b.test'],
        find: (host: string) => have[host],
        failures: new Map(Object.entries(failures)),
        orders,
        now,
      }
      assert.equal(nextHost(state), next)
    })
  }

  const waits: [number, number][] = [
    [1, 2 * 60_000],
    [2, 4 * 60_000],
    [6, 64 * 60_000],
    [11, 24 * hourMs],
    [500, 24 * hourMs],
  ]
  for (const [count, waitMs] of waits) {
    test(`after ${count} failures it is ${waitMs / 60_000} minutes`, () => {
      assert.equal(retryAt({ count, lastAt: now }), now + waitMs)
    })
  }
})
