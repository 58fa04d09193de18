import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { CheckReport, NamedExport } from '#contract/cell.ts'
import { workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { otherAccount } from '#test/backend.ts'
import { type Fixture, type Source, startFixture } from './fixture.ts'

const globalScope =
  'Disallowed operation called within global scope. Asynchronous I/O (ex: fetch() or connect()), setting a timeout, and generating random values are not allowed within global scope. To fix this error, perform this operation within a handler. https://developers.cloudflare.com/workers/runtime-apis/handlers/'

const text = (value: string): Wire => ({ type: 'text', text: value })
const kv: Wire = { type: 'backend', client: 'kvNamespace', resource: 'n' }
const service: Wire = {
  type: 'worker',
  worker: workerName.parse('other'),
  entrypoint: 'Named',
  props: { a: 1 },
}

const failures: Readonly<Record<string, readonly [Source, string | RegExp]>> = {
  'an error, with its stack': [
    { code: `export default {}\nfunction f() { throw new Error('boom') }\nf()` },
    'Uncaught Error: boom\n  at index.js:2:22 in f\n  at index.js:3:1',
  ],
  'an error of more than one line': [
    { code: `throw new TypeError('one\\ntwo')` },
    'Uncaught TypeError: one\ntwo\n  at index.js:1:7',
  ],
  'a value that is no error': [{ code: `throw 'text'` }, 'Uncaught Error: text'],
  'what was printed before is not part of it': [
    { code: `console.error('printed'); throw new Error('after')` },
    'Uncaught Error: after\n  at index.js:1:33',
  ],
  'advice on flags is not part of it': [
    { code: `throw new Error('x')`, flags: ['nodejs_compat'] },
    'Uncaught Error: x\n  at index.js:1:7',
  ],
  syntax: [
    { code: `export default { fetch( }` },
    /^Uncaught SyntaxError: .*\n {2}at index\.js:1:\d+$/,
  ],
  'an import that is not there': [
    { code: `import './nope.js'` },
    'Uncaught Error: No such module "nope.js".\n  imported from "index.js"',
  ],
  'an export that is not there': [
    {
      code: {
        'index.js': ['esModule', `import { q } from './b.js'; export default { q }`],
        'b.js': ['esModule', `export const z = 1`],
      },
    },
    /^Uncaught SyntaxError: The requested module '\.\/b\.js' does not provide an export named 'q'/,
  ],
  'fetch at the top': [
    { code: `await fetch('https://example.com')` },
    `Uncaught Error: ${globalScope}\n  at index.js:1:7`,
  ],
  'a timer at the top': [
    { code: `setTimeout(() => {}, 1)` },
    new RegExp(`^Uncaught Error: ${globalScope.slice(0, 40)}`),
  ],
  'chance at the top': [
    { code: `crypto.randomUUID()` },
    `Uncaught Error: ${globalScope}\n  at index.js:1:8`,
  ],
  'a back end called at the top': [
    {
      code: `import { env } from 'cloudflare:workers'\nawait env.KV.get('k')`,
      bindings: { KV: kv },
    },
    `Uncaught Error: ${globalScope}\n  at index.js:2:14`,
  ],
  'a service called at the top': [
    {
      code: `import { env } from 'cloudflare:workers'\nawait env.S.fetch('http://s')`,
      bindings: { S: service },
    },
    `Uncaught Error: ${globalScope}\n  at index.js:2:13`,
  ],
  'a date that workerd does not know yet': [
    { code: `export default {}`, date: '2099-01-01' },
    /^This Worker requires compatibility date "2099-01-01", but the newest date supported/,
  ],
  'a date that is none': [
    { code: `export default {}`, date: '2026-1' },
    'Invalid compatibility date: 2026-1',
  ],
  'a flag that does not exist': [
    { code: `export default {}`, flags: ['no_such_flag'] },
    'No such compatibility flag: no_such_flag',
  ],
  'an experimental flag': [
    { code: `export default {}`, flags: ['experimental'] },
    /^The compatibility flag experimental is experimental/,
  ],
  'flags that contradict each other': [
    { code: `export default {}`, flags: ['nodejs_compat', 'no_nodejs_compat'] },
    'Compatibility flags are mutually contradictory: nodejs_compat vs no_nodejs_compat',
  ],
  'a loop': [{ code: `for (;;);` }, 'Script startup exceeded CPU time limit.'],
  'an await that never ends': [
    { code: `await new Promise(() => {})` },
    'Uncaught Error: Top-level await in module is unsettled.',
  ],
  'a getter of an export that throws': [
    { code: `export default { get fetch() { throw new Error('mean') } }` },
    `The exports of the script can't be read: mean`,
  ],
  'a getter of an export that loops': [
    { code: `export default { get fetch() { for (;;); } }` },
    `The exports of the script can't be read: no answer in time`,
  ],
  'JSON that is none': [
    { code: { 'index.js': ['esModule', `import './a.json'`], 'a.json': ['json', '{'] } },
    /^Uncaught SyntaxError: /,
  ],
  'WebAssembly that is none': [
    {
      code: {
        'index.js': ['esModule', `import './a.wasm'`],
        'a.wasm': ['wasm', new Uint8Array(1)],
      },
    },
    /^Uncaught CompileError: /,
  ],
  'a name that leads out of the bundle': [
    { code: { '../index.js': ['esModule', `export default {}`] } },
    /^Uncaught Error: internal error; reference = \w+$/,
  ],
  'a service worker that throws': [
    { code: `null.x`, format: 'service-worker' },
    `Uncaught TypeError: Cannot read properties of null (reading 'x')\n  at index.js:1:6`,
  ],
  'a service worker that listens to nothing': [
    { code: `1`, format: 'service-worker' },
    'No event handlers were registered. This script does nothing.',
  ],
}

const named = (name: string, type: NamedExport['type'], ...handlers: string[]): NamedExport => ({
  name,
  type,
  handlers,
})

const successes: Readonly<
  Record<string, readonly [Source, Partial<Extract<CheckReport, { ok: true }>['exports']>]>
> = {
  'an object with handlers': [
    {
      code: `export default { fetch() {}, scheduled() {}, queue() {}, email() {}, tail() {}, own() {} }`,
    },
    { hasDefault: true, handlers: ['fetch', 'scheduled', 'queue', 'tail', 'email'], named: [] },
  ],
  'a default class': [
    {
      code: `import { WorkerEntrypoint } from 'cloudflare:workers'
        class Base extends WorkerEntrypoint { scheduled() {} }
        export default class extends Base { fetch() {} rpc() {} }`,
    },
    { hasDefault: true, handlers: ['fetch', 'scheduled'] },
  ],
  'named exports of every kind': [
    {
      code: `import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from 'cloudflare:workers'
        export class Entry extends WorkerEntrypoint { fetch() {} rpc() {} }
        export class Later extends Entry { queue() {} }
        export class Object1 extends DurableObject { fetch() {} alarm() {} }
        export class Object2 { fetch() {} }
        export class Flow extends WorkflowEntrypoint { run() {} }
        export const plain = { fetch() {} }
        export const arrow = () => {}
        export function named() {}
        export const number = 1, nothing = null, missing = undefined, symbol = Symbol()
        export default { fetch() {} }`,
    },
    {
      hasDefault: true,
      handlers: ['fetch'],
      named: [
        named('Entry', 'entrypoint', 'fetch'),
        named('Flow', 'workflow'),
        named('Later', 'entrypoint', 'fetch', 'queue'),
        named('Object1', 'durable-object', 'fetch', 'alarm'),
        named('Object2', 'durable-object', 'fetch'),
        named('arrow', 'other'),
        named('missing', 'other'),
        named('named', 'other'),
        named('nothing', 'other'),
        named('number', 'other'),
        named('plain', 'handler', 'fetch'),
        named('symbol', 'other'),
      ],
    },
  ],
  'imports of the platform that workerd does not have by itself': [
    {
      code: `import { EmailMessage } from 'cloudflare:email'
        const { from, to } = new EmailMessage('a@example.com', 'b@example.com', 'raw')
        if (from + to !== 'a@example.comb@example.com') throw new Error('wrong')
        export default { fetch() {} }`,
    },
    { hasDefault: true, handlers: ['fetch'] },
  ],
  'no default export': [
    { code: `export const a = { fetch() {} }` },
    { hasDefault: false, handlers: [], named: [named('a', 'handler', 'fetch')] },
  ],
  'nothing at all': [{ code: '' }, { hasDefault: false, handlers: [], named: [] }],
  'a default that is null': [{ code: `export default null` }, { hasDefault: true, handlers: [] }],
  'a default that is a function': [
    { code: `export default () => {}` },
    { hasDefault: true, handlers: [] },
  ],
  're-exports': [
    {
      code: {
        'index.js': ['esModule', `export { default } from './a.js'; export * from './a.js'`],
        'a.js': ['esModule', `export default { fetch() {} }; export const h = { queue() {} }`],
      },
    },
    { hasDefault: true, handlers: ['fetch'], named: [named('h', 'handler', 'queue')] },
  ],
  CommonJS: [
    {
      code: {
        'index.js': [
          'commonJsModule',
          `const b = require('./b.js'); module.exports = { fetch: b.f }`,
        ],
        'b.js': ['commonJsModule', `exports.f = () => {}`],
      },
    },
    { hasDefault: true, handlers: ['fetch'] },
  ],
  'modules of every type, in folders': [
    {
      code: {
        './src/in dex.js': [
          'esModule',
          `import text from './a/t.txt'; import { b } from '../lib/b.js'; import json from './j.json'
             import wasm from './w.wasm'; import data from '../d.bin'
             if (text !== 'T' || b !== 1 || json.a !== 1 || data.byteLength !== 3) throw new Error('bad')
             if (!(wasm instanceof WebAssembly.Module)) throw new Error('no module')
             export default { fetch() {} }`,
        ],
        'src/a/t.txt': ['text', 'T'],
        './lib/b.js': ['esModule', `export const b = 1`],
        'src/j.json': ['json', '{"a":1}'],
        'src/w.wasm': ['wasm', new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])],
        'd.bin': ['data', new Uint8Array(3)],
      },
    },
    { hasDefault: true, handlers: ['fetch'] },
  ],
  'a main module of an odd name': [
    { code: { 'we ird#?%41ü".js': ['esModule', `export default { fetch() {} }`] } },
    { hasDefault: true },
  ],
  'env as planned, readable at the top': [
    {
      code: `import { env } from 'cloudflare:workers'
        if (env.T !== 'x' || env.J.a[0] !== 1 || typeof env.KV.get !== 'function' || !env.S.fetch) throw new Error('bad')
        export default { fetch() {} }`,
      bindings: { T: text('x'), J: { type: 'json', json: { a: [1] } }, KV: kv, S: service },
    },
    { hasDefault: true },
  ],
  'an old compatibility date': [
    { code: `export default { fetch() {} }`, date: '2022-01-01' },
    { hasDefault: true },
  ],
  'a service worker': [
    { code: `addEventListener('fetch', () => {})`, format: 'service-worker' },
    { hasDefault: true, handlers: ['fetch'], named: [] },
  ],
}

