import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { messageOf } from '#contract/errors.ts'
import * as errors from './errors.ts'
import { certificatesPerBundle, certificatesPerChain } from './limits.ts'
import type { NewCertificate } from './store.ts'

/** What was uploaded: texts of PEM. */
export type Upload = {
  readonly certificates: string
  readonly privateKey: string | undefined
  readonly isAuthority: boolean
}

type Read = Omit<NewCertificate, 'account' | 'name' | 'isAuthority'>

/**
 * Reads an upload as of `now` (ms since 1970), and puts a client's chain in order. Throws an
 * `ApiError` for what TLS could not be spoken with: it would fail later, where nobody can say why. A
 * certificate that is not valid yet is taken: it may be the next one.
 */
export function readUpload(upload: Upload, now: number): Read {
  const most = upload.isAuthority ? certificatesPerBundle : certificatesPerChain
  const certificates = readCertificates(upload.certificates, most)
  const read = upload.isAuthority
    ? readAuthorities(certificates, upload.privateKey)
    : readClient(certificates, upload.privateKey)
  for (const each of read.chain) {
    if (each.validToDate.getTime() <= now) {
      throw errors.expired(nameOf(each), each.validToDate.toISOString())
    }
  }
  const [first] = read.chain
  if (!first) throw errors.tooManyInUpload(most)
  const text = read.chain.map((each) => each.toString()).join('')
  if (read.privateKey !== undefined) checkUsable(text, read.privateKey)
  return {
    certificates: text,
    privateKey: read.privateKey,
    issuer: distinguishedName(first.issuer),
    serialNumber: decimal(first.serialNumber),
    signature: signatureOf(first),
    expiresAt: first.validToDate.getTime(),
  }
}

type Chain = {
  /** At least one; a client's own is the first. */
  readonly chain: readonly X509Certificate[]
  readonly privateKey: string | undefined
}

/** A bundle: authorities need not have issued each other. */
function readAuthorities(chain: readonly X509Certificate[], key: string | undefined): Chain {
  if (key !== undefined) throw errors.keyUnwanted()
  const other = chain.find((each) => !each.ca)
  if (other) throw errors.notAuthority(nameOf(other))
  return { chain, privateKey: undefined }
}

/** The certificate that the key is for, wherever it stands, and those that lead on from it. */
function readClient(certificates: readonly X509Certificate[], text: string | undefined): Chain {
  if (text === undefined) throw errors.keyMissing()
  const key = readKey(text)
  const leaf = certificates.find((each) => isTrue(() => each.checkPrivateKey(key)))
  if (!leaf) throw errors.keyMismatch()
  if (leaf.ca) throw errors.isAuthority(nameOf(leaf))
  const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { chain: inOrder(leaf, certificates), privateKey }
}

/** Each certificate behind one that it has issued. The same twice is there once. */
function inOrder(
  leaf: X509Certificate,
  certificates: readonly X509Certificate[],
): readonly X509Certificate[] {
  const left = new Map(certificates.map((each) => [each.fingerprint256, each]))
  const chain: X509Certificate[] = []
  for (let next: X509Certificate | undefined = leaf; next;) {
    const last: X509Certificate = next
    chain.push(last)
    left.delete(last.fingerprint256)
    next = [...left.values()].find((each) => hasIssued(each, last))
  }
  const [stray] = left.values()
  if (stray) throw errors.chainBroken(nameOf(stray))
  return chain
}

function hasIssued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  if (!issuer.ca || !certificate.checkIssued(issuer)) return false
  return isTrue(() => certificate.verify(issuer.publicKey))
}

/** Keys of kinds that nobody here knows throw when they are looked at. */
function isTrue(ask: () => boolean): boolean {
  try {
    return ask()
  } catch {
    return false
  }
}

type Block = { readonly label: string; readonly text: string; readonly body: string }

/** The blocks of a text of PEM. What stands around them is ignored, as everybody does. */
function blocksOf(text: string): readonly Block[] {
  const blocks = text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,50})-----([^-]*)-----END \1-----/g)
  return [...blocks].map(([whole, label = '', body = '']) => ({ label, text: whole, body }))
}

function readCertificates(text: string, most: number): readonly X509Certificate[] {
  const blocks = blocksOf(text)
  if (blocks.some(({ label }) => label.endsWith('PRIVATE KEY'))) {
    throw errors.certificatesInvalid('there is a private key among them')
  }
  const other = blocks.find(({ label }) => !/^(X509 )?CERTIFICATE$/.test(label))
  if (other) throw errors.certificatesInvalid(`there is a ${other.label} among them`)
  if (blocks.length === 0) throw errors.certificatesInvalid('there is no block of PEM')
  if (blocks.length > most) throw errors.tooManyInUpload(most)
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block.text)
    } catch {
      throw errors.certificatesInvalid(`block ${index + 1} is no certificate`)
    }
  })
}

/** PKCS#8, PKCS#1 or SEC1; the parameters of a curve may stand before the last. */
function readKey(text: string): KeyObject {
  const keys = blocksOf(text).filter(({ label }) => label.endsWith('PRIVATE KEY'))
  const [key, ...others] = keys
  // Its headers have hyphens: it is no block for the pattern of those that are.
  const isTraditional = /-----BEGIN [A-Z ]*PRIVATE KEY-----\s*Proc-Type:\s*4,\s*ENCRYPTED/.test(
    text,
  )
  if (isTraditional || key?.label === 'ENCRYPTED PRIVATE KEY') throw errors.keyEncrypted()
  if (!key) throw errors.keyInvalid('there is no private key in PEM')
  if (others.length > 0) throw errors.keyInvalid('there are several')
  try {
    return createPrivateKey(key.text)
  } catch {
    throw errors.keyInvalid('it is damaged, or of a kind that is not known')
  }
}

/** What TLS itself says of it: a key may be too small, or of a kind that signs nothing. */
function checkUsable(cert: string, key: string): void {
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    const reason = messageOf(error).split(':').at(-1)
    throw errors.unusable(reason ?? 'it is refused')
  }
}

/** For sentences: the common name, or all of it. */
function nameOf({ subject }: X509Certificate): string {
  const whole = distinguishedName(subject)
  return /(?:^|,)CN=([^,]*)/.exec(whole)?.[1] ?? whole
}

/** As RFC 4514 writes it, the most specific part first: what Node has is a line for each part. */
function distinguishedName(lines: string | undefined): string {
  return (lines ?? '').split('\n').toReversed().join(',')
}

function decimal(hexDigits: string): string {
  const [, sign = '', digits = '0'] = /^(-?)([0-9a-f]+)$/i.exec(hexDigits) ?? []
  return sign + BigInt(`0x${digits}`).toString()
}

/** In the words of Cloudflare's API: `SHA256WithRSA`. */
function signatureOf({ signatureAlgorithm = '' }: X509Certificate): string {
  const rsa = /^sha(\d+)WithRSAEncryption$/i.exec(signatureAlgorithm)
  if (rsa) return `SHA${rsa[1]}WithRSA`
  const ecdsa = /^ecdsa-with-SHA(\d+)$/i.exec(signatureAlgorithm)
  if (ecdsa) return `ECDSAWithSHA${ecdsa[1]}`
  return signatureAlgorithm
}
