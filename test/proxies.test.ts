import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { request } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { WebSocket } from 'ws'
import { type Authority, makeAuthority } from '#test/certificates.ts'
import { bindery } from '#test/command.ts'
import { call, deploy, placeOf } from '#test/deployer.ts'
import { freePorts } from '#test/pebble.ts'
import { without, withSystemPath } from '#test/programs-of-system.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

// What `bindery proxy-config` prints, run by the proxies it is for.

const code = `export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/length') return new Response(String((await request.arrayBuffer()).byteLength))
    if (pathname === '/stream') {
      const { readable, writable } = new TransformStream()
      const writer = writable.getWriter()
      const write = async () => {
        await writer.write(new TextEncoder().encode('first'))
        await scheduler.wait(1_000)
        await writer.write(new TextEncoder().encode('last'))
        await writer.close()
      }
      write()
      return new Response(readable)
    }
    if (pathname === '/ws') {
      const [client, server] = Object.values(new WebSocketPair())
      server.accept()
      server.addEventListener('message', (event) => server.send('echo ' + event.data))
      return new Response(null, { status: 101, webSocket: client })
    }
    return Response.json([request.url, request.headers.get('cf-connecting-ip')])
  },
}`

type Proxy = 'nginx' | 'haproxy' | 'caddy'

/** The printed text on other ports and with certificates of the test, and how it is run. */
type Setting = {
  readonly printed: string
  readonly folder: string
  readonly http: number
  readonly https: number
}

const runs: Readonly<
  Record<
    Proxy,
    (at: Setting) => Promise<readonly [check: readonly string[], run: readonly string[]]>
  >