suite('a check', () => {
  let fixture: Fixture
  before(async () => {
    fixture = await startFixture({ startTimeoutMs: 1_500 })
  })
  after(() => fixture[Symbol.asyncDispose]())

  for (const [name, [source, message]] of Object.entries(failures)) {
    test(`refuses: ${name}`, async () => {
      const report = await fixture.check('w', source)
      assert.equal(report.ok, false)
      if (typeof message === 'string') assert.deepEqual(report, { ok: false, message })
      else assert.match(report.ok ? '' : report.message, message)
    })
  }

  for (const [name, [source, exports]] of Object.entries(successes)) {
    test(`describes: ${name}`, async () => {
      const report = await fixture.check('w', source)
      assert.ok(report.ok, report.ok ? '' : report.message)
      assert.deepEqual({ ...report.exports, ...exports }, report.exports)
    })
  }

  test('measures the time that the code takes, and not the start of a process', async () => {
    const quick = await fixture.check('w', { code: `export default {}` })
    const slow = await fixture.check('w', {
      code: `let sum = 0; for (let i = 0; i < 3e8; i++) sum += i; export default { sum }`,
    })
    assert.ok(quick.ok && slow.ok)
    assert.ok(quick.startupTimeMs <= 20, `${quick.startupTimeMs} ms for nothing`)
    assert.ok(slow.startupTimeMs >= 60, `${slow.startupTimeMs} ms for a long loop`)
  })

  test('of one account do not keep those of another waiting', async () => {
    const over = new AbortController()
    const theirs = { ...fixture.plan('theirs', { code: 'for (;;);' }), account: otherAccount }
    const looping = Promise.all([theirs, theirs].map((plan) => fixture.host.check(plan)))
    void looping.then(() => over.abort())
    assert.ok((await fixture.check('w', { code: `export default {}` })).ok)
    assert.equal(over.signal.aborted, false)
    for (const report of await looping) assert.equal(report.ok, false)
  })

  test('many at once come out as alone, some at a time', async () => {
    const reports = await Promise.all(
      Array.from({ length: 8 }, (_, i) => fixture.check('w', { code: `throw new Error('${i}')` })),
    )
    for (const [i, report] of reports.entries()) {
      assert.match(report.ok ? '' : report.message, new RegExp(`Error: ${i}\n`))
    }
  })

  test('leaves nothing in the table and nothing on the backplane', async () => {
    assert.ok((await fixture.ready('w', { code: `export default {}` })).exports.hasDefault)
    assert.deepEqual(fixture.targets('w'), [])
    assert.deepEqual(fixture.calls, [])
  })
})
