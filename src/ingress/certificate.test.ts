import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { type Authority, makeAuthority, type Pem } from '#test/certificates.ts'
import { type Certificate, Choice, readCertificate } from './certificate.ts'

let authority: Authority

before(async () => {
  authority = await makeAuthority()
})

suite('a certificate', () => {
  test('its hosts are those of its alternative names, in lower case', async () => {
    const pem = await authority.issue(['A.test', '*.b.test'], 3)
    const read = readCertificate({ name: 'x', ...pem })
    assert.deepEqual(read.hosts, ['a.test', '*.b.test'])
    assert.ok(Math.abs(read.notAfter - Date.now() - 3 * 86_400_000) < 60_000)
  })

  test('without alternative names it is for no host', async () => {
    assert.deepEqual(readCertificate({ name: 'x', ...(await authority.issue([])) }).hosts, [])
  })

  test('a chain may follow it', async () => {
    const { cert, key } = await authority.issue(['a.test'])
    const read = readCertificate({ name: 'x', cert: cert + '\n' + authority.cert, key })
    assert.deepEqual(read.hosts, ['a.test'])
  })

  const broken: [string, (one: Pem, other: Pem) => Pem][] = [
    ['the key of another', (one, other) => ({ cert: one.cert, key: other.key })],
    ['half a certificate', (one) => ({ ...one, cert: one.cert.slice(0, 200) })],
    ['half a key', (one) => ({ ...one, key: one.key.slice(0, 100) })],
    ['an empty file', (one) => ({ ...one, cert: '' })],
    ['no key in the file of both', (one) => ({ cert: one.cert, key: one.cert })],
    [
      'half a chain',
      (one, other) => ({ ...one, cert: `${one.cert}\n${other.cert.slice(0, 200)}` }),
    ],
  ]
  for (const [title, make] of broken) {
    test(`refused: ${title}`, async () => {
      const pem = make(await authority.issue(['a.test']), await authority.issue(['b.test']))
      assert.throws(() => readCertificate({ name: 'x', ...pem }))
    })
  }
})

suite('which certificate is shown', () => {
  let context: Certificate['context']

  before(async () => {
    ;({ context } = readCertificate({ name: 'x', ...(await authority.issue(['x'])) }))
  })

  const given: readonly [string, readonly string[], number][] = [
    ['b', ['example.com', 'www.example.com'], 5],
    ['c', ['*.example.com'], 9],
    ['d', ['two.example.com'], 5],
    ['e', ['two.example.com'], 7],
    ['f', ['*.two.example.com'], 7],
    ['z', [], 7],
  ]
  const make = (names: readonly string[]): Choice =>
    new Choice(
      given
        .filter(([name]) => names.includes(name))
        .map(([name, hosts, notAfter]) => ({
          name,
          hosts,
          notBefore: 0,
          notAfter,
          context,
          cert: '',
          key: '',
        })),
    )

  const cases: [string, string | undefined][] = [
    ['example.com', 'b'],
    ['EXAMPLE.com', 'b'],
    ['example.com.', 'b'],
    ['www.example.com', 'b'],
    ['mail.example.com', 'c'],
    ['two.example.com', 'e'],
    ['a.two.example.com', 'f'],
    ['a.b.example.com', undefined],
    ['a.a.two.example.com', undefined],
    ['com', undefined],
    ['.example.com', undefined],
    ['*.example.com', 'c'],
    ['other.test', undefined],
    ['', undefined],
  ]
  for (const [host, name] of cases) {
    test(`"${host}" is shown ${name ?? 'the default'}`, () => {
      assert.equal(make(['f', 'e', 'd', 'c', 'b', 'z']).for(host)?.name, name)
    })
  }

  test('the default is the first by name, or what is called so', () => {
    assert.equal(make(['f', 'b', 'c']).fallback?.name, 'b')
    assert.equal(make([]).fallback, undefined)
    const choice = new Choice([
      { name: 'a', hosts: [], notBefore: 0, notAfter: 0, context, cert: '', key: '' },
      { name: 'default', hosts: [], notBefore: 0, notAfter: 0, context, cert: '', key: '' },
    ])
    assert.equal(choice.fallback?.name, 'default')
  })
})
