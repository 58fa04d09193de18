import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { readForm, readJson } from './body.ts'
import { discardedBytes, jsonBytes } from './limits.ts'

const schema = z.object({ a: z.number().default(0) })

function request(body: string | ReadableStream, headers: Record<string, string> = {}): Request {
  const init = { method: 'POST', body, headers, duplex: 'half' } as const
  return new Request('http://x/', init)
}

/** A body of so many bytes whose length is not told; `read` counts what was taken of it. */
function stream(bytes: number, fails = false) {
  const counted = { read: 0 }
  const piece = new Uint8Array(64 * 1024).fill(0x20)
  const body = new ReadableStream({
    pull(controller) {
      const left = bytes - counted.read
      if (left <= 0) return fails ? controller.error(new Error('gone')) : controller.close()
      const next = piece.subarray(0, Math.min(left, piece.length))
      counted.read += next.length
      controller.enqueue(next)
    },
  })
  return { counted, body }
}

suite('JSON bodies', () => {
  const valid: readonly (readonly [title: string, body: string, a: number])[] = [
    ['an object', '{"a":1}', 1],
    ['nothing is an empty object', '', 0],
    ['white space is nothing', ' \r\n\t ', 0],
    ['a byte order mark is nothing', '\uFEFF{"a":1}', 1],
    ['what is more is dropped', '{"a":1,"b":2}', 1],
  ]
  for (const [title, body, a] of valid) {
    test(title, async () => assert.deepEqual(await readJson(request(body), schema), { a }))
  }

  const types = ['text/plain;charset=UTF-8', 'application/json; charset=utf-8;', 'multipart/x', '']
  for (const type of types) {
    test(`a content type does not matter: ${type}`, async () => {
      const sent = request('{"a":1}', { 'content-type': type })
      assert.deepEqual(await readJson(sent, schema), { a: 1 })
    })
  }

  const refused: readonly (readonly [title: string, body: string, message: RegExp])[] = [
    ['no JSON', '{"a":', /request body: it is not valid JSON \(.*JSON/],
    ['too deep', '['.repeat(200), /it is not valid JSON \(nested too deeply\)/],
    ['a list', '[]', /expected object, received array/],
    ['another type', '{"a":"1"}', /request body: a: .*number/],
  ]
  for (const [title, body, message] of refused) {
    test(`refused: ${title}`, async () => {
      const expected = { name: 'ApiError', code: 10026, status: 400, message }
      await assert.rejects(readJson(request(body), schema), expected)
    })
  }

  test('a body may be as large as the limit, and no larger', async () => {
    assert.ok(await readJson(request(stream(jsonBytes).body), schema))
    const tooLarge = { code: 10026, status: 413, message: /larger than 1048576 bytes/ }
    await assert.rejects(readJson(request(stream(jsonBytes + 1).body), schema), tooLarge)
    await assert.rejects(readJson(request(stream(11).body), schema, 10), { status: 413 })
  })

  test('of a body that is too large little is read, of one that says so nothing', async () => {
    const { counted, body } = stream(1024 * jsonBytes)
    await assert.rejects(readJson(request(body), schema), { status: 413 })
    assert.ok(counted.read < jsonBytes + discardedBytes + 1024 * 1024, `${counted.read}`)
    const declared = stream(100)
    const sent = request(declared.body, { 'content-length': `${jsonBytes + 1}` })
    await assert.rejects(readJson(sent, schema), { status: 413 })
    assert.ok(declared.counted.read <= 100 && !sent.bodyUsed)
  })

  test("a body that ends early is the client's fault", async () => {
    const expected = { code: 10026, status: 400, message: /it ended early/ }
    await assert.rejects(readJson(request(stream(100, true).body), schema), expected)
  })
})

suite('upload forms', () => {
  const form =
    '--xx\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n' +
    '--xx\r\nContent-Disposition: form-data; name="a.js"; filename="a.js"\r\n' +
    'Content-Type: application/javascript+module\r\n\r\nexport {}\r\n--xx--\r\n'
  const types: readonly (readonly [title: string, type: string])[] = [
    ['as they should be', 'multipart/form-data; boundary=xx'],
    ['with a quoted boundary', 'multipart/form-data; boundary="xx"'],
    ['of the SDK, version 7', 'application/javascript'],
    ['of nobody', 'application/octet-stream'],
  ]
  for (const [title, type] of types) {
    test(title, async () => {
      const parts = await readForm(request(form, { 'content-type': type }))
      assert.deepEqual(
        parts.map(({ bytes, ...part }) => ({ ...part, text: new TextDecoder().decode(bytes) })),
        [
          { name: 'metadata', type: '', text: '{}' },
          {
            name: 'a.js',
            filename: 'a.js',
            type: 'application/javascript+module',
            text: 'export {}',
          },
        ],
      )
    })
  }

  test('a bare script is a service worker', async () => {
    for (const type of ['application/javascript', 'text/javascript; charset=utf-8']) {
      const [metadata, script] = await readForm(request('x', { 'content-type': type }))
      assert.equal(new TextDecoder().decode(metadata?.bytes), '{"body_part":"script"}')
      assert.deepEqual([script?.name, script?.bytes.length], ['script', 1])
    }
  })

  const refused: readonly (readonly [title: string, body: string, type: string, RegExp])[] = [
    ['JSON', '{}', 'application/json', /neither a multipart form nor JavaScript/],
    ['no boundary', form, 'multipart/form-data', /names no boundary/],
    ['another boundary', form, 'multipart/form-data; boundary=yy', /not a valid multipart form/],
    ['half of it', form.slice(0, -20), 'multipart/form-data; boundary=xx', /not a valid multipart/],
    ['half of it, unsaid', form.slice(0, -20), 'application/javascript', /not a valid multipart/],
  ]
  for (const [title, body, type, message] of refused) {
    test(`refused: ${title}`, async () => {
      const expected = { name: 'ApiError', code: 10006, status: 400, message }
      await assert.rejects(readForm(request(body, { 'content-type': type })), expected)
    })
  }
})
