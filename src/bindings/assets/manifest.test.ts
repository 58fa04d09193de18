import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { blobKey } from '#contract/ids.ts'
import { type ManifestRow, StoredManifest, writeManifest } from './manifest.ts'

function rowAt(path: string, number: number, contentType?: string): ManifestRow {
  const hash = number.toString(16).padStart(32, '0')
  return { path, hash, blob: blobKey.parse(hash.replaceAll('0', 'f')), size: number, contentType }
}

suite('manifests', () => {
  test('any files are found at their paths, and at no other', () => {
    const number = fc.integer({ min: 0, max: 25 * 1024 * 1024 })
    const row = fc.record({
      path: fc.string({ unit: 'binary' }),
      number,
      type: fc.option(fc.string(), { nil: undefined }),
    })
    fc.assert(
      fc.property(fc.array(row), fc.string(), (rows, other) => {
        const written = rows.map(({ path, number: n, type }) => rowAt(path, n, type))
        const manifest = new StoredManifest(writeManifest(written))
        const last = new Map(written.map(({ path, ...entry }) => [path, entry]))
        assert.equal(manifest.count, last.size)
        for (const [path, entry] of last) assert.deepEqual(manifest.find(path), entry)
        if (!last.has(other)) assert.equal(manifest.find(other), undefined)
        const blobs = [...last.values()].map(({ blob }) => blob)
        assert.deepEqual([...manifest.blobs()].toSorted(), blobs.toSorted())
      }),
    )
  })

  test('100 000 files take some 60 bytes each', () => {
    const rows = Array.from({ length: 100_000 }, (_, n) => rowAt(`/a/${n}.html`, n, 'text/html'))
    const manifest = new StoredManifest(writeManifest(rows))
    assert.ok(manifest.byteLength < 6_000_000, String(manifest.byteLength))
    assert.equal(manifest.find('/a/99999.html')?.size, 99_999)
    assert.equal(manifest.find('/a/100000.html'), undefined)
  })

  const whole = writeManifest([rowAt('/a', 1)])
  const broken: readonly (readonly [string, Uint8Array])[] = [
    ['nothing', new Uint8Array()],
    ['something else', new TextEncoder().encode('BAM2'.padEnd(80))],
    ['cut short', whole.subarray(0, -1)],
    ['too long', new Uint8Array([...whole, 0])],
  ]
  for (const [title, bytes] of broken) {
    test(`refused: ${title}`, () => assert.throws(() => new StoredManifest(bytes)))
  }
})
