import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { SiteFiles } from '#contract/assets.ts'
import { type BlobKey, blobKey } from '#contract/ids.ts'
import type { Blob } from '#contract/ports/blob.ts'
import { Client, hashOf, type OpenAssets, openFixture, upload } from '#test/assets.ts'
import { openAssets } from './binding.ts'
import { graceMs, sessionMs } from './limits.ts'

// What happens while a sweep is under way, and what it can't read.

const file = { hash: hashOf(1), size: 3 }
const other = { hash: hashOf(2), size: 3 }
const fill = (text: string) => ({ body: text, headers: { 'content-type': 'text/plain' } })

type Own = OpenAssets & {
  readonly warnings: readonly string[]
  /** Has a sweep wait for `run` where it reads such a blob, once. */
  hold(at: (key: BlobKey) => boolean, run: () => Promise<void>): void
  sweep(...named: readonly SiteFiles[]): Promise<void>
}

/** The binding, with blobs that are as old as the clock of the test says. */
async function open(): Promise<Own> {
  await using stack = new AsyncDisposableStack()
  const fixture = stack.use(await openFixture())
  const { blob, log } = fixture.ports
  const warnings: string[] = []
  const written = new Map<string, number>()
  let held: { at: (key: BlobKey) => boolean; run: () => Promise<void> } | undefined
  const hooked: Blob = {
    async put(key, ...of) {
      written.set(key, fixture.clock.now())
      return await blob.put(key, ...of)
    },
    async get(key) {
      if (!held?.at(key)) return await blob.get(key)
      const { run } = held
      held = undefined
      await run()
      return await blob.get(key)
    },
    delete: (key) => blob.delete(key),
    async *list() {
      for await (const { key, writtenAt } of blob.list()) {
        yield { key, writtenAt: written.get(key) ?? writtenAt }
      }
    },
  }
  const warn = (text: string): void => void warnings.push(text)
  const ports = { ...fixture.ports, blob: hooked, log: { ...log, warn } }
  const live = stack.use(openAssets(ports))
  const sites = live.sites ?? assert.fail()
  const owned = stack.move()
  return {
    ...fixture,
    ports,
    live,
    warnings,
    hold: (at, run) => void (held = { at, run }),
    sweep: (...named) => sites.sweepBy(async () => new Set(named.map((files) => files.manifest))),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Brings a file and has a version name it. */
async function deploy(own: Own, of: typeof file, path = '/a'): Promise<SiteFiles> {
  const client = new Client(own.live)
  const { jwt, buckets } = await client.begin({ [path]: of })
  if (buckets.length > 0) await client.send(jwt, `/${of.hash}`, fill('aaa'))
  return (await own.live.sites?.admit({ jwt }, upload)) ?? assert.fail()
}

/** Whether a version can take these files over, and a visitor is given one of them. */
async function isWhole(own: Own, files: SiteFiles): Promise<boolean> {
  const kept = (await own.live.sites?.readmit({}, upload, files)) ?? assert.fail()
  const site = { ...kept, account: upload.owner.account, hasWorker: false }
  const request = { method: 'GET', url: '/a', hostname: 'w.test', header: () => undefined }
  const reply = await own.live.sites?.answer(site, { ...request, protocol: 'https' })
  return reply?.status === 200
}

async function keys(own: Own): Promise<Set<string>> {
  return new Set((await Array.fromAsync(own.ports.blob.list())).map(({ key }) => key))
}

suite('while a sweep is under way', () => {
  test('an upload that begins keeps the files that it is told are there', async () => {
    await using own = await open()
    await deploy(own, file)
    own.clock.moveBy(graceMs + 60_000)
    // An upload whose draft is read when the sweep knows already which uploads there are.
    const before = await keys(own)
    await new Client(own.live).begin({ '/other': other })
    let files: SiteFiles | undefined
    const isDraft = (key: BlobKey): boolean => !before.has(key)
    own.hold(isDraft, async () => {
      files = await deploy(own, file)
    })
    await own.sweep()
    assert.ok(files)
    assert.ok(await isWhole(own, files))
  })

  test('files that nobody asks for go all the same', async () => {
    await using own = await open()
    const named = await deploy(own, file)
    await deploy(own, other, '/b')
    own.clock.moveBy(graceMs + 60_000)
    await own.sweep(named)
    assert.equal((await keys(own)).size, 2)
  })

  test('a version may name files until its upload has ended, and for a while after', async () => {
    await using own = await open()
    await deploy(own, file)
    own.clock.moveBy(graceMs + 60_000)
    const { jwt } = await new Client(own.live).begin({ '/a': file })
    own.clock.moveBy(sessionMs - 1)
    const files = (await own.live.sites?.admit({ jwt }, upload)) ?? assert.fail()
    own.clock.moveBy(sessionMs)
    await own.sweep()
    await own.sweep(files)
    assert.ok(await isWhole(own, files))
  })
})

suite('what a sweep can not read', () => {
  const damages: readonly [string, (own: Own, key: BlobKey) => Promise<unknown>][] = [
    ['that is gone', (own, key) => own.ports.blob.delete(key)],
    ['that is damaged', (own, key) => own.ports.blob.put(key, new Uint8Array(100))],
    ['that is cut short', (own, key) => own.ports.blob.put(key, new TextEncoder().encode('BAM1'))],
  ]
  for (const [title, damage] of damages) {
    test(`a manifest ${title} may name anything: nothing goes, and that is told`, async () => {
      await using own = await open()
      const named = await deploy(own, file)
      await using reader = await own.ports.blob.get(named.manifest)
      const bytes = (await reader?.bytes()) ?? assert.fail()
      const also = await deploy(own, other, '/b')
      await damage(own, named.manifest)
      own.clock.moveBy(graceMs + 60_000)
      const before = await keys(own)
      await own.sweep(named, also)
      assert.deepEqual(await keys(own), before)
      assert.equal(own.warnings.length, 1)
      await own.ports.blob.put(named.manifest, bytes)
      assert.ok(await isWhole(own, named))
      await own.sweep(named)
      assert.equal((await keys(own)).size, 2)
    })
  }
})

suite('an upload that is refused', () => {
  test('for a size that a known content does not have leaves nothing', async () => {
    await using own = await open()
    await deploy(own, file)
    const before = await keys(own)
    const { code } = await new Client(own.live).announce({
      manifest: { '/a': { ...file, size: 4 } },
    })
    assert.equal(code, 100_307)
    assert.deepEqual(await keys(own), before)
  })
})

suite('files that are kept for another version', () => {
  const losses: readonly [string, (own: Own, manifest: BlobKey) => Promise<unknown>][] = [
    ['a file is gone', (own) => own.ports.sql.write([lose])],
    ['the manifest is gone', (own, manifest) => own.ports.blob.delete(manifest)],
    ['the manifest is none', (own, key) => own.ports.blob.put(key, new Uint8Array(20))],
  ]
  const lose = { strings: ['DELETE FROM file'], values: [] }
  for (const [title, damage] of losses) {
    test(`${title}: a sentence, not a version with holes`, async () => {
      await using own = await open()
      const files = await deploy(own, file)
      await damage(own, files.manifest)
      await assert.rejects(async () => isWhole(own, files), /Deploy the Worker with its files/)
    })
  }

  test('to keep what never was is refused', async () => {
    await using own = await open()
    const files = await deploy(own, file)
    const manifest = blobKey.parse('e'.repeat(32))
    await assert.rejects(
      async () => isWhole(own, { ...files, manifest }),
      /Deploy the Worker with its files/,
    )
  })
})
