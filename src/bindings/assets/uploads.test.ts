import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { after, suite, test } from 'node:test'
import { ApiError } from '#contract/errors.ts'
import { blobKey, workerName } from '#contract/ids.ts'
import { type Announced, Client, hashOf, openFixture, upload } from '#test/assets.ts'
import { account, otherAccount } from '#test/backend.ts'
import { bucketBytes, fileBytes, filesPerVersion, graceMs, sessionMs } from './limits.ts'
import { StoredManifest } from './manifest.ts'

const fixture = await openFixture()
const { live, ports, clock } = fixture
const client = new Client(live)
const sites = live.sites ?? assert.fail()
after(() => fixture[Symbol.asyncDispose]())

let made = 1
/** A content that no other test has. */
function newFile(size = 3): { readonly hash: string; readonly size: number } {
  return { hash: hashOf(made++), size }
}

const raw = (text: string, type = 'text/plain') => ({
  body: text,
  headers: { 'content-type': type },
})

async function blobs(): Promise<readonly string[]> {
  return (await Array.fromAsync(ports.blob.list())).map(({ key }) => key).toSorted()
}

async function manifestOf(token: string): Promise<StoredManifest> {
  const { manifest } = await sites.admit({ jwt: token }, upload)
  await using reader = await ports.blob.get(manifest)
  return new StoredManifest((await reader?.bytes()) ?? assert.fail('no manifest'))
}

async function contentOf(manifest: StoredManifest, path: string): Promise<string> {
  const { blob } = manifest.find(path) ?? assert.fail(`no ${path}`)
  await using reader = await ports.blob.get(blob)
  return new TextDecoder().decode(await reader?.bytes())
}

suite('an upload of single files', () => {
  test('is complete with the last that was missing, in any order', async () => {
    const [a, b] = [newFile(), newFile()]
    const { jwt, buckets } = await client.begin({ '/a.txt': a, '/b': b, '/again.txt': a })
    assert.deepEqual(buckets, [[a.hash, b.hash]])
    assert.deepEqual(await client.send(jwt, `/${b.hash}`, raw('bbb', 'application/null')), {
      status: 202,
      jwt: undefined,
      code: 0,
      message: '',
    })
    const last = await client.send(jwt, `/${a.hash}`, raw('aaa', 'text/plain; charset=utf-8'))
    assert.deepEqual([last.status, last.jwt], [201, jwt])
    const manifest = await manifestOf(jwt)
    assert.equal(await contentOf(manifest, '/a.txt'), 'aaa')
    assert.equal(await contentOf(manifest, '/again.txt'), 'aaa')
    assert.equal(manifest.find('/a.txt')?.contentType, 'text/plain; charset=utf-8')
    assert.equal(manifest.find('/b')?.contentType, undefined)
    assert.deepEqual(manifest.find('/b')?.hash, b.hash)
  })

  test('says what wrangler reads in its token', async () => {
    const { jwt } = await client.begin({ '/a': newFile() })
    const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
    assert.equal(claims.exp, Math.floor((clock.now() + sessionMs) / 1_000))
    assert.equal(claims.wrangler_single_asset_uploads, true)
    assert.ok(claims.edge_kv_upload_concurrency > 1)
  })

  test('goes on after a restart, and a repeated file ends it as well', async () => {
    const [a, b] = [newFile(), newFile()]
    const { jwt } = await client.begin({ '/a': a, '/b': b })
    await client.send(jwt, `/${a.hash}`, raw('aaa'))
    const restarted = new Client(fixture.again())
    assert.equal((await restarted.send(jwt, `/${b.hash}`, raw('bbb'))).jwt, jwt)
    assert.equal((await restarted.send(jwt, `/${b.hash}`, raw('bbb'))).jwt, jwt)
    assert.equal((await manifestOf(jwt)).count, 2)
  })

  test('asks for nothing that the account has', async () => {
    const [a, b] = [newFile(), newFile()]
    const first = await client.begin({ '/a': a })
    await client.send(first.jwt, `/${a.hash}`, raw('aaa'))
    const before = await blobs()
    const second = await client.begin({ '/elsewhere': a, '/b': b })
    assert.deepEqual(second.buckets, [[b.hash]])
    const third = await client.begin({ '/elsewhere': a })
    assert.deepEqual(third.buckets, [])
    assert.equal(await contentOf(await manifestOf(third.jwt), '/elsewhere'), 'aaa')
    assert.ok((await blobs()).length > before.length)
  })

  test('is of one account: another has to send the same content itself, and keeps its own', async () => {
    const a = newFile()
    const mine = await client.begin({ '/a': a })
    await client.send(mine.jwt, `/${a.hash}`, raw('aaa'))
    const theirs = await client.begin({ '/a': a }, otherAccount)
    assert.deepEqual(theirs.buckets, [[a.hash]])
    const at = { account: otherAccount }
    const sent = await client.send(theirs.jwt, `/${a.hash}`, { ...raw('bad'), ...at })
    assert.equal(sent.jwt, theirs.jwt)
    const again = await client.begin({ '/a': a })
    assert.equal(await contentOf(await manifestOf(again.jwt), '/a'), 'aaa')
  })

  test('of a content that is there keeps what is there', async () => {
    const a = newFile()
    const [one, two] = [await client.begin({ '/a': a }), await client.begin({ '/a': a })]
    await client.send(one.jwt, `/${a.hash}`, raw('aaa'))
    await client.send(two.jwt, `/${a.hash}`, raw('bbb'))
    assert.equal(await contentOf(await manifestOf(two.jwt), '/a'), 'aaa')
  })

  test('of many at once ends once they are all there', async () => {
    const files = Array.from({ length: 60 }, () => newFile())
    const { jwt } = await client.begin(Object.fromEntries(files.map((file, n) => [`/${n}`, file])))
    const sent = await Promise.all(
      files.map(({ hash }) => client.send(jwt, `/${hash}`, raw('abc'))),
    )
    assert.equal(sent.filter((each) => each.jwt === jwt).length > 0, true)
    assert.ok(sent.every(({ status }) => status === 201 || status === 202))
    assert.equal((await manifestOf(jwt)).count, 60)
  })

  test('of nothing is complete at once', async () => {
    const { jwt, buckets } = await client.begin({})
    assert.deepEqual(buckets, [])
    assert.equal((await manifestOf(jwt)).count, 0)
  })
})

