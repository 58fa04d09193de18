import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { call, deploy, placeOf } from '#test/deployer.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// R2 in a whole server: what a crash leaves of it, and what large objects cost.

const worker = `export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url)
    const key = decodeURIComponent(pathname.slice(1))
    if (request.method === 'PUT') {
      const { etag } = await env.MEDIA.put(key, request.body)
      return new Response(etag)
    }
    if (searchParams.has('parts')) {
      const upload = await env.MEDIA.createMultipartUpload(key)
      const part = new Uint8Array(5 * 1024 * 1024).fill(key.length)
      const parts = [await upload.uploadPart(1, part), await upload.uploadPart(2, key)]
      return new Response((await upload.complete(parts)).etag)
    }
    if (key === '') {
      const objects = []
      for (let cursor; ; ) {
        const page = await env.MEDIA.list({ cursor })
        objects.push(...page.objects.map(({ key, size, etag }) => ({ key, size, etag })))
        if (!page.truncated) return Response.json(objects)
        cursor = page.cursor
      }
    }
    const object = await env.MEDIA.get(key)
    return object ? new Response(object.body) : new Response('nothing', { status: 404 })
  },
}`

async function deployed(server: TestServer): Promise<void> {
  const place = placeOf(server)
  await call(place, 'POST', '~/r2/buckets', { name: 'media' })
  const binding = { type: 'r2_bucket', name: 'MEDIA', bucket_name: 'media' }
  await deploy(place, 'media', { code: worker, bindings: [binding] })
}

const listed = z.array(z.object({ key: z.string(), size: z.number(), etag: z.string() }))
const digest = (bytes: Uint8Array): Buffer => createHash('md5').update(bytes).digest()

const largePart = 5 * 1024 * 1024

/** Of an object as the Worker makes them. */
function etagOf(bytes: Buffer): string {
  if (bytes.byteLength < largePart) return digest(bytes).toString('hex')
  const parts = [bytes.subarray(0, largePart), bytes.subarray(largePart)]
  return `${digest(Buffer.concat(parts.map(digest))).toString('hex')}-2`
}

/** Files of the server's objects. */
async function files({ dataDirectory }: TestServer): Promise<readonly string[]> {
  const all = await readdir(join(dataDirectory, 'r2_bucket'), {
    recursive: true,
    withFileTypes: true,
  })
  return all.filter((entry) => entry.isFile()).map(({ name }) => name)
}

/** Those that a row names. */
function namedFiles({ dataDirectory }: TestServer): ReadonlySet<string> {
  using database = new DatabaseSync(join(dataDirectory, 'r2_bucket.db'), { readOnly: true })
  const rows = database
    .prepare('SELECT blob FROM object WHERE blob IS NOT NULL UNION SELECT blob FROM part')
    .all()
  return new Set(rows.map((row) => String(row['blob'])))
}

const rounds = Number(process.env['BINDERY_TEST_KILLS'] ?? 4)

