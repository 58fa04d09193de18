import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { killDatabaseCells } from '#test/cells.ts'
import { makeLedgers } from '#test/d1-ledgers.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer } from '#test/server.ts'

// `kill -9` of the processes that databases are in, or of the server, loses nothing that was acknowledged,
// does nothing by halves, and leaves a way back to everything that was there.

const kills = Number(process.env['BINDERY_TEST_KILLS'] ?? 50)
const databases = 4

suite(`kill -9 under D1 (seed ${seed})`, () => {
  test(`${kills} times: no acknowledged write is lost, nor the way back to it`, async (t) => {
    await using server = await startTestServer()
    const ledgers = await makeLedgers(server, databases)
    const random = numbersFrom(seed)
    const counts = { cells: 0, servers: 0 }
    while (counts.cells + counts.servers < kills) {
      const over = new AbortController()
      const running = Promise.all(ledgers.map((ledger) => ledger.run(over.signal)))
      try {
        await new Promise((resolve) => void setTimeout(resolve, 80 + random() * 150))
        if (random() < 0.12) {
          await server.kill()
          counts.servers++
          over.abort()
          await running
          await server.restart()
        } else {
          // None, if they were killed just now and are not back.
          counts.cells += Math.sign(killDatabaseCells(server))
          await new Promise((resolve) => void setTimeout(resolve, random() * 100))
        }
      } finally {
        over.abort()
        await running
      }
      await Promise.all(ledgers.map((ledger) => ledger.check()))
    }
    for (const ledger of ledgers) await ledger.verify()
    for (const ledger of ledgers) {
      for (let n = 0; n < 2; n++) await ledger.travel((count) => Math.floor(random() * count))
      await ledger.check()
    }
    const written = ledgers.reduce((sum, ledger) => sum + ledger.written, 0)
    const refused = ledgers.reduce((sum, ledger) => sum + ledger.refused, 0)
    t.diagnostic(`${written} writes, ${refused} refused, ${JSON.stringify(counts)}`)
    assert.ok(written > kills * 10, `${written} writes`)
    assert.ok(counts.servers > 0, 'no server was killed')
  })
})