> = {
  async nginx({ printed, folder, http, https }) {
    const own = printed
      .replace('listen 80;', `listen 127.0.0.1:${http};`)
      .replace('listen 443 ssl http2;', `listen 127.0.0.1:${https} ssl http2;`)
      .replaceAll(/^ *listen \[::\].*$/gm, '')
      .replaceAll('/etc/ssl/bindery/', `${folder}/`)
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${folder}/${name};`)
      .join('\n')
    const path = join(folder, 'nginx.conf')
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    await writeFile(
      path,
      `${user}\ndaemon off;\npid ${folder}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary}\n${own}\n}\n`,
    )
    const args = ['-c', path, '-p', folder, '-e', 'stderr']
    return [
      ['nginx', '-t', ...args],
      ['nginx', ...args],
    ]
  },
  async haproxy({ printed, folder, http, https }) {
    const path = join(folder, 'haproxy.cfg')
    const own = printed
      .replace('bind :::80 v4v6', `bind 127.0.0.1:${http}`)
      .replace('bind :::443 v4v6', `bind 127.0.0.1:${https}`)
      .replace('/etc/haproxy/certificates', join(folder, 'certificates'))
    await writeFile(path, own)
    return [
      ['haproxy', '-c', '-f', path],
      ['haproxy', '-db', '-f', path],
    ]
  },
  async caddy({ printed, folder, http, https }) {
    const path = join(folder, 'Caddyfile')
    const global = `{\n\tadmin off\n\thttp_port ${http}\n\thttps_port ${https}\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n}\n`
    const tls = `\ttls ${folder}/fullchain.pem ${folder}/privkey.pem\n\treverse_proxy`
    await writeFile(path, global + printed.replace('\treverse_proxy', tls))
    const args = ['--config', path, '--adapter', 'caddyfile']
    return [
      ['caddy', 'validate', ...args],
      ['caddy', 'run', ...args],
    ]
  },
}

let server: TestServer
let authority: Authority

before(async () => {
  authority = await makeAuthority()
  server = await startTestServer({
    flags: ['--domain', 'example.com', '--trusted-proxies', '127.0.0.1,::1'],
  })
  await deploy(placeOf(server), 'w', { code })
  const { account } = placeOf(server)
  await call(placeOf(server), 'POST', '/zones', { name: 'added.test', account: { id: account } })
})

after(async () => {
  await server[Symbol.asyncDispose]()
})

function print(proxy: string): ReturnType<typeof bindery> {
  const at = ['--listen', `127.0.0.1:${server.visitorPort}`, '--domain', 'example.com']
  return bindery(['proxy-config', proxy, '--data', server.dataDirectory, ...at])
}

type Running = AsyncDisposable & { readonly https: number }

async function start(proxy: Proxy): Promise<Running> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  const { cert, key } = await authority.issue(['example.com', '*.example.com'])
  await mkdir(join(folder.path, 'certificates'))
  await writeFile(join(folder.path, 'certificates', 'both.pem'), `${cert}\n${key}`)
  await writeFile(join(folder.path, 'fullchain.pem'), cert)
  await writeFile(join(folder.path, 'privkey.pem'), key)
  const [http = 0, https = 0] = await freePorts(2)
  const { stdout: printed } = await print(proxy)
  const setting = { printed, folder: folder.path, http, https }
  const [check, run] = await runs[proxy](setting)
  const checked = launch(check, folder.path)
  const [status] = await once(checked.child, 'close')
  assert.equal(status, 0, checked.said())
  const running = launch(run, folder.path)
  stack.defer(async () => {
    if (running.child.exitCode !== null) return
    running.child.kill('SIGTERM')
    await once(running.child, 'close')
  })
  await eventually(() => accepts(https)).catch((error: unknown) => {
    throw new Error(running.said(), { cause: error })
  })
  const owned = stack.move()
  return { https, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function launch([program = '', ...args]: readonly string[], folder: string) {
  const env = { ...withSystemPath(), HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  let said = ''
  child.stdout?.on('data', (data: Buffer) => (said += data.toString()))
  child.stderr?.on('data', (data: Buffer) => (said += data.toString()))
  return { child, said: () => said }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

for (const proxy of ['nginx', 'haproxy', 'caddy'] as const) {
  suite(`behind ${proxy}`, { skip: without(proxy) }, () => {
    let running: Running

    before(async () => {
      running = await start(proxy)
    })
    after(async () => {
      await running[Symbol.asyncDispose]()
    })

    const ask = async (path: string, body?: Buffer) => {
      const sent = request({
        host: '127.0.0.1',
        port: running.https,
        path,
        method: body ? 'POST' : 'GET',
        servername: 'w.example.com',
        ca: authority.cert,
        agent: false,
        headers: { host: 'w.example.com', 'x-forwarded-for': '6.6.6.6' },
      }).end(body)
      const [response] = await once(sent, 'response')
      return response
    }

    test('a request: who sent it, and how, is known', async () => {
      const seen = JSON.parse(await text(await ask('/a//b?c=%2F')))
      assert.deepEqual(seen, ['https://w.example.com/a//b?c=%2F', '127.0.0.1'])
    })

    test('HTTP/2', async () => {
      const session = connectHttp2(`https://w.example.com:${running.https}`, {
        host: '127.0.0.1',
        ca: authority.cert,
        servername: 'w.example.com',
        lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
      })
      const answer = await text(session.request({ ':path': '/x', ':authority': 'w.example.com' }))
      session.close()
      assert.equal(JSON.parse(answer)[0], 'https://w.example.com/x')
    })

    test('a body of 20 MB', async () => {
      assert.equal(await text(await ask('/length', Buffer.alloc(20_000_000))), '20000000')
    })

    test('a stream comes as it is written', async () => {
      const began = performance.now()
      const response = await ask('/stream')
      const [first] = await once(response, 'data')
      assert.equal(String(first), 'first')
      assert.ok(performance.now() - began < 800)
      assert.equal(await text(response), 'last')
    })

    test('a WebSocket', async () => {
      const trust = { ca: authority.cert, servername: 'w.example.com' }
      const socket = new WebSocket(`wss://127.0.0.1:${running.https}/ws`, {
        ...trust,
        headers: { host: 'w.example.com' },
      })
      await once(socket, 'open')
      socket.send('hello')
      assert.equal(String((await once(socket, 'message'))[0]), 'echo hello')
      socket.terminate()
    })
  })
}

suite('bindery proxy-config', () => {
  for (const proxy of ['nginx', 'haproxy', 'caddy']) {
    test(`${proxy}: names the server, its domains, and what the server is to be told`, async () => {
      const { code: status, stdout } = await print(proxy)
      assert.equal(status, 0)
      assert.match(stdout, new RegExp(`127\\.0\\.0\\.1:${server.visitorPort}\\b`))
      assert.match(stdout, /example\.com/)
      assert.match(stdout, /added\.test/)
      assert.match(stdout, /--trusted-proxies 127\.0\.0\.1,::1/)
    })
  }

  const wrong: [string, string[]][] = [
    ['no proxy', []],
    ['an unknown proxy', ['apache']],
    ['a server whose port is chosen later', ['nginx', '--listen', '127.0.0.1:0']],
  ]
  for (const [title, args] of wrong) {
    test(`refused: ${title}`, async () => {
      const { code: status, stderr } = await bindery(['proxy-config', ...args])
      assert.equal(status, 1)
      assert.match(stderr, /^bindery: /)
    })
  }
})
