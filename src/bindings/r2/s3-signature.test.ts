import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { readChunks, readHashed } from './s3-chunks.ts'
import { readHead } from './s3-request.ts'
import { readClaim, type Signer, verify } from './s3-signature.ts'

// The examples of Amazon's own documents, and what is wrong with others.
// docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, sigv4-query-string-auth.html,
// sigv4-streaming.html

const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const at = Date.parse('2013-05-24T00:00:00Z')
const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const host = 'examplebucket.s3.amazonaws.com'
const scope = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'

function authorization(signedHeaders: string, signature: string, credential = scope): string {
  return `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${signedHeaders},Signature=${signature}`
}

type Request = {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

function check(request: Request, now = at): Signer {
  const head = readHead(request)
  return verify(head, readClaim(head, now), secret)
}

const getObject: Request = {
  method: 'GET',
  url: '/test.txt',
  headers: {
    host,
    range: 'bytes=0-9',
    'x-amz-content-sha256': empty,
    'x-amz-date': '20130524T000000Z',
    authorization: authorization(
      'host;range;x-amz-content-sha256;x-amz-date',
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ),
  },
}

const presigned: Request = {
  method: 'GET',
  url:
    `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(scope)}` +
    '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
    '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  headers: { host },
}

suite('a signature', () => {
  const right: Readonly<Record<string, Request>> = {
    'of an object, by headers': getObject,
    'of an object, by its URL': presigned,
    'of the parameters of a list': {
      method: 'GET',
      url: '/?prefix=J&max-keys=2',
      headers: {
        host,
        'x-amz-content-sha256': empty,
        'x-amz-date': '20130524T000000Z',
        authorization: authorization(
          'host;x-amz-content-sha256;x-amz-date',
          '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
        ),
      },
    },
    'of a parameter without a value': {
      method: 'GET',
      url: '/?lifecycle',
      headers: {
        host,
        'x-amz-content-sha256': empty,
        'x-amz-date': '20130524T000000Z',
        authorization: authorization(
          'host;x-amz-content-sha256;x-amz-date',
          'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
        ),
      },
    },
    'of a key that is escaped': {
      method: 'PUT',
      url: '/test%24file.text',
      headers: {
        host,
        date: 'Fri, 24 May 2013 00:00:00 GMT',
        'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
        'x-amz-date': '20130524T000000Z',
        'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        authorization: authorization(
          'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
          '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
        ),
      },
    },
  }
  for (const [title, request] of Object.entries(right)) test(title, () => void check(request))

  const { headers } = getObject
  const wrong: Readonly<Record<string, readonly [request: Request, code: string, now?: number]>> = {
    'another method': [{ ...getObject, method: 'DELETE' }, 'SignatureDoesNotMatch'],
    'another path': [{ ...getObject, url: '/test.tx' }, 'SignatureDoesNotMatch'],
    'one more parameter': [{ ...getObject, url: '/test.txt?acl' }, 'SignatureDoesNotMatch'],
    'another header': [
      { ...getObject, headers: { ...headers, range: 'bytes=0-8' } },
      'SignatureDoesNotMatch',
    ],
    'another body': [
      { ...getObject, headers: { ...headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } },
      'SignatureDoesNotMatch',
    ],
    'a quarter of an hour and more ago': [getObject, 'RequestTimeTooSkewed', at + 901_000],
    'in the future': [getObject, 'RequestTimeTooSkewed', at - 901_000],
    'a URL that is over': [presigned, 'ExpiredRequest', at + 86_400_000],
    'a URL that is not good yet': [presigned, 'RequestTimeTooSkewed', at - 901_000],
    'a URL for more than a week': [
      { ...presigned, url: presigned.url.replace('=86400', '=604801') },
      'AuthorizationHeaderMalformed',
    ],
    'a URL that does not say how long': [
      { ...presigned, url: presigned.url.replace('X-Amz-Expires=86400&', '') },
      'AuthorizationHeaderMalformed',
    ],
    'an older algorithm': [
      { ...getObject, headers: { ...headers, authorization: 'AWS4-HMAC-SHA1 x' } },
      'InvalidArgument',
    ],
    'another service': [
      {
        ...getObject,
        headers: {
          ...headers,
          authorization: authorization('host', '0'.repeat(64), scope.replace('s3', 'ec2')),
        },
      },
      'AuthorizationHeaderMalformed',
    ],
    'a host that is not signed': [
      {
        ...getObject,
        headers: { ...headers, authorization: authorization('range', '0'.repeat(64)) },
      },
      'AuthorizationHeaderMalformed',
    ],
    'a signature that is none': [
      { ...getObject, headers: { ...headers, authorization: authorization('host', 'x') } },
      'AuthorizationHeaderMalformed',
    ],
    'no time': [
      { ...getObject, headers: { ...headers, 'x-amz-date': '' } },
      'AuthorizationHeaderMalformed',
    ],
    'a day that is not the time’s': [
      { ...getObject, headers: { ...headers, 'x-amz-date': '20130525T000000Z' } },
      'AuthorizationHeaderMalformed',
    ],
  }
  for (const [title, [request, code, now]] of Object.entries(wrong)) {
    test(`refused: ${title}`, () => assert.throws(() => check(request, now), { code }))
  }
})

