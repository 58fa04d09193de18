import { Buffer } from 'node:buffer'
import type { CryptoKeyWire } from '#contract/wire.ts'
import { type Capnp, CapnpSymbol } from './capnp.ts'

/** A key as workerd is told of it. */
export function keyOf(key: CryptoKeyWire): Capnp {
  const { format, data, algorithm, usages } = key
  const formats: Readonly<Record<typeof format, Capnp>> = {
    raw: new Uint8Array(Buffer.from(data, 'base64')),
    pkcs8: pem('PRIVATE KEY', data),
    spki: pem('PUBLIC KEY', data),
    jwk: data,
  }
  return {
    [format]: formats[format],
    algorithm:
      typeof algorithm === 'string' ? { name: algorithm } : { json: JSON.stringify(algorithm) },
    usages: usages.map((usage) => new CapnpSymbol(usage)),
  }
}

/** The Base64 of a DER structure as the PEM text that workerd takes. */
function pem(label: string, base64: string): string {
  const lines = base64.match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
