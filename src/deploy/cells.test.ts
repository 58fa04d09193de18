import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import type { CellPlan, PlannedBinding, WorkerPlan } from '#contract/cell.ts'
import { accountId, objectNamespaceId, workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { planCells, planPreview } from './cells.ts'

const account = accountId.parse('a'.repeat(32))

function binding(name: string, wire: Wire): PlannedBinding {
  return { name, type: 'any', wire }
}

type Shape = { targets?: readonly string[]; id?: string; createdAt?: string }

/** A version of a Worker that is bound to others. */
function plan(worker: string, { targets = [], id = 'v', createdAt = '' }: Shape = {}): WorkerPlan {
  return {
    account,
    worker: workerName.parse(worker),
    version: { id, tag: '', createdAt },
    percentage: 100,
    limits: {},
    code: {
      format: 'modules',
      mainModule: 'a.js',
      modules: [],
      compatibilityDate: '2026-11-01',
      compatibilityFlags: [],
    },
    exports: { hasDefault: true, handlers: [], named: [] },
    objects: [],
    bindings: targets.map((target, index) =>
      binding(`B${index}`, { type: 'worker', worker: workerName.parse(target) }),
    ),
  }
}

function bound(worker: string, ...targets: string[]): WorkerPlan {
  return plan(worker, { targets })
}

function namesOf(cells: readonly CellPlan[]): string[][] {
  return cells.map(({ workers }) => workers.map(({ worker }) => worker))
}

suite('cells: Workers that are bound share one', () => {
  const cases: readonly (readonly [string, readonly WorkerPlan[], string[][]])[] = [
    ['none', [], []],
    ['one', [bound('a')], [['a']]],
    ['one that is bound to itself', [bound('a', 'a')], [['a']]],
    ['strangers, by name', [bound('b'), bound('a')], [['a'], ['b']]],
    ['bound to a later one', [bound('a', 'b'), bound('b')], [['a', 'b']]],
    ['bound to an earlier one', [bound('a'), bound('b', 'a')], [['a', 'b']]],
    ['bound to each other', [bound('a', 'b'), bound('b', 'a')], [['a', 'b']]],
    ['through others', [bound('a', 'b'), bound('b', 'c'), bound('c')], [['a', 'b', 'c']]],
    ['to the same one', [bound('a', 'c'), bound('b', 'c'), bound('c')], [['a', 'b', 'c']]],
    ['from the same one', [bound('a'), bound('b'), bound('c', 'a', 'b')], [['a', 'b', 'c']]],
    ['in a ring', [bound('a', 'b'), bound('b', 'c'), bound('c', 'a')], [['a', 'b', 'c']]],
    [
      'groups, in the order of their first names',
      [bound('d', 'a'), bound('c', 'b'), bound('b'), bound('a'), bound('e')],
      [['a', 'd'], ['b', 'c'], ['e']],
    ],
    ['bound to one that does not run', [bound('a', 'gone'), bound('b')], [['a'], ['b']]],
    [
      'bound to the same one that does not run',
      [bound('a', 'gone'), bound('b', 'gone')],
      [['a'], ['b']],
    ],
  ]
  for (const [title, workers, expected] of cases) {
    test(title, () => {
      assert.deepEqual(namesOf(planCells(account, workers)), expected)
      assert.deepEqual(namesOf(planCells(account, workers.toReversed())), expected)
    })
  }

  test('other bindings bind nobody', () => {
    const text = binding('T', { type: 'text', text: 'b' })
    const backend = binding('K', { type: 'backend', client: 'kvNamespace', resource: { id: 'b' } })
    const a = { ...bound('a'), bindings: [text, backend] }
    assert.deepEqual(namesOf(planCells(account, [a, { ...bound('b'), bindings: [backend] }])), [
      ['a'],
      ['b'],
    ])
  })

  test('a cell has its account, and the plans as they were given', () => {
    const a = bound('a', 'b')
    const b = bound('b')
    const [cell, ...others] = planCells(account, [b, a])
    assert.deepEqual(cell, { account, workers: [a, b] })
    assert.equal(cell.workers[0], a)
    assert.deepEqual(others, [])
  })
})

suite('cells: versions of a Worker share one', () => {
  const old = plan('a', { id: '2', createdAt: '2026-01-01T00:00:00.000Z' })
  const young = plan('a', { id: '1', createdAt: '2026-01-02T00:00:00.000Z', targets: ['b'] })
  const twin = plan('a', { id: '3', createdAt: '2026-01-01T00:00:00.000Z', targets: ['c'] })
  const others = [plan('b'), plan('c')]

  test('older ones first, those of one age by their ids', () => {
    for (const order of [
      [old, young, twin],
      [twin, young, old],
      [young, twin, old],
    ]) {
      assert.deepEqual(planCells(account, order), [{ account, workers: [old, twin, young] }])
    }
  })

  test('what one version is bound to is in the cell of all', () => {
    const cells = planCells(account, [...others, young, old, twin])
    assert.deepEqual(cells, [{ account, workers: [old, twin, young, ...others] }])
  })

  test('without that version it is not', () => {
    const cells = planCells(account, [...others, old, twin])
    assert.deepEqual(namesOf(cells), [['a', 'a', 'c'], ['b']])
  })
})

test('a chain of many Workers is one cell', () => {
  const names = Array.from({ length: 20_000 }, (_, index) => `w${String(index).padStart(5, '0')}`)
  const chain = names.map((name, index) => bound(name, names[index + 1] ?? name))
  const [cell, ...others] = planCells(account, chain)
  assert.equal(cell?.workers.length, chain.length)
  assert.deepEqual(others, [])
})

test('cells are the connected groups, whatever the order of the input', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h')
  const worker = fc
    .record({ name, targets: fc.array(name, { maxLength: 2 }), id: fc.uuid() })
    .map(({ name: own, ...rest }) => plan(own, rest))
  const workers = fc.uniqueArray(worker, { maxLength: 8, selector: ({ version }) => version.id })
  const twoOrders = workers.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  )
  fc.assert(
    fc.property(twoOrders, ([some, shuffled]) => {
      const cells = planCells(account, some)
      assert.deepEqual(planCells(account, shuffled), cells)

      const placed = cells.flatMap((cell) => cell.workers)
      assert.equal(placed.length, some.length)
      assert.deepEqual(new Set(placed), new Set(some))

      for (const from of some) {
        const cell = cells.find(({ workers: members }) => members.includes(from))
        const together = new Set(cell?.workers.map((member) => member.worker))
        assert.deepEqual(together, reachable(from.worker, some))
      }
    }),
    { numRuns: 200 },
  )
})

