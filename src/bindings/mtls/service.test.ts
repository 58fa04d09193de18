import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { before, suite, test } from 'node:test'
import { type Authority, makeAuthority, type Pem } from '#test/certificates.ts'
import { readUpload, type Upload } from './service.ts'

// What may be uploaded, and why not. Certificates and keys are real ones, made here.

const dayMs = 86_400_000

let root: Authority
let middle: Authority
let lower: Authority
let stranger: Authority
/** Issued by `lower`, whose certificate `middle` has issued, whose `root` has. */
let deep: Pem
let plain: Pem

before(async () => {
  root = await makeAuthority('C=CH, O=Bindery, CN=Root')
  middle = await root.below('CN=Middle')
  lower = await middle.below('CN=Lower')
  stranger = await makeAuthority('CN=Stranger')
  deep = await lower.issue(['deep.test'])
  plain = await root.issue(['plain.test'])
})

function read(given: Partial<Upload>, inDays = 0): ReturnType<typeof readUpload> {
  const upload = { certificates: '', privateKey: undefined, isAuthority: false, ...given }
  return readUpload(upload, Date.now() + inDays * dayMs)
}

function subjects(pem: string): readonly string[] {
  return [...pem.matchAll(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g)].map(
    ([block]) => new X509Certificate(block).subject.split('\n').at(-1) ?? '',
  )
}

/** A key in another dress. */
function keyAs(pem: string, options: { type: 'pkcs1' | 'sec1' | 'pkcs8'; isEncrypted?: boolean }) {
  const key = createPrivateKey(pem)
  const { type, isEncrypted = false } = options
  const secret = isEncrypted ? { cipher: 'aes-256-cbc', passphrase: 'open' } : {}
  return key.export({ type, format: 'pem', ...secret }).toString()
}

suite('a client certificate', () => {
  test('is described as Cloudflare describes it', async () => {
    const { privateKey, ...shown } = read({ certificates: plain.cert, privateKey: plain.key })
    const parsed = new X509Certificate(plain.cert)
    assert.deepEqual(shown, {
      certificates: parsed.toString(),
      issuer: 'CN=Root,O=Bindery,C=CH',
      serialNumber: BigInt(`0x${parsed.serialNumber}`).toString(),
      signature: 'ECDSAWithSHA256',
      expiresAt: parsed.validToDate.getTime(),
    })
    assert.ok(createPrivateKey(privateKey ?? '').equals(createPrivateKey(plain.key)))
    const rsa = await makeAuthority('CN=RSA', 'rsa')
    const of = await rsa.issue(['rsa.test'])
    assert.equal(read({ certificates: of.cert, privateKey: of.key }).signature, 'SHA256WithRSA')
  })

  const orders: [what: string, order: () => readonly string[], expected: readonly string[]][] = [
    ['the leaf alone', () => [deep.cert], ['deep.test']],
    ['in order', () => [deep.cert, lower.cert, middle.cert], ['deep.test', 'Lower', 'Middle']],
    [
      'backwards',
      () => [root.cert, middle.cert, lower.cert, deep.cert],
      ['deep.test', 'Lower', 'Middle', 'Root'],
    ],
    ['mixed', () => [lower.cert, deep.cert, middle.cert], ['deep.test', 'Lower', 'Middle']],
    [
      'one of them twice',
      () => [deep.cert, lower.cert, lower.cert, deep.cert],
      ['deep.test', 'Lower'],
    ],
    [
      'with a text around them',
      () => ['Bag Attributes: a-b', deep.cert, 'subject=x', lower.cert],
      ['deep.test', 'Lower'],
    ],
    ['with other ends of lines', () => [deep.cert.replaceAll('\n', '\r\n')], ['deep.test']],
  ]
  for (const [what, order, expected] of orders) {
    test(`a chain ${what} is put in order`, () => {
      const { certificates } = read({ certificates: order().join('\n'), privateKey: deep.key })
      assert.deepEqual(
        subjects(certificates),
        expected.map((name) => `CN=${name}`),
      )
    })
  }

  const kinds: [what: string, make: () => Promise<Pem>][] = [
    ['PKCS#8 of an elliptic curve', () => root.issue(['a.test'])],
    ['PKCS#8 of RSA', () => root.issue(['a.test'], 1, { kind: 'rsa' })],
    ['Ed25519', () => root.issue(['a.test'], 1, { kind: 'ed25519' })],
    ['PKCS#1', async () => dressed(await root.issue(['a.test'], 1, { kind: 'rsa' }), 'pkcs1')],
    ['SEC1', async () => dressed(await root.issue(['a.test']), 'sec1')],
    [
      'SEC1 behind the parameters of its curve, as openssl writes it',
      async () => {
        const { cert, key } = dressed(await root.issue(['a.test']), 'sec1')
        const parameters =
          '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
        return { cert, key: parameters + key }
      },
    ],
    ['one that is not valid yet', () => root.issue(['a.test'], 3, { fromDays: 2 })],
  ]
  for (const [what, make] of kinds) {
    test(`a key is taken as ${what}`, async () => {
      const { cert, key } = await make()
      const { privateKey } = read({ certificates: cert, privateKey: key })
      assert.match(privateKey ?? '', /^-----BEGIN PRIVATE KEY-----/)
    })
  }
})

