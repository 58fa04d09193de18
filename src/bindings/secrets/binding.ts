import { defineBinding, type Entry, type LiveBinding, type Owner } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import type { Vault } from '#contract/ports/vault.ts'
import { secretTooLarge } from './errors.ts'
import { secretBytes } from './limits.ts'
import { sealedKeyEntry, sealedTextEntry, secretKeyEntry, secretTextEntry } from './schema.ts'
import { secretKeyWiring, secretTextWiring } from './wiring.ts'

/** A string in `env` that no API gives back and no file holds in the clear. */
export const secretText = defineBinding({
  type: 'secret_text',
  entry: secretTextEntry,
  wiring: secretTextWiring,
  reveal: ({ type, name }) => ({ type, name }),
  open: async ({ vault }: Ports) => secretTexts(vault),
})

/** A `CryptoKey` in `env`, kept like a secret. */
export const secretKey = defineBinding({
  type: 'secret_key',
  entry: secretKeyEntry,
  wiring: secretKeyWiring,
  reveal: (stored) => withoutSealed(stored),
  open: async ({ vault }: Ports) => secretKeys(vault),
})

function secretTexts(vault: Vault): LiveBinding {
  return {
    async admit(entry, owner) {
      const { type, name, text } = secretTextEntry.parse(entry)
      checkSize(name, text)
      return { type, name, sealed: await vault.seal(owner.account, text, contextOf(owner, name)) }
    },
    async prepare(stored, owner) {
      const { type, name, sealed } = sealedTextEntry.parse(stored)
      return { type, name, text: await vault.open(owner.account, sealed, contextOf(owner, name)) }
    },
    async [Symbol.asyncDispose]() {},
  }
}

function secretKeys(vault: Vault): LiveBinding {
  return {
    async admit(entry, owner) {
      const key = secretKeyEntry.parse(entry)
      const data = key.format === 'jwk' ? JSON.stringify(key.key_jwk) : key.key_base64
      checkSize(key.name, data)
      const sealed = await vault.seal(owner.account, data, contextOf(owner, key.name))
      const { type, name, format, algorithm, usages } = key
      return { type, name, format, algorithm, usages, sealed }
    },
    async prepare(stored, owner) {
      const { sealed, ...key } = sealedKeyEntry.parse(stored)
      const data = await vault.open(owner.account, sealed, contextOf(owner, key.name))
      return { ...key, data }
    },
    async [Symbol.asyncDispose]() {},
  }
}

function checkSize(name: string, text: string): void {
  if (new TextEncoder().encode(text).byteLength > secretBytes) {
    throw secretTooLarge(name, secretBytes)
  }
}

/** A sealed secret copied to another Worker or another name does not open there. */
function contextOf(owner: Owner, name: string): string {
  return `secret/${owner.worker}/${name}`
}

function withoutSealed(stored: Entry): Entry {
  const { type, name, format, algorithm, usages } = sealedKeyEntry.parse(stored)
  return { type, name, format, algorithm, usages }
}
