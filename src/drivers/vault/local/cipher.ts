import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

// AES-256-GCM (NIST SP 800-38D): a random nonce of 96 bits is safe for 2^32 texts of one key.

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
export const keyBytes = 32

export function newKey(): Uint8Array {
  return new Uint8Array(randomBytes(keyBytes))
}

/** Nonce, ciphertext and tag as base64url. Opens only with the same `context`. */
export function encrypt(key: Uint8Array, plain: Uint8Array, context: string): string {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(Buffer.from(context))
  const body = [cipher.update(plain), cipher.final()]
  return Buffer.concat([nonce, ...body, cipher.getAuthTag()]).toString('base64url')
}

/** Throws if the key or the context is another, or a bit has changed. */
export function decrypt(key: Uint8Array, box: string, context: string): Uint8Array {
  const bytes = Buffer.from(box, 'base64url')
  // The last character of base64url may have bits that mean nothing: exactly one text is right.
  if (bytes.byteLength < nonceBytes + tagBytes || bytes.toString('base64url') !== box) {
    throw new Error('this is not an encrypted text')
  }
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  })
  decipher.setAAD(Buffer.from(context))
  decipher.setAuthTag(bytes.subarray(-tagBytes))
  const body = decipher.update(bytes.subarray(nonceBytes, -tagBytes))
  return new Uint8Array(Buffer.concat([body, decipher.final()]))
}
