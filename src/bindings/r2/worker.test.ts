import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import { account } from '#test/backend.ts'
import { startBoundWorkerd } from '#test/bound-workerd.ts'
import { openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { r2Bucket } from './binding.ts'
import { openParts } from './parts.ts'
import { serveR2 } from './service.ts'

// The native client in a real workerd, over the real backplane: what user code sees.

const folder = await temporaryFolder()
const migrations = r2Bucket.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'r2'), migrations })
const parts = await openParts(ports)
await parts.buckets.create({ account, jurisdiction: 'default', name: 'media' })
const grant = {
  capability: 'c',
  cell: 'cell',
  account,
  worker: workerName.parse('w'),
  name: 'B',
  type: 'r2_bucket',
  resource: { bucket: 'media', jurisdiction: 'default' },
}
const workerd = await startBoundWorkerd({
  fixture: new URL('./fixture.worker.ts', import.meta.url),
  client: 'r2Bucket',
  type: grant.type,
  resource: grant.resource,
  handler: serveR2(parts, grant),
  log: ports.log,
})
after(async () => {
  await workerd[Symbol.asyncDispose]()
  await parts[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const result = (value: unknown) => ({ result: value })
const failed = (operation: string, code: number, text: string) => ({
  error: `Error: ${operation}: ${text} (${code})`,
})
const mebibyte = 1024 * 1024
const keyText = 'The specified object name is not valid.'
const rangeText = 'The requested range is not satisfiable'
const limitText = 'MaxKeys params must be positive integer <= 1000.'
const internalText = 'We encountered an internal error. Please try again.'
const noUploadText = 'The specified multipart upload does not exist.'
const ssecText =
  'The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.'
const md5 = (...pieces: Uint8Array[]): Buffer => {
  const hash = createHash('md5')
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}
const ssecMd5 = md5(Buffer.alloc(32, 9)).toString('base64')
const part1 = md5(Buffer.alloc(5 * mebibyte, 7))
const part2 = md5(Buffer.from('the end'))
const streamed = Buffer.from(Array.from({ length: mebibyte }, (_, index) => (index * 7) & 0xff))

const cases: readonly (readonly [string, unknown])[] = [
  ['what is not there', result([null, null, null])],
  ['kinds of values', result(['é漢😀', 'from a blob', [9, 3, 2, 11, 0, 8]])],
  [
    'an object',
    result({
      etag: '5d41402abc4b2a76b9719d911017c592',
      httpEtag: '"5d41402abc4b2a76b9719d911017c592"',
      same: true,
      size: 5,
      checksums: { md5: '5d41402abc4b2a76b9719d911017c592' },
      storageClass: 'Standard',
      recent: true,
      http: {},
      custom: {},
      range: null,
    }),
  ],
  [
    'metadata',
    result([
      {
        contentType: 'text/plain',
        contentLanguage: 'de',
        contentDisposition: 'inline',
        contentEncoding: 'gzip',
        cacheControl: 'no-store',
        cacheExpiry: '2030-03-17T17:46:40.000Z',
      },
      { b: 'zoë 😀', a: '' },
      'InfrequentAccess',
      [
        ['cache-control', 'no-store'],
        ['content-disposition', 'inline'],
        ['content-encoding', 'gzip'],
        ['content-language', 'de'],
        ['content-type', 'text/plain'],
        ['expires', 'Sun, 17 Mar 2030 17:46:40 GMT'],
      ],
      { b: 'zoë 😀', a: '' },
      'text/plain',
      null,
    ]),
  ],
  ['metadata from headers', result({ contentType: 'image/png' })],
  [
    'metadata too large',
    failed('put', 10_012, 'Your metadata headers exceed the maximum allowed metadata size.'),
  ],
  ['metadata as large as may be', result(8191)],
  ['keys', result([Array.from({ length: 9 }, () => true), true])],
  ['key empty', failed('put', 10_020, keyText)],
  ['key too long', failed('get', 10_020, keyText)],
  [
    'ranges',
    result([
      ['234', { offset: 2, length: 3 }],
      ['789', { offset: 7, length: 3 }],
      ['0123', { offset: 0, length: 4 }],
      ['789', { offset: 7, length: 3 }],
      ['0123456789', { offset: 0, length: 10 }],
      ['89', { offset: 8, length: 2 }],
      ['12', { offset: 1, length: 2 }],
      ['0123456789', null],
      ['0123456789', null],
    ]),
  ],
  ['range beyond the end', failed('get', 10_039, rangeText)],
  ['range of nothing', failed('get', 10_039, rangeText)],
  ['range of an empty object', result('')],
  ['conditions of a get', result(['body', 'c', 'c', 'body', 'c', 'c', 'body', 'c'])],
  ['conditions of a put', result([1, null, null, 1, null, '4'])],
  ['one of many creates it', result(1)],
  ['checksums', result([true, true, '9e3669d19b675bd57058fd4664205d2a'])],
  [
    'md5 that differs',
    failed(
      'put',
      10_037,
      `The MD5 checksum you specified did not match what we received.\nYou provided a MD5 checksum with value: ${'0'.repeat(32)}\nActual MD5 was: 9e3669d19b675bd57058fd4664205d2a`,
    ),
  ],
  [
    'sha1 that differs, of a stream',
    failed(
      'put',
      10_037,
      `The SHA-1 checksum you specified did not match what we received.\nYou provided a SHA-1 checksum with value: ${'0'.repeat(40)}\nActual SHA-1 was: ${createHash('sha1').update(streamed).digest('hex')}`,
    ),
  ],
  ['after checksums that differ', result(null)],
  [
    'list',
    result([
      ['l/b', 'l/d'],
      ['l/a/', 'l/c/', 'l/é/', 'l/\uffee/', 'l/😀/'],
      false,
      [['l/b', 'l/a/'], ['l/d', 'l/c/'], ['l/é/', 'l/\uffee/'], ['l/😀/']],
      ['l/c/1', 'l/d', 'l/é/1', 'l/\uffee/1', 'l/😀/1'],
    ]),
  ],
  ['list, limit 0', failed('list', 10_022, limitText)],
  ['list, limit 1001', failed('list', 10_022, limitText)],
  ['list, bad cursor', failed('list', 10_029, 'The specified cursor is not valid.')],
  ['list of long metadata', result([100, true])],
  ['delete many', result([null, null])],
  ['delete too many', failed('delete', 10_029, 'A maximum of 1000 keys can be deleted at once.')],
  ['a large stream', result([30 * mebibyte, 30 * mebibyte, true])],
  ['a copy', result([true, [0, 7, 14, 21]])],
  ['a body that nobody reads', result('well')],
  ['a stream that fails', result(['rejected', 'before'])],
  ['a reader of an old version', result(20 * mebibyte)],
  [
    'multipart',
    result({
      etag: `${md5(part1, part2).toString('hex')}-2`,
      size: 5 * mebibyte + 7,
      parts: [
        { partNumber: 1, etag: part1.toString('hex') },
        { partNumber: 2, etag: part2.toString('hex') },
      ],
      custom: { a: 'b' },
      type: 'x/y',
      checksums: {},
      end: 'the end',
    }),
  ],
  ['multipart, resumed', result('only')],
  ['multipart, read while replaced', result(15 * mebibyte)],
  [
    'multipart, part too small',
    failed(
      'completeMultipartUpload',
      10_011,
      'Your proposed upload is smaller than the minimum allowed object size.',
    ),
  ],
  [
    'multipart, unequal parts',
    failed('completeMultipartUpload', 10_048, 'There was a problem with the multipart upload.'),
  ],
  [
    'multipart, wrong etag',
    failed(
      'completeMultipartUpload',
      10_025,
      'One or more of the specified parts could not be found.',
    ),
  ],
  ['multipart, twice the same part', failed('completeMultipartUpload', 10_001, internalText)],
  ['multipart, completed', failed('uploadPart', 10_024, noUploadText)],
  ['multipart, aborted', failed('completeMultipartUpload', 10_024, noUploadText)],
  ['multipart, never begun', failed('abortMultipartUpload', 10_001, internalText)],
  ['multipart, part of none', failed('uploadPart', 10_024, noUploadText)],
  ['ssec', result([ssecMd5, 'of mine', ssecMd5, 3 * mebibyte, 80_000, true])],
  ['ssec, no key', failed('get', 10_029, ssecText)],
  ['ssec, no key, head', failed('head', 10_029, ssecText)],
  ['ssec, another key', failed('get', 10_003, 'Access Denied.')],
  ['ssec, multipart', result([7, 101, 110, 100])],
  ['ssec, part without the key', failed('uploadPart', 10_029, ssecText)],
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