suite('an upload of forms', () => {
  const form = (files: Readonly<Record<string, string>>, type = 'text/plain') => {
    const body = new FormData()
    for (const [hash, text] of Object.entries(files)) {
      body.append(hash, new File([Buffer.from(text).toString('base64')], hash, { type }), hash)
    }
    return { body }
  }

  test('takes several files of Base64', async () => {
    const [a, b] = [newFile(), newFile()]
    const { jwt } = await client.begin({ '/a': a, '/b': b })
    const below = '?base64=true'
    assert.equal((await client.send(jwt, below, form({ [a.hash]: 'aaa' }))).status, 202)
    const last = await client.send(
      jwt,
      below,
      form({ [b.hash]: 'bbb', [a.hash]: 'aaa' }, 'image/png'),
    )
    assert.equal(last.jwt, jwt)
    const manifest = await manifestOf(jwt)
    assert.deepEqual(
      [await contentOf(manifest, '/a'), await contentOf(manifest, '/b')],
      ['aaa', 'bbb'],
    )
    assert.equal(manifest.find('/b')?.contentType, 'image/png')
  })

  test('is asked for in groups that a request can hold', async () => {
    const files = [
      newFile(fileBytes),
      newFile(fileBytes),
      newFile(1),
      newFile(bucketBytes - fileBytes),
    ]
    const { buckets } = await client.begin(
      Object.fromEntries(files.map((file, n) => [`/${n}`, file])),
    )
    const [one, two, three, four] = files.map(({ hash }) => hash)
    assert.deepEqual(buckets, [[one], [two, three], [four]])
  })

  const bad: readonly (readonly [string, object, RegExp])[] = [
    ['no form', { body: 'aaa' }, /no form/],
    ['not Base64', { body: formOf(['1'.repeat(32), '!!!!']) }, /not Base64/],
    ['Base64 of no whole bytes', { body: formOf(['1'.repeat(32), 'YWF']) }, /not Base64/],
    ['a part that is no hash', { body: formOf(['../x', 'YWFh']) }, /does not name/],
    ['a file that was not announced', { body: formOf(['f'.repeat(32), 'YWFh']) }, /does not name/],
    ['cut short', { ...cutForm() }, /no form/],
  ]
  for (const [title, sent, message] of bad) {
    test(`refused: ${title}`, async () => {
      const { jwt } = await client.begin({ '/a': { hash: '1'.repeat(32), size: 3 } })
      const before = await blobs()
      const answer = await client.send(jwt, '?base64=true', sent)
      assert.equal(answer.status, 400)
      assert.match(answer.message, message)
      assert.deepEqual(await blobs(), before)
    })
  }
})

