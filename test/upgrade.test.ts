import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { parseEnv } from 'node:util'
import { deploy, type Place } from '#test/deployer.ts'
import { startLoad } from '#test/load.ts'
import { openSocket } from '#test/sockets.ts'
import { noSupervisor, Supervised } from '#test/supervisor.ts'
import { temporaryFolder } from '#test/temporary.ts'

// A new server takes over from the old one, and nobody who visits notices more than a wait.

const code = `export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/stream') {
      const { readable, writable } = new TransformStream()
      const writer = writable.getWriter()
      const write = async () => {
        for (let n = 0; n < 50; n++) {
          await writer.write(new TextEncoder().encode(n + '\\n'))
          await scheduler.wait(100)
        }
        await writer.close()
      }
      write()
      return new Response(readable)
    }
    if (pathname === '/ws') {
      const [client, server] = Object.values(new WebSocketPair())
      server.accept()
      server.addEventListener('message', (event) => server.send(event.data))
      return new Response(null, { status: 101, webSocket: client })
    }
    await request.text()
    return new Response('ok')
  },
}`

/** The command that runs a verb: with the pinned Node, or as users start it. */
const direct = [process.execPath, '--disable-warning=ExperimentalWarning', 'src/cli/main.ts']
const launched = [process.execPath, 'scripts/bindery.mjs']

async function placeAt(dataDirectory: string): Promise<Place> {
  const admin = parseEnv(await readFile(join(dataDirectory, 'admin.env'), 'utf8'))
  const { CLOUDFLARE_API_BASE_URL: apiUrl = '', CLOUDFLARE_ACCOUNT_ID: account = '' } = admin
  return { apiUrl, account, token: admin['CLOUDFLARE_API_TOKEN'] ?? '' }
}

/** Reads a stream of 50 lines in 5 seconds to its end. */
function stream(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, path: '/stream', agent: false, headers: { host: 'w.localhost' } })
    sent.on('error', reject).on('response', (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (data: string) => (body += data))
      response.on('error', reject).on('end', () => resolve(body))
    })
    sent.end()
  })
}

const whole = Array.from({ length: 50 }, (_, n) => `${n}\n`).join('')

suite('an upgrade of the server', { skip: noSupervisor }, () => {
  test('twice under 200 requests a second: none fails', async (t: TestContext) => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'data')
    await using supervised = await Supervised.start(data, direct)
    await supervised.ready()
    await deploy(await placeAt(data), 'w', { code })
    const at = { visitorPort: supervised.port }
    const load = startLoad({ port: supervised.port, host: 'w.localhost', perSecond: 200 })
    await using ending = new AsyncDisposableStack()
    ending.defer(async () => void (await load.stop()))
    const ended: string[] = []
    for (let n = 0; n < 2; n++) {
      await new Promise((resolve) => void setTimeout(resolve, 1_000))
      const streams = Promise.all([1, 2, 3].map(() => stream(supervised.port)))
      const sockets = await Promise.all([1, 2, 3].map(() => openSocket(at, 'w', { path: '/ws' })))
      for (const socket of sockets) socket.send('hello')
      for (const socket of sockets) assert.equal(await socket.next(), 'hello')
      await new Promise((resolve) => void setTimeout(resolve, 500))
      const { code: exit, stopMs } = await supervised.replace()
      assert.equal(exit, 0, supervised.log)
      ended.push(`${stopMs} ms`)
      for (const body of await streams) assert.equal(body, whole, 'the stream is whole')
      for (const socket of sockets) assert.equal((await socket.closed)[0], 1012)
      await supervised.ready()
    }
    const { sent, failures, bodies, longestMs } = await load.stop()
    assert.deepEqual(failures, [])
    assert.ok(sent > 1_000, `${sent} requests`)
    assert.deepEqual([...bodies.keys()], ['ok'])
    t.diagnostic(`${sent} requests, longest ${Math.round(longestMs)} ms; stops ${ended.join(', ')}`)
  })

  test('sockets reach the server through the launcher, and no cell', async () => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'data')
    await using supervised = await Supervised.start(data, launched)
    await supervised.ready()
    await deploy(await placeAt(data), 'w', { code })
    const place = await placeAt(data)
    assert.equal(new URL(place.apiUrl).port, String(supervised.apiPort))
    const listening = new Set(await listeningInodes([supervised.port, supervised.apiPort]))
    assert.equal(listening.size, 2)
    const holders = new Set<string>()
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const links = linksOf(pid)
      if (links.some((link) => listening.has(link))) holders.add(await commandOf(pid))
    }
    assert.ok(holders.size > 0)
    for (const command of holders) assert.doesNotMatch(command, /workerd/)
  })
})

/** What descriptors of listening sockets on these ports look like. */
async function listeningInodes(ports: readonly number[]): Promise<string[]> {
  const table = await readFile('/proc/net/tcp', 'utf8')
  return table.split('\n').flatMap((row) => {
    const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/)
    const port = Number.parseInt(local.split(':')[1] ?? '', 16)
    return state === '0A' && ports.includes(port) ? `socket:[${inode}]` : []
  })
}

function linksOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  } catch {
    return []
  }
}

function commandOf(pid: string): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
}
