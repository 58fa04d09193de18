import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { keepsAlive, readLength, readRequestLine, readTerms } from './framing.ts'
import { Malformed } from './malformed.ts'

/** The status that something is refused with, or what it gives. */
function outcome(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error instanceof Malformed ? error.status : error
  }
}

suite('what the fields say of a body', () => {
  const bodies: readonly (readonly [readonly string[], unknown])[] = [
    [[], undefined],
    [['Content-Length', '0'], { length: 0 }],
    [['content-length', '5'], { length: 5 }],
    [['CONTENT-LENGTH', '005'], { length: 5 }],
    [['Content-Length', String(Number.MAX_SAFE_INTEGER)], { length: Number.MAX_SAFE_INTEGER }],
    [['Transfer-Encoding', 'chunked'], 'chunked'],
    [['tRANSFER-eNCODING', 'ChunKed'], 'chunked'],
    [['Content-Length', '9007199254740992'], 400],
    [['Content-Length', '99999999999999999999'], 400],
    [['Content-Length', ''], 400],
    [['Content-Length', '5', 'content-length', '5'], 400],
    [['Content-Length', '5, 5'], 400],
    [['Content-Length', '+5'], 400],
    [['Content-Length', '-0'], 400],
    [['Content-Length', '5 5'], 400],
    [['Content-Length', '٥'], 400],
    [['Content-Length', '0', 'Transfer-Encoding', 'chunked'], 400],
    [['Transfer-Encoding', 'chunked', 'Content-Length', '5'], 400],
    [['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'], 400],
    [['Transfer-Encoding', 'chunked, chunked'], 400],
    [['Transfer-Encoding', 'gzip, chunked'], 400],
    [['Transfer-Encoding', 'identity'], 400],
    [['Transfer-Encoding', ''], 400],
    [['Transfer-Encoding', 'chunked;a=b'], 400],
    [['Transfer-Encoding', '\u000bchunked'], 400],
    [['Content-Length-', '5', 'X-Transfer-Encoding', 'chunked'], undefined],
  ]
  for (const [fields, expected] of bodies) {
    test(JSON.stringify(fields), () => {
      assert.deepEqual(
        outcome(() => readTerms(fields, '1.1').framing),
        expected,
      )
    })
  }

  test('chunks are not of HTTP/1.0', () => {
    assert.equal(
      outcome(() => readTerms(['Transfer-Encoding', 'chunked'], '1.0')),
      400,
    )
  })
})

suite('what they say of the connection', () => {
  const connections: readonly (readonly [string | undefined, boolean, boolean])[] = [
    [undefined, true, false],
    ['keep-alive', true, true],
    ['Keep-Alive', true, true],
    ['close', false, false],
    ['CLOSE', false, false],
    ['keep-alive, close', false, false],
    ['x , Keep-Alive', true, true],
    ['Upgrade', true, false],
    ['closed', true, false],
    ['', true, false],
  ]
  for (const [value, since11, since10] of connections) {
    test(`Connection: ${value}`, () => {
      assert.equal(keepsAlive(value, '1.1'), since11)
      assert.equal(keepsAlive(value, '1.0'), since10)
    })
  }

  const expectations: readonly (readonly [readonly string[], unknown])[] = [
    [['Expect', '100-continue', 'Content-Length', '5'], true],
    [['expect', '100-Continue', 'Transfer-Encoding', 'chunked'], true],
    [['Expect', '100-continue'], false],
    [['Expect', '100-continue', 'Content-Length', '0'], false],
    [['Expect', 'a miracle', 'Content-Length', '5'], 417],
    [['Expect', '100-continue', 'Expect', '100-continue', 'Content-Length', '5'], 417],
  ]
  for (const [fields, expected] of expectations) {
    test(JSON.stringify(fields), () => {
      assert.equal(
        outcome(() => readTerms(fields, '1.1').expectsContinue),
        expected,
      )
    })
  }

  test('upgrades are in lower case, and all of them', () => {
    assert.equal(readTerms(['Upgrade', 'WebSocket'], '1.1').upgrade, 'websocket')
    assert.equal(readTerms(['Upgrade', 'a', 'upgrade', 'B'], '1.1').upgrade, 'a, b')
    assert.equal(readTerms(['X-Upgrade', 'a'], '1.1').upgrade, undefined)
  })

  const offers: readonly (readonly [readonly string[], boolean])[] = [
    [['Upgrade', 'websocket', 'Connection', 'Upgrade'], true],
    [['Connection', 'keep-alive, uPGRADE', 'Upgrade', 'websocket'], true],
    [['Connection', 'keep-alive', 'Connection', 'upgrade', 'Upgrade', 'websocket'], true],
    [['Upgrade', 'websocket'], false],
    [['Connection', 'keep-alive', 'Upgrade', 'websocket'], false],
    [['Connection', 'upgrades', 'Upgrade', 'websocket'], false],
    [['Connection', 'Upgrade'], false],
  ]
  for (const [fields, expected] of offers) {
    test(`${JSON.stringify(fields)} ${expected ? 'offers' : 'does not offer'} an upgrade`, () => {
      assert.equal(readTerms(fields, '1.1').offersUpgrade, expected)
    })
  }
})

test('a first line', () => {
  assert.deepEqual(readRequestLine('POST /a?b=%20#c HTTP/1.0'), {
    method: 'POST',
    target: '/a?b=%20#c',
    version: '1.0',
  })
})

test('a length', () => {
  assert.equal(readLength('0'), 0)
  assert.equal(
    outcome(() => readLength('1e3')),
    400,
  )
})
