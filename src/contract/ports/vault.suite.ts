import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accountId } from '#contract/ids.ts'
import type { Vault } from './vault.ts'

const one = accountId.parse('1'.repeat(32))
const two = accountId.parse('2'.repeat(32))

/** What every driver of the `Vault` port does. */
export function vaultSuite(name: string, open: () => Promise<Vault>): void {
  suite(`${name}: the Vault port`, () => {
    for (const text of ['', 'secret', 'é漢😀\u0000\n', 'x'.repeat(100_000)]) {
      test(`${text.length} characters open again, and are not to be seen`, async () => {
        const vault = await open()
        const sealed = await vault.seal(one, text, 'c')
        assert.equal(await vault.open(one, sealed, 'c'), text)
        assert.ok(text === '' || !sealed.includes(text))
        assert.notEqual(await vault.seal(one, text, 'c'), sealed)
      })
    }

    test('refuses another account, another context and a changed bit', async () => {
      const vault = await open()
      const sealed = await vault.seal(one, 'secret', 'c')
      await vault.seal(two, 'other', 'c')
      await assert.rejects(vault.open(two, sealed, 'c'))
      await assert.rejects(vault.open(one, sealed, 'd'))
      for (let at = 0; at < sealed.length; at++) {
        const changed =
          sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1)
        await assert.rejects(vault.open(one, changed, 'c'), `character ${at}`)
      }
      for (const nonsense of ['', '.', '...', 'v1', sealed.slice(0, -5), `${sealed}A`]) {
        await assert.rejects(vault.open(one, nonsense, 'c'), nonsense)
      }
    })

    test('callers at the same time get the same key', async () => {
      const vault = await open()
      const texts = Array.from({ length: 50 }, (_, n) => `${n}`)
      const sealed = await Promise.all(texts.map((text) => vault.seal(one, text, 'c')))
      const opened = await Promise.all(sealed.map((each) => vault.open(one, each, 'c')))
      assert.deepEqual(opened, texts)
    })
  })
}
