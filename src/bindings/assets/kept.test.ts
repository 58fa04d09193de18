import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Kept, Shelves } from './kept.ts'

suite('values within a weight', () => {
  test('what is asked for stays, what is not goes', () => {
    const kept = new Kept<number>(100)
    kept.set('asked', 0)
    kept.set('not asked', 0)
    for (let n = 1; n <= 1000; n++) {
      kept.set(`${n}`, n)
      assert.equal(kept.get('asked'), 0)
    }
    assert.equal(kept.get('not asked'), undefined)
    assert.equal(kept.get('1000'), 1000)
  })

  test('never holds more than its limit, nor drops what there is room for', () => {
    const kept = new Kept<number>(1000, (value) => value)
    for (let n = 0; n < 5000; n++) {
      kept.set(`${n % 97}`, 1 + ((n * 31) % 40))
      kept.get(`${(n * 7) % 97}`)
    }
    const held = Array.from({ length: 97 }, (_, key) => `${key}`)
    // Asking may drop others, so the sum is of one look at each, the last one first.
    const sum = held.toReversed().reduce((total, key) => total + (kept.get(key) ?? 0), 0)
    assert.ok(sum > 0 && sum <= 1500, `${sum}`)
    const small = new Kept<number>(1000, (value) => value)
    for (let n = 0; n < 50; n++) small.set(`${n}`, 10)
    for (let n = 0; n < 50; n++) assert.equal(small.get(`${n}`), 10)
  })

  test('a value that would take half of the room is not kept', () => {
    const kept = new Kept<number>(100, (value) => value)
    kept.set('small', 1)
    kept.set('large', 51)
    assert.equal(kept.get('large'), undefined)
    assert.equal(kept.get('small'), 1)
  })

  test('what is replaced or deleted weighs nothing', () => {
    const kept = new Kept<number>(100, (value) => value)
    for (let n = 0; n < 1000; n++) kept.set('same', 40)
    kept.set('other', 10)
    kept.delete('same')
    kept.set('third', 40)
    assert.deepEqual([kept.get('same'), kept.get('other'), kept.get('third')], [undefined, 10, 40])
  })
})

suite('values of many owners within one weight', () => {
  test('a heavy value takes the room of many', () => {
    const shelves = new Shelves<number>(100, (value) => value)
    const shelf = { young: new Map<string, number>(), old: new Map<string, number>() }
    shelves.keep(shelf, 'light', 1)
    shelves.keep(shelf, 'heavier than half', 51)
    assert.equal(shelves.find(shelf, 'heavier than half'), undefined)
    assert.equal(shelves.find(shelf, 'light'), 1)
    for (const key of ['a', 'b', 'c']) shelves.keep(shelf, key, 40)
    assert.equal(shelves.find(shelf, 'light'), undefined)
    assert.equal(shelves.find(shelf, 'c'), 40)
  })

  test('owners do not see each other, and share the room', () => {
    const shelves = new Shelves<string>(100)
    const shelf = () => ({ young: new Map<string, string>(), old: new Map<string, string>() })
    const [busy, idle, ...crowd] = Array.from({ length: 500 }, shelf)
    assert.ok(busy && idle)
    shelves.keep(busy, 'a', 'of busy')
    shelves.keep(idle, 'a', 'of idle')
    for (const other of crowd) {
      shelves.keep(other, 'a', 'of other')
      assert.equal(shelves.find(busy, 'a'), 'of busy')
    }
    assert.equal(shelves.find(idle, 'a'), undefined)
    const held = [busy, idle, ...crowd].reduce(
      (sum, { young, old }) => sum + young.size + old.size,
      0,
    )
    assert.ok(held <= 100 && held >= 50, `${held}`)
  })
})
