import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import Cloudflare, { toFile } from 'cloudflare'
import * as fc from 'fast-check'
import { ApiError } from '#contract/errors.ts'
import type { Json } from '#contract/json.ts'
import * as limits from './limits.ts'
import { readMetadata, unflatten } from './metadata.ts'

type Fields = readonly (readonly [name: string, value: string])[]

suite('metadata: read', () => {
  const entry = { type: 'kv_namespace', name: 'KV', namespace_id: 'a', raw: true }
  const repeated = (count: number) => Array.from({ length: count }, () => entry)
  const accepted: readonly (readonly [string, Json])[] = [
    ['nothing', {}],
    [
      'what wrangler sends with a Worker',
      {
        main_module: 'worker.js',
        bindings: [entry, { type: 'inherit', name: 'SECRET' }],
        compatibility_date: '2026-11-01',
        compatibility_flags: ['nodejs_compat'],
        keep_bindings: ['secret_text', 'secret_key'],
        migrations: { new_tag: 'v1', steps: [{ new_sqlite_classes: ['A'] }] },
        annotations: { 'workers/message': 'hello', 'workers/alias': 'a' },
      },
    ],
    ['a service worker', { body_part: 'main' }],
    ['no tags, as Alchemy says it', { tags: null }],
    ['tags', { tags: ['a'] }],
    [
      'a name that no variable could have',
      { bindings: [{ type: 'json', name: 'a.b c', json: 1 }] },
    ],
    [
      'keys that nobody here acts on',
      {
        placement: { mode: 'smart' },
        logpush: false,
        tail_consumers: [{ service: 'tail' }],
        package_dependencies: [{ name: 'a', packageJsonVersion: '^1' }],
        'of unsafe.metadata': [null, 1, [{}]],
      },
    ],
    ['as many bindings as allowed', { bindings: repeated(limits.bindings) }],
    [
      'annotations as long as allowed',
      {
        annotations: {
          'workers/tag': 'a'.repeat(limits.tagLength),
          'workers/message': 'a'.repeat(limits.messageLength),
        },
      },
    ],
  ]
  for (const [title, value] of accepted) {
    test(title, () => assert.deepEqual(readMetadata(value), value))
  }

  const refused: readonly (readonly [string, unknown, string])[] = [
    ['nothing at all', undefined, 'Invalid input'],
    ['null', null, 'Invalid input'],
    ['a list', [], 'Invalid input'],
    ['text', 'main_module', 'Invalid input'],
    ['a main module that is no text', { main_module: 1 }, 'main_module'],
    ['a body part that is null', { body_part: null }, 'body_part'],
    ['a main module too long', { main_module: 'a'.repeat(10_001) }, 'main_module'],
    ['bindings that are an object', { bindings: { '0': entry } }, 'bindings'],
    ['bindings that are null', { bindings: null }, 'bindings'],
    ['a binding that is no object', { bindings: [entry, 'KV'] }, 'bindings.1'],
    ['a binding without a type', { bindings: [{ name: 'A' }] }, 'bindings.0.type'],
    ['a binding of an empty type', { bindings: [{ type: '', name: 'A' }] }, 'bindings.0.type'],
    ['a binding without a name', { bindings: [{ type: 'json' }] }, 'bindings.0.name'],
    ['a binding with an empty name', { bindings: [{ type: 'json', name: '' }] }, 'bindings.0.name'],
    ['an infinite number in a binding', { bindings: [{ ...entry, a: Infinity }] }, 'bindings.0.a'],
    ['too many bindings', { bindings: repeated(limits.bindings + 1) }, 'bindings'],
    ['a date that is no text', { compatibility_date: 20261101 }, 'compatibility_date'],
    ['flags that are text', { compatibility_flags: 'nodejs_compat' }, 'compatibility_flags'],
    ['a flag that is no text', { compatibility_flags: [1] }, 'compatibility_flags.0'],
    ['types to keep that are no list', { keep_bindings: true }, 'keep_bindings'],
    ['annotations that are no object', { annotations: [] }, 'annotations'],
    [
      'a tag too long',
      { annotations: { 'workers/tag': 'a'.repeat(limits.tagLength + 1) } },
      'annotations.workers/tag',
    ],
    [
      'a message too long',
      { annotations: { 'workers/message': 'a'.repeat(limits.messageLength + 1) } },
      'annotations.workers/message',
    ],
    ['an annotation that is no text', { annotations: { 'workers/x': 1 } }, 'annotations.workers/x'],
    ['tags that are text', { tags: 'a' }, 'tags'],
    ['an infinite number', { limits: { cpu_ms: -Infinity } }, 'limits.cpu_ms'],
    ['limits that are text', { limits: 'none' }, 'limits'],
    ['logpush that is text', { logpush: 'true' }, 'logpush'],
    ['tail consumers that are text', { tail_consumers: 'a' }, 'tail_consumers'],
    ['observability that is a number', { observability: 7 }, 'observability'],
  ]
  for (const [title, value, at] of refused) {
    test(`refused: ${title}`, () => {
      assert.throws(
        () => readMetadata(value),
        (error) =>
          error instanceof ApiError &&
          error.code === 10021 &&
          error.message.startsWith(`could not read content for part metadata: ${at}:`),
      )
    })
  }

  test('"__proto__" is a prototype nowhere', () => {
    const evil =
      '{"bindings":[{"type":"json","name":"A","__proto__":{"x":1}}],"__proto__":{"tags":5}}'
    const read = readMetadata(JSON.parse(evil))
    assert.equal(read.tags, undefined)
    assert.equal(read.bindings?.[0]?.['x'], undefined)
  })
})

