import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { CellHost } from '#contract/cell.ts'
import type { Upload } from '#deploy/upload.ts'
import { ClassStore } from './class-store.ts'
import { Classes } from './classes.ts'
import { key, openStore, workerOf } from './fixture.ts'
import { Registry } from './registry.ts'
import { type MadeVersion, VersionMaker } from './version-maker.ts'

const upload: Upload = {
  metadata: { main_module: 'a.js', compatibility_date: '2026-11-01' },
  format: 'modules',
  isFilesOnly: false,
  mainModule: 'a.js',
  modules: [
    { name: 'a.js', type: 'esModule', bytes: new TextEncoder().encode('export default {}') },
  ],
}

const facts = {
  key,
  author: { authorId: 'a', authorEmail: 'me@example.com', source: 'api' },
  annotations: {},
  isStrict: false,
  isDeployed: true,
} as const

/** A host that finds nothing wrong. */
const host: CellHost = {
  isolation: { mode: 'none', network: 'host', seccomp: false, cgroup: 'none' },
  check: async () => ({
    ok: true,
    exports: { hasDefault: true, handlers: ['fetch'], named: [] },
    startupTimeMs: 1,
  }),
  apply: async () => undefined,
  restore: async () => undefined,
  whileStopped: (_of, _namespaces, run) => run(),
  status: () => [],
  wake: () => undefined,
  [Symbol.asyncDispose]: async () => undefined,
}

async function openMaker() {
  const { ports, store, ...all } = await openStore()
  const classes = new Classes({
    ...ports,
    classStore: new ClassStore(ports.sql),
    workers: store,
    removeObjects: async () => undefined,
  })
  const registry = new Registry([], ports.blob)
  return {
    store,
    maker: new VersionMaker({ ...ports, workers: store, registry, host, classes }),
    async modules(): Promise<number> {
      return (await Array.fromAsync(ports.blob.list())).length
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  }
}

suite('a version that is made', () => {
  test('leaves nothing behind if it is not stored', async () => {
    await using all = await openMaker()
    const fail = (): Promise<never> => Promise.reject(new Error('a full disk'))
    await assert.rejects(all.maker.fromUpload(upload, facts, fail), /a full disk/)
    assert.equal(await all.modules(), 0)
  })

  test('keeps its modules if what comes after the storing fails', async () => {
    await using all = await openMaker()
    const store = async ({ version }: MadeVersion): Promise<never> => {
      await all.store.apply({ worker: workerOf(key), version })
      throw new Error('no routes')
    }
    await assert.rejects(all.maker.fromUpload(upload, facts, store), /no routes/)
    assert.equal(await all.modules(), 1)
    const stored = await all.store.latestVersion(key)
    assert.equal(stored?.modules.length, 1)
  })
})
