import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { failureText, RefusedError } from './errors.ts'

/** What OpenSSL says, as it was seen with `openssl s_server`. */
function alert(number: number, code = 'ERR_SSL_TLSV1_ALERT'): Error {
  const words = `error:0A000418:SSL routines:ssl3_read_bytes:an alert:../rec_layer_s3.c:918:SSL alert number ${number}\n`
  return Object.assign(new Error(words), { code })
}

function system(code: string): Error {
  return Object.assign(new Error(code.toLowerCase()), { code })
}

const hungUp = 'The origin hung up without an answer: it may not accept the client certificate.'

suite('what a Worker is told of an origin that fails', () => {
  const cases: [what: string, error: Error, offersCertificate: boolean, expected: string][] = [
    [
      'an alert that is known',
      alert(48),
      true,
      '525 The origin did not accept the TLS connection: unknown CA (alert 48).',
    ],
    [
      'the same to whoever offered none',
      alert(116),
      false,
      '525 The origin did not accept the TLS connection: certificate required (alert 116).',
    ],
    [
      'an alert while it is written to',
      alert(42, 'EPROTO'),
      true,
      '525 The origin did not accept the TLS connection: bad certificate (alert 42).',
    ],
    [
      'an alert that is of something else',
      alert(70),
      true,
      '525 The origin did not accept the TLS connection: something else (alert 70).',
    ],
    ['a connection cut after the handshake', system('UND_ERR_SOCKET'), true, `520 ${hungUp}`],
    ['a connection cut in it', new RefusedError('handshake', 'cut'), true, `525 ${hungUp}`],
    ['the same to whoever offered none', new RefusedError('handshake', 'cut'), false, '525 cut'],
    ['a connection that is reset', system('ECONNRESET'), false, '520 econnreset'],
    ['nobody there', system('ECONNREFUSED'), true, '521 econnrefused'],
    ['a private address', new RefusedError('address', 'not there'), true, '1003 not there'],
  ]
  for (const [what, error, offersCertificate, expected] of cases) {
    test(what, () => {
      const [code, ...sentence] = expected.split(' ')
      assert.equal(
        failureText(error, offersCertificate),
        `error code: ${code}\n${sentence.join(' ')}\n`,
      )
    })
  }
})
