import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { plainText } from '#bindings/environment-variables/binding.ts'
import type { Entry } from '#contract/binding.ts'
import type { CellHost, CellPlan, WorkerPlan } from '#contract/cell.ts'
import { workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import type { RouteTable } from '#contract/snapshot.ts'
import { account, otherAccount } from '#test/backend.ts'
import { Activation } from './activation.ts'
import { ClassStore } from './class-store.ts'
import { deploymentOf, key, openStore, versionOf, workerOf } from './fixture.ts'
import { Publication } from './publication.ts'
import { Registry } from './registry.ts'
import type { WorkerKey } from './worker-store.ts'
import { ZoneStore } from './zone-store.ts'

const two: WorkerKey = { account, worker: workerName.parse('two') }
const elsewhere: WorkerKey = { account: otherAccount, worker: workerName.parse('one') }

/** What happened, in its order: `apply one@1 two@1`, `store`, `publish`, and what was logged. */
type Events = string[]

function shown(cells: readonly CellPlan[]): string {
  const plans = cells.flatMap(({ workers }) => workers)
  return plans
    .map(({ worker, version, percentage }) => {
      const share = percentage === 100 ? '' : `:${percentage}`
      return `${worker}@${Number(version.id.slice(-4))}${share}`
    })
    .toSorted((a, b) => (a < b ? -1 : 1))
    .join(' ')
}

/** A host that notes what it is told, and fails when there is an error to fail with. */
function recordingHost(events: Events, failures: Error[]): CellHost {
  return {
    isolation: { mode: 'none', network: 'host', seccomp: false, cgroup: 'none' },
    check: () => Promise.reject(new Error('nothing is checked here')),
    async apply(of, cells, commit) {
      events.push(`apply ${of === account ? '' : 'elsewhere '}${shown(cells)}`)
      await Promise.resolve()
      const failure = failures.shift()
      if (failure) throw failure
      await commit?.()
    },
    async restore(of, cells) {
      events.push(`restore ${of === account ? '' : 'elsewhere '}${shown(cells)}`)
    },
    whileStopped: (_of, _namespaces, run) => run(),
    status: () => [],
    wake: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}

function recordingLog(events: Events): Log {
  const at = (message: string): void => void events.push(message)
  return { debug: at, info: at, warn: at, error: at, child: () => recordingLog(events) }
}

async function openActivation() {
  await using stack = new AsyncDisposableStack()
  const all = stack.use(await openStore())
  const events: Events = []
  const failures: Error[] = []
  const broken = new Set<string>()
  const live = {
    async prepare(stored: Parameters<typeof plainText.wiring>[0]) {
      if (broken.has(JSON.stringify(stored['text']))) throw new Error('it does not open')
      return stored
    },
    [Symbol.asyncDispose]: async () => undefined,
  }
  const registry = new Registry([{ binding: plainText, live }], all.ports.blob)
  let table: RouteTable = { hosts: new Map() }
  const publication = new Publication({
    workers: all.store,
    identities: all.identities,
    zones: new ZoneStore(all.ports.sql),
    publishRoutes: (next) => {
      table = next
      events.push('publish')
    },
    domain: 'example.com',
  })
  const activation = new Activation({
    workers: all.store,
    identities: all.identities,
    registry,
    classStore: new ClassStore(all.ports.sql),
    host: recordingHost(events, failures),
    publication,
    log: recordingLog(events),
  })
  const owned = stack.move()
  const version = (of: WorkerKey, number: number) => ({
    ...versionOf(of, number),
    bindings: [{ type: 'plain_text', name: 'A', text: `${of.worker}${number}` }],
  })
  return {
    activation,
    publication,
    events,
    failures,
    broken,
    store: all.store,
    table: () => [...table.hosts.keys()].toSorted(),
    async plan(of: WorkerKey, number: number): Promise<WorkerPlan> {
      return registry.plan(version(of, number))
    },
    /** Stores a version and its deployment, as the commit of a change does. */
    async put(of: WorkerKey, number: number): Promise<void> {
      events.push('store')
      const deployment = deploymentOf(of, `${of.account} ${of.worker} ${number}`, [number])
      await all.store.apply({ worker: workerOf(of), version: version(of, number), deployment })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

type All = Awaited<ReturnType<typeof openActivation>>

async function deploy(all: All, of: WorkerKey, number: number): Promise<void> {
  const replacement = { worker: of.worker, plans: [await all.plan(of, number)] }
  await all.activation.replace(of.account, replacement, () => all.put(of, number))
}

suite('what is stored runs', () => {
  test('first it runs, then it is stored, then it is published; others run on', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    await deploy(all, two, 1)
    await deploy(all, key, 2)
    const applied = ['apply one@1', 'apply one@1 two@1', 'apply one@2 two@1']
    assert.deepEqual(
      all.events,
      applied.flatMap((event) => [event, 'store', 'publish']),
    )
  })

  test('what does not start is not stored', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    all.events.length = 0
    all.failures.push(new Error('it crashed'))
    const expected = { name: 'ApiError', code: 10013, status: 500, message: /it crashed/ }
    await assert.rejects(deploy(all, key, 2), expected)
    assert.deepEqual(all.events, ['apply one@2', 'a deployment did not start'])
    await deploy(all, two, 1)
    assert.equal(all.events[2], 'apply one@1 two@1')
  })

  test('what is not stored does not run', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    await deploy(all, two, 1)
    all.events.length = 0
    const replacement = { worker: key.worker, plans: [await all.plan(key, 2)] }
    const full = (): Promise<never> => Promise.reject(new Error('the disk is full'))
    await assert.rejects(all.activation.replace(account, replacement, full), /the disk is full/)
    assert.deepEqual(all.events, ['apply one@2 two@1'])
    await deploy(all, key, 3)
    assert.equal(all.events[1], 'apply one@3 two@1')
  })

  test('a removal is a replacement by nothing', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    await deploy(all, two, 1)
    all.events.length = 0
    const nothing = { worker: key.worker, plans: [] }
    await all.activation.replace(account, nothing, () => all.store.remove(key))
    assert.deepEqual(all.events, ['apply two@1', 'publish'])
    assert.deepEqual(all.table(), ['two.a.example.com', 'two.example.com'])
  })

  test('a split deployment runs each version with its share', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    await deploy(all, key, 2)
    await all.store.apply({ worker: workerOf(key), deployment: deploymentOf(key, 'd', [1, 2]) })
    await deploy(all, two, 1)
    assert.ok(all.events.includes('apply one@1:50 one@2:50 two@1'))
  })

  test('changes of an account are made one by one, those of others beside them', async () => {
    await using all = await openActivation()
    const gate = Promise.withResolvers<void>()
    const plans = [await all.plan(key, 1)]
    const held = all.activation.replace(account, { worker: key.worker, plans }, async () => {
      await gate.promise
      await all.put(key, 1)
    })
    const next = deploy(all, two, 1)
    await deploy(all, elsewhere, 1)
    assert.deepEqual(all.events.slice(0, 3), ['apply one@1', 'apply elsewhere one@1', 'store'])
    assert.ok(!all.events.includes('apply one@1 two@1'))
    gate.resolve()
    await Promise.all([held, next])
    assert.ok(all.events.includes('apply one@1 two@1'))
    await all.activation.idle()
  })
})

