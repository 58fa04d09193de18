import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import {
  type Asked,
  generateRequests,
  generateSite,
  host,
  rules,
  type Way,
  ways,
} from '#test/odd-site.ts'
import { seed } from '#test/random.ts'
import { openSite, read, requestOf, type SiteFile, type SiteFixture } from '#test/site.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { targetOf } from './paths.ts'

// The same site, the same requests: workerd's own `assets` service and ours. What differs is in the
// table, with its reason, or it is a bug. Nothing here knows what is right.

type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What of an answer both are to agree on. */
function comparable({ status, headers, body }: Answer, isHead: boolean): object {
  const {
    etag,
    location,
    'content-type': type,
    'cache-control': cache,
    'set-cookie': cookie,
  } = headers
  const length = status === 304 || isHead ? undefined : headers['content-length']
  const own = Object.entries(headers).filter(([name]) => name.startsWith('x-'))
  return {
    status,
    hasTag: etag !== undefined,
    location,
    type,
    cache,
    cookie,
    length,
    own: own.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    body,
  }
}

/** Where we mean to differ. Each must be met. */
const differences: readonly {
  readonly reason: string
  readonly is: (asked: Asked, theirs: Answer, ours: Answer) => boolean
}[] = [
  {
    reason: 'a range of a file is sent',
    is: ({ headers }, theirs, ours) =>
      headers['range'] === 'bytes=0-3' &&
      theirs.status === 200 &&
      ours.status === 206 &&
      ours.body === theirs.body.slice(0, 4),
  },
  {
    reason: 'If-None-Match may be a list, or *',
    is: ({ headers }, theirs, ours) =>
      ours.status === 304 &&
      ((headers['if-none-match'] === '*' && theirs.status === 200) ||
        (headers['if-none-match'] === 'list' && [200, 404].includes(theirs.status))),
  },
  {
    reason: 'characters that a URL may not have are escaped, not refused',
    is: ({ url }, theirs) => theirs.status === 400 && /[<>"`]/.test(url),
  },
  {
    reason: 'a caret is escaped before it is looked at',
    is: ({ url }, theirs) =>
      url.includes('^') && theirs.headers['location']?.startsWith('/a%5Eb') === true,
  },
  {
    reason: 'a rule that leads to no URL is passed over',
    is: ({ url }, theirs, ours) =>
      url.startsWith('/t/:host') && theirs.status === 500 && ours.status < 500,
  },
  {
    reason: 'the way out of /cdn-cgi\\\\ names no host',
    is: ({ url }, theirs, ours) =>
      url.startsWith('/cdn-cgi\\') &&
      theirs.headers['location'] === `http://${host}${ours.headers['location']}`,
  },
]

type Native = AsyncDisposable & { ask(way: number, asked: Asked): Promise<Answer> }

async function startNative(files: Readonly<Record<string, SiteFile>>): Promise<Native> {
  const folder = await temporaryFolder()
  const root = join(folder.path, 'site')
  for (const [path, { content }] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), content)
    // The time of a file is in its tag.
    await utimes(join(root, path), 1e9, 1e9)
  }
  await writeFile(
    join(folder.path, 'user.js'),
    `export default { fetch: (request) => new Response('Worker: ' + new URL(request.url).pathname) }`,
  )
  const socketOf = (way: number): string => join(folder.path, `${way}.sock`)
  const services = ways.map(({ config, hasWorker }, at) => {
    const { _headers, _redirects, ...rest } = config
    const text = JSON.stringify({ ...rest, headers: _headers, redirects: _redirects })
    return `(name = "s${at}", assets = (path = "${root}", config = ${JSON.stringify(text)}, ${hasWorker ? 'userWorker = "user"' : 'compatibilityDate = "2026-11-01"'}))`
  })
  const sockets = ways.map(({ hasWorker }, at) => {
    const service = hasWorker ? `"s${at}"` : `(name = "s${at}", entrypoint = "AssetWorker")`
    return `(name = "s${at}", address = "unix:${socketOf(at)}", http = (), service = ${service})`
  })
  await writeFile(
    join(folder.path, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "user", worker = (compatibilityDate = "2026-11-01", modules = [(name = "user.js", esModule = embed "user.js")])), ${services.join(',')}],
  sockets = [${sockets.join(',')}],
);`,
  )
  const { default: workerd } = z
    .object({ default: z.string() })
    .parse(createRequire(import.meta.url)('workerd'))
  const child = spawn(workerd, ['serve', '--experimental', join(folder.path, 'config.capnp')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const exited = once(child, 'exit')
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const plain = { url: '/', method: 'GET', headers: {} }
  const ask = (way: number, asked: Asked): Promise<Answer> => askNative(agent, socketOf(way), asked)
  await eventually(() => ask(ways.length - 1, plain).then(Boolean, () => false))
  return {
    ask,
    async [Symbol.asyncDispose]() {
      agent.destroy()
      child.kill('SIGKILL')
      await exited
      await folder[Symbol.asyncDispose]()
    },
  }
}

function askNative(
  agent: Agent,
  socketPath: string,
  { url, method, headers }: Asked,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { agent, socketPath, path: url, method, headers: { host, ...headers } },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => (body += text))
        response.on('error', reject).on('end', () => {
          const fields = Object.entries(response.headers).map(([name, value]) => [
            name,
            String(value),
          ])
          resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(fields), body })
        })
      },
    )
    outgoing.on('error', reject).end()
  })
}

/** `If-None-Match` in a form, for the tag that each of both has. */
function withTag(asked: Asked, tag: string | undefined): Asked {
  const form = asked.headers['if-none-match']
  const bare = tag ?? '"none"'
  const forms: Record<string, string> = { strong: bare, weak: `W/${bare}`, list: `"x", ${bare}` }
  const value = form === undefined ? undefined : forms[form]
  return value === undefined ? asked : { ...asked, headers: { 'if-none-match': value } }
}

suite(`assets beside workerd's own (seed ${seed})`, () => {
  const files = generateSite()
  let native: Native
  let fixture: SiteFixture
  before(async () => {
    native = await startNative(files)
    fixture = await openSite(files)
  })
  after(async () => {
    await native[Symbol.asyncDispose]()
    await fixture[Symbol.asyncDispose]()
  })
  const met = new Set<string>()

  const askOurs = async (
    way: Way,
    site: ReturnType<SiteFixture['site']>,
    asked: Asked,
  ): Promise<Answer> => {
    const visit = requestOf(asked.url, { ...asked, hostname: host })
    const reply = way.hasWorker
      ? await fixture.server.route(site, visit)
      : await fixture.server.answer(site, visit)
    if (reply === 'worker') {
      const { pathname } = targetOf(asked.url)
      const body = asked.method === 'HEAD' ? '' : `Worker: ${pathname}`
      const type = 'text/plain;charset=UTF-8'
      return {
        status: 200,
        headers: { 'content-type': type, 'content-length': `${body.length}` },
        body,
      }
    }
    const { body, ...rest } = await read(reply)
    return { ...rest, body: new TextDecoder().decode(body) }
  }

  for (const [index, way] of ways.entries()) {
    test(way.name, async () => {
      const site = fixture.site(way.config, way)
      const redirects = rules['_redirects']
        .split('\n')
        .map((line) => line.replaceAll(/ .*|\*/g, ''))
      const wrong: object[] = []
      for (const asked of generateRequests(Object.keys(files), redirects)) {
        const isConditional = asked.headers['if-none-match'] !== undefined
        const plain = { ...asked, headers: {} }
        const theirTag = isConditional
          ? (await native.ask(index, plain)).headers['etag']
          : undefined
        const ourTag = isConditional ? (await askOurs(way, site, plain)).headers['etag'] : undefined
        const theirs = await native.ask(index, withTag(asked, theirTag))
        const ours = await askOurs(way, site, withTag(asked, ourTag))
        const isHead = asked.method === 'HEAD'
        const known = differences.find(({ is }) => is(asked, theirs, ours))
        if (known) met.add(known.reason)
        else if (!isDeepStrictEqual(comparable(ours, isHead), comparable(theirs, isHead))) {
          wrong.push({ asked, ours: comparable(ours, isHead), theirs: comparable(theirs, isHead) })
        }
      }
      assert.deepEqual(wrong.slice(0, 5), [])
    })
  }

  test('each difference has been met', () => {
    assert.deepEqual(
      differences.map(({ reason }) => reason).filter((reason) => !met.has(reason)),
      [],
    )
  })
})
