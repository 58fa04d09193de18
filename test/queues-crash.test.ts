import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { killCells } from '#test/cells.ts'
import { type Plan, QueueLedger } from '#test/queue-ledger.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// `kill -9` of consumers, producers and the server: what was acknowledged is delivered, what was
// finished is not delivered again, and what fails four times is a dead letter.

const kills = Number(process.env['BINDERY_TEST_KILLS'] ?? 12)
const messagesOfKill = 250
/** Each cell that dies soon after another is started later, until the server is a new one. */
const mostCellsInARow = 3

/** How many of a hundred messages have which plan. */
const plans: readonly (readonly [percent: number, plan: Plan])[] = [
  [70, ['ack']],
  [9, ['retry', 'ack']],
  [8, ['throw', 'ack']],
  [5, ['throw', 'retry', 'retry', 'ack']],
  [7, ['retry', 'throw', 'throw', 'retry']],
  [1, ['hang', 'ack']],
]

function drawPlan(random: () => number): Plan {
  let left = random() * 100
  for (const [percent, plan] of plans) {
    if (left < percent) return plan
    left -= percent
  }
  return ['ack']
}

suite(`kill -9 under queues (seed ${seed})`, () => {
  test('never: each attempt is as planned, and nothing is begun twice', async (t) => {
    await using ledger = new QueueLedger()
    const flags = ['--egress-allow', await ledger.listen()]
    await using server = await startTestServer({ flags })
    await ledger.deploy(server)
    ledger.isOver = true
    const random = numbersFrom(seed)
    while (ledger.acknowledged < 2 * messagesOfKill) await ledger.send(server, drawPlans(random))
    await eventually(async () => (await ledger.left(server)) === 0, 60_000)
    const { dead, again } = ledger.check(server)
    t.diagnostic(`${ledger.acknowledged} sent, ${again} more than once, ${dead} dead`)
    assert.ok(dead > 0 && again > dead)
  })

  test(`${kills} times: each message is delivered, and not again once that is on disk`, async (t) => {
    await using ledger = new QueueLedger()
    const flags = ['--egress-allow', await ledger.listen()]
    await using server = await startTestServer({ flags })
    await ledger.deploy(server)
    const random = numbersFrom(seed)
    let servers = 0
    let cellsInARow = 0
    for (let round = 0; round < kills; round++) {
      const over = new AbortController()
      const sending = sendUntil(ledger, server, { random, until: over.signal })
      await new Promise((resolve) => void setTimeout(resolve, 150 + random() * 400))
      ledger.kills++
      const isServer = cellsInARow === mostCellsInARow || random() < 0.2
      await (isServer ? server.kill() : killCells(server))
      over.abort()
      await sending
      ledger.look(server)
      if (isServer) await server.restart()
      cellsInARow = isServer ? 0 : cellsInARow + 1
      servers += isServer ? 1 : 0
      assert.deepEqual(ledger.wrong, [], `seed ${seed}, round ${round}`)
    }
    ledger.isOver = true
    while (ledger.acknowledged < kills * messagesOfKill) {
      await ledger.send(server, drawPlans(random)).catch(() => pause(50))
    }
    await eventually(async () => (await ledger.left(server)) === 0, 120_000)
    const { dead, again } = ledger.check(server)
    const what = `${ledger.acknowledged} sent, ${again} more than once, ${dead} dead`
    t.diagnostic(`${what}; ${kills - servers} cells and ${servers} servers killed`)
    assert.ok(dead > kills && again > kills, what)
  })
})

function drawPlans(random: () => number): readonly Plan[] {
  return Array.from({ length: 10 }, () => drawPlan(random))
}

/** Sends by four at a time, as much as one round has, until it is over. */
async function sendUntil(
  ledger: QueueLedger,
  server: TestServer,
  { random, until }: { readonly random: () => number; readonly until: AbortSignal },
): Promise<void> {
  const most = ledger.sent.size + messagesOfKill
  const run = async (): Promise<void> => {
    while (!until.aborted && ledger.sent.size < most) {
      await ledger.send(server, drawPlans(random)).catch(() => pause(5))
    }
  }
  await Promise.all([run(), run(), run(), run()])
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}
