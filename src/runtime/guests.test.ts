import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Guests } from './guests.ts'
import { type Watched, Watchdog } from './watchdog.ts'

/** A watchdog that only takes note. */
class Notebook extends Watchdog {
  watched: Watched | undefined

  override watch(watched: Watched): Disposable {
    this.watched = watched
    return { [Symbol.dispose]: () => void (this.watched = undefined) }
  }
}

const process = {
  usage: () => ({ cpuMs: 5, memoryBytes: 30 }),
  ping: async () => {},
  answered: () => 0,
  cpuLimitMs: () => 1_000,
  memoryLimitBytes: 100,
  exceeded: () => {},
}

suite('guests', () => {
  test('the smallest limit of a cell holds, while it does, and in no other cell', () => {
    const guests = new Guests()
    const [watchdog, other] = [new Notebook(), new Notebook()]
    guests.watch('a', watchdog, process)
    guests.watch('b', other, process)
    const limits = [50, 2_000, 50, 10].map((cpuMs) => guests.limitCpu('a', cpuMs))
    const seen = limits.toReversed().map((limit) => {
      const now = watchdog.watched?.cpuLimitMs()
      limit[Symbol.dispose]()
      return now
    })
    assert.deepEqual(seen, [10, 50, 50, 50])
    assert.equal(watchdog.watched?.cpuLimitMs(), 1_000)
    guests.limitCpu('a', 5)
    assert.equal(other.watched?.cpuLimitMs(), 1_000)
  })

  test('how full a process is, while there is one', () => {
    const guests = new Guests()
    assert.equal(guests.fullness('a'), undefined)
    const first = guests.watch('a', new Notebook(), process)
    assert.equal(guests.fullness('a'), 0.3)
    // The next one is there before the end of the first is known.
    const second = guests.watch('a', new Notebook(), { ...process, memoryLimitBytes: 60 })
    first[Symbol.dispose]()
    assert.equal(guests.fullness('a'), 0.5)
    second[Symbol.dispose]()
    assert.equal(guests.fullness('a'), undefined)
  })
})
