import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { seed } from '#test/random.ts'
import { cuts } from './cuts-fixture.ts'
import { readRequestLine } from './framing.ts'
import { HeadReader } from './head.ts'
import { Malformed } from './malformed.ts'

// Wherever a head is cut into pieces, the same is read.

const limit = 1_000

/** What is read of bytes that come in pieces: the head and what is behind it, a status, or nothing yet. */
function readIn(pieces: readonly Buffer[]): unknown {
  const reader = new HeadReader(limit, (line) => void readRequestLine(line))
  let bytes = Buffer.alloc(0)
  let end = -1
  try {
    for (const piece of pieces) {
      bytes = Buffer.concat([bytes, piece])
      if (end < 0) end = reader.read(bytes)
    }
  } catch (error) {
    return error instanceof Malformed ? error.status : error
  }
  if (end < 0) return 'incomplete'
  const { line, fields } = reader.take(bytes)
  return [line, ...fields, bytes.toString('latin1', end)]
}

const get = 'GET / HTTP/1.1\r\n'
const tchars = "!#$%&'*+-.^_`|~0123456789azAZ"
const cases: readonly (readonly [string, string, unknown])[] = [
  ['no fields', `${get}\r\n`, ['GET / HTTP/1.1', '']],
  ['one field', `${get}Host: a\r\n\r\n`, ['GET / HTTP/1.1', 'Host', 'a', '']],
  ['a body behind it', `${get}A: b\r\n\r\nbody`, ['GET / HTTP/1.1', 'A', 'b', 'body']],
  [
    'values without spaces around',
    `${get}A:b\r\nC: \t d e \t\r\n\r\n`,
    ['GET / HTTP/1.1', 'A', 'b', 'C', 'd e', ''],
  ],
  ['empty values', `${get}A:\r\nB: \t \r\n\r\n`, ['GET / HTTP/1.1', 'A', '', 'B', '', '']],
  ['a colon in a value', `${get}A: b:c\r\n\r\n`, ['GET / HTTP/1.1', 'A', 'b:c', '']],
  [
    'bytes that are no ASCII',
    `${get}A: \u0080\u00ff\r\n\r\n`,
    ['GET / HTTP/1.1', 'A', '\u0080\u00ff', ''],
  ],
  ['every character of a name', `${get}${tchars}: x\r\n\r\n`, ['GET / HTTP/1.1', tchars, 'x', '']],
  ['the same name twice', `${get}A: b\r\na: c\r\n\r\n`, ['GET / HTTP/1.1', 'A', 'b', 'a', 'c', '']],
  ['empty lines before it', `\r\n\r\n${get}A: b\r\n\r\n`, ['GET / HTTP/1.1', 'A', 'b', '']],
  [
    'as long as it may be',
    `${get}A: ${'b'.repeat(limit - 23)}\r\n\r\n`,
    ['GET / HTTP/1.1', 'A', 'b'.repeat(limit - 23), ''],
  ],
  ['one byte longer', `${get}A: ${'b'.repeat(limit - 22)}\r\n\r\n`, 431],
  ['a first line without end', `GET /${'b'.repeat(limit)}`, 431],
  ['empty lines without end', '\r\n'.repeat(limit), 431],
  ['nothing', '', 'incomplete'],
  ['half a head', `${get}A: b\r\n`, 'incomplete'],
  ['all but its last byte', `${get}A: b\r\n\r`, 'incomplete'],
  ['a lone LF at its end', `${get}A: b\r\n\n`, 400],
  ['a lone LF behind a field', `${get}A: b\n\r\n`, 400],
  ['a lone LF behind the first line', 'GET / HTTP/1.1\nA: b\r\n\r\n', 400],
  ['a lone LF before it', `\n${get}\r\n`, 400],
  ['a lone CR before it', `\r${get}\r\n`, 400],
  ['a lone CR in the first line', 'GET /\r HTTP/1.1\r\n\r\n', 400],
  ['a lone CR in a value', `${get}A: b\rC: d\r\n\r\n`, 400],
  ['two CRs', `${get}A: b\r\r\n\r\n`, 400],
  ['a CR in a name', `${get}A\r: b\r\n\r\n`, 400],
  ['a folded value', `${get}A: b\r\n c\r\n\r\n`, 400],
  ['a folded value with a tab', `${get}A: b\r\n\tc\r\n\r\n`, 400],
  ['space before the first field', `${get} A: b\r\n\r\n`, 400],
  ['space before a colon', `${get}A : b\r\n\r\n`, 400],
  ['no name', `${get}: b\r\n\r\n`, 400],
  ['no colon', `${get}A\r\n\r\n`, 400],
  ['a quoted name', `${get}"A": b\r\n\r\n`, 400],
  ['a name that is no ASCII', `${get}\u00e4: b\r\n\r\n`, 400],
  ['NUL in a name', `${get}A\u0000: b\r\n\r\n`, 400],
  ['NUL in a value', `${get}A: \u0000\r\n\r\n`, 400],
  ['NUL in the first line', 'GET /\u0000 HTTP/1.1\r\n\r\n', 400],
  ['DEL in a value', `${get}A: b\u007f\r\n\r\n`, 400],
  ['a vertical tab in a value', `${get}A: b\u000b\r\n\r\n`, 400],
  ['an escape in a value', `${get}A: \u001b[0m\r\n\r\n`, 400],
  ['a handshake of TLS', '\u0016\u0003\u0001\u0002\u0000', 400],
  ['two spaces', 'GET  / HTTP/1.1\r\n\r\n', 400],
  ['a space at the end', 'GET / HTTP/1.1 \r\n\r\n', 400],
  ['a space at the beginning', ' GET / HTTP/1.1\r\n\r\n', 400],
  ['no target', 'GET HTTP/1.1\r\n\r\n', 400],
  ['no version', 'GET /\r\n\r\n', 400],
  ['a version in lower case', 'GET / http/1.1\r\n\r\n', 400],
  ['a version with two digits', 'GET / HTTP/1.10\r\n\r\n', 400],
  ['a target that is no ASCII', 'GET /\u00e4 HTTP/1.1\r\n\r\n', 400],
  ['a method that is none', 'G(T / HTTP/1.1\r\n\r\n', 400],
  ['a tunnel', 'CONNECT a:80 HTTP/1.1\r\n\r\n', 400],
  ['a later version', 'GET / HTTP/1.2\r\n\r\n', 505],
  ['version 3', 'GET / HTTP/3.0\r\n\r\n', 505],
  ['version 0.9 with its name', 'GET / HTTP/0.9\r\n\r\n', 505],
]

suite(`heads, cut with seed ${seed}`, () => {
  for (const [title, text, expected] of cases) {
    test(title, () => {
      for (const pieces of cuts(text)) assert.deepEqual(readIn(pieces), expected)
    })
  }

  test('one behind the other', () => {
    const reader = new HeadReader(limit, () => undefined)
    const bytes = Buffer.from(`${get}A: b\r\n\r\n${get}C: d\r\n\r\n`)
    const end = reader.read(bytes)
    assert.deepEqual(reader.take(bytes).fields, ['A', 'b'])
    assert.ok(reader.isEmpty)
    const rest = bytes.subarray(end)
    assert.equal(reader.read(rest), rest.length)
    assert.deepEqual(reader.take(rest).fields, ['C', 'd'])
  })

  test('whether one has begun', () => {
    const reader = new HeadReader(limit, () => undefined)
    for (const [bytes, isEmpty] of [
      ['', true],
      ['\r', true],
      ['\r\n', true],
      ['\r\nG', false],
    ] as const) {
      reader.read(Buffer.from(bytes))
      assert.equal(reader.isEmpty, isEmpty, JSON.stringify(bytes))
    }
  })
})