function formOf([name, text]: readonly [string, string]): FormData {
  const form = new FormData()
  form.append(name, new File([text], name))
  return form
}

function cutForm(): { readonly body: string; readonly headers: Record<string, string> } {
  const head = 'content-disposition: form-data; name="a"; filename="a"'
  return {
    body: `--xx\r\n${head}\r\n\r\nYWFh`,
    headers: { 'content-type': 'multipart/form-data; boundary=xx' },
  }
}

suite('refused, with nothing left of it:', () => {
  const many = Object.fromEntries(
    Array.from({ length: filesPerVersion + 1 }, (_, n) => [`/${n}`, { hash: hashOf(1), size: 1 }]),
  )
  const a = { hash: 'a'.repeat(32), size: 1 }
  const announced: readonly (readonly [string, unknown, RegExp])[] = [
    ['no JSON', '{', /not valid JSON/],
    ['no object', '[]', /must be an object|invalid/i],
    ['no manifest', {}, /manifest/],
    ['a path without a slash', { manifest: { a } }, /begins with/],
    ['a path with a backslash', { manifest: { '/a\\b': a } }, /begins with/],
    ['a path with NUL', { manifest: { '/a\0': a } }, /begins with/],
    ['a hash of other digits', { manifest: { '/a': { hash: 'A'.repeat(32), size: 1 } } }, /hash/],
    ['a short hash', { manifest: { '/a': { hash: 'a', size: 1 } } }, /hash/],
    ['no size', { manifest: { '/a': { hash: 'a'.repeat(32) } } }, /size/],
    ['a negative size', { manifest: { '/a': { ...a, size: -1 } } }, /size/],
    ['half a byte', { manifest: { '/a': { ...a, size: 0.5 } } }, /size/],
    ['a file that is too large', { manifest: { '/a': { ...a, size: fileBytes + 1 } } }, /size/],
    ['one hash, two sizes', { manifest: { '/a': a, '/b': { ...a, size: 2 } } }, /another size/],
    ['too many files', { manifest: many }, /100000 assets/],
    ['a path as long as no URL', { manifest: { [`/${'a'.repeat(4_000)}`]: a } }, /manifest/],
  ]
  for (const [title, body, message] of announced) {
    test(`announced: ${title}`, async () => {
      const before = await blobs()
      const answer = await client.announce(body)
      assert.equal(answer.status, 400)
      assert.match(answer.message, message)
      assert.deepEqual(await blobs(), before)
    })
  }

  test('announced: a known content with another size', async () => {
    const file = newFile()
    const { jwt } = await client.begin({ '/a': file })
    await client.send(jwt, `/${file.hash}`, raw('aaa'))
    const answer = await client.announce({ manifest: { '/a': { ...file, size: 4 } } })
    assert.equal(answer.status, 400)
    assert.match(answer.message, /has 3 bytes, and its manifest said 4/)
  })

  const file = { hash: '2'.repeat(32), size: 3 }
  const sent: readonly (readonly [string, string, string, number, RegExp])[] = [
    ['too short', file.hash, 'aa', 400, /has 2 bytes/],
    ['too long', file.hash, 'aaaa', 400, /has 4 bytes/],
    ['longer than any file', file.hash, 'a'.repeat(fileBytes + 1), 413, /too large/],
    ['not announced', '3'.repeat(32), 'aaa', 400, /does not name/],
    ['no hash', '..%2f..', 'aaa', 400, /does not name/],
  ]
  for (const [title, hash, body, status, message] of sent) {
    test(`sent: ${title}`, async () => {
      const { jwt } = await client.begin({ '/a': file })
      const before = await blobs()
      const answer = await client.send(jwt, `/${hash}`, raw(body))
      assert.equal(answer.status, status)
      assert.match(answer.message, message)
      assert.deepEqual(await blobs(), before)
    })
  }

  test('sent: what breaks off', async () => {
    const { jwt } = await client.begin({ '/a': file })
    const before = await blobs()
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('aa'))
        controller.error(new Error('gone'))
      },
    })
    const mount = live.guardedApi?.[0] ?? assert.fail()
    const url = `http://x${mount.path}/${file.hash}`
    const headers = { authorization: `Bearer ${jwt}` }
    const request = new Request(url, { method: 'POST', body, headers, duplex: 'half' })
    await assert.rejects(mount.handle(request, account), /gone/)
    assert.deepEqual(await blobs(), before)
  })

  test('tokens: none, another, changed, of another account, too old', async () => {
    const { jwt } = await client.begin({ '/a': file })
    const [head, claims, proof = ''] = jwt.split('.')
    const changed = `${proof.slice(0, -1)}${proof.endsWith('A') ? 'B' : 'A'}`
    for (const token of ['', 'x', 'a.b.c', `${head}.${claims}.${changed}`]) {
      const answer = await client.send(token, `/${file.hash}`, raw('aaa'))
      assert.deepEqual([answer.status, answer.code], [401, 10_000], token)
    }
    const elsewhere = { ...raw('aaa'), account: otherAccount }
    assert.equal((await client.send(jwt, `/${file.hash}`, elsewhere)).status, 401)
    clock.moveBy(sessionMs)
    assert.equal((await client.send(jwt, `/${file.hash}`, raw('aaa'))).status, 401)
  })
})

