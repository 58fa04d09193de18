import { type ChildProcess, spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerdPath } from '#runtime/binary.ts'
import { run } from './load.ts'

/** A running peer. Whoever starts it disposes of it. */
export interface Peer extends AsyncDisposable {
  readonly name: string
  readonly url: string
  /** The `Host` header that leads to the Worker, where the URL alone does not. */
  readonly host?: string
  readonly pid: number
}

const root = fileURLToPath(new URL('..', import.meta.url))
const worker = join(root, 'bench', 'worker')
const startMs = 60_000

/** A Bindery, with what wrangler does to it. */
export interface BinderyPeer extends Peer {
  /** Runs wrangler in the project that is deployed; gives what it says. */
  wrangler(...args: readonly string[]): Promise<string>
}

/** This repository, as an operator runs it, with the Worker deployed by wrangler. */
export async function startBindery(from = worker): Promise<BinderyPeer> {
  const folder = await copyOf(from)
  const [listen, api] = [await freePort(), await freePort()]
  const data = join(folder, 'data')
  const child = launch(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    join(root, 'src/cli/main.ts'),
    'serve',
    '--data',
    data,
    '--listen',
    `127.0.0.1:${listen}`,
    '--api',
    `127.0.0.1:${api}`,
    '--log-level',
    'warn',
  ])
  await answers(`http://127.0.0.1:${api}/health`)
  const program = join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
  const script = `set -a; . "${data}/admin.env"; CI=1 exec "${process.execPath}" "${program}" "$@"`
  const wrangler = (...args: readonly string[]): Promise<string> =>
    run('bash', ['-c', script, 'wrangler', ...args], folder)
  await wrangler('deploy')
  const url = `http://127.0.0.1:${listen}`
  return { ...peer('bindery', child, { folder, url, host: 'bench.localhost' }), wrangler }
}

/** Of the bench Worker. */
const queue = 'bench-jobs'

/** The runtime by itself, with its own bundled KV and queues, and its objects on disk. */
export async function startWorkerd(): Promise<Peer> {
  const folder = await copyOf(worker)
  const port = await freePort()
  const path = join(folder, 'wrangler.json')
  const config: object = JSON.parse(await readFile(path, 'utf8'))
  const kv = [{ binding: 'KV', id: '0'.repeat(32) }]
  const d1 = [{ binding: 'DB', database_name: 'bench', database_id: '0'.repeat(32) }]
  // One module: there is nothing to bundle.
  await writeFile(
    path,
    // It refuses a key that it does not know, and rate limits are one.
    JSON.stringify({
      ...config,
      kv_namespaces: kv,
      d1_databases: d1,
      ratelimits: undefined,
      no_bundle: true,
    }),
  )
  const args = [
    'serve',
    'wrangler.json',
    '--experimental',
    '--socket-addr',
    `http=127.0.0.1:${port}`,
  ]
  const child = launch(workerdPath, args, { cwd: folder })
  await answers(`http://127.0.0.1:${port}/`)
  return peer('workerd', child, { folder, url: `http://127.0.0.1:${port}` })
}

/** The library behind `wrangler dev`, in a process of its own. */
export async function startMiniflare(
  from = worker,
  bindings: object = {
    kvNamespaces: { KV: '0'.repeat(32) },
    d1Databases: { DB: '0'.repeat(32) },
    queueProducers: { JOBS: { queueName: queue } },
    queueConsumers: { [queue]: { maxBatchSize: 100, maxBatchTimeout: 1 } },
    durableObjects: { COUNTERS: { className: 'Counter', useSQLite: true } },
    ratelimits: { LIMIT: { namespace_id: '1001', simple: { limit: 1_000_000, period: 10 } } },
  },
): Promise<Peer> {
  const folder = await copyOf(from)
  const port = await freePort()
  const options = {
    port,
    host: '127.0.0.1',
    modules: true,
    scriptPath: join(folder, 'index.js'),
    modulesRoot: folder,
    compatibilityDate: '2026-11-01',
    ...bindings,
    resourcePersistencePath: folder,
  }
  const script = `import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
await new Miniflare(convertV4MiniflareOptions(${JSON.stringify(options)})).ready`
  const child = launch(process.execPath, ['--input-type=module', '-e', script], { cwd: root })
  await answers(`http://127.0.0.1:${port}/`)
  return peer('miniflare', child, { folder, url: `http://127.0.0.1:${port}` })
}

// A terminal's Ctrl-C does not reach peers: they go when this process does.
process.once('SIGINT', () => process.exit(130))

/**
 * Starts a peer's process in a session of its own, as services are. Linux shares out processors by session
 * (autogroup) and by control group: a peer in that of the load generator would be given its turn with it,
 * and one that puts its cells elsewhere would not.
 */
export function launch(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): ChildProcess {
  const stdio = ['ignore', 'ignore', 'inherit'] as const
  const child = spawn(command, args, { ...options, detached: true, stdio: [...stdio] })
  process.once('exit', () => child.kill())
  return child
}

/** A copy of a project, for one peer alone. */
export async function copyOf(project: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bindery-bench-'))
  await cp(project, folder, { recursive: true })
  return folder
}

/** A peer of one process, and what that starts. Its folder goes with it. */
export function peer(
  name: string,
  child: ChildProcess,
  at: { readonly folder: string; readonly url: string; readonly host?: string },
): Peer {
  const { folder, ...where } = at
  const exited = new Promise((resolve) => child.once('exit', resolve))
  return {
    name,
    ...where,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      const force = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await exited
      clearTimeout(force)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function answers(url: string): Promise<void> {
  const deadline = performance.now() + startMs
  while (performance.now() < deadline) {
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok) return
    await new Promise((resolve) => void setTimeout(resolve, 50))
  }
  throw new Error(`nothing answers at ${url}`)
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      )
    })
  })
}
