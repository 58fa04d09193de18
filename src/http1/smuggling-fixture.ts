// Bytes that two parsers might read in two ways.

/** Comes behind each probe: is it still a request of its own? */
export const next = 'GET /next HTTP/1.1\r\nHost: w.test\r\nConnection: close\r\n\r\n'
const post = (headers: string, body: string): string =>
  `POST /p HTTP/1.1\r\nHost: w.test\r\n${headers}\r\n\r\n${body}`
const get = (headers: string): string => `GET /g HTTP/1.1\r\nHost: w.test\r\n${headers}\r\n\r\n`
const line = (first: string): string => `${first}\r\nHost: w.test\r\n\r\n`
export const hidden = 'GET /hidden HTTP/1.1\r\nHost: w.test\r\n\r\n'
const chunk = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`

export type Probe = readonly [
  title: string,
  bytes: string,
  statuses: RegExp,
  seen: readonly string[],
]

export const refused: readonly (readonly [string, string])[] = [
  ['length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
  ['chunks and length', post('Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n')],
  ['length and chunks, hidden', post(`Content-Length: 4\r\nTransfer-Encoding: chunked`, chunk)],
  ['xchunked', post('Transfer-Encoding: xchunked', '0\r\n\r\n')],
  ['identity', post('Transfer-Encoding: identity', '')],
  ['chunked, identity', post('Transfer-Encoding: chunked, identity', '0\r\n\r\n')],
  ['gzip alone', post('Transfer-Encoding: gzip', '0\r\n\r\n')],
  ['chunked in quotes', post('Transfer-Encoding: "chunked"', '0\r\n\r\n')],
  ['chunked with a parameter', post('Transfer-Encoding: chunked;q=1', '0\r\n\r\n')],
  ['chunked behind a vertical tab', post('Transfer-Encoding: \u000bchunked', '0\r\n\r\n')],
  ['chunked with a NUL', post('Transfer-Encoding: chunked\u0000', '0\r\n\r\n')],
  [
    'encoding twice, the second unknown',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: x', '0\r\n\r\n'),
  ],
  ['encoding with a space before the colon', post('Transfer-Encoding : chunked', '0\r\n\r\n')],
  ['length with a space before the colon', post('Content-Length : 5', 'hello')],
  ['a header with a tab before the colon', get('X-A\t: b')],
  ['two lengths that differ', post('Content-Length: 5\r\nContent-Length: 6', 'hello!')],
  ['two lengths that are the same', post('Content-Length: 5\r\nContent-Length: 5', 'hello')],
  ['a list of lengths', post('Content-Length: 5, 5', 'hello')],
  ['a negative length', post('Content-Length: -5', 'hello')],
  ['a length with a plus', post('Content-Length: +5', 'hello')],
  ['a length in hex', post('Content-Length: 0x5', 'hello')],
  ['a length with a fraction', post('Content-Length: 5.0', 'hello')],
  ['a length with an exponent', post('Content-Length: 5e0', 'hello')],
  ['an empty length', post('Content-Length: ', '')],
  ['a length beyond 64 bits', post('Content-Length: 18446744073709551621', 'hello')],
  ['a length with an underscore', post('Content-Length: 1_0', 'hello')],
  ['a folded header', get('X-A: b\r\n c')],
  ['a folded encoding', post('Transfer-Encoding:\r\n chunked', '0\r\n\r\n')],
  ['a folded first header', 'GET /g HTTP/1.1\r\n Host: w.test\r\n\r\n'],
  ['lines that end with LF', 'GET /g HTTP/1.1\nHost: w.test\n\n'],
  ['one line that ends with LF', 'GET /g HTTP/1.1\r\nHost: w.test\nX-A: b\r\n\r\n'],
  ['a header with a lone CR', get('X-A: b\rX-Forged: c')],
  ['a NUL in a value', get('X-A: b\u0000c')],
  ['a NUL in a name', get('X-\u0000A: b')],
  ['a control character in a value', get('X-A: b\u0001c')],
  ['a line without a colon', get('X-A')],
  ['a header without a name', get(': b')],
  ['a name with a space', get('X A: b')],
  ['a name in brackets', get('[X]: b')],
  ['a chunk length that is none', post('Transfer-Encoding: chunked', 'g\r\nhello\r\n0\r\n\r\n')],
  ['a negative chunk', post('Transfer-Encoding: chunked', '-5\r\nhello\r\n0\r\n\r\n')],
  ['a chunk in 0x', post('Transfer-Encoding: chunked', '0x5\r\nhello\r\n0\r\n\r\n')],
  ['a chunk that ends with LF', post('Transfer-Encoding: chunked', '5\nhello\n0\n\n')],
  [
    'a chunk that is longer than said',
    post('Transfer-Encoding: chunked', '4\r\nhello\r\n0\r\n\r\n'),
  ],
  [
    'a chunk beyond 64 bits',
    post('Transfer-Encoding: chunked', '10000000000000005\r\nhello\r\n0\r\n\r\n'),
  ],
  [
    'a chunk with a space before its length',
    post('Transfer-Encoding: chunked', ' 5\r\nhello\r\n0\r\n\r\n'),
  ],
  [
    'a chunk extension with a NUL',
    post('Transfer-Encoding: chunked', '5;\u0000\r\nhello\r\n0\r\n\r\n'),
  ],
  [
    'a chunk extension of 40 KB',
    post('Transfer-Encoding: chunked', `5;${'a'.repeat(40_000)}\r\nhello\r\n0\r\n\r\n`),
  ],
  [
    'trailers of 40 KB',
    post('Transfer-Encoding: chunked', `0\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`),
  ],
  ['an absolute form', 'GET http://w.test/g HTTP/1.1\r\nHost: w.test\r\n\r\n'],
  ['an absolute form of another host', 'GET http://evil.test/g HTTP/1.1\r\nHost: w.test\r\n\r\n'],
  ['a path without a slash', line('GET g HTTP/1.1')],
  ['a star', line('OPTIONS * HTTP/1.1')],
  ['CONNECT', 'CONNECT w.test:80 HTTP/1.1\r\nHost: w.test\r\n\r\n'],
  ['HTTP/0.9', 'GET /g\r\n\r\n'],
  ['HTTP/1.2', line('GET /g HTTP/1.2')],
  ['HTTP/2.0 in text', line('GET /g HTTP/2.0')],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['two spaces in the first line', line('GET  /g HTTP/1.1')],
  ['a tab in the first line', line('GET\t/g\tHTTP/1.1')],
  ['a method in lower case', line('get /g HTTP/1.1')],
  ['an unknown method', line('EVIL /g HTTP/1.1')],
  ['a NUL in the path', line('GET /g\u0000 HTTP/1.1')],
  ['a space in the path', line('GET /g h HTTP/1.1')],
  ['40 KB of headers', get(`X-A: ${'a'.repeat(40_000)}`)],
  ['no Host', 'GET /g HTTP/1.1\r\n\r\n'],
  ['two Hosts', get('Host: evil.test')],
  ['two Hosts, one in another case', get('hOsT: w.test')],
  ['a space before the first header', 'GET /g HTTP/1.1\r\n X: y\r\nHost: w.test\r\n\r\n'],
]

export const understood: readonly Probe[] = [
  ['a length', post('Content-Length: 5', 'hello'), /^200 200$/, ['POST /p hello', 'GET /next']],
  [
    'a length with zeros',
    post('Content-Length: 005', 'hello'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'a length with spaces around',
    post('Content-Length:  5 ', 'hello'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  ['a length of 0', post('Content-Length: 0', ''), /^200 200$/, ['POST /p', 'GET /next']],
  [
    'chunks',
    post('Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\n'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'Chunked',
    post('transfer-encoding: ChunKed', '5\r\nhello\r\n0\r\n\r\n'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'chunk lengths in upper case, with zeros',
    post('Transfer-Encoding: chunked', '00A\r\n0123456789\r\n0\r\n\r\n'),
    /^200 200$/,
    ['POST /p 0123456789', 'GET /next'],
  ],
  [
    'a chunk with an extension',
    post('Transfer-Encoding: chunked', '5;a=b\r\nhello\r\n0\r\n\r\n'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'trailers are not headers',
    post('Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\nX-Forged: 1\r\nHost: evil\r\n\r\n'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'a request in a body is a body',
    post('Transfer-Encoding: chunked', chunk),
    /^200 200$/,
    [`POST /p ${hidden.trim()}`, 'GET /next'],
  ],
  [
    'a body of GET',
    `GET /g HTTP/1.1\r\nHost: w.test\r\nContent-Length: 5\r\n\r\nhello`,
    /^200 200$/,
    ['GET /g hello', 'GET /next'],
  ],
  [
    'a body of HEAD',
    `HEAD /g HTTP/1.1\r\nHost: w.test\r\nContent-Length: 5\r\n\r\nhello`,
    /^200 200$/,
    ['HEAD /g hello', 'GET /next'],
  ],
  [
    'a body of DELETE',
    `DELETE /g HTTP/1.1\r\nHost: w.test\r\nContent-Length: 5\r\n\r\nhello`,
    /^200 200$/,
    ['DELETE /g hello', 'GET /next'],
  ],
  [
    'requests sent ahead',
    hidden.repeat(3),
    /^200 200 200 200$/,
    ['GET /hidden', 'GET /hidden', 'GET /hidden', 'GET /next'],
  ],
  ['empty lines before a request', `\r\n\r\n${hidden}`, /^200 200$/, ['GET /hidden', 'GET /next']],
  ['HTTP/1.0', 'GET /g HTTP/1.0\r\nHost: w.test\r\n\r\n', /^200$/, ['GET /g']],
  [
    'headers of one connection',
    get('Connection: X-Forged\r\nX-Forged: 1'),
    /^200 200$/,
    ['GET /g', 'GET /next'],
  ],
  [
    'Host as a header of one connection',
    get('Connection: Host, Cookie'),
    /^200 200$/,
    ['GET /g', 'GET /next'],
  ],
  [
    'length as a header of one connection',
    post('Connection: Content-Length\r\nContent-Length: 5', 'hello'),
    /^200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'Expect',
    post('Expect: 100-continue\r\nContent-Length: 5', 'hello'),
    /^100 200 200$/,
    ['POST /p hello', 'GET /next'],
  ],
  [
    'TE and Trailer',
    get('TE: trailers, forged\r\nTrailer: X-Forged'),
    /^200 200$/,
    ['GET /g', 'GET /next'],
  ],
  [
    'Keep-Alive and Proxy-Connection',
    get('Keep-Alive: forged\r\nProxy-Connection: forged'),
    /^200 200$/,
    ['GET /g', 'GET /next'],
  ],
  [
    'an upgrade to h2c',
    get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: forged'),
    /^200$/,
    ['GET /g'],
  ],
  [
    'a WebSocket that Connection does not offer',
    get(
      'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ),
    /^200$/,
    ['GET /g'],
  ],
  [
    'a WebSocket beside another option of Connection',
    get(
      'Connection: keep-alive, upgraded\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ),
    /^200$/,
    ['GET /g'],
  ],
  [
    'a WebSocket with a body',
    get(
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 5\r\n\r\nhello',
    ).slice(0, -4),
    /^200$/,
    ['GET /g hello'],
  ],
  ['a path that climbs', line('GET /a/../g HTTP/1.1'), /^200 200$/, ['GET /g', 'GET /next']],
  [
    'a path of another authority',
    line('GET //evil.test/g HTTP/1.1'),
    /^200 200$/,
    ['GET //evil.test/g', 'GET /next'],
  ],
  [
    'a query',
    line('GET /g?a=b%0d%0aX-Forged:1 HTTP/1.1'),
    /^200 200$/,
    ['GET /g?a=b%0d%0aX-Forged:1', 'GET /next'],
  ],
]
