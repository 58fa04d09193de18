import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import { account } from '#test/backend.ts'
import { startBoundWorkerd } from '#test/bound-workerd.ts'
import { openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { kvNamespace } from './binding.ts'
import { serveKv } from './service.ts'
import { openStore } from './store.ts'

// The native client in a real workerd, over the real backplane: what user code sees.

const folder = await temporaryFolder()
const migrations = kvNamespace.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'kv'), migrations })
const store = await openStore(ports)
const { id } = await store.createNamespace(account, 'n')
const grant = {
  capability: 'c',
  cell: 'cell',
  account,
  worker: workerName.parse('w'),
  name: 'B',
  type: 'kv_namespace',
  resource: { namespace: id },
}
const workerd = await startBoundWorkerd({
  fixture: new URL('./fixture.worker.ts', import.meta.url),
  client: 'kvNamespace',
  type: grant.type,
  resource: grant.resource,
  handler: serveKv({ store, clock: ports.clock }, grant),
  log: ports.log,
})
after(async () => {
  await workerd[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const failed = (operation: string, rest: string) => ({
  error: `Error: KV ${operation} failed: ${rest}`,
})
const keyText = '414 UTF-8 encoded length of 513 exceeds key length limit of 512.'
const result = (value: unknown) => ({ result: value })
const typeError = (text: string) => ({ error: `TypeError: ${text}` })

const cases: readonly [string, unknown][] = [
  ['key empty', typeError('Key name cannot be empty.')],
  ['key dot', typeError('"." is not allowed as a key name.')],
  ['key dots', typeError('".." is not allowed as a key name.')],
  ['key long, get', failed('GET', keyText)],
  ['key long, put', failed('PUT', keyText)],
  ['key long, delete', failed('DELETE', keyText)],
  [
    'type unknown',
    typeError(
      'Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".',
    ),
  ],
  [
    'type json, not JSON',
    { error: `SyntaxError: Unexpected token 'o', "nonsense" is not valid JSON` },
  ],
  [
    'put object',
    typeError(
      'KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.',
    ),
  ],
  ['put number', result('5')],
  ['put null', result('null')],
  [
    'expiration beyond int32',
    typeError('Value out of range. Must be between -2147483648 and 2147483647 (inclusive).'),
  ],
  [
    'expirationTtl NaN',
    failed('PUT', '400 Invalid expiration_ttl of 0. Please specify integer greater than 0.'),
  ],
  [
    'expirationTtl short',
    failed('PUT', '400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60.'),
  ],
  [
    'expiration past',
    failed(
      'PUT',
      '400 Invalid expiration of 1. Please specify integer greater than the current number of seconds since the UNIX epoch.',
    ),
  ],
  ['cacheTtl short', failed('GET', '400 Invalid cache_ttl of 29. Cache TTL must be at least 30.')],
  ['cacheTtl fraction', result('v')],
  ['metadata long', failed('PUT', '413 Metadata length of 1025 exceeds limit of 1024.')],
  [
    'list limit',
    failed('GET', '400 Invalid key_count_limit of 1001. Please specify an integer less than 1000.'),
  ],
  ['list cursor', failed('GET', '400 Invalid cursor.')],
  ['list prefix', failed('GET', keyText)],
  ['bulk none', failed('GET_BULK', '400 You must request a minimum of 1 key')],
  ['bulk many', failed('GET_BULK', '400 You can request a maximum of 100 keys')],
  [
    'bulk not JSON',
    failed('GET_BULK', '400 At least one of the requested keys corresponds to a non-json value'),
  ],
  ['missing', result({ value: null, metadata: null, cacheStatus: null })],
  ['delete missing', result(true)],
  ['delete list', result(null)],
  ['kinds', result(['é漢😀', { a: [1] }, [0, 255, 1], [0, 255]])],
  ['keys', result([[true, true, true, true, true, true, true], true])],
  ['metadata', result([{ by: 'zoë 😀', n: null }, { by: 'zoë 😀', n: null }, true, { name: 'm' }])],
  ['metadata of control characters', result(true)],
  // The client does not escape it in its header, and Node's parser refuses it there.
  ['metadata with DEL', failed('PUT', '400 Bad Request')],
  [
    'bulk',
    result([
      [
        ['a', '1'],
        ['e', ''],
        ['none', null],
      ],
      [
        ['a', { value: '1', metadata: 'm' }],
        ['e', { value: '', metadata: null }],
        ['none', null],
      ],
      [['a', 1]],
    ]),
  ],
  ['pages', result([['page/0', 'page/1'], ['page/2', 'page/3'], ['page/4']])],
  ['large', result(25 * 1024 * 1024)],
  ['too large, streamed', failed('PUT', '413 Value length of 27262976 exceeds limit of 26214400.')],
  ['too large', failed('PUT', '413 Value length of 26214401 exceeds limit of 26214400.')],
  ['after too large', result(null)],
  ['stream that fails', result(['refused', 'before'])],
]

suite('in workerd', () => {
  for (const [scenario, expected] of cases) {
    test(scenario, async () => {
      const answer: unknown = JSON.parse(await workerd.get(`/${encodeURIComponent(scenario)}`))
      assert.deepEqual(answer, expected)
    })
  }

  test('every scenario is asked for', async () => {
    assert.deepEqual(
      JSON.parse(await workerd.get('/')),
      cases.map(([scenario]) => scenario),
    )
  })
})
