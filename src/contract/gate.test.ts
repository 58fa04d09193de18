import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { SharedGate } from './gate.ts'

type Held = { readonly name: string; readonly leave: () => void }

/** A gate of 3, 2 with the same key, and who is in it. */
function startGate(longestLine = 100) {
  const gate = new SharedGate<string>({ width: 3, own: 2, longestLine })
  const inside: Held[] = []
  return {
    enter: (key: string, name: string): Promise<void> =>
      gate.pass(key, () => new Promise((leave) => inside.push({ name, leave }))),
    leave: (name: string): void => {
      const [held] = inside.splice(
        inside.findIndex((each) => each.name === name),
        1,
      )
      held?.leave()
    },
    async names(): Promise<string> {
      await new Promise((resolve) => setImmediate(resolve))
      return inside.map(({ name }) => name).join(' ')
    },
  }
}

suite('a shared gate', () => {
  test('lets nobody take more than a part, and all in by their turn', async () => {
    const gate = startGate()
    const done = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2'].map((name) =>
      gate.enter(name.slice(0, 1), name),
    )
    assert.equal(await gate.names(), 'a1 a2 b1')
    gate.leave('b1')
    assert.equal(await gate.names(), 'a1 a2 b2')
    gate.leave('a1')
    assert.equal(await gate.names(), 'a2 b2 a3')
    gate.leave('a2')
    gate.leave('a3')
    assert.equal(await gate.names(), 'b2 a4')
    gate.leave('b2')
    gate.leave('a4')
    await Promise.all(done)
  })

  test('turns away who finds the line too long, and takes others afterwards', async () => {
    const gate = startGate(1)
    const done = ['a1', 'a2', 'a3'].map((name) => gate.enter('a', name))
    await assert.rejects(gate.enter('a', 'a4'), /too much/)
    assert.equal(await gate.names(), 'a1 a2')
    for (const name of ['a1', 'a2', 'a3']) {
      gate.leave(name)
      await gate.names()
    }
    await Promise.all(done)
    const again = gate.enter('a', 'a5')
    assert.equal(await gate.names(), 'a5')
    gate.leave('a5')
    await again
  })

  test('is left by who fails', async () => {
    const gate = new SharedGate<string>({ width: 1, own: 1, longestLine: 1 })
    await assert.rejects(
      gate.pass('a', () => Promise.reject(new Error('boom'))),
      /boom/,
    )
    assert.equal(await gate.pass('a', async () => 'in'), 'in')
  })
})
