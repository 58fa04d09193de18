import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerdPath } from '#runtime/binary.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

// The other places where a Worker of one module runs locally, each with a D1 of its own, bound as `DB`.

export interface LocalPeer extends AsyncDisposable {
  readonly name: string
  readonly url: string
}

const root = fileURLToPath(new URL('..', import.meta.url))
const startMs = 60_000
const compatibilityDate = '2026-11-01'
const databaseId = '0'.repeat(32)

/** The runtime by itself, with the D1 that comes with it. */
export function startWorkerdPeer(code: string): Promise<LocalPeer> {
  return start('workerd', code, async (folder, port) => {
    const config = {
      name: 'peer',
      main: 'index.js',
      no_bundle: true,
      compatibility_date: compatibilityDate,
      d1_databases: [{ binding: 'DB', database_name: 'peer', database_id: databaseId }],
    }
    await writeFile(join(folder, 'wrangler.json'), JSON.stringify(config))
    const socket = ['--socket-addr', `http=127.0.0.1:${port}`]
    return spawn(workerdPath, ['serve', 'wrangler.json', '--experimental', ...socket], {
      cwd: folder,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
  })
}

/** The library behind `wrangler dev`. It goes when its input ends, and its workerd with it. */
export function startMiniflarePeer(code: string): Promise<LocalPeer> {
  return start('miniflare', code, async (folder, port) => {
    const options = {
      port,
      host: '127.0.0.1',
      modules: true,
      scriptPath: join(folder, 'index.js'),
      modulesRoot: folder,
      compatibilityDate,
      d1Databases: { DB: databaseId },
      resourcePersistencePath: join(folder, 'data'),
    }
    const script = `import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
const miniflare = new Miniflare(convertV4MiniflareOptions(${JSON.stringify(options)}))
await miniflare.ready
process.stdin.resume().on('end', () => miniflare.dispose())`
    await mkdir(join(folder, 'data'))
    return spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
  })
}

async function start(
  name: string,
  code: string,
  launch: (folder: string, port: number) => Promise<ReturnType<typeof spawn>>,
): Promise<LocalPeer> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  await writeFile(join(folder.path, 'index.js'), code)
  const port = await freePort()
  const child = await launch(folder.path, port)
  const exited = once(child, 'exit')
  stack.defer(async () => {
    child.stdin?.end()
    if (name === 'workerd') child.kill('SIGKILL')
    const force = setTimeout(() => child.kill('SIGKILL'), startMs)
    await exited
    clearTimeout(force)
  })
  const url = `http://127.0.0.1:${port}`
  await eventually(async () => (await fetch(url).catch(() => undefined))?.ok, startMs)
  const owned = stack.move()
  return { name, url, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' && address !== null ? address.port : 0
}
