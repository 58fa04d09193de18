import { once } from 'node:events'
import { get } from 'node:http'
import { parseArgs } from 'node:util'
import { type Load, measure, type Measured, measureSockets } from './load.ts'
import { type Peer, startBindery, startMiniflare, startWorkerd } from './peers.ts'
import { report } from './report.ts'

type Work = {
  readonly name: string
  /** Of the bench Worker. */
  readonly path: string
  readonly title: string
  /** What is called once, before the first round. */
  readonly prepare?: string
  readonly measure?: (load: Load) => Promise<Measured>
  /** Those who have not what it asks for. */
  readonly without?: readonly string[]
}

const works: readonly Work[] = [
  { name: 'hello', path: '/', title: 'hello world' },
  { name: 'kv-get', path: '/kv-get', title: 'KV get', prepare: '/prepare-kv' },
  { name: 'kv-put', path: '/kv-put', title: 'KV put (ours and workerd’s: durable)' },
  { name: 'do-rpc', path: '/do-rpc', title: 'Durable Object, a call' },
  { name: 'do-calls', path: '/do-calls', title: 'Durable Object, 100 calls in each request' },
  { name: 'do-sql', path: '/do-sql', title: 'Durable Object, SQL increment (durable)' },
  {
    name: 'do-many',
    path: '/do-many',
    title: 'Durable Objects, SQL read, 1 000 in turn',
    prepare: '/prepare-objects',
  },
  {
    name: 'do-ws',
    path: '/do-ws',
    title: 'Durable Objects, WebSocket echo (a message is a request)',
    measure: measureSockets,
  },
  { name: 'queue-send', path: '/queue-send', title: 'Queue, a message sent and delivered' },
  {
    name: 'd1-select',
    path: '/d1-select',
    title: 'D1, a row by its key',
    prepare: '/prepare-d1',
  },
  {
    name: 'd1-insert',
    path: '/d1-insert',
    title: 'D1, a row inserted (ours and workerd’s: durable)',
    prepare: '/prepare-d1',
  },
  {
    name: 'd1-batch',
    path: '/d1-batch',
    title: 'D1, 25 rows inserted by one batch',
    prepare: '/prepare-d1',
  },
  {
    name: 'd1-many',
    path: '/d1-many',
    title: 'D1, 10 000 rows by one select',
    prepare: '/prepare-d1',
  },
  {
    name: 'rate-limit',
    path: '/rate-limit',
    title: 'Rate limit, another of 1 000 keys each time',
    without: ['workerd'],
  },
  { name: 'queue-batch', path: '/queue-batch', title: 'Queue, 100 messages sent and delivered' },
]

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string', default: '' },
  },
})
const connections = Number(values.connections)
const seconds = Number(values.seconds)

await using peers = new AsyncDisposableStack()
const running: Peer[] = []
for (const start of [() => startBindery(), startWorkerd, () => startMiniflare()]) {
  running.push(peers.use(await start()))
  print(`started ${running.at(-1)?.name}\n`)
}

for (const work of works) {
  if (!work.name.startsWith(values.only)) continue
  const peersOfWork = running.filter(({ name }) => !work.without?.includes(name))
  if (work.prepare !== undefined) {
    for (const peer of peersOfWork) await request(peer, work.prepare)
  }
  const rounds = new Map<string, Measured[]>(peersOfWork.map((peer) => [peer.name, []]))
  for (let round = 0; round < Number(values.rounds); round++) {
    // Alternating, and beginning with another peer each time: noise of the machine hits all alike.
    for (let index = 0; index < peersOfWork.length; index++) {
      const peer = peersOfWork[(index + round) % peersOfWork.length]
      if (!peer) continue
      const { url, host, pid } = peer
      const load = { url: url + work.path, connections, seconds, pid, ...(host && { host }) }
      rounds.get(peer.name)?.push(await (work.measure ?? measure)(load))
      print('.')
    }
  }
  print(`\r${report(`${work.title}, ${connections} connections`, rounds, seconds)}\n`)
}

/** `fetch` may not set Host, and not every machine resolves names below localhost. */
async function request(peer: Peer, path: string): Promise<void> {
  const headers = peer.host === undefined ? {} : { host: peer.host }
  const [response] = await once(get(peer.url + path, { headers }), 'response')
  response.resume()
  if (response.statusCode !== 200) throw new Error(`${peer.name} answered ${response.statusCode}`)
}

function print(text: string): void {
  process.stdout.write(text)
}
