import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId, versionId, workerName } from '#contract/ids.ts'
import { liveKey, type Target } from '#contract/snapshot.ts'
import { restartWaiters, restartWaitersPerAccount } from './limits.ts'
import { isAsleep, isHeld, type Site, Table } from './table.ts'

const routed = { account: accountId.parse('0'.repeat(32)), worker: workerName.parse('w') }
const preview = { ...routed, version: versionId.parse('00000000-0000-4000-8000-000000000001') }
const address = { hostname: 'w', protocol: 'http', url: '/' } as const
const site: Site = { routed, targets: [] }

function target(state: Target['state']): Target {
  const own = { socketPath: '', cfBlobHeader: '', protoHeader: '' }
  return { ...own, id: state, version: preview.version, percentage: 100, state }
}

suite('the table', () => {
  test('lets so many wait and turns others away at once, until all are woken', async () => {
    const table = new Table()
    assert.equal(await table.up(address, site, 60_000), true, 'nobody to wait for')
    table.publishRoutes({ hosts: new Map([['w', routed]]) })
    const wait = (from: Site): Promise<boolean> => table.up(address, from, 60_000)
    const other = (name: string): Site => ({
      ...site,
      routed: { ...routed, account: accountId.parse(name.repeat(32)) },
    })
    const waiting = Array.from({ length: restartWaitersPerAccount }, () => wait(site))
    assert.equal(await wait(site), false)
    for (let account = 1; waiting.length < restartWaiters; account++) {
      for (let visitor = 0; visitor < restartWaitersPerAccount; visitor++) {
        waiting.push(wait(other(`${account}`)))
      }
      assert.equal(await wait(other(`${account}`)), false)
    }
    assert.equal(await wait(other('f')), false, 'in all')
    table.publishRoutes({ hosts: new Map() })
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([true]))
    table.publishRoutes({ hosts: new Map([['w', routed]]) })
    assert.equal(await table.up(address, site, 5), true, 'after the time that it was given')
  })

  test('finds previews by asking, and wakes who waits for one when it is up', async () => {
    const table = new Table()
    assert.equal(await table.findPreview('p'), undefined, 'there is nobody to ask')
    table.publishRoutes({
      hosts: new Map(),
      findPreview: async (hostname) => (hostname === 'p' ? preview : undefined),
    })
    assert.equal(await table.findPreview('q'), undefined)
    const found = (await table.findPreview('p')) ?? assert.fail()
    assert.deepEqual(found, { routed: preview, targets: [] })
    const waiting = table.up({ ...address, hostname: 'p' }, found, 60_000)
    table.publishLive({ workers: new Map([[liveKey(preview), [target('up')]]]) })
    assert.equal(await waiting, true)
    assert.deepEqual((await table.findPreview('p'))?.targets, [target('up')])
  })

  test('a Worker that sleeps is one without any other target; a preview needs not even that', () => {
    const cases: readonly (readonly [object, readonly Target['state'][], boolean, boolean])[] = [
      [routed, [], false, false],
      [preview, [], true, false],
      [routed, ['asleep'], true, false],
      [preview, ['asleep'], true, false],
      [routed, ['asleep', 'asleep'], true, false],
      [routed, ['asleep', 'down'], false, false],
      [routed, ['up'], false, false],
      [preview, ['down'], false, false],
      [routed, ['held'], false, true],
      [routed, ['held', 'down'], false, true],
    ]
    for (const [of, states, asleep, held] of cases) {
      const at = { routed: { ...routed, ...of }, targets: states.map(target) }
      assert.deepEqual(
        [isAsleep(at), isHeld(at)],
        [asleep, held],
        `${JSON.stringify(of)} ${states.join()}`,
      )
    }
  })
})