suite('metadata: flattened fields', () => {
  const cases: readonly (readonly [string, Fields, Json])[] = [
    ['nothing', [], {}],
    ['text', [['metadata[main_module]', 'a.js']], { main_module: 'a.js' }],
    ['an object', [['metadata[placement][mode]', 'smart']], { placement: { mode: 'smart' } }],
    [
      'a list of texts',
      [
        ['metadata[compatibility_flags][]', 'a'],
        ['metadata[compatibility_flags][]', 'a'],
      ],
      { compatibility_flags: ['a', 'a'] },
    ],
    [
      'a list of objects: one begins where a key comes again',
      [
        ['metadata[bindings][][name]', 'A'],
        ['metadata[bindings][][type]', 'plain_text'],
        ['metadata[bindings][][text]', '1'],
        ['metadata[bindings][][type]', 'inherit'],
        ['metadata[bindings][][name]', 'B'],
      ],
      {
        bindings: [
          { name: 'A', type: 'plain_text', text: '1' },
          { type: 'inherit', name: 'B' },
        ],
      },
    ],
    [
      'an object in a list, with more than one key',
      [
        ['metadata[a][][o][w][x]', '1'],
        ['metadata[a][][o][w][y]', '2'],
        ['metadata[a][][o][v]', '3'],
        ['metadata[a][][o][w][x]', '4'],
      ],
      { a: [{ o: { w: { x: '1', y: '2' }, v: '3' } }, { o: { w: { x: '4' } } }] },
    ],
    [
      'a text in a list where an object was',
      [
        ['metadata[a][][o][x]', '1'],
        ['metadata[a][][o]', '2'],
        ['metadata[a][]', '3'],
      ],
      { a: [{ o: { x: '1' } }, { o: '2' }, '3'] },
    ],
    [
      'lists in a list',
      [
        ['metadata[a][][b][]', '1'],
        ['metadata[a][][b][]', '2'],
        ['metadata[a][][c][][d]', '3'],
        ['metadata[a][][c][][d]', '4'],
        ['metadata[a][][e]', '5'],
        ['metadata[a][][e]', '6'],
      ],
      { a: [{ b: ['1', '2'], c: [{ d: '3' }, { d: '4' }], e: '5' }, { e: '6' }] },
    ],
    [
      'a value twice: the last',
      [
        ['metadata[a]', '1'],
        ['metadata[a]', '2'],
      ],
      { a: '2' },
    ],
    [
      'an object in place of a text',
      [
        ['metadata[a]', '1'],
        ['metadata[a][b]', '2'],
      ],
      { a: { b: '2' } },
    ],
    ['any text', [['metadata[a]', 'ü [x]\n']], { a: 'ü [x]\n' }],
  ]
  for (const [title, fields, expected] of cases) {
    test(title, () => assert.deepEqual(unflatten(fields), expected))
  }

  const values: readonly (readonly [string, string, Json])[] = [
    ['[limits][cpu_ms]', '50', 50],
    ['[observability][head_sampling_rate]', '0.5', 0.5],
    ['[limits][cpu_ms]', '', ''],
    ['[limits][cpu_ms]', ' ', ' '],
    ['[limits][cpu_ms]', 'many', 'many'],
    ['[limits][cpu_ms]', '1e999', '1e999'],
    ['[limits][cpu_ms]', 'true', 'true'],
    ['[logpush]', 'true', true],
    ['[observability][enabled]', 'false', false],
    ['[logpush]', 'TRUE', 'TRUE'],
    ['[logpush]', '1', '1'],
    ['[text]', 'true', 'true'],
    ['[text]', '1', '1'],
    // Nobody knows what these were.
    ['[json]', '1', '1'],
    ['[json][limit]', '1', '1'],
    ['[json][a][enabled]', 'true', 'true'],
  ]
  for (const [path, text, expected] of values) {
    test(`${path} = "${text}" is ${JSON.stringify(expected)}`, () => {
      const keys = path.slice(1, -1).split('][')
      const nested = keys.reduceRight<Json>((value, key) => ({ [key]: value }), expected)
      assert.deepEqual(unflatten([[`metadata${path}`, text]]), nested)
    })
  }

  const deep = '[a]'.repeat(limits.fieldDepth)
  test('as deep as the limit', () => assert.ok(unflatten([[`metadata${deep}`, '']])))
  for (const name of ['metadata', 'metadata[', `metadata${deep}[a]`]) {
    test(`refused: ${name}`, () => {
      assert.throws(() => unflatten([[name, '']]), {
        name: 'ApiError',
        code: 10021,
        message: /has no place/,
      })
    })
  }

  test('"__proto__" is a key as any other', () => {
    const value = unflatten([
      ['metadata[__proto__][polluted]', '1'],
      ['metadata[a][__proto__]', '1'],
    ])
    assert.deepEqual(Object.keys(Object(value)), ['__proto__', 'a'])
    assert.equal(Object.getPrototypeOf(value), Object.prototype)
    assert.equal('polluted' in {}, false)
  })

  test('any fields give a value, or an error for the client', () => {
    const step = fc.oneof(fc.constantFrom('', 'a', 'b', '0', 'limit', '__proto__'), fc.string())
    const name = fc
      .array(step, { maxLength: limits.fieldDepth + 2 })
      .map((steps) => `metadata${steps.map((text) => `[${text}]`).join('')}`)
    const fields = fc.array(
      fc.tuple(fc.oneof({ weight: 9, arbitrary: name }, fc.string()), fc.string()),
    )
    fc.assert(
      fc.property(fields, (random) => {
        try {
          const value = unflatten(random)
          assert.deepEqual(JSON.parse(JSON.stringify(value)), value)
          readMetadata(value)
        } catch (error) {
          if (!(error instanceof ApiError)) throw error
        }
      }),
    )
  })
})

