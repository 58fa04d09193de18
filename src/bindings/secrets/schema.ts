import { z } from 'zod'
import { bindingName, jsonValue } from '#contract/binding.ts'

/** A secret as it is uploaded. */
export const secretTextEntry = z.object({
  type: z.literal('secret_text'),
  name: bindingName,
  text: z.string(),
})

/** A secret as it is stored with a version: sealed by the vault. */
export const sealedTextEntry = z.object({
  type: z.literal('secret_text'),
  name: bindingName,
  sealed: z.string(),
})

const keyShape = {
  type: z.literal('secret_key'),
  name: bindingName,
  /** As `crypto.subtle.importKey` takes it: a name, or an object with one. */
  algorithm: jsonValue,
  usages: z.array(
    z.enum([
      'encrypt',
      'decrypt',
      'sign',
      'verify',
      'deriveKey',
      'deriveBits',
      'wrapKey',
      'unwrapKey',
    ]),
  ),
}

/** A `CryptoKey` as it is uploaded: a JWK, or the Base64 of another format. */
export const secretKeyEntry = z.discriminatedUnion('format', [
  z.object({ ...keyShape, format: z.literal('jwk'), key_jwk: z.record(z.string(), jsonValue) }),
  z.object({ ...keyShape, format: z.enum(['raw', 'pkcs8', 'spki']), key_base64: z.base64() }),
])

/** A key as it is stored with a version: the JWK's JSON text or the Base64, sealed. */
export const sealedKeyEntry = z.object({
  ...keyShape,
  format: z.enum(['jwk', 'raw', 'pkcs8', 'spki']),
  sealed: z.string(),
})

/** A key that `wiring` can use: opened again. */
export const openKeyEntry = z.object({
  ...keyShape,
  format: z.enum(['jwk', 'raw', 'pkcs8', 'spki']),
  data: z.string(),
})
