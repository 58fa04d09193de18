import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { temporaryFolder } from '#test/temporary.ts'
import { readTar, type TarEntry, TarError, writeTar } from './tar.ts'

const files: Readonly<Record<string, Uint8Array>> = {
  'empty.txt': new Uint8Array(),
  'one block': new Uint8Array(512).fill(1),
  [`${'a'.repeat(90)}.sqlite`]: new Uint8Array(100_001).fill(7),
  'Ö.json': new TextEncoder().encode('{}'),
}

async function* entries(): AsyncGenerator<TarEntry> {
  for (const [name, content] of Object.entries(files)) {
    yield { name, sizeBytes: content.byteLength, bytes: inChunks(content, 1_000) }
  }
}

async function* inChunks(content: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.byteLength; at += size) yield content.subarray(at, at + size)
}

async function archive(): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(writeTar(entries(), 1_800_000_000_000)))
}

async function read(content: Uint8Array, chunk = 777): Promise<Record<string, Uint8Array>> {
  const found: Record<string, Uint8Array> = {}
  for await (const { name, bytes } of readTar(inChunks(content, chunk))) {
    found[name] = new Uint8Array(Buffer.concat(await Array.fromAsync(bytes)))
  }
  return found
}

suite('tar', () => {
  for (const chunk of [1, 511, 512, 513, 1_000_000]) {
    test(`reads what it wrote, in chunks of ${chunk}`, async () => {
      assert.deepEqual(await read(await archive(), chunk), files)
    })
  }

  test('writes what the tool reads', async () => {
    await using folder = await temporaryFolder()
    await writeFile(join(folder.path, 'it.tar'), await archive())
    execFileSync('tar', ['xf', 'it.tar'], { cwd: folder.path })
    for (const [name, content] of Object.entries(files)) {
      assert.deepEqual(new Uint8Array(await readFile(join(folder.path, name))), content)
    }
  })

  for (const format of ['ustar', 'gnu', 'posix']) {
    test(`reads what the tool writes: ${format}`, async () => {
      await using folder = await temporaryFolder()
      await mkdir(join(folder.path, 'some'))
      for (const [name, content] of Object.entries(files)) {
        await writeFile(join(folder.path, 'some', name), content)
      }
      const at = ['-C', folder.path, 'some']
      const made = execFileSync('tar', [`--format=${format}`, '-cf', '-', ...at])
      assert.deepEqual(await read(made), files)
    })
  }

  test('what is not read is passed over', async () => {
    const names: string[] = []
    for await (const { name } of readTar(inChunks(await archive(), 999))) names.push(name)
    assert.deepEqual(names, Object.keys(files))
  })

  test('has sizes above 8 GiB', async () => {
    const sizeBytes = 9 * 1024 ** 3
    const bytes = inChunks(new Uint8Array(), 1)
    const one = (async function* () {
      yield { name: 'large', sizeBytes, bytes }
    })()
    const { value: header } = await writeTar(one, 0).next()
    const [entry] = [await readTar(inChunks(header ?? new Uint8Array(), 512)).next()]
    assert.equal(entry.value?.sizeBytes, sizeBytes)
  })

  test('what is no archive is refused', async () => {
    const whole = await archive()
    for (const [content, message] of [
      [new Uint8Array(), /ends too early/],
      [whole.subarray(0, 100), /ends too early/],
      [whole.subarray(0, 3_000), /ends too early/],
      [new Uint8Array(1_024).fill(65), /not a tar archive/],
    ] as const) {
      await assert.rejects(read(content), (error) => {
        assert.ok(error instanceof TarError)
        assert.match(error.message, message)
        return true
      })
    }
  })

  test('a file of another length than it said is an error', async () => {
    const wrong = (async function* () {
      yield { name: 'x', sizeBytes: 5, bytes: inChunks(new Uint8Array(4), 4) }
    })()
    await assert.rejects(Array.fromAsync(writeTar(wrong, 0)), TarError)
  })
})
