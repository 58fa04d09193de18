import { join } from 'node:path'
import { blobKey, type BlobKey, versionId, workerName } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { account, otherAccount } from '#test/backend.ts'
import { openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { controlMigrations } from './control.ts'
import { IdentityStore } from './identity-store.ts'
import { type Deployment, type Version, type Worker, workerSettings } from './records.ts'
import { type WorkerKey, WorkerStore } from './worker-store.ts'

// Records for the tests of this folder, and a database of two accounts to put them in.

/** The Worker of a test that needs one. */
export const key: WorkerKey = { account, worker: workerName.parse('one') }
const createdAt = '2026-11-24T00:00:00.000Z'
const author = { authorId: 'a', authorEmail: 'me@example.com', source: 'api' } as const

/** A store of Workers on a database of its own, with the drivers below it. */
export interface OpenStore extends AsyncDisposable {
  readonly ports: Ports
  readonly identities: IdentityStore
  readonly store: WorkerStore
}

export async function openStore(): Promise<OpenStore> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await temporaryFolder())
  const ports = stack.use(
    await openPorts({ path: join(path, 'db'), migrations: controlMigrations }),
  )
  const identities = new IdentityStore(ports.sql)
  for (const [id, name] of [
    [account, 'a'],
    [otherAccount, 'b'],
  ] as const) {
    await identities.addAccount({ id, name, subdomain: name, createdAt })
  }
  const owned = stack.move()
  return {
    ports,
    identities,
    store: new WorkerStore(ports.sql),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

export function workerOf({ account: of, worker }: WorkerKey, more: Partial<Worker> = {}): Worker {
  return {
    account: of,
    name: worker,
    tag: `tag of ${of} ${worker}`,
    createdAt,
    modifiedAt: createdAt,
    isOnSubdomain: true,
    hasPreviews: false,
    settings: workerSettings.parse({}),
    migrationTag: null,
    ...more,
  }
}

export function idOf(of: WorkerKey, number: number): Version['id'] {
  const digit = of.account === account ? 'a' : 'b'
  const name = Buffer.from(of.worker).toString('hex').padEnd(8, '0').slice(0, 8)
  return versionId.parse(`${name}-000${digit}-4000-8000-${String(number).padStart(12, '0')}`)
}

export function keyOfModule(number: number): BlobKey {
  return blobKey.parse(String(number).padStart(64, '0'))
}

export function versionOf(of: WorkerKey, number: number): Version {
  return {
    ...of,
    ...author,
    id: idOf(of, number),
    number,
    createdAt,
    annotations: {},
    metadata: {},
    bindings: [{ type: 'plain_text', name: 'A', text: '1' }],
    format: 'modules',
    mainModule: 'a.js',
    modules: [{ name: 'a.js', type: 'esModule', key: keyOfModule(number), size: 1 }],
    compatibilityFlags: [],
    exports: { hasDefault: true, handlers: ['fetch'], named: [] },
    startupTimeMs: 1,
    etag: 'x',
  }
}

export function deploymentOf(of: WorkerKey, id: string, versions: readonly number[]): Deployment {
  const percentage = 100 / versions.length
  const shares = versions.map((number) => ({ versionId: idOf(of, number), percentage }))
  return { ...of, ...author, id, createdAt, annotations: {}, versions: shares }
}
