/** Why nothing is connected to, in the words that end up with the Worker. */
export class RefusedError extends Error {
  readonly refusal: Refusal
  constructor(refusal: Refusal, message: string) {
    super(message)
    this.name = 'RefusedError'
    this.refusal = refusal
  }
}

/** `address`: it was named itself. `name`: none of those that a name stands for may be reached. */
export type Refusal = 'address' | 'name' | 'unknown' | 'busy' | 'timeout' | 'handshake'

/** What a Worker's `fetch` is answered when no origin does. */
export type Failure = { readonly status: number; readonly code: number }

// developers.cloudflare.com/support/troubleshooting/http-status-codes: pages on 5xx and 1xxx errors.
const refusals: Readonly<Record<Refusal, Failure>> = {
  address: { status: 403, code: 1003 },
  name: { status: 403, code: 1002 },
  unknown: { status: 530, code: 1016 },
  busy: { status: 503, code: 503 },
  timeout: { status: 522, code: 522 },
  handshake: { status: 525, code: 525 },
}

const failures: Readonly<Record<string, Failure>> = {
  ECONNREFUSED: { status: 521, code: 521 },
  ETIMEDOUT: { status: 522, code: 522 },
  EHOSTUNREACH: { status: 523, code: 523 },
  ENETUNREACH: { status: 523, code: 523 },
  EADDRNOTAVAIL: { status: 523, code: 523 },
  UND_ERR_HEADERS_TIMEOUT: { status: 524, code: 524 },
  UND_ERR_MAX_ORIGINS_REACHED: { status: 503, code: 503 },
}

const unknown: Failure = { status: 520, code: 520 }

// What OpenSSL and Node say of a certificate that can't be trusted, against everything else of TLS.
const certificateError =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT_ALTNAME|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|INVALID_PURPOSE)/

/** What a Worker's `fetch` is answered after an error. */
export function failureOf(error: Error): Failure {
  if (error instanceof RefusedError) return refusals[error.refusal]
  const code = codeOf(error)
  if (certificateError.test(code)) return { status: 526, code: 526 }
  if (/^(ERR_SSL|ERR_TLS|EPROTO)/.test(code)) return { status: 525, code: 525 }
  return failures[code] ?? unknown
}

// RFC 8446, section 6: what the other end says before it hangs up.
const alerts: Readonly<Record<string, string>> = {
  '40': 'handshake failure',
  '42': 'bad certificate',
  '43': 'unsupported certificate',
  '44': 'certificate revoked',
  '45': 'certificate expired',
  '46': 'certificate unknown',
  '48': 'unknown CA',
  '49': 'access denied',
  '116': 'certificate required',
}

/**
 * What a Worker's `fetch` is answered after an error, and why. `offersCertificate`: the origin could
 * have had a client certificate, and whoever does not accept one may hang up without a word.
 */
export function failureText(error: Error, offersCertificate: boolean): string {
  return `error code: ${failureOf(error).code}\n${sentenceOf(error, offersCertificate)}\n`
}

function sentenceOf(error: Error, offersCertificate: boolean): string {
  const alert = /SSL alert number (\d+)/.exec(error.message)?.[1]
  if (alert !== undefined) {
    const word = alerts[alert] ?? 'something else'
    return `The origin did not accept the TLS connection: ${word} (alert ${alert}).`
  }
  if (!offersCertificate || !wasCut(error)) return error.message
  return 'The origin hung up without an answer: it may not accept the client certificate.'
}

function wasCut(error: Error): boolean {
  if (error instanceof RefusedError) return error.refusal === 'handshake'
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error))
}

/** The code of a system's error; of several attempts, that of the last. */
export function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors.at(-1))
  if (!(error instanceof Error) || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}
