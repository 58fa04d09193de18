import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { seed } from '#test/random.ts'
import { type BodyReader, ChunkReader, EndlessReader, LengthReader } from './body.ts'
import { cuts } from './cuts-fixture.ts'
import { Malformed } from './malformed.ts'

const allowance = 64

/** The body and what is behind it, a status, or what there is of one that goes on. */
function readIn(make: () => BodyReader, pieces: readonly Buffer[]): unknown {
  const reader = make()
  let body = ''
  let behind = ''
  try {
    for (const piece of pieces) {
      let at = 0
      while (at < piece.length && !reader.isDone) {
        const stopped = reader.take(piece, at)
        assert.ok(stopped > at, 'it goes on')
        at = stopped
        body += Buffer.from(reader.piece ?? []).toString('latin1')
      }
      behind += piece.toString('latin1', at)
    }
  } catch (error) {
    return error instanceof Malformed ? error.status : error
  }
  return reader.isDone ? [body, behind] : body
}

const chunks: readonly (readonly [string, string, unknown])[] = [
  ['one', '5\r\nhello\r\n0\r\n\r\n', ['hello', '']],
  ['several', '2\r\nhe\r\n1\r\nl\r\n02\r\nlo\r\n000\r\n\r\n', ['hello', '']],
  ['hexadecimal', 'A\r\n0123456789\r\n0a\r\nabcdefghij\r\n0\r\n\r\n', ['0123456789abcdefghij', '']],
  ['none', '0\r\n\r\n', ['', '']],
  ['what is behind', '1\r\nx\r\n0\r\n\r\nGET / HTTP', ['x', 'GET / HTTP']],
  ['line ends in the data', '4\r\n\r\n\r\n\r\n0\r\n\r\n', ['\r\n\r\n', '']],
  ['bytes that are no ASCII', '2\r\n\u0000\u00ff\r\n0\r\n\r\n', ['\u0000\u00ff', '']],
  ['extensions', '1;a\r\nx\r\n1;a=b;c="d e"\r\ny\r\n0;z\r\n\r\n', ['xy', '']],
  ['trailers', '1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nrest', ['x', 'rest']],
  ['one that goes on', '5\r\nhel', 'hel'],
  ['trailers that go on', '1\r\nx\r\n0\r\nA: b\r\n', 'x'],
  ['sixteen digits', '0000000000000001\r\nx\r\n0\r\n\r\n', ['x', '']],
  ['seventeen digits', '00000000000000001\r\nx\r\n0\r\n\r\n', 400],
  ['2^53', '20000000000000\r\n', 400],
  ['2^64', '10000000000000000\r\n', 400],
  ['a plus', '+1\r\nx\r\n0\r\n\r\n', 400],
  ['a minus', '-1\r\nx\r\n0\r\n\r\n', 400],
  ['0x', '0x1\r\nx\r\n0\r\n\r\n', 400],
  ['an underscore', '1_0\r\n', 400],
  ['a dot', '1.0\r\n', 400],
  ['space before a length', ' 1\r\nx\r\n0\r\n\r\n', 400],
  ['space behind a length', '1 \r\nx\r\n0\r\n\r\n', 400],
  ['space before an extension', '1 ;a\r\nx\r\n0\r\n\r\n', 400],
  ['no length', '\r\nx\r\n0\r\n\r\n', 400],
  ['an extension without a length', ';a\r\nx\r\n0\r\n\r\n', 400],
  ['LF behind a length', '1\nx\r\n0\r\n\r\n', 400],
  ['CR behind a length', '1\rx\r\n0\r\n\r\n', 400],
  ['LF behind the data', '1\r\nx\n0\r\n\r\n', 400],
  ['CR behind the data', '1\r\nx\r0\r\n\r\n', 400],
  ['LF in an extension', '1;a\nb\r\nx\r\n0\r\n\r\n', 400],
  ['CR in an extension', '1;a\rb\r\nx\r\n0\r\n\r\n', 400],
  ['NUL in an extension', '1;\u0000\r\nx\r\n0\r\n\r\n', 400],
  ['more data than said', '1\r\nxy\r\n0\r\n\r\n', 400],
  ['LF at the end', '0\r\n\n', 400],
  ['LF behind a trailer', '0\r\nA: b\n\r\n', 400],
  ['a trailer without a name', '0\r\n: b\r\n\r\n', 400],
  ['a trailer without a colon', '0\r\nA\r\n\r\n', 400],
  ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n', 400],
  ['space before a colon', '0\r\nA : b\r\n\r\n', 400],
  ['NUL in a trailer', '0\r\nA: \u0000\r\n\r\n', 400],
  ['as much beside the data as may be', `1;${'a'.repeat(allowance)}\r\nx\r\n0\r\n\r\n`, ['x', '']],
  ['too long an extension', `1;${'a'.repeat(allowance + 1)}\r\nx\r\n0\r\n\r\n`, 400],
  ['too many extensions', `${'1;aaaaaaaaa\r\nx\r\n'.repeat(10)}0\r\n\r\n`, 400],
  ['too long a trailer', `0\r\nA:${'a'.repeat(allowance)}\r\n\r\n`, 400],
]

suite(`bodies, cut with seed ${seed}`, () => {
  for (const [title, text, expected] of chunks) {
    test(`chunks: ${title}`, () => {
      for (const pieces of cuts(text, 6)) {
        assert.deepEqual(
          readIn(() => new ChunkReader(allowance), pieces),
          expected,
        )
      }
    })
  }

  const lengths: readonly (readonly [number, string, unknown])[] = [
    [0, 'rest', ['', 'rest']],
    [5, 'hello', ['hello', '']],
    [5, 'hellorest', ['hello', 'rest']],
    [6, 'hello', 'hello'],
  ]
  for (const [length, text, expected] of lengths) {
    test(`${length} of "${text}"`, () => {
      for (const pieces of cuts(text, 6)) {
        assert.deepEqual(
          readIn(() => new LengthReader(length), pieces),
          expected,
        )
      }
    })
  }

  test('all that comes', () => {
    for (const pieces of cuts('hello', 6)) {
      assert.deepEqual(
        readIn(() => new EndlessReader(), pieces),
        'hello',
      )
    }
  })
})
