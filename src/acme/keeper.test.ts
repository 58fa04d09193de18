import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Log } from '#contract/ports/log.ts'
import { movableClock } from '#test/ports.ts'
import type { InUse } from './due.ts'
import { keepCertificates } from './keeper.ts'

// When orders are made: against an authority that does as the test says. A real one is in
// test/acme.test.ts.

const hourMs = 3_600_000

function makeKeeper(order: (host: string) => Promise<string>) {
  const clock = movableClock(1_000 * hourMs)
  const have = new Map<string, InUse>()
  const ordered: string[] = []
  const lines: string[] = []
  let wanted: readonly string[] = []
  const log: Log = {
    debug() {},
    info: (message, fields) => void lines.push(`${message} ${fields?.['host']}`),
    warn: (message, fields) =>
      void lines.push(`${message} ${fields?.['host']} ${fields?.['reason']}`),
    error() {},
    child: () => log,
  }
  const keeper = keepCertificates({
    authority: {
      order: (host) => {
        ordered.push(host)
        return order(host)
      },
    },
    wanted: () => wanted,
    find: (host) => have.get(host),
    keep: async (host) => {
      have.set(host, { isOurs: true, notBefore: clock.now(), notAfter: clock.now() + 90 * hourMs })
    },
    clock,
    log,
  })
  return {
    ordered,
    lines,
    want: (...hosts: readonly string[]) => void (wanted = hosts),
    /** Moves the time, and lets what is due then be done. */
    async pass(milliseconds: number): Promise<void> {
      clock.moveBy(milliseconds)
      await new Promise((resolve) => setImmediate(resolve))
    },
    [Symbol.dispose]: () => keeper[Symbol.dispose](),
  }
}

suite('certificates are kept', () => {
  test('each host once, and again when a third of its life is left', async () => {
    using keeper = makeKeeper(async () => 'pem')
    await keeper.pass(5_000)
    assert.deepEqual(keeper.ordered, [])
    keeper.want('a.test', 'b.test')
    await keeper.pass(5_000)
    assert.deepEqual(keeper.ordered, ['a.test', 'b.test'])
    await keeper.pass(59 * hourMs)
    assert.equal(keeper.ordered.length, 2)
    await keeper.pass(2 * hourMs)
    assert.deepEqual(keeper.ordered.slice(2), ['a.test', 'b.test'])
    assert.match(keeper.lines[0] ?? '', /issued a\.test/)
  })

  test('one order at a time', async () => {
    let underWay = 0
    let most = 0
    using keeper = makeKeeper(async () => {
      most = Math.max(most, ++underWay)
      await Promise.resolve()
      underWay--
      return 'pem'
    })
    keeper.want('a.test', 'b.test', 'c.test')
    await keeper.pass(5_000)
    assert.equal(keeper.ordered.length, 3)
    assert.equal(most, 1)
  })

  test('a host that fails is tried later and later, and holds up no other', async () => {
    using keeper = makeKeeper(async (host) => {
      if (host === 'a.test') throw new Error('no such name')
      return 'pem'
    })
    keeper.want('a.test', 'b.test')
    await keeper.pass(5_000)
    assert.deepEqual(keeper.ordered, ['a.test', 'b.test'])
    assert.match(keeper.lines[0] ?? '', /could not be had a\.test no such name/)
    for (let minute = 0; minute < 60; minute++) await keeper.pass(60_000)
    assert.deepEqual(keeper.ordered.slice(2), ['a.test', 'a.test', 'a.test', 'a.test'])
  })

  test('an authority that never decides is given up', async () => {
    using keeper = makeKeeper((host) =>
      host === 'a.test' ? new Promise(() => undefined) : Promise.resolve('pem'),
    )
    keeper.want('a.test', 'b.test')
    await keeper.pass(5_000)
    assert.deepEqual(keeper.ordered, ['a.test'])
    await keeper.pass(5 * 60_000)
    assert.deepEqual(keeper.ordered, ['a.test', 'b.test'])
    assert.match(keeper.lines.join('\n'), /a\.test the authority takes too long/)
  })

  test('no more than so many orders in an hour', async () => {
    using keeper = makeKeeper(async () => 'pem')
    keeper.want(...Array.from({ length: 100 }, (_, n) => `h${n}.test`))
    await keeper.pass(5_000)
    for (let turn = 0; turn < 20; turn++) await keeper.pass(5_000)
    assert.equal(keeper.ordered.length, 60)
    await keeper.pass(hourMs)
    for (let turn = 0; turn < 5; turn++) await keeper.pass(5_000)
    assert.equal(keeper.ordered.length, 100)
  })

  test('none when it is closed', async () => {
    const keeper = makeKeeper(async () => 'pem')
    keeper.want('a.test')
    keeper[Symbol.dispose]()
    await keeper.pass(hourMs)
    assert.deepEqual(keeper.ordered, [])
  })
})
