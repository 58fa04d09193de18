import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { callsWaiting } from './limits.ts'
import { Turns } from './turns.ts'

suite('turns', () => {
  test('tasks of one key run one by one, in the order in which they came', async () => {
    const turns = new Turns()
    const seen: string[] = []
    const tasks = ['a', 'b', 'c'].map((name) =>
      turns.take('key', async () => {
        seen.push(`${name} begins`)
        await Promise.resolve()
        seen.push(`${name} ends`)
        return name
      }),
    )
    assert.deepEqual(await Promise.all(tasks), ['a', 'b', 'c'])
    const expected = ['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`])
    assert.deepEqual(seen, expected)
  })

  test('tasks of other keys do not wait', async () => {
    const turns = new Turns()
    const gate = Promise.withResolvers<void>()
    const held = turns.take('one', () => gate.promise)
    assert.equal(await turns.take('two', async () => 'done'), 'done')
    gate.resolve()
    await held
  })

  test('a task that fails fails alone', async () => {
    const turns = new Turns()
    const failed = turns.take('key', () => Promise.reject(new Error('mine')))
    const next = turns.take('key', async () => 'done')
    await assert.rejects(failed, /mine/)
    assert.equal(await next, 'done')
  })

  test('a task that throws before it has begun fails alone', async () => {
    const turns = new Turns()
    const failed = turns.take('key', () => {
      throw new Error('at once')
    })
    await assert.rejects(failed, /at once/)
    assert.equal(await turns.take('key', async () => 'done'), 'done')
  })

  test('too many that wait are told to come back; then there is room again', async () => {
    const turns = new Turns()
    const gate = Promise.withResolvers<void>()
    const held = Array.from({ length: callsWaiting }, () => turns.take('key', () => gate.promise))
    const refused = { name: 'ApiError', code: 971, status: 429 }
    await assert.rejects(
      turns.take('key', async () => 'no'),
      refused,
    )
    assert.equal(await turns.take('other', async () => 'yes'), 'yes')
    gate.resolve()
    await Promise.all(held)
    assert.equal(await turns.take('key', async () => 'yes'), 'yes')
  })

  test('idle waits for all that was asked for', async () => {
    const turns = new Turns()
    await turns.idle()
    const seen: string[] = []
    const gate = Promise.withResolvers<void>()
    void turns.take('one', () => gate.promise).then(() => seen.push('one'))
    void turns.take('one', async () => seen.push('one again'))
    const failed = turns.take('two', () => gate.promise.then(() => Promise.reject(new Error())))
    failed.catch(() => seen.push('two'))
    const idle = turns.idle().then(() => seen.push('idle'))
    await Promise.resolve()
    assert.deepEqual(seen, [])
    gate.resolve()
    await idle
    assert.equal(seen.at(-1), 'idle')
    assert.equal(seen.length, 4)
  })
})