suite('what deployed Workers are bound to', () => {
  const isOf = (text: string) => (entry: Entry) => entry['text'] === text

  test('an entry is used by a version that has traffic, and by no older one', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    await deploy(all, elsewhere, 1)
    assert.deepEqual(await all.activation.usersOf(account, isOf('one1')), ['one'])
    await deploy(all, key, 2)
    assert.deepEqual(await all.activation.usersOf(account, isOf('one1')), [])
    await all.store.apply({ worker: workerOf(key), deployment: deploymentOf(key, 'd', [1, 2]) })
    assert.deepEqual(await all.activation.usersOf(account, isOf('one1')), ['one'])
  })

  test('what is used is left alone, and nothing is deployed while it is seen to', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    const seen: string[] = []
    const remove = async (): Promise<void> => {
      seen.push('begun')
      await all.store.worker(key)
      seen.push('removed')
    }
    const used = all.activation.unlessUsed(account, isOf('one1'), remove)
    assert.deepEqual(await used, ['one'])
    assert.equal(seen.length, 0)
    const removed = all.activation.unlessUsed(account, isOf('two1'), remove)
    const replacement = { worker: two.worker, plans: [await all.plan(two, 1)] }
    const deployed = all.activation.replace(account, replacement, async () => {
      seen.push('deployed')
      await all.put(two, 1)
    })
    await Promise.all([removed, deployed])
    assert.deepEqual(seen, ['begun', 'removed', 'deployed'])
  })
})

suite('a start', () => {
  test('brings back every account', async () => {
    await using all = await openActivation()
    await all.put(key, 1)
    await all.put(two, 3)
    await all.put(elsewhere, 2)
    all.events.length = 0
    await all.activation.start()
    assert.deepEqual(all.events.toSorted(), ['restore elsewhere one@2', 'restore one@1 two@3'])
  })

  test('leaves out what can not be planned, until it is replaced', async () => {
    await using all = await openActivation()
    await all.put(key, 1)
    await all.put(two, 1)
    all.events.length = 0
    all.broken.add('"one1"')
    await all.activation.start()
    assert.ok(all.events.includes('a Worker could not be brought back'))
    assert.ok(all.events.includes('restore two@1'))
    all.events.length = 0
    await deploy(all, two, 2)
    assert.equal(all.events[0], 'apply two@2')
    all.events.length = 0
    await deploy(all, key, 2)
    await deploy(all, two, 3)
    const applied = all.events.filter((event) => event.startsWith('apply'))
    assert.deepEqual(applied, ['apply one@2 two@2', 'apply one@2 two@3'])
  })
})

suite('routes', () => {
  test('are published for however many at once, and none of them too early', async () => {
    await using all = await openActivation()
    const published = Array.from({ length: 300 }, () => all.publication.publish())
    await all.put(key, 1)
    await Promise.all([...published, all.publication.publish()])
    assert.ok(all.table().includes('one.example.com'))
    assert.ok(all.events.filter((event) => event === 'publish').length <= 3)
  })

  test('the first account has the domain itself as well, and its Workers go by it', async () => {
    await using all = await openActivation()
    await deploy(all, key, 1)
    await deploy(all, elsewhere, 1)
    const hosts = ['one.a.example.com', 'one.b.example.com', 'one.example.com']
    assert.deepEqual(all.table(), hosts)
    assert.equal(await all.publication.hostOf(key), 'one.example.com')
    assert.equal(await all.publication.hostOf(elsewhere), 'one.b.example.com')
  })
})
