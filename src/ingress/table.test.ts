import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import { restartWaiters } from './limits.ts'
import { Table } from './table.ts'

const routed = { account: accountId.parse('0'.repeat(32)), worker: workerName.parse('w') }

suite('the table', () => {
  test('lets so many wait and turns others away at once, until all are woken', async () => {
    const table = new Table()
    assert.equal(await table.up('w', 60_000), true, 'nobody to wait for')
    table.publishRoutes({ hosts: new Map([['w', routed]]) })
    const waiting = Array.from({ length: restartWaiters }, () => table.up('w', 60_000))
    assert.equal(await table.up('w', 60_000), false)
    table.publishRoutes({ hosts: new Map() })
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([true]))
    table.publishRoutes({ hosts: new Map([['w', routed]]) })
    assert.equal(await table.up('w', 5), true, 'after the time that it was given')
  })
})
