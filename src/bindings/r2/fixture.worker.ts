// Runs the scenarios of `worker.test.ts` in workerd and says how each came out.

type Scenario = (bucket: R2Bucket) => Promise<unknown>

const mebibyte = new Uint8Array(1024 * 1024).map((_, index) => index * 7)
const whole = new Uint8Array(5 * 1024 * 1024).fill(7)
const ssecKey = new Uint8Array(32).fill(9).buffer
const otherKey = new Uint8Array(32).fill(8).buffer

const text = async (object: R2ObjectBody | R2Object | null): Promise<string | null> =>
  object && 'body' in object ? object.text() : null
const names = ({ objects }: R2Objects): string[] => objects.map(({ key }) => key)
const hex = (bytes: ArrayBuffer | undefined): string =>
  [...new Uint8Array(bytes ?? new ArrayBuffer())]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')

/** A stream of known length. */
function streamOf(mebibytes: number): ReadableStream {
  const { readable, writable } = new FixedLengthStream(mebibytes * mebibyte.byteLength)
  const write = async (): Promise<void> => {
    const writer = writable.getWriter()
    for (let n = 0; n < mebibytes; n++) await writer.write(mebibyte)
    await writer.close()
  }
  void write().catch(() => undefined)
  return readable
}

const scenarios: Record<string, Scenario> = {
  'what is not there': async (b) => [
    await b.head('none'),
    await b.get('none'),
    (await b.delete('none')) ?? null,
  ],
  'kinds of values': async (b) => {
    await b.put('text', 'é漢😀')
    await b.put('buffer', new Uint8Array([0, 255, 1]).buffer)
    await b.put('view', new Uint8Array([9, 0, 255, 9]).subarray(1, 3))
    await b.put('blob', new Blob(['from ', 'a blob']))
    await b.put('null', null)
    await b.put('stream', new Response('streamed').body)
    const sizes = await Promise.all(
      ['text', 'buffer', 'view', 'blob', 'null', 'stream'].map(
        async (key) => (await b.head(key))?.size,
      ),
    )
    return [await text(await b.get('text')), await text(await b.get('blob')), sizes]
  },
  'an object': async (b) => {
    const put = await b.put('o', 'hello')
    const got = await b.get('o')
    return {
      etag: put?.etag,
      httpEtag: put?.httpEtag,
      same: put?.version === got?.version && (put?.version.length ?? 0) > 8,
      size: got?.size,
      checksums: got?.checksums.toJSON(),
      storageClass: got?.storageClass,
      recent: Math.abs((got?.uploaded.getTime() ?? 0) - Date.now()) < 60_000,
      http: got?.httpMetadata,
      custom: got?.customMetadata,
      range: got?.range ?? null,
    }
  },
  metadata: async (b) => {
    const cacheExpiry = new Date(1_900_000_000_000)
    const httpMetadata = {
      contentType: 'text/plain',
      contentLanguage: 'de',
      contentDisposition: 'inline',
      contentEncoding: 'gzip',
      cacheControl: 'no-store',
      cacheExpiry,
    }
    await b.put('m', 'v', {
      httpMetadata,
      customMetadata: { b: 'zoë 😀', a: '' },
      storageClass: 'InfrequentAccess',
    })
    const got = await b.head('m')
    const headers = new Headers()
    got?.writeHttpMetadata(headers)
    const listed = await b.list({ prefix: 'm', include: ['httpMetadata', 'customMetadata'] })
    const plain = await b.list({ prefix: 'm' })
    return [
      got?.httpMetadata,
      got?.customMetadata,
      got?.storageClass,
      [...headers],
      listed.objects[0]?.customMetadata,
      listed.objects[0]?.httpMetadata?.contentType,
      plain.objects[0]?.customMetadata ?? null,
    ]
  },
  'metadata from headers': async (b) => {
    await b.put('h', 'v', { httpMetadata: new Headers({ 'content-type': 'image/png' }) })
    return (await b.head('h'))?.httpMetadata
  },
  'metadata too large': (b) => b.put('m', 'v', { customMetadata: { a: 'x'.repeat(8192) } }),
  'metadata as large as may be': async (b) => {
    await b.put('large metadata', 'v', { customMetadata: { a: 'x'.repeat(8191) } })
    return (await b.head('large metadata'))?.customMetadata?.['a']?.length
  },
  keys: async (b) => {
    const keys = [
      'a/b',
      'é漢😀',
      '\u0000',
      '%41',
      ' +&?#',
      '../../etc',
      '..',
      '/',
      'k'.repeat(1024),
    ]
    for (const key of keys) await b.put(key, key)
    const same = await Promise.all(keys.map(async (key) => (await text(await b.get(key))) === key))
    const listed = names(await b.list())
    for (const key of keys) await b.delete(key)
    return [same, keys.every((key) => listed.includes(key))]
  },
  'key empty': (b) => b.put('', 'v'),
  'key too long': (b) => b.get('k'.repeat(1025)),
  ranges: async (b) => {
    await b.put('r', '0123456789')
    const cases: R2GetOptions[] = [
      { range: { offset: 2, length: 3 } },
      { range: { offset: 7 } },
      { range: { length: 4 } },
      { range: { suffix: 3 } },
      { range: { suffix: 30 } },
      { range: { offset: 8, length: 100 } },
      { range: new Headers({ range: 'bytes=1-2' }) },
      { range: new Headers({ range: 'bytes=1-2,4-5' }) },
      { range: new Headers({ range: 'bytes=90-' }) },
    ]
    return Promise.all(
      cases.map(async (options) => {
        const object = await b.get('r', options)
        return [await text(object), object?.range ?? null]
      }),
    )
  },
  'range beyond the end': async (b) => b.get('r', { range: { offset: 11 } }),
  'range of nothing': async (b) => b.get('r', { range: { offset: 1, length: 0 } }),
  'range of an empty object': async (b) => {
    await b.put('empty', '')
    return text(await b.get('empty', { range: {} as R2Range }))
  },
  'conditions of a get': async (b) => {
    const object = await b.put('c', 'v')
    const etag = object?.etag ?? ''
    const seen = async (onlyIf: R2Conditional | Headers): Promise<string | null> => {
      const got = await b.get('c', { onlyIf })
      return got && 'body' in got ? 'body' : (got?.key ?? null)
    }
    return [
      await seen({ etagMatches: etag }),
      await seen({ etagMatches: 'other' }),
      await seen({ etagDoesNotMatch: etag }),
      await seen({ uploadedAfter: new Date(0) }),
      await seen({ uploadedBefore: new Date(0) }),
      await seen(new Headers({ 'if-none-match': `"${etag}"` })),
      await seen(new Headers({ 'if-match': '*' })),
      await seen(new Headers({ 'if-modified-since': 'Thu, 01 Jan 2099 00:00:00 GMT' })),
    ]
  },
  'conditions of a put': async (b) => {
    const first = await b.put('cp', '1', { onlyIf: new Headers({ 'if-none-match': '*' }) })
    const again = await b.put('cp', '2', { onlyIf: new Headers({ 'if-none-match': '*' }) })
    const wrong = await b.put('cp', '3', { onlyIf: { etagMatches: 'other' } })
    const right = await b.put('cp', '4', { onlyIf: { etagMatches: first?.etag ?? '' } })
    const large = await b.put('cp', streamOf(3), { onlyIf: { etagMatches: 'other' } })
    return [first?.size, again, wrong, right?.size, large, await text(await b.get('cp'))]
  },
  'one of many creates it': async (b) => {
    const onlyIf = new Headers({ 'if-none-match': '*' })
    const puts = Array.from({ length: 20 }, (_, n) => b.put('one', `${n}`, { onlyIf }))
    return (await Promise.all(puts)).filter((object) => object !== null).length
  },
  checksums: async (b) => {
    const sha256 = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('v'))
    const sha512 = await crypto.subtle.digest('SHA-512', new TextEncoder().encode('v'))
    await b.put('s', 'v', { sha256 })
    const first = (await b.head('s'))?.checksums
    await b.put('s', 'v', { sha512: hex(sha512) })
    const second = (await b.head('s'))?.checksums
    return [
      hex(first?.sha256) === hex(sha256),
      hex(second?.sha512) === hex(sha512),
      hex(second?.md5),
    ]
  },
  'md5 that differs': async (b) => b.put('bad', 'v', { md5: '0'.repeat(32) }),
  'sha1 that differs, of a stream': async (b) =>
    b.put('bad', streamOf(1), { sha1: '0'.repeat(40) }),
  'after checksums that differ': (b) => b.head('bad'),
  list: async (b) => {
    for (const key of ['l/a/1', 'l/a/2', 'l/b', 'l/c/1', 'l/d', 'l/é/1', 'l/😀/1', 'l/\uffee/1']) {
      await b.put(key, key)
    }
    const grouped = await b.list({ prefix: 'l/', delimiter: '/' })
    const pages: string[][] = []
    let cursor: string | undefined
    do {
      const page: R2Objects = await b.list({
        prefix: 'l/',
        delimiter: '/',
        limit: 2,
        ...(cursor !== undefined && { cursor }),
      })
      pages.push([...names(page), ...page.delimitedPrefixes])
      cursor = page.truncated ? page.cursor : undefined
    } while (cursor !== undefined)
    const after = await b.list({ prefix: 'l/', startAfter: 'l/b' })
    return [names(grouped), grouped.delimitedPrefixes, grouped.truncated, pages, names(after)]
  },
  'list, limit 0': (b) => b.list({ limit: 0 }),
  'list, limit 1001': (b) => b.list({ limit: 1001 }),
  'list, bad cursor': (b) => b.list({ cursor: '!' }),
  'list of long metadata': async (b) => {
    const value = '\u0000'.repeat(4000)
    for (let n = 0; n < 100; n++) await b.put(`big/${n}`, '', { customMetadata: { value } })
    const keys: string[] = []
    let cursor: string | undefined
    let pages = 0
    do {
      const page: R2Objects = await b.list({
        prefix: 'big/',
        include: ['customMetadata'],
        ...(cursor !== undefined && { cursor }),
      })
      keys.push(...names(page))
      pages++
      cursor = page.truncated ? page.cursor : undefined
    } while (cursor !== undefined)
    await b.delete(keys)
    return [keys.length, pages > 1]
  },
  'delete many': async (b) => {
    await b.put('d1', '')
    await b.put('d2', '')
    await b.delete(['d1', 'd2', 'd3'])
    return [await b.head('d1'), await b.head('d2')]
  },
  'delete too many': (b) => b.delete(Array.from({ length: 1001 }, (_, n) => `${n}`)),
  'a large stream': async (b) => {
    const put = await b.put('large', streamOf(30))
    const got = await b.get('large')
    const bytes = new Uint8Array((await got?.arrayBuffer()) ?? new ArrayBuffer())
    const isSame = bytes.every((byte, index) => byte === mebibyte[index % mebibyte.byteLength])
    return [put?.size, bytes.byteLength, isSame]
  },
  'a copy': async (b) => {
    const got = await b.get('large')
    const copied = await b.put('copy', got?.body ?? null)
    const part = await b.get('copy', { range: { offset: 20_000_000, length: 4 } })
    return [copied?.etag === got?.etag, [...new Uint8Array((await part?.arrayBuffer()) ?? [])]]
  },
  'a body that nobody reads': async (b) => {
    for (let n = 0; n < 20; n++) await b.get('large')
    return 'well'
  },
  'a stream that fails': async (b) => {
    await b.put('dying', 'before')
    const { readable, writable } = new FixedLengthStream(10 * mebibyte.byteLength)
    const write = async (): Promise<void> => {
      const writer = writable.getWriter()
      await writer.write(mebibyte)
      await writer.abort(new Error('gave up'))
    }
    const [put] = await Promise.allSettled([b.put('dying', readable), write()])
    return [put.status, await text(await b.get('dying'))]
  },
  'a reader of an old version': async (b) => {
    await b.put('old', streamOf(20))
    const old = await b.get('old')
    await b.put('old', 'new')
    await b.delete('old')
    return (await old?.arrayBuffer())?.byteLength
  },
  multipart: async (b) => {
    const upload = await b.createMultipartUpload('mp', {
      customMetadata: { a: 'b' },
      httpMetadata: { contentType: 'x/y' },
    })
    const [second, first] = await Promise.all([
      upload.uploadPart(2, 'the end'),
      upload.uploadPart(1, whole),
    ])
    await upload.uploadPart(3, 'unused')
    const made = await upload.complete([second, first])
    const got = await b.get('mp', { range: { suffix: 9 } })
    return {
      etag: made.etag,
      size: made.size,
      parts: [first, second],
      custom: made.customMetadata,
      type: got?.httpMetadata?.contentType,
      checksums: made.checksums.toJSON(),
      end: (await text(got))?.slice(2),
    }
  },
  'multipart, resumed': async (b) => {
    const { uploadId } = await b.createMultipartUpload('resumed')
    const upload = b.resumeMultipartUpload('resumed', uploadId)
    await upload.uploadPart(1, 'old')
    const again = await upload.uploadPart(1, 'only')
    await upload.complete([again])
    return text(await b.get('resumed'))
  },
  'multipart, read while replaced': async (b) => {
    const upload = await b.createMultipartUpload('replaced')
    const parts = []
    for (let n = 1; n <= 3; n++) parts.push(await upload.uploadPart(n, whole))
    await upload.complete(parts)
    const got = await b.get('replaced')
    await b.put('replaced', 'new')
    return (await got?.arrayBuffer())?.byteLength
  },
  'multipart, part too small': async (b) => {
    const upload = await b.createMultipartUpload('small')
    const parts = [await upload.uploadPart(1, 'a'), await upload.uploadPart(2, 'b')]
    return upload.complete(parts)
  },
  'multipart, unequal parts': async (b) => {
    const upload = await b.createMultipartUpload('unequal')
    const parts = [
      await upload.uploadPart(1, whole),
      await upload.uploadPart(2, new Uint8Array(6_000_000)),
    ]
    return upload.complete(parts)
  },
  'multipart, wrong etag': async (b) => {
    const upload = await b.createMultipartUpload('wrong')
    await upload.uploadPart(1, 'a')
    return upload.complete([{ partNumber: 1, etag: 'other' }])
  },
  'multipart, twice the same part': async (b) => {
    const upload = await b.createMultipartUpload('twice')
    const one = await upload.uploadPart(1, 'a')
    return upload.complete([one, one])
  },
  'multipart, completed': async (b) => {
    const upload = await b.createMultipartUpload('done')
    await upload.complete([await upload.uploadPart(1, 'a')])
    await upload.abort()
    return upload.uploadPart(1, 'a')
  },
  'multipart, aborted': async (b) => {
    const upload = await b.createMultipartUpload('aborted')
    const one = await upload.uploadPart(1, 'a')
    await upload.abort()
    await upload.abort()
    return upload.complete([one])
  },
  'multipart, never begun': (b) => b.resumeMultipartUpload('x', 'nonsense').abort(),
  'multipart, part of none': (b) => b.resumeMultipartUpload('x', 'nonsense').uploadPart(1, 'a'),
  ssec: async (b) => {
    const put = await b.put('secret', 'of mine', { ssecKey })
    const got = await b.get('secret', { ssecKey })
    const large = await b.put('large secret', streamOf(3), { ssecKey })
    const range = { offset: 1_048_570, length: 80_000 }
    const part = await b.get('large secret', { ssecKey, range })
    const bytes = new Uint8Array((await part?.arrayBuffer()) ?? [])
    const isSame = bytes.every(
      (byte, index) => byte === mebibyte[(index + range.offset) % mebibyte.byteLength],
    )
    return [
      put?.ssecKeyMd5,
      await text(got),
      got?.ssecKeyMd5,
      large?.size,
      bytes.byteLength,
      isSame,
    ]
  },
  'ssec, no key': (b) => b.get('secret'),
  'ssec, no key, head': (b) => b.head('secret'),
  'ssec, another key': (b) => b.get('secret', { ssecKey: otherKey }),
  'ssec, multipart': async (b) => {
    const upload = await b.createMultipartUpload('parts of mine', { ssecKey })
    const parts = [
      await upload.uploadPart(1, whole, { ssecKey }),
      await upload.uploadPart(2, 'end', { ssecKey }),
    ]
    await upload.complete(parts)
    const got = await b.get('parts of mine', { ssecKey, range: { suffix: 4 } })
    return [...new Uint8Array((await got?.arrayBuffer()) ?? [])]
  },
  'ssec, part without the key': async (b) => {
    const upload = await b.createMultipartUpload('parts of mine', { ssecKey })
    return upload.uploadPart(1, 'end')
  },
}

export default {
  async fetch(request: Request, env: { readonly B: R2Bucket }): Promise<Response> {
    const scenario = scenarios[decodeURIComponent(new URL(request.url).pathname.slice(1))]
    if (!scenario) return Response.json(Object.keys(scenarios))
    try {
      return Response.json({ result: (await scenario(env.B)) ?? null })
    } catch (error) {
      return Response.json({ error: String(error) })
    }
  },
}
