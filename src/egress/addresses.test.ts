import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { isPublic, parseAddress, parseBlock } from './addresses.ts'
import { createRules } from './rules.ts'
import { privateSpellings } from './spellings.fixture.ts'

function addressOf(spelling: string): ReturnType<typeof parseAddress> {
  return parseAddress(URL.parse(`http://${spelling}/`)?.hostname ?? '')
}

suite('addresses', () => {
  const spellings: [string, string | undefined][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['[::1]', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::ffff:808:808', '8.8.8.8'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2606:4700:0000::1111', '2606:4700::1111'],
    ['127.1', undefined],
    ['example.com', undefined],
    ['', undefined],
    ['[', undefined],
  ]
  for (const [text, expected] of spellings) {
    test(`${text || '(nothing)'} is ${expected ?? 'none'}`, () => {
      assert.equal(parseAddress(text)?.text, expected)
    })
  }

  test(`${privateSpellings.length} spellings of what is not public, at least 120`, () => {
    assert.ok(new Set(privateSpellings).size >= 120, `${privateSpellings.length}`)
    const open = privateSpellings.filter((spelling) => {
      const address = addressOf(spelling)
      assert.ok(address, `${spelling} is no address`)
      return isPublic(address)
    })
    assert.deepEqual(open, [])
  })

  // The neighbours of what is closed.
  const open = `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255
    128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255
    192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 [2606:4700::1111] [2001:4860:4860::8888]
    [2a00:1450::1] [2003::1] [2001:200::1] [::ffff:8.8.8.8] 0x08080808 134744072`
  test('what is public is open', () => {
    const closed = open.split(/\s+/).filter((spelling) => {
      const address = addressOf(spelling)
      return !address || !isPublic(address)
    })
    assert.deepEqual(closed, [])
  })

  test('blocks', () => {
    assert.equal(parseBlock('10.0.0.0/8')?.bits, 8)
    assert.equal(parseBlock('10.0.0.1')?.bits, 32)
    assert.equal(parseBlock('[fd00::]/8')?.bits, 8)
    for (const wrong of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'fd00::/129', 'x/8', '/8']) {
      assert.equal(parseBlock(wrong), undefined, wrong)
    }
  })
})

suite('rules', () => {
  const cases: [allow: string[], host: string, port: number, permitted: boolean][] = [
    [[], '8.8.8.8', 443, true],
    [[], '8.8.8.8', 25, false],
    [[], '8.8.8.8', 465, false],
    [[], '8.8.8.8', 587, false],
    [[], '8.8.8.8', 0, false],
    [[], '10.0.0.1', 443, false],
    [['10.0.0.0/8'], '10.0.0.1', 443, true],
    [['10.0.0.0/8'], '[::ffff:10.0.0.1]', 443, true],
    [['10.0.0.0/8'], '11.0.0.1', 443, true],
    [['10.0.0.0/8'], '192.168.0.1', 443, false],
    [['10.0.0.0/8'], '10.0.0.1', 25, false],
    [['10.0.0.1:25'], '10.0.0.1', 25, true],
    [['10.0.0.1:25'], '10.0.0.1', 80, false],
    [['10.0.0.1:25'], '10.0.0.2', 25, false],
    [['127.0.0.1:5432', '127.0.0.1:5433'], '127.0.0.1', 5433, true],
    [['fd00::/8'], '[fd12::1]', 80, true],
    [['[fd00::1]:5432'], '[fd00::1]', 5432, true],
    [['[fd00::1]:5432'], '[fd00::1]', 80, false],
    [['[fd00::/8]:5432'], '[fd99::1]', 5432, true],
    [['[::1]'], '[::1]', 80, true],
    [['0.0.0.0/0:587'], '8.8.8.8', 587, true],
  ]
  for (const [allow, host, port, permitted] of cases) {
    test(`${allow.join(' ') || 'nothing'} listed: ${host}:${port} ${permitted ? 'open' : 'closed'}`, () => {
      const address = addressOf(host)
      assert.ok(address)
      assert.equal(createRules(allow).permits(address, port), permitted)
    })
  }

  for (const wrong of ['example.com', '10.0.0.0/40', '10.0.0.1:0', '10.0.0.1:70000', '[::1', '']) {
    test(`"${wrong}" is told to the operator`, () => {
      assert.throws(() => createRules([wrong]), {
        name: 'OperatorError',
        message: /--egress-allow/,
      })
    })
  }
})