function dressed({ cert, key }: Pem, type: 'pkcs1' | 'sec1'): Pem {
  return { cert, key: keyAs(key, { type }) }
}

suite('what can not be a client certificate', () => {
  const garbage = '-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n'
  const both = async (pem: Promise<Pem> | Pem): Promise<Partial<Upload>> => {
    const { cert, key } = await pem
    return { certificates: cert, privateKey: key }
  }
  const refused: [
    what: string,
    given: () => Promise<Partial<Upload>>,
    code: number,
    why: RegExp,
  ][] = [
    ['nothing', async () => ({ certificates: '', privateKey: plain.key }), 1402, /no block of PEM/],
    [
      'no PEM',
      async () => ({ certificates: 'hello', privateKey: plain.key }),
      1402,
      /no block of PEM/,
    ],
    [
      'a certificate that is none',
      async () => ({ certificates: plain.cert + garbage, privateKey: plain.key }),
      1402,
      /block 2 is no certificate/,
    ],
    [
      'a request for one',
      async () => ({
        certificates: garbage.replaceAll('CERTIFICATE', 'CERTIFICATE REQUEST'),
        privateKey: plain.key,
      }),
      1402,
      /CERTIFICATE REQUEST among/,
    ],
    [
      'the key among the certificates',
      async () => ({ certificates: plain.cert + plain.key, privateKey: plain.key }),
      1402,
      /private key among/,
    ],
    [
      'too many',
      async () => ({ certificates: plain.cert.repeat(21), privateKey: plain.key }),
      1403,
      /1 to 20/,
    ],
    ['no key', async () => ({ certificates: plain.cert }), 1404, /private_key is missing/],
    [
      'a key that is none',
      async () => ({ certificates: plain.cert, privateKey: 'hello' }),
      1405,
      /no private key in PEM/,
    ],
    [
      'a damaged key',
      async () => ({
        certificates: plain.cert,
        privateKey: plain.key.replace(/\n.{20}/, '\nAAAA'),
      }),
      1405,
      /damaged/,
    ],
    [
      'two keys',
      async () => ({ certificates: plain.cert, privateKey: plain.key + deep.key }),
      1405,
      /several/,
    ],
    [
      'an encrypted key (PKCS#8)',
      async () => ({
        certificates: plain.cert,
        privateKey: keyAs(plain.key, { type: 'pkcs8', isEncrypted: true }),
      }),
      1406,
      /encrypted/,
    ],
    [
      'an encrypted key (traditional)',
      async () => ({
        certificates: plain.cert,
        privateKey: keyAs(plain.key, { type: 'sec1', isEncrypted: true }),
      }),
      1406,
      /encrypted/,
    ],
    [
      'the key of another',
      async () => ({ certificates: plain.cert, privateKey: deep.key }),
      1407,
      /belongs to none/,
    ],
    [
      'a certificate that has nothing to do with it',
      async () => ({ certificates: plain.cert + stranger.cert, privateKey: plain.key }),
      1408,
      /"Stranger" is no part/,
    ],
    [
      'a chain with a gap',
      async () => ({ certificates: deep.cert + middle.cert, privateKey: deep.key }),
      1408,
      /"Middle" is no part/,
    ],
    [
      'another leaf',
      async () => ({ certificates: plain.cert + deep.cert, privateKey: plain.key }),
      1408,
      /"deep.test" is no part/,
    ],
    ['an expired one', () => both(root.issue(['old.test'], -1)), 1409, /"old.test" expired on 20/],
    [
      "an authority's",
      () => both(root.issue(['ca.test'], 1, { isAuthority: true })),
      1410,
      /"ca.test" is an authority's/,
    ],
    [
      'a key that is too small',
      () => both(root.issue(['weak.test'], 1, { kind: 'weak' })),
      1413,
      /too small/,
    ],
  ]
  for (const [what, given, code, message] of refused) {
    test(what, async () => {
      const upload = await given()
      assert.throws(() => read(upload), { name: 'ApiError', code, message })
    })
  }

  test('an authority on the way that has expired', () => {
    const upload = { certificates: deep.cert + lower.cert, privateKey: deep.key }
    assert.throws(() => read(upload, 3), { code: 1409, message: /"deep.test"/ })
    assert.equal(read(upload).certificates.match(/BEGIN/g)?.length, 2)
  })
})

suite('certificates of authorities', () => {
  test('a bundle: they need not have issued each other', () => {
    const { certificates, privateKey, issuer } = read({
      certificates: stranger.cert + root.cert,
      isAuthority: true,
    })
    assert.deepEqual(subjects(certificates), ['CN=Stranger', 'CN=Root'])
    assert.equal(privateKey, undefined)
    assert.equal(issuer, 'CN=Stranger')
  })

  const refused: [what: string, given: () => Partial<Upload>, code: number][] = [
    ['one that is none', () => ({ certificates: root.cert + plain.cert }), 1411],
    ['with a key', () => ({ certificates: root.cert, privateKey: plain.key }), 1412],
    ['nothing', () => ({ certificates: '\n' }), 1402],
  ]
  for (const [what, given, code] of refused) {
    test(what, () => {
      assert.throws(() => read({ ...given(), isAuthority: true }), { code })
    })
  }

  test('an expired one', () => {
    assert.throws(() => read({ certificates: root.cert, isAuthority: true }, 11), { code: 1409 })
  })
})