// ---- bodies

const streamed: Request = {
  method: 'PUT',
  url: '/examplebucket/chunkObject.txt',
  headers: {
    host: 's3.amazonaws.com',
    'content-encoding': 'aws-chunked',
    'content-length': '66824',
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'x-amz-date': '20130524T000000Z',
    'x-amz-decoded-content-length': '66560',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    authorization: authorization(
      'content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class',
      '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    ),
  },
}
const chunks = [
  `10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n${'a'.repeat(65536)}\r\n`,
  `400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n${'a'.repeat(1024)}\r\n`,
  '0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n',
].join('')

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size)
}

async function gathered(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const piece of body) text += new TextDecoder().decode(piece)
  return text
}

suite('a body in chunks', () => {
  for (const size of [13, 65_536, 100_000]) {
    test(`signed, in pieces of ${size}`, async () => {
      const options = { signer: check(streamed), hasTrailer: false, onTrailer: () => undefined }
      const text = await gathered(readChunks(pieces(chunks, size), options))
      assert.equal(text, 'a'.repeat(66_560))
    })
  }

  const broken: Readonly<Record<string, readonly [body: string, code: string | number]>> = {
    'another byte': [chunks.replace('\r\na', '\r\nb'), 'SignatureDoesNotMatch'],
    'another signature': [chunks.replace('=ad80', '=ad81'), 'SignatureDoesNotMatch'],
    'no signature': [chunks.replace(/;chunk-signature=[0-9a-f]+/, ''), 'SignatureDoesNotMatch'],
    'no last chunk': [chunks.slice(0, chunks.indexOf('0;chunk-signature=b6c')), 'InvalidRequest'],
    'cut off': [chunks.slice(0, 40_000), 10_013],
    'a chunk that is longer than it says': [
      chunks.replace('10000;', 'ffff;'),
      'SignatureDoesNotMatch',
    ],
    'more behind it': [`${chunks}x`, 'InvalidRequest'],
    'no chunks at all': ['a'.repeat(100_000), 'InvalidRequest'],
    'a negative size': [chunks.replace('10000;', '-1;'), 'InvalidRequest'],
  }
  for (const [title, [body, code]] of Object.entries(broken)) {
    test(`refused: ${title}`, async () => {
      const options = { signer: check(streamed), hasTrailer: false, onTrailer: () => undefined }
      await assert.rejects(gathered(readChunks(pieces(body, 1_000), options)), { code })
    })
  }

  test('without signatures, with fields behind it', async () => {
    let fields: ReadonlyMap<string, string> = new Map()
    const body = '3\r\nabc\r\n2\r\nde\r\n0\r\nX-Amz-Checksum-CRC32:AAAAAA==\r\n\r\n'
    const options = {
      signer: undefined,
      hasTrailer: true,
      onTrailer: (read: ReadonlyMap<string, string>) => (fields = read),
    }
    assert.equal(await gathered(readChunks(pieces(body, 3), options)), 'abcde')
    assert.deepEqual([...fields], [['x-amz-checksum-crc32', 'AAAAAA==']])
    const many = `0\r\n${'a:b\r\n'.repeat(21)}\r\n`
    await assert.rejects(gathered(readChunks(pieces(many, 9), options)), { code: 'InvalidRequest' })
  })

  test('that is signed as a whole', async () => {
    const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert.equal(await gathered(readHashed(pieces('abc', 1), sha256)), 'abc')
    await assert.rejects(gathered(readHashed(pieces('abd', 1), sha256)), {
      code: 'XAmzContentSHA256Mismatch',
    })
  })
})
