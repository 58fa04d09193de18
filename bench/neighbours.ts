import { Agent, request } from 'node:http'
import { call, deploy, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// What a Worker notices of one in another cell that loops or fills memory: rounds with and without it,
// alternating. And how long the bad one is away. `npm run bench -- neighbours`.

const rounds = 5
const seconds = 4
const perSecond = 200
const cpuMs = 1_000

const good = `export default { fetch: () => new Response('fine') }`
const bad = `
  const held = []
  export default {
    fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname === '/loop') for (;;);
      if (pathname === '/fill') for (;;) held.push(new Uint8Array(1 << 20).fill(1))
      return new Response('fine')
    },
  }`

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

/** One request; how long it took, or that it failed. */
function ask(server: TestServer, host: string, path: string): Promise<number | undefined> {
  const began = performance.now()
  return new Promise((resolve) => {
    const sent = request({
      port: server.visitorPort,
      host: '127.0.0.1',
      path,
      agent,
      headers: { host },
    })
    sent
      .on('error', () => resolve(undefined))
      .on('response', (response) => {
        response.resume().on('end', () => {
          resolve(response.statusCode === 200 ? performance.now() - began : undefined)
        })
      })
    sent.end()
  })
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}

/** A steady load on the good Worker: how long each answer took. */
async function round(server: TestServer): Promise<readonly (number | undefined)[]> {
  const answers: Promise<number | undefined>[] = []
  const began = performance.now()
  while (performance.now() - began < seconds * 1_000) {
    const due = ((performance.now() - began) * perSecond) / 1_000
    while (answers.length < due) answers.push(ask(server, 'good.localhost', '/'))
    await pause(2)
  }
  return Promise.all(answers)
}

/** Has the bad Worker misbehave again and again: how long it was away each time, from the limit on. */
async function misbehave(server: TestServer, path: string, over: AbortSignal): Promise<number[]> {
  const away: number[] = []
  while (!over.aborted) {
    const began = performance.now()
    await ask(server, 'bad.localhost', path)
    while ((await ask(server, 'bad.localhost', '/')) === undefined) await pause(10)
    away.push(performance.now() - began - (path === '/loop' ? cpuMs : 0))
  }
  return away
}

function at(share: number, numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
}

function show(
  title: string,
  answers: readonly (number | undefined)[],
  away: readonly number[],
): void {
  const took = answers.filter((each) => each !== undefined)
  const line = `${title.padEnd(22)} p50 ${at(0.5, took).toFixed(1)} ms  p99 ${at(0.99, took).toFixed(1)} ms  failed ${answers.length - took.length} of ${answers.length}`
  const other = `  the other is away ${at(0.5, away).toFixed(0)} ms, ${at(1, away).toFixed(0)} at most (${away.length} times)`
  process.stdout.write(`${line}${away.length > 0 ? other : ''}\n`)
}

await using server = await startTestServer()
const place = placeOf(server)
await deploy(place, 'good', { code: good })
await deploy(place, 'bad', { code: bad, metadata: { limits: { cpu_ms: cpuMs } } })
await call(place, 'GET', '~/cells')
const quiet: (number | undefined)[] = []
for (const path of ['/loop', '/fill']) {
  const noisy: (number | undefined)[] = []
  const away: number[] = []
  for (let n = 0; n < rounds; n++) {
    quiet.push(...(await round(server)))
    const over = new AbortController()
    const misbehaving = misbehave(server, path, over.signal)
    noisy.push(...(await round(server)))
    over.abort()
    away.push(...(await misbehaving))
  }
  show(`beside ${path.slice(1)}ing`, noisy, away)
}
show('alone', quiet, [])
agent.destroy()
