import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { workerdPath } from '#runtime/binary.ts'
import { measure, type Measured } from './load.ts'
import { answers, copyOf, freePort, launch, type Peer, peer, startBindery } from './peers.ts'
import { report } from './report.ts'

// The files of one folder, served by Bindery, by nginx, by Miniflare, and by workerd's own service for
// them: `npm run bench -- assets`. Needs wrk and nginx.

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    files: { type: 'string', default: '1000' },
    only: { type: 'string', default: '' },
  },
})
const connections = 32
const seconds = Number(values.seconds)

type Work = {
  readonly name: string
  readonly title: string
  readonly path: string
  readonly isConditional?: boolean
}

const works: readonly Work[] = [
  { name: 'small', title: 'a page of 3 KB', path: '/page-7.txt' },
  { name: 'unchanged', title: 'the same, 304', path: '/page-7.txt', isConditional: true },
  { name: 'script', title: 'a script of 100 KB', path: '/script.js' },
  { name: 'large', title: 'a file of 10 MB', path: '/large.bin' },
]

const project = await mkdtemp(join(tmpdir(), 'bindery-bench-site-'))
await using stack = new AsyncDisposableStack()
stack.defer(() => rm(project, { recursive: true, force: true }))
await writeSite()

const running: Peer[] = []
for (const start of [() => startBindery(project), startNginx, startMiniflare, startWorkerd]) {
  running.push(stack.use(await start()))
  process.stdout.write(`started ${running.at(-1)?.name}\n`)
}

for (const work of works) {
  if (!work.name.startsWith(values.only)) continue
  const rounds = new Map<string, Measured[]>(running.map(({ name }) => [name, []]))
  const headers = new Map<string, Record<string, string>>()
  for (const each of running) headers.set(each.name, await headersFor(each, work))
  for (let round = 0; round < Number(values.rounds); round++) {
    // Alternating, and beginning with another peer each time: noise of the machine hits all alike.
    for (let index = 0; index < running.length; index++) {
      const at = running[(index + round) % running.length]
      if (!at) continue
      const load = { connections, seconds, pid: at.pid, headers: headers.get(at.name) ?? {} }
      rounds.get(at.name)?.push(await measure({ ...load, url: at.url + work.path }))
      process.stdout.write('.')
    }
  }
  const title = `${work.title}, ${connections} connections`
  process.stdout.write(`\r${report(title, rounds, seconds)}\n`)
}

async function writeSite(): Promise<void> {
  const directory = join(project, 'public')
  await mkdir(directory)
  const text = (bytes: number): string => randomBytes(bytes).toString('base64').slice(0, bytes)
  for (let number = 0; number < Number(values.files); number++) {
    await writeFile(join(directory, `page-${number}.txt`), text(3_000))
  }
  await writeFile(join(directory, 'script.js'), text(100_000))
  await writeFile(join(directory, 'large.bin'), randomBytes(10_000_000))
  const config = {
    name: 'bench',
    compatibility_date: '2026-11-01',
    workers_dev: true,
    assets: { directory: 'public' },
  }
  await writeFile(join(project, 'wrangler.json'), JSON.stringify(config))
}

/** As Debian ships it: a process for each core, sendfile. */
async function startNginx(): Promise<Peer> {
  const folder = await copyOf(project)
  const port = await freePort()
  const config = `worker_processes auto; daemon off; pid ${folder}/pid; error_log stderr crit;
events { worker_connections 768; }
http {
  include /etc/nginx/mime.types; sendfile on; tcp_nopush on; access_log off;
  keepalive_requests 1000000; client_body_temp_path ${folder}/t; proxy_temp_path ${folder}/t;
  fastcgi_temp_path ${folder}/t; uwsgi_temp_path ${folder}/t; scgi_temp_path ${folder}/t;
  server { listen 127.0.0.1:${port}; root ${folder}/public; }
}`
  await writeFile(join(folder, 'nginx.conf'), config)
  await writeFile(join(folder, 'public', 'index.html'), 'up')
  // Its workers are somebody else's where it is started by root, and are to read the folder.
  const user = process.getuid?.() === 0 ? ['-g', 'user root;'] : []
  const child = launch('nginx', ['-c', join(folder, 'nginx.conf'), ...user])
  await answers(`http://127.0.0.1:${port}/`)
  return peer('nginx', child, { folder, url: `http://127.0.0.1:${port}` })
}

async function startMiniflare(): Promise<Peer> {
  const folder = await copyOf(project)
  const port = await freePort()
  const wrangler = fileURLToPath(
    new URL('../node_modules/wrangler/bin/wrangler.js', import.meta.url),
  )
  const args = [wrangler, 'dev', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'none']
  const child = launch(process.execPath, [...args, '--show-interactive-dev-session=false'], {
    cwd: folder,
    env: { ...process.env, CI: '1', WRANGLER_SEND_METRICS: 'false' },
  })
  await answers(`http://127.0.0.1:${port}/page-7.txt`)
  return peer('miniflare', child, { folder, url: `http://127.0.0.1:${port}` })
}

/** The runtime's own service for files: assets.md §2. */
async function startWorkerd(): Promise<Peer> {
  const folder = await copyOf(project)
  const port = await freePort()
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "site", assets = (path = "${folder}/public", config = "{}", compatibilityDate = "2026-11-01"))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = (name = "site", entrypoint = "AssetWorker"))]);`
  await writeFile(join(folder, 'config.capnp'), config)
  const child = launch(workerdPath, ['serve', join(folder, 'config.capnp'), '--experimental'])
  await answers(`http://127.0.0.1:${port}/page-7.txt`)
  return peer('workerd', child, { folder, url: `http://127.0.0.1:${port}` })
}

/** What a request of a work says to a peer. */
async function headersFor(
  of: Peer,
  { path, isConditional }: Work,
): Promise<Record<string, string>> {
  const host = of.host === undefined ? {} : { Host: of.host }
  const [response]: IncomingMessage[] = await once(
    get(of.url + path, { headers: host }),
    'response',
  )
  response?.resume()
  if (response?.statusCode !== 200) throw new Error(`${of.name}: ${response?.statusCode}`)
  const { etag } = response.headers
  return isConditional && etag !== undefined ? { ...host, 'if-none-match': etag } : host
}