suite('the cell of a preview', () => {
  const cases: readonly (readonly [string, WorkerPlan, readonly WorkerPlan[], string[]])[] = [
    ['nobody else', bound('a'), [bound('b')], ['a']],
    [
      'not what is deployed of the same Worker',
      bound('a', 'a'),
      [bound('a', 'b'), bound('b')],
      ['a'],
    ],
    ['whom it calls', bound('a', 'b'), [bound('b'), bound('c')], ['a', 'b']],
    ['not who calls it', bound('a'), [bound('b', 'a')], ['a']],
    [
      'whom those call',
      bound('b', 'c'),
      [bound('c', 'a'), bound('a'), bound('d', 'c')],
      ['a', 'b', 'c'],
    ],
    ['a ring', bound('a', 'b'), [bound('b', 'a', 'c'), bound('c', 'b')], ['a', 'b', 'c']],
    ['nobody who is not there', bound('a', 'x'), [], ['a']],
    [
      'every version of whom it calls',
      bound('a', 'b'),
      [plan('b', { id: '2', createdAt: '2' }), plan('b', { id: '1', createdAt: '1' })],
      ['a', 'b', 'b'],
    ],
  ]
  for (const [what, preview, running, names] of cases) {
    test(what, () => {
      const cell = planPreview(account, preview, running)
      assert.deepEqual(namesOf([cell]), [names])
      assert.ok(cell.workers.includes(preview))
    })
  }

  test('has no objects, wherever they are', () => {
    const objects = [
      { id: objectNamespaceId.parse('1'.repeat(32)), className: 'C', storage: 'sqlite' },
    ] as const
    const cell = planPreview(account, { ...bound('a', 'b'), objects }, [{ ...bound('b'), objects }])
    assert.deepEqual(
      cell.workers.map((member) => member.objects),
      [[], []],
    )
  })
})

/** The names that a name leads to, along bindings in either direction. */
function reachable(start: string, workers: readonly WorkerPlan[]): Set<string> {
  const running = new Set<string>(workers.map(({ worker }) => worker))
  const edges = workers.flatMap(({ worker, bindings }) =>
    bindings.flatMap(({ wire }) =>
      wire.type === 'worker' && running.has(wire.worker) ? [[worker, wire.worker] as const] : [],
    ),
  )
  const found = new Set([start])
  for (const name of found) {
    for (const [from, to] of edges) {
      if (from === name) found.add(to)
      if (to === name) found.add(from)
    }
  }
  return found
}
