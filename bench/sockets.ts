import { WebSocket } from 'ws'

// Load for WebSockets, in a process of its own: `node sockets.ts URL HOST CONNECTIONS SECONDS`.
// Every connection sends a message when its last one has come back. Prints what it saw as JSON.

const [url = '', host = '', connections = '1', seconds = '1'] = process.argv.slice(2)
const message = 'm'.repeat(100)
const latenciesMs: number[] = []
let failed = 0
let isOver = false

const sockets = await Promise.all(Array.from({ length: Number(connections) }, open))
const started = performance.now()
const ended = sockets.map(echo)
setTimeout(() => (isOver = true), Number(seconds) * 1_000)
await Promise.all(ended)
const tookMs = performance.now() - started
for (const socket of sockets) socket.terminate()

latenciesMs.sort((a, b) => a - b)
const percentile = (share: number): number =>
  latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN
console.log(
  JSON.stringify({
    messages: latenciesMs.length,
    requestsPerSecond: (latenciesMs.length / tookMs) * 1_000,
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    failed,
  }),
)

function open(): Promise<WebSocket> {
  const socket = new WebSocket(url, { headers: { host }, perMessageDeflate: false })
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket)).once('error', reject)
  })
}

/** Sends and receives until the time is over, or the connection breaks. */
function echo(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => {
    let sent = performance.now()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (!isOver) failed++
      resolve()
    })
    socket.on('message', () => {
      const now = performance.now()
      latenciesMs.push(now - sent)
      if (isOver) return resolve()
      sent = now
      socket.send(message)
    })
    socket.send(message)
  })
}
