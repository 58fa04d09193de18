import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { array, assert as check, constantFrom, nat, property, record } from 'fast-check'
import { Subrequests } from './subrequests.ts'

function account(perRequest: number) {
  const state = { begun: 0, ended: 0, sockets: 0, now: 0, isLeaving: false }
  const counted = new Subrequests({
    perRequest,
    traffic: () => (state.isLeaving ? undefined : state),
    now: () => state.now,
  })
  const taken = (): number => {
    let count = 0
    while (count < 1_000 && counted.take()) count += 1
    return count
  }
  return { state, counted, taken }
}

suite('subrequests', () => {
  test('one that is alone has its limit, and no more', () => {
    const { state, taken } = account(50)
    state.begun = 1
    assert.equal(taken(), 50)
    assert.equal(taken(), 0)
  })

  test('the next has its own again', () => {
    const { state, taken } = account(50)
    state.begun = 1
    assert.equal(taken(), 50)
    state.ended = 1
    state.begun = 2
    assert.equal(taken(), 50)
  })

  test('what others did not spend is not saved up for ever', () => {
    const { state, taken } = account(10)
    state.begun = 100
    state.ended = 99
    assert.equal(taken(), 1_000, 'they may still be at it after their answers')
    Object.assign(state, { begun: 200, ended: 199, now: 200_000 })
    taken()
    Object.assign(state, { begun: 201, ended: 199, now: 400_000 })
    assert.equal(taken(), 10)
  })

  test('with WebSockets open it is not counted', () => {
    const { state, taken } = account(10)
    Object.assign(state, { begun: 1, sockets: 1 })
    assert.equal(taken(), 1_000)
  })

  test('nor in a process that is on its way out', () => {
    const { state, taken } = account(10)
    Object.assign(state, { begun: 1 })
    assert.equal(taken(), 10)
    state.isLeaving = true
    assert.equal(taken(), 1_000)
  })

  test('nobody is refused what it may have', () => {
    const limit = 5
    const step = record({ at: nat(9), what: constantFrom('begin', 'take', 'end', 'wait') })
    check(
      property(array(step, { maxLength: 200 }), (steps) => {
        const { state, counted } = account(limit)
        const open: { spent: number; endedAt?: number }[] = []
        for (const { at, what } of steps) {
          if (what === 'wait') state.now += at * 1_000
          if (what === 'begin') {
            open.push({ spent: 0 })
            state.begun += 1
          }
          const alive = open.filter(
            ({ endedAt = Infinity }) => state.now - endedAt < 30_000 || endedAt === Infinity,
          )
          const one = alive[at % Math.max(alive.length, 1)]
          if (!one) continue
          if (what === 'end' && one.endedAt === undefined) {
            one.endedAt = state.now
            state.ended += 1
          }
          if (what === 'take' && one.spent < limit) {
            one.spent += 1
            assert.ok(counted.take(), 'within its limit')
          }
        }
      }),
    )
  })
})
