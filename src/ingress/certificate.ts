import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'

/** A certificate with its key, ready to be shown to visitors. */
export type Certificate = {
  /** What the operator calls it: the name of its files. */
  readonly name: string
  /** The host names that it is for, in lower case; the first label of some is `*`. */
  readonly hosts: readonly string[]
  /** From and until when it is valid: milliseconds since the UNIX epoch. */
  readonly notBefore: number
  readonly notAfter: number
  readonly cert: string
  readonly key: string
  readonly context: SecureContext
}

/**
 * Reads a chain, its own certificate first, and a key, both as PEM. Throws an `Error` that says why
 * they can't be used together.
 */
export function readCertificate(pem: {
  readonly name: string
  readonly cert: string
  readonly key: string
}): Certificate {
  const own = new X509Certificate(pem.cert)
  if (!own.checkPrivateKey(createPrivateKey(pem.key))) {
    throw new Error('the key is not that of the certificate')
  }
  const context = createSecureContext({ cert: pem.cert, key: pem.key, minVersion: 'TLSv1.2' })
  const notBefore = Date.parse(own.validFrom)
  return { ...pem, context, hosts: hostsOf(own), notBefore, notAfter: Date.parse(own.validTo) }
}

/** Host names alone: one in the subject, without an alternative name, counts for no browser. */
function hostsOf({ subjectAltName = '' }: X509Certificate): readonly string[] {
  return [...subjectAltName.matchAll(/(?:^|, )DNS:([a-z0-9_.*-]+)(?=,|$)/gi)].map((match) =>
    (match[1] ?? '').toLowerCase(),
  )
}

/**
 * Which certificate a visitor is shown. One that names the host goes before one with a wildcard; among
 * equals the one that is valid for longest. A visitor that asks for no host, or for one that no
 * certificate is for, is shown the default: the one called `default`, or else the first by name.
 */
export class Choice {
  readonly #byHost = new Map<string, Certificate>()
  /** Absent if there is no certificate at all: then no handshake succeeds. */
  readonly fallback: Certificate | undefined

  constructor(certificates: readonly Certificate[]) {
    const byName = certificates.toSorted((one, other) => (one.name < other.name ? -1 : 1))
    this.fallback = byName.find(({ name }) => name === 'default') ?? byName[0]
    for (const certificate of byName) {
      for (const host of certificate.hosts) {
        const known = this.#byHost.get(host)
        if (!known || known.notAfter < certificate.notAfter) this.#byHost.set(host, certificate)
      }
    }
  }

  /** The certificate that is for a host, if there is one. */
  for(hostname: string): Certificate | undefined {
    const host = hostname.toLowerCase().replace(/\.$/, '')
    const dot = host.indexOf('.')
    return this.#byHost.get(host) ?? (dot > 0 ? this.#byHost.get(`*${host.slice(dot)}`) : undefined)
  }
}
