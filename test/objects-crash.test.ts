import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { killCells } from '#test/cells.ts'
import { deployLedgers, Ledger } from '#test/ledgers.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// `kill -9` of a cell or of the server loses nothing that a Durable Object acknowledged, nor does a release.

const kills = Number(process.env['BINDERY_TEST_KILLS'] ?? 60)
/** Each cell that dies soon after another is started later, until the server is a new one. */
const mostCellsInARow = 4

function ledgersOf(server: TestServer): readonly Ledger[] {
  return Array.from({ length: 16 }, (_, n) => new Ledger(server, `o${n}`))
}

function facetsOf(server: TestServer): readonly Ledger[] {
  return Array.from({ length: 4 }, (_, n) => new Ledger(server, `facet${n}`))
}

suite(`kill -9 under Durable Objects (seed ${seed})`, () => {
  test(`${kills} times: no acknowledged write is lost, every alarm fires`, async (t) => {
    await using server = await startTestServer()
    await deployLedgers(server)
    const random = numbersFrom(seed)
    const ledgers = [...ledgersOf(server), ...facetsOf(server)]
    let cellsInARow = 0
    let serverKills = 0
    for (let round = 0; round < kills; round++) {
      const over = new AbortController()
      const running = Promise.all(ledgers.map((ledger) => ledger.run(over.signal)))
      await new Promise((resolve) => void setTimeout(resolve, 80 + random() * 150))
      if (cellsInARow === mostCellsInARow || random() < 0.1) {
        await server.kill()
        over.abort()
        await running
        await server.restart()
        cellsInARow = 0
        serverKills++
      } else {
        await killCells(server)
        await eventually(async () => (await server.visit('ledgers', '/o0/state')).status === 200)
        over.abort()
        await running
        cellsInARow++
      }
      try {
        await Promise.all(ledgers.map((ledger) => ledger.check()))
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}: ${String(error)}`, { cause: error })
      }
    }
    const written = ledgers.reduce((sum, ledger) => sum + ledger.written, 0)
    t.diagnostic(`${written} writes, ${kills - serverKills} cells, ${serverKills} servers`)
    assert.ok(written > kills * 20, `${written} writes`)
  })
})

suite('releases', () => {
  test('new code under load: none is refused, nothing is lost, every alarm fires', async (t) => {
    await using server = await startTestServer()
    await deployLedgers(server)
    const ledgers = [...ledgersOf(server), ...facetsOf(server)]
    const over = new AbortController()
    const running = Promise.all(ledgers.map((ledger) => ledger.run(over.signal)))
    for (let release = 1; release <= 10; release++) {
      await new Promise((resolve) => void setTimeout(resolve, 200))
      await deployLedgers(server, release)
    }
    over.abort()
    await running
    assert.deepEqual(
      ledgers.flatMap(({ refused }) => refused),
      [],
    )
    await Promise.all(ledgers.map((ledger) => ledger.check()))
    const written = ledgers.reduce((sum, ledger) => sum + ledger.written, 0)
    t.diagnostic(`${written} writes`)
    assert.ok(written > 500, `${written} writes`)
  })
})

suite('alarms, when nothing crashes', () => {
  test('fire once each, not early, and only the last one that was set', async () => {
    await using server = await startTestServer()
    await deployLedgers(server)
    const ledgers = ledgersOf(server)
    const rounds = ['first', 'second', 'third']
    for (const round of rounds) {
      await Promise.all(
        ledgers.map(async (ledger, n) => {
          await ledger.arm('overwritten', 1_500)
          await ledger.arm(round, 20 + n * 20)
        }),
      )
      await Promise.all(ledgers.map((ledger) => ledger.check()))
    }
    await new Promise((resolve) => void setTimeout(resolve, 3_000))
    for (const ledger of ledgers) {
      const { fired } = await ledger.state()
      assert.deepEqual(fired.map(({ id }) => id).toReversed(), rounds, ledger.name)
      for (const { lateMs } of fired) assert.ok(lateMs >= 0 && lateMs < 2_000, `${lateMs} ms late`)
    }
  })
})
