import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId, workerName } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Ports } from '#contract/ports.ts'
import { json, plainText } from './binding.ts'
import { variableBytes } from './limits.ts'

const version = { id: 'v', tag: '', createdAt: '2026-11-24T00:00:00.000Z' }
const owner = { account: accountId.parse('0'.repeat(32)), worker: workerName.parse('w') }

suite('environment variables', () => {
  test('text is text', () => {
    const entry = plainText.parse({ type: 'plain_text', name: 'A', text: 'é\u0000"\\' })
    assert.deepEqual(plainText.wiring(entry, version), { type: 'text', text: 'é\u0000"\\' })
  })

  for (const value of [null, 0, false, [], { a: { b: [1, 'x', null] } }] satisfies Json[]) {
    test(`JSON ${JSON.stringify(value)} is itself`, () => {
      const entry = json.parse({ type: 'json', name: 'A', json: value })
      assert.deepEqual(json.wiring(entry, version), { type: 'json', json: value })
    })
  }

  const refused: [string, unknown][] = [
    ['text that is a number', { type: 'plain_text', name: 'A', text: 1 }],
    ['no text', { type: 'plain_text', name: 'A' }],
    ['no name', { type: 'plain_text', name: '', text: '' }],
    ['a long name', { type: 'plain_text', name: 'a'.repeat(256), text: '' }],
  ]
  for (const [title, entry] of refused) {
    test(`refused: ${title}`, () => assert.throws(() => plainText.parse(entry)))
  }

  const sizes: [number, boolean][] = [
    [variableBytes, true],
    [variableBytes + 1, false],
  ]
  for (const [bytes, fits] of sizes) {
    test(`${bytes} bytes ${fits ? 'fit' : 'do not fit'}`, async () => {
      // No port is used: the limit is all there is to check.
      const live = await plainText.open?.(unusedPorts)
      const admitted = live?.admit?.(
        plainText.parse({
          type: 'plain_text',
          name: 'A',
          text: 'é'.repeat(bytes / 2) + 'x'.repeat(bytes % 2),
        }),
        owner,
      )
      if (fits) await admitted
      else await assert.rejects(Promise.resolve(admitted), /too large/)
    })
  }
})

const unusedPorts: Ports = new Proxy({} as Ports, {
  get: () => assert.fail('variables need no port'),
})