test(`kill -9 of the server: what was acknowledged is there, whole, and nothing else (seed ${seed})`, async () => {
  await using server = await startTestServer()
  await deployed(server)
  const random = numbersFrom(seed)
  const acknowledged = new Map<string, string>()
  const sizes = new Map<string, number>()
  let count = 0
  const write = async (until: AbortSignal): Promise<void> => {
    while (!until.aborted) {
      const key = `${count++}.${'x'.repeat(count % 7)}`
      const kind = random()
      const size = kind < 0.6 ? 3_000 : 100_000
      const isInParts = kind > 0.95
      const visit = async (): Promise<Response> =>
        isInParts
          ? server.visit('media', `/${key}?parts`)
          : server.visit('media', `/${key}`, { method: 'PUT', body: Buffer.alloc(size, key) })
      sizes.set(key, isInParts ? largePart + key.length : size)
      const answer = await visit().catch(() => undefined)
      if (answer?.status === 200) acknowledged.set(key, await answer.text())
      else await new Promise((resolve) => void setTimeout(resolve, 5))
    }
  }
  for (let round = 0; round < rounds; round++) {
    const over = new AbortController()
    const writers = Array.from({ length: 8 }, () => write(over.signal))
    // A loaded machine needs its time to get under way; the kill comes at any moment after that.
    const enough = acknowledged.size + 12
    await eventually(() => acknowledged.size >= enough, 30_000)
    await new Promise((resolve) => void setTimeout(resolve, random() * 500))
    await server.kill()
    over.abort()
    await Promise.all(writers)
    await server.restart()
  }
  const objects = listed.parse(await (await server.visit('media')).json())
  const stored = new Map(objects.map(({ key, etag }) => [key, etag]))
  const lost = [...acknowledged].filter(([key, etag]) => stored.get(key) !== etag)
  assert.deepEqual(lost, [])
  for (const { key, size, etag } of objects) {
    assert.equal(size, sizes.get(key), key)
    const bytes = Buffer.from(await (await server.visit('media', `/${key}`)).arrayBuffer())
    assert.equal(etagOf(bytes), etag, key)
  }
  await eventually(async () => {
    const [there, named] = [await files(server), namedFiles(server)]
    return there.length === named.size && there.every((file) => named.has(file))
  })
})

suite('a large object', () => {
  const mebibyte = Buffer.alloc(1024 * 1024, 'large')
  const size = 512

  const put = ({ visitorPort: port }: TestServer, key: string, mebibytes: number) =>
    new Promise<number | undefined>((resolve, reject) => {
      const headers = { host: 'media.localhost', 'content-length': size * mebibyte.byteLength }
      const sent = request({ port, path: `/${key}`, method: 'PUT', headers }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode))
      })
      sent.on('error', reject)
      let left = mebibytes
      const write = (): void => {
        while (left > 0) {
          left -= 1
          if (!sent.write(mebibyte)) return void sent.once('drain', write)
        }
        if (mebibytes === size) sent.end()
        else sent.destroy()
      }
      write()
    })

  /** Reads it, or as much of it as is wanted. */
  const get = ({ visitorPort: port }: TestServer, key: string, bytes = Infinity) =>
    new Promise<number>((resolve, reject) => {
      const headers = { host: 'media.localhost' }
      const sent = request({ port, path: `/${key}`, headers }, (answer) => {
        let received = 0
        answer.on('data', (piece: Buffer) => {
          received += piece.byteLength
          if (received >= bytes) sent.destroy()
        })
        answer.on('close', () => resolve(received))
      })
      sent.on('error', (error) => (bytes === Infinity ? reject(error) : undefined)).end()
    })

  const residentMiB = async ({ pid }: TestServer): Promise<number> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
  }
  const openFiles = async ({ pid, dataDirectory }: TestServer): Promise<number> => {
    const links = await readdir(`/proc/${pid}/fd`)
    const paths = await Promise.all(
      links.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
    )
    return paths.filter(
      (path) => /r2_bucket\/[0-9a-f]{2}\//.test(path) && path.startsWith(dataDirectory),
    ).length
  }

  test(`${size} MB go in and out in little memory; who goes away leaves nothing`, async () => {
    await using server = await startTestServer()
    await deployed(server)
    await server.visit('media', '/warm', { method: 'PUT', body: mebibyte })
    await server.visit('media', '/warm')
    const before = await residentMiB(server)
    assert.equal(await put(server, 'large', size), 200)
    assert.equal(await get(server, 'large'), size * mebibyte.byteLength)
    const grown = (await residentMiB(server)) - before
    assert.ok(grown < 100, `${grown} MiB more`)
    await get(server, 'large', 10 * mebibyte.byteLength)
    await eventually(async () => (await openFiles(server)) === 0)
    await assert.rejects(put(server, 'half', size / 8))
    await eventually(async () => (await files(server)).length === 2)
    assert.equal((await server.visit('media', '/half')).status, 404)
  })
})