suite("metadata: what Cloudflare's SDK flattens is read as it was", () => {
  const bindings = [
    { type: 'plain_text', name: 'TEXT', text: 'true' },
    { type: 'ratelimit', name: 'RATE', namespace_id: '1', simple: { limit: 10, period: 60 } },
    { type: 'ratelimit', name: 'RATE_2', namespace_id: '2', simple: { limit: 20, period: 10 } },
    {
      type: 'dispatch_namespace',
      name: 'DISPATCH',
      namespace: 'ns',
      outbound: {
        worker: { service: 'a', environment: 'b' },
        params: [{ name: 'p' }, { name: 'q' }],
      },
    },
    { type: 'json', name: 'JSON', json: { a: '1', b: { c: ['2', '3'] } } },
    { type: 'secret_key', name: 'KEY', format: 'raw', usages: ['sign', 'verify'] },
    { type: 'inherit', name: 'OLD' },
  ]
  const cases: readonly (readonly [string, { readonly [key: string]: Json }])[] = [
    ['bindings', { main_module: 'worker.js', bindings }],
    [
      'settings',
      {
        main_module: 'worker.js',
        compatibility_date: '2026-11-01',
        compatibility_flags: ['a', 'b'],
        keep_bindings: ['secret_text'],
        logpush: true,
        limits: { cpu_ms: 50 },
        observability: { enabled: true, head_sampling_rate: 0.5, logs: { enabled: false } },
        tags: ['x', 'y'],
        annotations: { 'workers/tag': 'v1', 'workers/message': 'hello' },
      },
    ],
    [
      'migrations',
      {
        main_module: 'worker.js',
        migrations: {
          new_tag: 'v2',
          // Of two steps nobody could tell to which a list belongs.
          steps: [
            {
              new_sqlite_classes: ['A', 'B'],
              renamed_classes: [
                { from: 'C', to: 'D' },
                { from: 'E', to: 'F' },
              ],
            },
          ],
        },
      },
    ],
  ]
  for (const [title, metadata] of cases) {
    test(title, async () => {
      assert.deepEqual(unflatten(await flattenedBySdk(metadata)), metadata)
    })
  }
})

/** The fields that version 7 of the SDK makes of metadata. */
async function flattenedBySdk(metadata: { readonly [key: string]: Json }): Promise<Fields> {
  let form: unknown
  const client = new Cloudflare({
    apiToken: 'token',
    maxRetries: 0,
    fetch: async (_url, init) => {
      form = init?.body
      return Response.json({ success: true, errors: [], messages: [], result: {} })
    },
  })
  await client.workers.scripts.update('worker', {
    account_id: 'a'.repeat(32),
    metadata,
    files: [await toFile(new Blob(['export default {}']), 'worker.js')],
  })
  assert.ok(form instanceof FormData)
  return [...form].flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value] as const] : [],
  )
}
