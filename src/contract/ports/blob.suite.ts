import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { blobKey } from '#contract/ids.ts'
import { type Blob, BlobTooLargeError } from './blob.ts'

/** What every driver of the `Blob` port does. `open` gives an empty store. */
export function blobSuite(name: string, open: () => Promise<Blob>): void {
  suite(`${name}: the Blob port`, () => {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 1_000_000]) {
      test(`${size} bytes come back as they were, whole, streamed and in part`, async () => {
        const blobs = await open()
        const value = sample(size)
        assert.equal(await blobs.put(key(1), value), size)
        assert.equal(await blobs.put(key(2), inChunks(value, 10_000)), size)
        for (const stored of [key(1), key(2)]) {
          assert.deepEqual(await read(blobs, stored), value)
          await using reader = await blobs.get(stored)
          assert.equal(reader?.size, size)
          assert.deepEqual(new Uint8Array((await reader?.bytes()) ?? [1]), value)
        }
        assert.deepEqual(await lent(blobs, key(1)), value)
        const range = { start: size >> 2, end: size >> 1 }
        assert.deepEqual(await lent(blobs, key(2), range), value.subarray(range.start, range.end))
        assert.deepEqual(await read(blobs, key(1), range), value.subarray(range.start, range.end))
      })
    }

    test('what is not there is undefined, and may be deleted', async () => {
      const blobs = await open()
      assert.equal(await blobs.get(key(1)), undefined)
      await blobs.delete(key(1))
    })

    test('a second write replaces the first; who reads the first goes on', async () => {
      const blobs = await open()
      await blobs.put(key(1), sample(500_000))
      await using first = await blobs.get(key(1))
      await blobs.put(key(1), sample(3))
      assert.deepEqual(await read(blobs, key(1)), sample(3))
      await blobs.delete(key(1))
      assert.equal(await blobs.get(key(1)), undefined)
      assert.equal((await first?.bytes())?.byteLength, 500_000)
    })

    for (const [title, source] of [
      ['at once', () => sample(101)],
      ['streamed', () => inChunks(sample(101), 50)],
    ] as const) {
      test(`a limit holds: ${title}`, async () => {
        const blobs = await open()
        await assert.rejects(blobs.put(key(1), source(), 100), BlobTooLargeError)
        assert.equal(await blobs.get(key(1)), undefined)
        assert.equal(await blobs.put(key(1), source(), 101), 101)
      })
    }

    test('an endless source is stopped at the limit', async () => {
      const blobs = await open()
      let isReturned = false
      const endless = async function* (): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield sample(1_000)
        } finally {
          isReturned = true
        }
      }
      await assert.rejects(blobs.put(key(1), endless(), 10_000), BlobTooLargeError)
      assert.ok(isReturned)
    })

    test('a source that fails leaves nothing, not even of what was there', async () => {
      const blobs = await open()
      const failing = async function* (): AsyncGenerator<Uint8Array> {
        yield sample(10)
        throw new Error('gone away')
      }
      await assert.rejects(blobs.put(key(1), failing()), /gone away/)
      assert.equal(await blobs.get(key(1)), undefined)
      await blobs.put(key(1), sample(5))
      await assert.rejects(blobs.put(key(1), failing()), /gone away/)
      assert.deepEqual(await read(blobs, key(1)), sample(5))
    })

    test('the list has every key and when it was written', async () => {
      const blobs = await open()
      const keys = Array.from({ length: 50 }, (_, n) => key(n))
      await Promise.all(keys.map((each) => blobs.put(each, sample(1))))
      await blobs.delete(key(7))
      const listed = await Array.fromAsync(blobs.list())
      assert.deepEqual(
        listed.map((entry) => entry.key).toSorted(),
        keys.filter((each) => each !== key(7)).toSorted(),
      )
      for (const { writtenAt } of listed) assert.ok(Math.abs(writtenAt - Date.now()) < 60_000)
    })
  })
}

function key(n: number): ReturnType<typeof blobKey.parse> {
  return blobKey.parse((n * 0x9e3779b1).toString(16).slice(-8).padStart(8, '0').repeat(4))
}

function sample(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, n) => (n * 31 + (n >> 8)) & 0xff)
}

async function* inChunks(value: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < value.byteLength; at += size) yield value.subarray(at, at + size)
}

/** Copies each piece before the next is asked for. */
async function lent(
  blobs: Blob,
  stored: ReturnType<typeof blobKey.parse>,
  range?: { start: number; end: number },
): Promise<Uint8Array> {
  await using reader = await blobs.get(stored)
  assert.ok(reader)
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.lend(range)) chunks.push(chunk.slice())
  return new Uint8Array(Buffer.concat(chunks))
}

async function read(
  blobs: Blob,
  stored: ReturnType<typeof blobKey.parse>,
  range?: { start: number; end: number },
): Promise<Uint8Array> {
  await using reader = await blobs.get(stored)
  assert.ok(reader)
  const chunks = await Array.fromAsync(reader.stream(range))
  return new Uint8Array(Buffer.concat(chunks))
}
