import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { blobKey } from '#contract/ids.ts'
import { blobSuite } from '#contract/ports/blob.suite.ts'
import { BlobFullError } from '#contract/ports/blob.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { openBlobs } from './driver.ts'

const folder = await temporaryFolder()
after(() => folder[Symbol.asyncDispose]())
let stores = 0
const newPath = (): string => join(folder.path, `${stores++}`)

blobSuite('fs', () => openBlobs({ path: newPath() }))

test('fs: what a crash left half written is removed, what is not a blob is not listed', async () => {
  const path = newPath()
  await mkdir(join(path, 'unfinished'), { recursive: true })
  await writeFile(join(path, 'unfinished', '17'), 'half')
  await mkdir(join(path, 'ab'))
  await writeFile(join(path, 'ab', 'README'), 'not a blob')
  const blobs = await openBlobs({ path })
  assert.deepEqual(await readdir(join(path, 'unfinished')), [])
  assert.deepEqual(await Array.fromAsync(blobs.list()), [])
})

test('fs: a failed put leaves no file', async () => {
  const path = newPath()
  const blobs = await openBlobs({ path })
  await assert.rejects(blobs.put(blobKey.parse('a'.repeat(32)), failing()))
  assert.deepEqual(await readdir(join(path, 'unfinished')), [])
})

async function* failing(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(10)
  throw new Error('gone away')
}

const mountable = process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0

test(
  'fs: a full disk refuses what does not fit and keeps what is there',
  { skip: mountable ? false : 'only root can make a small disk' },
  async () => {
    const path = newPath()
    await mkdir(path)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', path])
    assert.equal(mounted.status, 0, String(mounted.stderr))
    try {
      const blobs = await openBlobs({ path })
      const key = blobKey.parse('b'.repeat(32))
      await blobs.put(key, new Uint8Array(500_000).fill(1))
      await assert.rejects(blobs.put(key, new Uint8Array(2_000_000)), BlobFullError)
      assert.deepEqual(await readdir(join(path, 'unfinished')), [])
      await using reader = await blobs.get(key)
      assert.deepEqual(await reader?.bytes(), new Uint8Array(500_000).fill(1))
    } finally {
      assert.equal(spawnSync('umount', [path]).status, 0)
    }
  },
)
