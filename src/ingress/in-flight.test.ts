import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Flight } from '#contract/snapshot.ts'
import { InFlight } from './in-flight.ts'

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => void setTimeout(resolve, milliseconds))

suite('of what is in flight when a process is killed for its CPU time', () => {
  // What happens to the targets `a` and `b` of a process, in turn, 80 ms apart where there is `...`:
  // `a+x` begins the request x, `-x` answers it, `~x` ends it without an answer.
  const cases: readonly (readonly [events: string, culprit: string | undefined])[] = [
    ['a+x', 'x'],
    ['a+x ... a+y ... b+z', 'x'],
    ['a+x ... a+y -y ... a+z', 'z'],
    ['a+x ... a+y -y ... b+z ... a+w', 'z'],
    // It was sent before the answer to another one had come: they passed each other.
    ['a+x ... a+y a+z -y', 'y z'],
    // An answer of another Worker in the process says as much.
    ['a+x ... b+y -y ... a+z', 'z'],
    // One that has waited for something else, and only now spins.
    ['a+x ... a+y -y', 'x'],
    ['a+x a+w ... a+y -y ...', 'w'],
    // Nobody has answered the one that left.
    ['a+x ... a+y ~y ... a+z', 'x'],
    ['... ', undefined],
  ]
  for (const [events, culprit] of cases) {
    test(events, async () => {
      const inFlight = new InFlight()
      inFlight.watch(['a', 'b', 'c'])
      const flights = new Map<string, Flight>()
      const other = inFlight.begin('c', () => undefined)
      for (const event of events.split(' ').filter(Boolean)) {
        const name = event.slice(-1)
        if (event === '...') await pause(80)
        else if (event.includes('+')) {
          flights.set(
            name,
            inFlight.begin(event.slice(0, 1), () => undefined),
          )
        } else {
          flights.get(name)?.end({ isAnswered: event.startsWith('-') })
          flights.delete(name)
        }
      }
      inFlight.exceeded(['a', 'b'], 'cpu')
      const marked = [...flights].map(([name, { exceeded }]) => ({ name, exceeded }))
      assert.ok(marked.every(({ exceeded }) => exceeded?.limit === 'cpu'))
      const culprits = marked.filter(({ exceeded }) => exceeded?.isCulprit).map(({ name }) => name)
      assert.deepEqual(culprits, culprit === undefined ? [] : culprit.split(' ').slice(-1))
      assert.equal(other.exceeded, undefined, 'another process')
      other.end({ isAnswered: true })
    })
  }

  test('for its memory, only one that is alone is known to be the culprit', () => {
    for (const count of [1, 2, 3]) {
      const inFlight = new InFlight()
      inFlight.watch(['a'])
      const flights = Array.from({ length: count }, () => inFlight.begin('a', () => undefined))
      inFlight.exceeded(['a'], 'memory')
      for (const { exceeded } of flights) {
        assert.deepEqual(exceeded, { limit: 'memory', isCulprit: count === 1 })
      }
    }
  })

  test('what begins afterwards is not marked', () => {
    const inFlight = new InFlight()
    inFlight.watch(['a'])
    inFlight.exceeded(['a'], 'cpu')
    assert.equal(inFlight.begin('a', () => undefined).exceeded, undefined)
  })
})

suite('what is in flight is counted', () => {
  test('until it ends, once', async () => {
    const inFlight = new InFlight()
    inFlight.watch(['a', 'b'])
    const one = inFlight.begin('a', () => undefined)
    const two = inFlight.begin('a', () => undefined)
    let isEmpty = false
    const drained = inFlight.drain(['a', 'b'], 60_000).then(() => (isEmpty = true))
    one.end({ isAnswered: true })
    one.end({ isAnswered: true })
    await pause(5)
    assert.deepEqual([inFlight.count('a'), inFlight.answered(['a', 'b']), isEmpty], [1, 1, false])
    assert.equal(inFlight.idleMs(['a', 'b']), 0)
    two.end({ isAnswered: false })
    await drained
    assert.deepEqual([inFlight.count('a'), inFlight.answered(['a', 'b'])], [0, 1])
    await pause(20)
    assert.ok(inFlight.idleMs(['a', 'b']) >= 15)
  })

  test('of targets that are not there any more, too', async () => {
    const inFlight = new InFlight()
    inFlight.watch(['a'])
    const flight = inFlight.begin('a', () => flight.end({ isAnswered: false }))
    inFlight.watch([])
    assert.equal(inFlight.count('a'), 1)
    await inFlight.drain(['a'], 5)
    assert.deepEqual([inFlight.count('a'), inFlight.answered(['a'])], [0, 0])
    assert.equal(inFlight.traffic(['a']), undefined)
  })
})
