import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { d1 } from './binding.ts'
import { d1Wiring } from './wiring.ts'

const id = 'b1cbf145-269d-4460-8f15-0c4bacdb5fab'

suite('an entry of an upload', () => {
  for (const more of [{}, { internalEnv: 'staging' }, { id: id.toUpperCase() }]) {
    test(JSON.stringify(more), () => {
      const entry = d1.parse({ type: 'd1', name: 'DB', id, ...more })
      assert.deepEqual(d1Wiring(entry), {
        type: 'backend',
        client: 'd1',
        resource: { database: id },
      })
    })
  }

  for (const wrong of [{ id: undefined }, { id: 7 }, { name: '' }, { internalEnv: 1 }]) {
    test(`refused: ${JSON.stringify(wrong)}`, () => {
      assert.throws(() => d1.parse({ type: 'd1', name: 'DB', id, ...wrong }))
    })
  }
})
