import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const dayMs = 86_400_000

export type Pem = { readonly cert: string; readonly key: string }

/** A certificate authority of the test's own. */
export interface Authority {
  /** What clients are told to trust. */
  readonly cert: string
  /** A certificate for some hosts; `days` may be negative: then it has expired. */
  issue(hosts: readonly string[], days?: number): Promise<Pem>
}

export async function makeAuthority(): Promise<Authority> {
  const keys = await makeKeys()
  const name = 'CN=Bindery test authority'
  const own = await X509CertificateGenerator.createSelfSigned({
    ...validFor(10),
    name,
    keys,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  })
  return {
    cert: own.toString('pem'),
    async issue(hosts, days = 1) {
      const leaf = await makeKeys()
      const certificate = await X509CertificateGenerator.create({
        ...validFor(days),
        subject: `CN=${hosts[0] ?? 'nobody'}`,
        issuer: name,
        publicKey: leaf.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions:
          hosts.length === 0
            ? []
            : [new SubjectAlternativeNameExtension(hosts.map((value) => ({ type: 'dns', value })))],
      })
      return { cert: certificate.toString('pem'), key: await pemOf(leaf.privateKey) }
    },
  }
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

function validFor(days: number) {
  const now = Date.now()
  const notAfter = new Date(now + days * dayMs)
  const notBefore = new Date(Math.min(now, notAfter.getTime()) - dayMs)
  return { serialNumber: randomBytes(8).toString('hex'), notBefore, notAfter }
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString()
}