suite('files of a version', () => {
  const refused = async (run: Promise<unknown>, message: RegExp): Promise<void> => {
    await assert.rejects(run, (error) => error instanceof ApiError && message.test(error.message))
  }

  test('are refused while one is missing, to another Worker, and to another account', async () => {
    const [a, b] = [newFile(), newFile()]
    const { jwt } = await client.begin({ '/a': a, '/b': b, '/c': b })
    await client.send(jwt, `/${a.hash}`, raw('aaa'))
    await refused(sites.admit({ jwt }, upload), /2 of the files/)
    await client.send(jwt, `/${b.hash}`, raw('bbb'))
    const { owner } = upload
    const other = { ...upload, owner: { ...owner, worker: workerName.parse('other') } }
    await refused(sites.admit({ jwt }, other), /not valid for this Worker/)
    const foreign = { ...upload, owner: { ...owner, account: otherAccount } }
    await refused(sites.admit({ jwt }, foreign), /not valid for this Worker/)
    await refused(sites.admit({}, upload), /no "jwt"/)
    await refused(sites.admit('x', upload), /invalid/)
    await sites.admit({ jwt }, upload)
    clock.moveBy(sessionMs)
    await refused(sites.admit({ jwt }, upload), /its hour is over/)
  })

  test('are kept with their configuration, or given another', async () => {
    const { jwt } = await client.begin({})
    const config = { html_handling: 'none' }
    const first = await sites.admit({ jwt, config }, upload)
    assert.deepEqual(await sites.readmit({}, upload, first), first)
    const next = await sites.readmit(
      { config: { html_handling: 'auto-trailing-slash' } },
      upload,
      first,
    )
    assert.equal(next.manifest, first.manifest)
    assert.notDeepEqual(next.config, first.config)
    await refused(sites.readmit({}, upload, undefined), /has none/)
  })
})

suite('what nobody names', () => {
  test('goes with the sweep, when it is old enough; what is named or under way stays', async () => {
    await using own = await openFixture()
    const swept = own.live.sites ?? assert.fail()
    const its = new Client(own.live)
    const keys = async (): Promise<number> => (await Array.fromAsync(own.ports.blob.list())).length
    const [a, b, c] = [newFile(), newFile(), newFile()]
    const uploaded = async (manifest: Announced, file: typeof a, text: string) => {
      const { jwt } = await its.begin(manifest)
      await its.send(jwt, `/${file.hash}`, raw(text))
      return (await swept.admit({ jwt }, upload)).manifest
    }
    const named = await uploaded({ '/a': a }, a, 'aaa')
    await uploaded({ '/b': b }, b, 'bbb')
    // What a crash leaves of a file: bytes without a row.
    await own.ports.blob.put(blobKey.parse('e'.repeat(32)), new Uint8Array(1))
    // Two contents, two manifests, two drafts, and the orphan.
    await swept.sweepBy(async () => new Set([named]))
    assert.equal(await keys(), 7)
    own.clock.moveBy(graceMs + 60_000)
    const { jwt } = await its.begin({ '/a': a, '/c': c })
    await its.send(jwt, `/${c.hash}`, raw('ccc'))
    await swept.sweepBy(async () => new Set([named]))
    // a and its manifest; c and the draft that names both.
    assert.equal(await keys(), 4)
    assert.equal((await its.begin({ '/b': b })).buckets.length, 1)
    const later = await swept.admit({ jwt }, upload)
    assert.notEqual(later.manifest, named)
  })
})
