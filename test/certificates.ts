import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

const algorithms = {
  ec: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  rsa: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  weak: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 512,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  ed25519: { name: 'Ed25519' },
} as const
export type KeyKind = keyof typeof algorithms
const dayMs = 86_400_000

export type Pem = { readonly cert: string; readonly key: string }

export type IssueOptions = {
  readonly kind?: KeyKind
  /** CA:TRUE. */
  readonly isAuthority?: boolean
  /** When it begins to be valid, in days from now; otherwise yesterday. */
  readonly fromDays?: number
}

/** A certificate authority of the test's own. */
export interface Authority {
  /** What clients are told to trust. */
  readonly cert: string
  /** A certificate for some hosts; `days` may be negative: then it has expired. */
  issue(hosts: readonly string[], days?: number, options?: IssueOptions): Promise<Pem>
  /** Another one, whose certificate this one has issued. */
  below(name: string): Promise<Authority>
}

type Keys = webcrypto.CryptoKeyPair

export async function makeAuthority(
  name = 'CN=Bindery test authority',
  kind: KeyKind = 'ec',
): Promise<Authority> {
  const keys = await makeKeys(kind)
  const own = await X509CertificateGenerator.createSelfSigned({
    ...validFor(10),
    name,
    keys,
    signingAlgorithm: algorithms[kind],
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  })
  return authorityOf({ name, kind, keys, cert: own.toString('pem') })
}

function authorityOf(own: {
  readonly name: string
  readonly kind: KeyKind
  readonly keys: Keys
  readonly cert: string
}): Authority {
  const { name: issuer, kind, keys } = own
  const sign = async (
    subject: string,
    publicKey: webcrypto.CryptoKey,
    more: { readonly days: number; readonly fromDays?: number; readonly extensions: Extensions },
  ): Promise<string> => {
    const certificate = await X509CertificateGenerator.create({
      ...validFor(more.days, more.fromDays),
      subject,
      issuer,
      publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithms[kind],
      extensions: [...more.extensions],
    })
    return certificate.toString('pem')
  }
  return {
    cert: own.cert,
    async issue(hosts, days = 1, options = {}) {
      const { kind: leafKind = 'ec', isAuthority = false, ...from } = options
      const leaf = await makeKeys(leafKind)
      const names = hosts.map((value) => ({ type: 'dns' as const, value }))
      const extensions = [
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
        ...(isAuthority ? [new BasicConstraintsExtension(true, undefined, true)] : []),
      ]
      const subject = `CN=${hosts[0] ?? 'nobody'}`
      const cert = await sign(subject, leaf.publicKey, { days, ...from, extensions })
      return { cert, key: await pemOf(leaf.privateKey) }
    },
    async below(name) {
      const lower = await makeKeys('ec')
      const extensions = [new BasicConstraintsExtension(true, undefined, true)]
      const cert = await sign(name, lower.publicKey, { days: 5, extensions })
      return authorityOf({ name, kind: 'ec', keys: lower, cert })
    },
  }
}

type Extensions = readonly (BasicConstraintsExtension | SubjectAlternativeNameExtension)[]

async function makeKeys(kind: KeyKind): Promise<Keys> {
  const made = await webcrypto.subtle.generateKey(algorithms[kind], true, ['sign', 'verify'])
  if (!('privateKey' in made)) throw new Error('these are no two keys')
  return made
}

function validFor(days: number, fromDays?: number) {
  const now = Date.now()
  const notAfter = new Date(now + days * dayMs)
  const from =
    fromDays === undefined ? Math.min(now, notAfter.getTime()) - dayMs : now + fromDays * dayMs
  return { serialNumber: randomBytes(8).toString('hex'), notBefore: new Date(from), notAfter }
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString()
}
