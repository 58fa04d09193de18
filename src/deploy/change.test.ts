import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { CellPlan, Code, Module, PlannedBinding, WorkerPlan } from '#contract/cell.ts'
import { accountId, blobKey, workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { decideChange } from './change.ts'

const account = accountId.parse('a'.repeat(32))

function module(name: string, digit = '0'): Module {
  return { name, type: 'esModule', key: blobKey.parse(digit.repeat(64)), size: 1 }
}

const code: Code = {
  format: 'modules',
  mainModule: 'a.js',
  modules: [module('a.js'), module('b.js')],
  compatibilityDate: '2026-11-01',
  compatibilityFlags: ['one', 'two'],
}

function binding(name: string, wire: Wire): PlannedBinding {
  return { name, type: 'any', wire }
}

const text = binding('TEXT', { type: 'text', text: 'old' })
const json = binding('JSON', { type: 'json', json: { a: 1, b: [2] } })
const kv = binding('KV', { type: 'backend', client: 'kvNamespace', resource: { id: 'old' } })
const shim = { name: 's', source: 'file:///s.worker.ts', values: { n: 1 } }
const shimmed = binding('SHIM', { type: 'backend', client: shim, resource: { id: 'old' } })
const service = binding('SERVICE', {
  type: 'worker',
  worker: workerName.parse('other'),
  entrypoint: 'Rpc',
  props: { a: 1 },
})
const key = binding('KEY', {
  type: 'key',
  key: { format: 'raw', data: 'AAAA', algorithm: { name: 'HMAC' }, usages: ['sign'] },
})
const exit = binding('EXIT', { type: 'exit', certificate: 'old' })
const data = binding('DATA', { type: 'data', base64: 'AAAA' })
const wasm = binding('WASM', { type: 'wasm', module: 'b.wasm' })

const worker: WorkerPlan = {
  account,
  worker: workerName.parse('main'),
  version: { id: 'v1', tag: '', createdAt: '2026-11-01T00:00:00.000Z' },
  percentage: 100,
  limits: {},
  code,
  exports: {
    hasDefault: true,
    handlers: ['fetch'],
    named: [{ name: 'Rpc', type: 'entrypoint', handlers: [] }],
  },
  bindings: [text, json, kv, shimmed, service, key, exit],
  objects: [],
}
const other: WorkerPlan = { ...worker, worker: workerName.parse('other'), bindings: [] }
const running: CellPlan = { account, workers: [worker, other] }

const script: WorkerPlan = {
  ...worker,
  code: { ...code, format: 'service-worker' },
  bindings: [text, kv, data, wasm],
}

/** The Worker with some of its bindings replaced, by name. */
function rebound(from: WorkerPlan, ...changed: PlannedBinding[]): WorkerPlan {
  const names = new Map(changed.map((each) => [each.name, each]))
  return { ...from, bindings: from.bindings.map((each) => names.get(each.name) ?? each) }
}

function without(from: WorkerPlan, name: string): WorkerPlan {
  return { ...from, bindings: from.bindings.filter((each) => each.name !== name) }
}

function renamed(from: WorkerPlan, name: string): WorkerPlan {
  const bindings = from.bindings.map((each) =>
    each.name === name ? { ...each, name: 'NEW' } : each,
  )
  return { ...from, bindings }
}

function recoded(changes: Partial<Code>, from: WorkerPlan = worker): WorkerPlan {
  return { ...from, code: { ...from.code, ...changes } }
}

/** What it takes from one Worker to another, beside one that stays as it is: the same both ways. */
function hold(cases: readonly (readonly [string, WorkerPlan, string])[], from = worker): void {
  for (const [title, to, expected] of cases) {
    test(title, () => {
      const before = { account, workers: [from, other] }
      const after = { account, workers: [to, other] }
      assert.deepEqual(decideChange(before, after), { type: expected })
      assert.deepEqual(decideChange(after, before), { type: expected })
    })
  }
}

suite('from one cell to another: values change in the running isolate', () => {
  hold([
    ['nothing', structuredClone(worker), 'nothing'],
    ['another version', { ...worker, version: { ...worker.version, id: 'v2' } }, 'env'],
    ['another tag', { ...worker, version: { ...worker.version, tag: 'v2' } }, 'env'],
    ['another share', { ...worker, percentage: 50 }, 'env'],
    ['another text', rebound(worker, binding('TEXT', { type: 'text', text: 'new' })), 'env'],
    ['another JSON', rebound(worker, binding('JSON', { type: 'json', json: [] })), 'env'],
    [
      'JSON with its keys in another order',
      rebound(worker, binding('JSON', { type: 'json', json: { b: [2], a: 1 } })),
      'env',
    ],
    ['JSON in place of text', rebound(worker, binding('TEXT', { type: 'json', json: 1 })), 'env'],
    ['text that is gone', without(worker, 'TEXT'), 'env'],
    ['text under another name', renamed(worker, 'TEXT'), 'env'],
    [
      'another resource',
      rebound(
        worker,
        binding('KV', { type: 'backend', client: 'kvNamespace', resource: { id: 'new' } }),
      ),
      'env',
    ],
    [
      'another resource behind a shim',
      rebound(worker, binding('SHIM', { type: 'backend', client: shim, resource: { id: 'new' } })),
      'env',
    ],
    ['another type with the same wire', rebound(worker, { ...text, type: 'secret_text' }), 'env'],
    ['bindings in another order', { ...worker, bindings: worker.bindings.toReversed() }, 'env'],
    ['modules in another order', recoded({ modules: code.modules.toReversed() }), 'env'],
  ])
})

suite('from one cell to another: code and shape need a new process', () => {
  hold([
    [
      'another client certificate',
      rebound(worker, binding('EXIT', { type: 'exit', certificate: 'new' })),
      'cell',
    ],
    ['another Worker', { ...worker, worker: workerName.parse('mine') }, 'cell'],
    ['another main module', recoded({ mainModule: 'b.js' }), 'cell'],
    ['another content', recoded({ modules: [module('a.js', '1'), module('b.js')] }), 'cell'],
    ['another name of a module', recoded({ modules: [module('a.js'), module('c.js')] }), 'cell'],
    [
      'another type of a module',
      recoded({ modules: [module('a.js'), { ...module('b.js'), type: 'text' }] }),
      'cell',
    ],
    ['a module less', recoded({ modules: [module('a.js')] }), 'cell'],
    ['another date', recoded({ compatibilityDate: '2026-11-02' }), 'cell'],
    ['another flag', recoded({ compatibilityFlags: ['one', 'three'] }), 'cell'],
    ['another format', recoded({ format: 'service-worker' }), 'cell'],
    ['another handler', { ...worker, exports: { ...worker.exports, handlers: [] } }, 'cell'],
    ['another export', { ...worker, exports: { ...worker.exports, named: [] } }, 'cell'],
    ['a resource that is gone', without(worker, 'KV'), 'cell'],
    ['a resource under another name', renamed(worker, 'KV'), 'cell'],
    ['a resource in place of JSON', rebound(worker, { ...kv, name: 'JSON' }), 'cell'],
    ['text in place of a resource', rebound(worker, { ...text, name: 'KV' }), 'cell'],
    ['a service that is gone', without(worker, 'SERVICE'), 'cell'],
    [
      'another service',
      rebound(
        worker,
        binding('SERVICE', {
          type: 'worker',
          worker: worker.worker,
          entrypoint: 'Rpc',
          props: { a: 1 },
        }),
      ),
      'cell',
    ],
    [
      'another entrypoint',
      rebound(
        worker,
        binding('SERVICE', { type: 'worker', worker: other.worker, props: { a: 1 } }),
      ),
      'cell',
    ],
    [
      'other props',
      rebound(
        worker,
        binding('SERVICE', { type: 'worker', worker: other.worker, entrypoint: 'Rpc', props: {} }),
      ),
      'cell',
    ],
    [
      'other values of a shim',
      rebound(
        worker,
        binding('SHIM', {
          type: 'backend',
          client: { ...shim, values: { n: 2 } },
          resource: { id: 'old' },
        }),
      ),
      'cell',
    ],
    ['a key that is gone', without(worker, 'KEY'), 'cell'],
    [
      'another key',
      rebound(
        worker,
        binding('KEY', {
          type: 'key',
          key: { format: 'raw', data: 'AAAB', algorithm: { name: 'HMAC' }, usages: ['sign'] },
        }),
      ),
      'cell',
    ],
    [
      'values and code at once',
      recoded({ mainModule: 'b.js' }, rebound(worker, { ...text, name: 'JSON' })),
      'cell',
    ],
  ])
})

suite('from one cell to another: a service worker has no env to change', () => {
  hold(
    [
      ['nothing', structuredClone(script), 'nothing'],
      ['another version', { ...script, version: { ...script.version, id: 'v2' } }, 'env'],
      ['another share', { ...script, percentage: 1 }, 'env'],
      ['another text', rebound(script, binding('TEXT', { type: 'text', text: 'new' })), 'cell'],
      ['text that is gone', without(script, 'TEXT'), 'cell'],
      ['other data', rebound(script, binding('DATA', { type: 'data', base64: 'AAAB' })), 'cell'],
      ['another wasm', rebound(script, binding('WASM', { type: 'wasm', module: 'c' })), 'cell'],
      [
        'another resource',
        rebound(
          script,
          binding('KV', { type: 'backend', client: 'kvNamespace', resource: { id: 'new' } }),
        ),
        'cell',
      ],
    ],
    script,
  )
})

suite('from one cell to another: who is in it', () => {
  const foreign = accountId.parse('b'.repeat(32))
  const cases: readonly (readonly [string, CellPlan, string])[] = [
    ['the same', structuredClone(running), 'nothing'],
    ['another account', { ...running, account: foreign }, 'cell'],
    ['a Worker more', { account, workers: [worker, other, { ...other, percentage: 1 }] }, 'cell'],
    ['a Worker less', { account, workers: [worker] }, 'cell'],
    ['none', { account, workers: [] }, 'cell'],
    ['another order', { account, workers: [other, worker] }, 'cell'],
    ['values of the second', { account, workers: [worker, { ...other, percentage: 1 }] }, 'env'],
    [
      'code of the second',
      { account, workers: [worker, { ...recoded({ mainModule: 'b.js' }), worker: other.worker }] },
      'cell',
    ],
  ]
  for (const [title, wanted, expected] of cases) {
    test(title, () => {
      assert.deepEqual(decideChange(running, wanted), { type: expected })
      assert.deepEqual(decideChange(wanted, running), { type: expected })
    })
  }
})
