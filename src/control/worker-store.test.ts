import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type AccountId, workerName } from '#contract/ids.ts'
import { account, otherAccount } from '#test/backend.ts'
import { deploymentOf, idOf, key, keyOfModule, openStore, versionOf, workerOf } from './fixture.ts'
import { deploymentsPerWorker, versionsPerWorker } from './limits.ts'

const worker = workerOf(key)
const elsewhere = { ...key, account: otherAccount }

suite('the store of Workers', () => {
  test('gives back what it was given', async () => {
    await using all = await openStore()
    const version = versionOf(key, 1)
    const deployment = deploymentOf(key, 'd1', [1])
    await all.store.apply({ worker, version, deployment })
    assert.deepEqual(await all.store.worker(key), worker)
    assert.deepEqual(await all.store.byTag(account, worker.tag), worker)
    assert.deepEqual(await all.store.version(key, version.id), version)
    assert.deepEqual(await all.store.latestVersion(key), version)
    assert.deepEqual(await all.store.deployments(key), [deployment])
    assert.deepEqual(await all.store.currentDeployment(key), deployment)
  })

  test('a change is whole or not at all', async () => {
    await using all = await openStore()
    await all.store.apply({ worker, version: versionOf(key, 1) })
    const modified = workerOf(key, { modifiedAt: '2026-11-25T00:00:00.000Z' })
    // There is a version 1 already.
    const again = { ...versionOf(key, 1), id: idOf(key, 2) }
    const change = { worker: modified, version: again, deployment: deploymentOf(key, 'd', [2]) }
    await assert.rejects(all.store.apply(change))
    assert.deepEqual(await all.store.worker(key), worker)
    assert.equal(await all.store.currentDeployment(key), undefined)
    assert.equal((await all.store.versions(key, { offset: 0, limit: 10 })).total, 1)
  })

  test('the newest version is the one with the highest number, the current deployment the last', async () => {
    await using all = await openStore()
    // All have the same time, and ids in no order.
    for (const [number, id] of [
      [1, 'zz'],
      [2, 'aa'],
      [3, 'mm'],
    ] as const) {
      const deployment = deploymentOf(key, id, [number])
      await all.store.apply({ worker, version: versionOf(key, number), deployment })
    }
    await all.store.apply({ worker, deployment: deploymentOf(key, 'bb', [1]) })
    const ids = (await all.store.deployments(key)).map(({ id }) => id)
    assert.deepEqual(ids, ['bb', 'mm', 'aa', 'zz'])
    assert.equal((await all.store.currentDeployment(key))?.id, 'bb')
    assert.equal((await all.store.latestVersion(key))?.number, 3)
    const page = await all.store.versions(key, { offset: 1, limit: 1 })
    assert.deepEqual([page.total, page.items.map(({ number }) => number)], [3, [2]])
    assert.deepEqual((await all.store.versions(key, { offset: 9, limit: 1 })).items, [])
  })

  test('accounts and Workers are apart', async () => {
    await using all = await openStore()
    const keys = [account, otherAccount].flatMap((of: AccountId) =>
      ['one', 'two'].map((name) => ({ account: of, worker: workerName.parse(name) })),
    )
    for (const of of keys) {
      const deployment = deploymentOf(of, `${of.account} ${of.worker}`, [1])
      await all.store.apply({ worker: workerOf(of), version: versionOf(of, 1), deployment })
    }
    for (const of of keys) {
      assert.equal((await all.store.workers(of.account)).length, 2)
      assert.equal((await all.store.latestVersions(of.account)).length, 2)
      const current = await all.store.currentDeployments(of.account)
      assert.deepEqual(new Set(current.map((each) => each.account)), new Set([of.account]))
      const other = { ...of, account: of.account === account ? otherAccount : account }
      assert.equal(await all.store.version(other, idOf(of, 1)), undefined)
    }
    assert.equal((await all.store.reachable()).length, 4)
    assert.equal(await all.store.byTag(otherAccount, worker.tag), undefined)
    await all.store.remove(key)
    assert.equal(await all.store.worker(key), undefined)
    assert.equal((await all.store.reachable()).length, 3)
    assert.equal((await all.store.versions(key, { offset: 0, limit: 1 })).total, 0)
    assert.deepEqual(await all.store.deployments(key), [])
    // A Worker of the same name is another one.
    await all.store.apply({ worker: workerOf(key, { tag: 'new' }), version: versionOf(key, 1) })
    assert.equal((await all.store.worker(key))?.tag, 'new')
  })

  test('what of a Worker visitors may reach', async () => {
    await using all = await openStore()
    await all.store.apply({ worker, version: versionOf(key, 1) })
    const reached = { ...key, isDeployed: false, isOnSubdomain: true, hasPreviews: false }
    assert.deepEqual(await all.store.reachable(), [reached])
    await all.store.apply({ worker, deployment: deploymentOf(key, 'd', [1]) })
    assert.deepEqual(await all.store.reachable(), [{ ...reached, isDeployed: true }])
    const changed = { isOnSubdomain: false, hasPreviews: true }
    await all.store.apply({ worker: workerOf(key, changed) })
    assert.deepEqual(await all.store.reachable(), [{ ...reached, ...changed, isDeployed: true }])
  })

  test('a version is found by the beginning of its id, and by its alias', async () => {
    await using all = await openStore()
    const named = (number: number, alias?: string) => ({
      ...versionOf(key, number),
      annotations: alias === undefined ? {} : { 'workers/alias': alias },
    })
    const prefix = idOf(key, 1).slice(0, 8)
    for (const version of [named(1, 'first'), named(2, 'both'), named(3, 'both'), named(4)]) {
      await all.store.apply({ worker, version })
    }
    await all.store.apply({ worker: workerOf(elsewhere), version: versionOf(elsewhere, 1) })
    const byPrefix = [prefix, prefix.slice(0, 7), '00000000', `${prefix}0`]
    const found = byPrefix.map(async (each) => (await all.store.versionByPrefix(key, each))?.number)
    // All ids of the test begin alike: then the newest is meant.
    assert.deepEqual(await Promise.all(found), [4, 4, undefined, undefined])
    const byAlias = ['first', 'both', 'none', '']
    const foundByAlias = byAlias.map(
      async (each) => (await all.store.versionByAlias(key, each))?.number,
    )
    assert.deepEqual(await Promise.all(foundByAlias), [1, 3, undefined, undefined])
    assert.equal(await all.store.versionByAlias(elsewhere, 'both'), undefined)
  })
})

