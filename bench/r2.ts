import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cpuUs, measure, type Measured } from './load.ts'
import { answers, freePort, type Peer, peer, startBindery, startMiniflare } from './peers.ts'
import { report } from './report.ts'

// Objects, through a Worker, by Bindery and by Miniflare: `npm run bench -- r2`. Then one of 1 GiB,
// beside a server that pipes a file.

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
  },
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)

type Work = {
  readonly name: string
  readonly title: string
  readonly connections: number
}

const works: readonly Work[] = [
  { name: 'put-small', title: 'put of 3 KB (ours: durable)', connections: 32 },
  { name: 'get-small', title: 'get of 3 KB', connections: 32 },
  { name: 'put-large', title: 'put of 10 MB (ours: durable)', connections: 4 },
  { name: 'get-large', title: 'get of 10 MB', connections: 4 },
]

const project = fileURLToPath(new URL('worker/r2', import.meta.url))
await using stack = new AsyncDisposableStack()
const bindery = stack.use(await startBindery(project))
const miniflare = stack.use(await startMiniflare(project, { r2Buckets: { MEDIA: 'media' } }))
const running: readonly Peer[] = [bindery, miniflare]

for (const each of running) await download(each, '/prepare')
for (const work of works) {
  if (!work.name.startsWith(values.only)) continue
  const { connections } = work
  const measured = new Map<string, Measured[]>(running.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const at of inTurn(running, round)) {
      const { url, host, pid } = at
      const load = { connections, seconds, pid, ...(host && { host }) }
      measured.get(at.name)?.push(await measure({ ...load, url: `${url}/${work.name}` }))
      process.stdout.write('.')
    }
  }
  const title = `${work.title}, ${connections} connections`
  process.stdout.write(`\r${report(title, measured, seconds)}\n`)
}
if ('get-huge'.startsWith(values.only)) await compareHuge()

/** Alternating, and beginning with another peer each time: noise of the machine hits all alike. */
function inTurn(peers: readonly Peer[], round: number): readonly Peer[] {
  return peers
    .map((_, index) => peers[(index + round) % peers.length])
    .filter((each) => each !== undefined)
}

async function compareHuge(): Promise<void> {
  const files = stack.use(await startFileServer())
  await download(bindery, '/prepare-huge')
  const shown = await bindery.wrangler('r2', 'bucket', 'dev-url', 'enable', 'media', '--force')
  const host = /pub-[0-9a-f]+\.r2\.localhost/.exec(shown)?.[0]
  if (host === undefined) throw new Error(`there is no public address: ${shown}`)
  // By its Worker, and by the public address of the bucket.
  const peers: readonly Peer[] = [bindery, { ...bindery, name: 'public', host }, files]
  const found = new Map(
    peers.map(({ name }) => [name, [] as { mibPerSecond: number; cpuMs: number }[]]),
  )
  for (let round = 0; round < rounds; round++) {
    for (const at of inTurn(peers, round)) {
      const [began, used] = [performance.now(), cpuUs(at.pid)]
      const bytes = await download(at, at.name === 'public' ? '/huge' : '/get-huge')
      const mibPerSecond = bytes / 1024 ** 2 / ((performance.now() - began) / 1000)
      found.get(at.name)?.push({ mibPerSecond, cpuMs: (cpuUs(at.pid) - used) / 1000 })
    }
  }
  process.stdout.write(`get of 1 GiB, 1 connection, medians of ${rounds} rounds\n`)
  for (const [name, all] of found) {
    const speed = median(all.map((each) => each.mibPerSecond)).toFixed(0)
    const cpu = median(all.map((each) => each.cpuMs)).toFixed(0)
    process.stdout.write(`  ${name.padEnd(10)} ${speed} MiB/s  CPU ${cpu} ms\n`)
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}

/** Bytes of an answer. */
async function download({ name, url, host }: Peer, path: string): Promise<number> {
  const headers = host === undefined ? {} : { host }
  const [response] = await once(get(url + path, { headers }), 'response')
  if (response.statusCode !== 200) throw new Error(`${name} answered ${response.statusCode}`)
  let bytes = 0
  response.on('data', (piece: Buffer) => (bytes += piece.byteLength))
  await once(response, 'end')
  return bytes
}

/** What a few lines of Node do: no Worker, no ingress. */
async function startFileServer(): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), 'bindery-bench-file-'))
  const port = await freePort()
  const path = join(folder, 'huge')
  const piece = Buffer.alloc(64 * 1024 * 1024, 'v')
  for (let number = 0; number < 16; number++) await writeFile(path, piece, { flag: 'a' })
  const script = `import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
createServer((request, response) => {
  if (request.url === '/') return response.end('up')
  createReadStream(${JSON.stringify(path)}).pipe(response)
}).listen(${port}, '127.0.0.1')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await answers(`http://127.0.0.1:${port}/`)
  return peer('node', child, { folder, url: `http://127.0.0.1:${port}` })
}
