import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { isKnown, isSame } from './conditional.ts'
import { chooseEncoding, isWorthCompressing } from './encoding.ts'
import { compressedFrom, conditionLength } from './limits.ts'
import { readRange } from './range.ts'

const hash = 'a'.repeat(32)
const other = 'b'.repeat(32)

suite('If-None-Match', () => {
  const cases: readonly (readonly [header: string, isKnown: boolean])[] = [
    [`"${hash}"`, true],
    [`W/"${hash}"`, true],
    [`"${other}", "${hash}"`, true],
    [`W/"${other}",W/"${hash}"`, true],
    [` , "${other}" ,\t"${hash}" `, true],
    ['*', true],
    [' * ', true],
    [`"${other}"`, false],
    [hash, false],
    [`w/"${hash}"`, false],
    [`"${hash}`, false],
    [`x "${hash}"`, false],
    [`"${other}" "${hash}"`, false],
    [`"${hash.toUpperCase()}"`, false],
    ['', false],
    [`${'"x", '.repeat(conditionLength)}"${hash}"`, false],
  ]
  for (const [header, expected] of cases) {
    test(JSON.stringify(header.slice(0, 80)), () => {
      assert.equal(isKnown(header, hash, true), expected)
    })
  }
  test('* is of what is there', () => assert.equal(isKnown('*', hash, false), false))
})

test('If-Range takes the strong tag of the file, and nothing else', () => {
  const seen = [undefined, `"${hash}"`, ` "${hash}" `, `W/"${hash}"`, `"${other}"`, 'Wed, 21 Oct']
  assert.deepEqual(
    seen.map((header) => isSame(header, hash)),
    [true, true, true, false, false, false],
  )
})

suite('Range, of ten bytes', () => {
  const cases: readonly (readonly [header: string, range: ReturnType<typeof readRange>])[] = [
    ['bytes=0-3', { start: 0, end: 4 }],
    ['bytes=0-0', { start: 0, end: 1 }],
    ['bytes=5-', { start: 5, end: 10 }],
    ['bytes=-3', { start: 7, end: 10 }],
    ['bytes=-99', { start: 0, end: 10 }],
    ['bytes=9-99', { start: 9, end: 10 }],
    ['Bytes = 1-2', { start: 1, end: 3 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=99-100', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=3-1', 'whole'],
    ['bytes=0-1,3-4', 'whole'],
    ['bytes=', 'whole'],
    ['bytes=-', 'whole'],
    ['bytes=a-b', 'whole'],
    ['bytes=0x1-2', 'whole'],
    ['lines=0-1', 'whole'],
    ['', 'whole'],
    [`bytes=0-${'9'.repeat(400)}`, { start: 0, end: 10 }],
    [`bytes=${'9'.repeat(conditionLength)}-`, 'whole'],
  ]
  for (const [header, expected] of cases) {
    test(JSON.stringify(header.slice(0, 60)), () => {
      assert.deepEqual(readRange(header, 10), expected)
    })
  }
  test('nothing of an empty file can be had', () => {
    assert.equal(readRange('bytes=0-', 0), 'unsatisfiable')
  })
})

suite('Accept-Encoding', () => {
  const cases: readonly (readonly [header: string, chosen: string | undefined])[] = [
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip, deflate', 'gzip'],
    ['zstd;q=1, br;q=0.9', 'zstd'],
    ['br;q=0.1, gzip;q=0.5', 'gzip'],
    ['*', 'br'],
    ['br;q=0, *', 'zstd'],
    ['gzip;q=0', undefined],
    ['*;q=0', undefined],
    ['identity', undefined],
    ['identity;q=1, gzip;q=0.5', undefined],
    ['identity;q=0, gzip;q=0.001', 'gzip'],
    ['X-GZIP', 'gzip'],
    ['deflate, compress', undefined],
    ['br;q=nonsense', 'br'],
    [' ,, gzip ; q=0.3 ,', 'gzip'],
    ['', undefined],
    ['gzip,'.repeat(conditionLength), undefined],
  ]
  for (const [header, expected] of cases) {
    test(JSON.stringify(header.slice(0, 60)), () => {
      assert.equal(chooseEncoding(header), expected)
    })
  }
})

suite('what is worth compressing', () => {
  const cases: readonly (readonly [type: string | undefined, isWorth: boolean])[] = [
    ['text/html; charset=utf-8', true],
    ['Text/CSS', true],
    ['application/javascript', true],
    ['image/svg+xml', true],
    ['application/wasm', true],
    ['image/png', false],
    ['video/mp4', false],
    ['font/woff2', false],
    ['application/zip', false],
    ['application/octet-stream', false],
    ['text/event-stream', false],
    [undefined, false],
  ]
  for (const [type, expected] of cases) {
    test(String(type), () => assert.equal(isWorthCompressing(type, compressedFrom), expected))
  }
  test('nothing that fits a packet anyway', () => {
    assert.equal(isWorthCompressing('text/html', compressedFrom - 1), false)
  })
})
