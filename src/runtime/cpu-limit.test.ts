import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { WorkerPlan } from '#contract/cell.ts'
import { objectNamespaceId, type WorkerName, workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { account } from '#test/backend.ts'
import { cpuLimitMs } from './cpu-limit.ts'

type Given = {
  readonly cpuMs?: number
  readonly calls?: readonly string[]
  readonly owns?: string
  readonly uses?: string
}

const named = (name: string): WorkerName => workerName.parse(name)
const namespace = (digit: string) => objectNamespaceId.parse(digit.repeat(32))

function planOf(worker: string, { cpuMs, calls = [], owns, uses }: Given): WorkerPlan {
  const wires: readonly Wire[] = [
    ...calls.map((callee) => ({ type: 'worker', worker: named(callee) }) as const),
    ...(uses === undefined ? [] : [{ type: 'objects', namespace: namespace(uses) } as const]),
  ]
  return {
    account,
    worker: named(worker),
    version: { id: '', tag: '', createdAt: '' },
    percentage: 100,
    limits: cpuMs === undefined ? {} : { cpuMs },
    code: {
      format: 'modules',
      mainModule: '',
      modules: [],
      compatibilityDate: '2026-01-01',
      compatibilityFlags: [],
    },
    exports: { hasDefault: true, handlers: [], named: [] },
    objects: owns === undefined ? [] : [{ id: namespace(owns), className: 'C', storage: 'sqlite' }],
    bindings: wires.map((wire, index) => ({ name: `B${index}`, type: wire.type, wire })),
  }
}

suite('the CPU time that a cell has', () => {
  const cell: Readonly<Record<string, Given>> = {
    small: { cpuMs: 10 },
    plain: {},
    front: { cpuMs: 20, calls: ['middle', 'gone'] },
    middle: { cpuMs: 30, calls: ['back'] },
    back: { cpuMs: 5_000, calls: ['front'] },
    user: { cpuMs: 40, uses: '1' },
    owner: { cpuMs: 700, owns: '1' },
    lost: { cpuMs: 50, uses: '2' },
    greedy: { cpuMs: 10_000_000 },
  }
  const plans = Object.entries(cell).map(([worker, given]) => planOf(worker, given))
  const cases: readonly (readonly [atWork: string, limitMs: number])[] = [
    ['small', 10],
    ['plain', 1_000],
    ['small plain', 1_000],
    ['front', 5_000],
    ['middle', 5_000],
    ['user', 700],
    ['owner', 700],
    ['user small', 700],
    ['lost', 50],
    ['greedy', 300_000],
    // An alarm, which may be anybody's.
    ['', 300_000],
    // Nobody that it knows.
    ['stranger', 1_000],
  ]
  for (const [atWork, limitMs] of cases) {
    test(`${atWork || 'nobody'} at work: ${limitMs} ms`, () => {
      const names = atWork.split(' ').filter(Boolean).map(named)
      assert.equal(cpuLimitMs(plans, new Set(names), 1_000), limitMs)
    })
  }

  test('of two versions of a Worker, the longer time', () => {
    const versions = [planOf('a', { cpuMs: 10 }), planOf('a', { cpuMs: 90 })]
    assert.equal(cpuLimitMs(versions, new Set([named('a')]), 1_000), 90)
  })
})