suite('what there is too much of', () => {
  test('old versions go, but none that is in a kept deployment', async () => {
    await using all = await openStore()
    const count = versionsPerWorker + 5
    for (let number = 1; number <= count; number++) {
      await all.store.apply({ worker, version: versionOf(key, number) })
      if (number === 2)
        await all.store.apply({ worker, deployment: deploymentOf(key, 'd', [1, 2]) })
    }
    const old = await all.store.prune(key)
    assert.deepEqual(
      old.map(({ number }) => number),
      [5, 4, 3],
    )
    assert.deepEqual(await all.store.prune(key), [])
    const kept = await all.store.moduleKeys(key)
    assert.equal(kept.size, versionsPerWorker + 2)
    assert.ok(kept.has(keyOfModule(1)) && !kept.has(keyOfModule(3)))
    assert.deepEqual(await all.store.allModuleKeys(), kept)
  })

  test('old deployments go, and after them their versions', async () => {
    await using all = await openStore()
    const count = Math.max(deploymentsPerWorker, versionsPerWorker) + 10
    for (let number = 1; number <= count; number++) {
      const deployment = deploymentOf(key, `d${number}`, [number])
      await all.store.apply({ worker, version: versionOf(key, number), deployment })
      await all.store.prune(key)
    }
    const deployments = await all.store.deployments(key)
    assert.equal(deployments.length, deploymentsPerWorker)
    assert.equal(deployments[0]?.id, `d${count}`)
    const versions = await all.store.versions(key, { offset: 0, limit: 1_000 })
    assert.equal(versions.total, versionsPerWorker)
    const numbers = new Set(versions.items.map(({ id }) => id))
    for (const { versions: shares } of deployments) {
      assert.ok(shares.every((share) => numbers.has(share.versionId)))
    }
  })
})
