import { defineError } from '#contract/errors.ts'
import { certificatesLengthPerAccount, certificatesPerAccount } from './limits.ts'

// Cloudflare documents no codes of these: they are ours, among those of its certificates.

export const bodyInvalid = defineError(1400, 400, (why: string) => why)
export const bodyTooLarge = defineError(
  1401,
  413,
  (bytes: number) => `The body has more than ${bytes} bytes.`,
)
export const certificatesInvalid = defineError(
  1402,
  400,
  (why: string) => `The certificates can't be read: ${why}.`,
)
export const tooManyInUpload = defineError(
  1403,
  400,
  (most: number) => `Such an upload has 1 to ${most} certificates.`,
)
export const keyMissing = defineError(
  1404,
  400,
  () => 'A client certificate needs its private key: private_key is missing.',
)
export const keyInvalid = defineError(
  1405,
  400,
  (why: string) => `The private key can't be read: ${why}.`,
)
export const keyEncrypted = defineError(
  1406,
  400,
  () => 'The private key is encrypted. Upload it without a passphrase: it is encrypted here.',
)
export const keyMismatch = defineError(
  1407,
  400,
  () => 'The private key belongs to none of the certificates.',
)
export const chainBroken = defineError(
  1408,
  400,
  (subject: string) =>
    `The certificate of "${subject}" is no part of the chain: it has not issued another one of it.`,
)
export const expired = defineError(
  1409,
  400,
  (subject: string, when: string) => `The certificate of "${subject}" expired on ${when}.`,
)
export const isAuthority = defineError(
  1410,
  400,
  (subject: string) =>
    `The certificate of "${subject}" is an authority's (CA:TRUE) and not a client's: upload it with "ca": true.`,
)
export const notAuthority = defineError(
  1411,
  400,
  (subject: string) => `The certificate of "${subject}" is not an authority's (CA:TRUE).`,
)
export const keyUnwanted = defineError(
  1412,
  400,
  () => 'The certificates of an authority are uploaded without a private key.',
)
export const unusable = defineError(
  1413,
  400,
  (why: string) => `The certificate can't be used for TLS: ${why}.`,
)
export const tooManyCertificates = defineError(
  1414,
  400,
  () =>
    `An account can have no more than ${certificatesPerAccount} certificates, of no more than ${certificatesLengthPerAccount} characters.`,
)
export const certificateNotFound = defineError(
  1415,
  404,
  (id: string) => `There is no mTLS certificate ${id}.`,
)
export const certificateInUse = defineError(
  1416,
  409,
  (id: string, workers: readonly string[]) =>
    `The mTLS certificate ${id} is used by the Workers ${workers.join(', ')}. Deploy them without it first.`,
)
export const notReady = defineError(
  1417,
  503,
  () => 'The server is starting, and does not know yet which certificates are used. Try again.',
)
export const routeNotFound = defineError(7003, 404, (path: string) => `Could not route to ${path}`)

/** A binding to a certificate that the account does not have, or not any more. */
export const boundNotFound = defineError(
  1418,
  400,
  (name: string, id: string) =>
    `The binding "${name}" names the mTLS certificate ${id}, which does not exist. Upload one with wrangler mtls-certificate upload.`,
)
export const boundAuthority = defineError(
  1419,
  400,
  (name: string, id: string) =>
    `The binding "${name}" names the certificate ${id}, which is an authority's: it has no key to prove anything with.`,
)
