import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { socketDirectory } from '#drivers/directory/local/driver.ts'
import { healthyAnswers } from '#runtime/limits.ts'
import { call, deploy, formOf, namespace, type Place, placeOf } from '#test/deployer.ts'
import { startLoad } from '#test/load.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// Twenty Workers on one server. Twelve are deployed, rolled back and split again and again, four have
// their processes killed whenever they have recovered, four loop and fill memory. Nobody notices
// anything of anybody else's, and what was acknowledged is there in the end. Seconds in `npm test`, ten
// minutes in `npm run soak`.

const seconds = Number(process.env['BINDERY_TEST_SOAK_SECONDS'] ?? 20)
const random = numbersFrom(seed)

/** Answers with its release; keeps a key; loops, or fills memory. */
const code = (release: number): string => `
  const held = []
  export default {
    async fetch(request, env) {
      const { pathname, searchParams } = new URL(request.url)
      await request.text()
      if (pathname === '/spin') for (;;);
      if (pathname === '/bomb') for (;;) held.push(new Uint8Array(1 << 20).fill(1))
      if (pathname === '/put') await env.KV.put(searchParams.get('key'), 'kept')
      if (pathname === '/get') return new Response(await env.KV.get(searchParams.get('key')))
      return new Response('${release}')
    },
  }`

/** What is done to Workers, in turn. */
const kinds = ['deploys', 'deploys', 'rollbacks', 'splits', 'deploys', 'secrets'] as const

const cellRows = z.array(z.object({ workers: z.array(z.string()), pid: z.number().nullable() }))
const versionRow = z.object({ id: z.string() })

function pickFrom<Item>(items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] ?? assert.fail('nothing to pick from')
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}

function named(kind: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => `${kind}${n}`)
}

/** The Workers of the soak, and what happens to them until it is over. */
class Soak {
  readonly steady = named('steady', 12)
  readonly killed = named('killed', 4)
  readonly bombs = named('bomb', 4)
  readonly counts = { deploys: 0, rollbacks: 0, splits: 0, secrets: 0, kills: 0, bombs: 0 }
  /** Keys whose writes were acknowledged. */
  readonly kept: string[] = []
  readonly failures: string[] = []
  readonly #server: TestServer
  readonly #place: Place
  readonly #over = new AbortController()
  readonly #versions = new Map<string, string[]>()
  #releases = 0
  #namespace = ''

  constructor(server: TestServer) {
    this.#server = server
    this.#place = placeOf(server)
  }

  async deployAll(): Promise<void> {
    this.#namespace = await namespace(this.#place, 'soak')
    const metadata = { limits: { cpu_ms: 300 } }
    for (const name of [...this.steady, ...this.killed, ...this.bombs]) {
      await deploy(this.#place, name, { code: code(0), bindings: this.#bindings, metadata })
      this.#versions.set(name, [])
    }
  }

  /** Runs everything at once. */
  async run(): Promise<void> {
    const loads = [
      ...this.steady.map((name) => ({ name, load: this.#load(name, 3) })),
      ...this.killed.map((name) => ({ name, load: this.#load(name, 0) })),
    ]
    const writers = this.steady.map((name) => this.#write(name))
    const changing = [this.#release(0), this.#release(1), this.#kill(), this.#bomb()]
    const all = Promise.all([...changing, ...writers])
    // Whatever goes wrong ends all of it.
    const lasted = this.#lasted()
    await Promise.race([lasted, all]).catch(() => undefined)
    this.#over.abort()
    const results = await Promise.all(
      loads.map(async ({ name, load }) => ({ name, ...(await load.stop()) })),
    )
    await all
    await lasted
    for (const { name, failures, sent } of results) {
      assert.ok(sent > seconds, `${name}: ${sent} requests`)
      this.failures.push(...failures.map((failure) => `${name}: ${failure}`))
    }
  }

  /** So many seconds, and on a slow machine until there was some of everything. */
  async #lasted(): Promise<void> {
    await pause(seconds * 1_000)
    await eventually(() => Object.values(this.counts).every((count) => count > 0), 60_000)
  }

  get #bindings(): readonly object[] {
    return [{ type: 'kv_namespace', name: 'KV', namespace_id: this.#namespace }]
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted
  }

  #load(name: string, postEvery: number): ReturnType<typeof startLoad> {
    const port = this.#server.visitorPort
    const most = 20 * (seconds + 60)
    return startLoad({ port, host: `${name}.localhost`, perSecond: 8, postEvery, most })
  }

  async #write(name: string): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const key = `${name}-${n}`
      const { status } = await this.#server.visit(name, `/put?key=${key}`, { method: 'POST' })
      if (status === 200) this.kept.push(key)
      else this.failures.push(`${name}: ${status} for a write`)
      await pause(50)
    }
  }

  /** Changes every other Worker: what is done to one is done by one. */
  async #release(part: number): Promise<void> {
    const mine = this.steady.filter((_, index) => index % 2 === part)
    for (let n = 0; !this.#isOver; n++) {
      const kind = kinds[n % kinds.length]
      const older = mine.filter((name) => (this.#versions.get(name)?.length ?? 0) >= 2)
      const name = kind === 'deploys' || older.length === 0 ? this.#newest(mine) : pickFrom(older)
      const versions = this.#versions.get(name) ?? []
      const [one, two] = versions.slice(-2)
      if (kind === 'secrets') await this.#secret(name, versions)
      else if (kind === 'deploys' || !one || !two) await this.#deploy(name, versions)
      else if (kind === 'rollbacks') await this.#share(name, [[pickFrom(versions), 100]], kind)
      else {
        const shares = [
          [one, 30],
          [two, 70],
        ] as const
        await this.#share(name, shares, 'splits')
      }
      await pause(random() * 200)
    }
  }

  /** Any Worker, until one has two versions. */
  #newest(mine: readonly string[]): string {
    const begun = mine.filter((name) => this.#versions.get(name)?.length === 1)
    return random() < 0.5 && begun.length > 0 ? pickFrom(begun) : pickFrom(mine)
  }

  async #deploy(name: string, versions: string[]): Promise<void> {
    const form = formOf({
      code: code(++this.#releases),
      bindings: this.#bindings,
      metadata: { limits: { cpu_ms: 300 } },
    })
    const made = await call(this.#place, 'POST', `~/workers/scripts/${name}/versions`, form)
    const { id } = versionRow.parse(made)
    await this.#share(name, [[id, 100]], 'deploys')
    versions.push(id)
    versions.splice(0, versions.length - 5)
  }

  async #share(
    name: string,
    shares: readonly (readonly [id: string, percentage: number])[],
    kind: 'deploys' | 'rollbacks' | 'splits',
  ): Promise<void> {
    const versions = shares.map(([id, percentage]) => ({ version_id: id, percentage }))
    const path = `~/workers/scripts/${name}/deployments?force=true`
    await call(this.#place, 'POST', path, { strategy: 'percentage', versions })
    this.counts[kind] += 1
  }

  /** A secret is set for what the newest version is: it is given all traffic first. */
  async #secret(name: string, versions: string[]): Promise<void> {
    await this.#deploy(name, versions)
    await call(this.#place, 'PUT', `~/workers/scripts/${name}/secrets`, {
      type: 'secret_text',
      name: 'S',
      text: String(random()),
    })
    versions.length = 0
    this.counts.secrets += 1
  }

  /**
   * Kills one that has recovered from its last death. One that dies before is started again later and
   * later, as it should be, and nobody is promised that those who wait for it outlast that.
   */
  async #kill(): Promise<void> {
    while (!this.#isOver) {
      const name = pickFrom(this.killed)
      if (!(await this.#hasRecovered(name))) continue
      const cells = cellRows.parse(await call(this.#place, 'GET', '~/cells'))
      const pid = cells.find(({ workers }) => workers.includes(name))?.pid
      if (typeof pid === 'number') {
        process.kill(pid, 'SIGKILL')
        this.counts.kills += 1
      }
      await pause(300 + random() * 700)
    }
  }

  async #hasRecovered(name: string): Promise<boolean> {
    for (let answers = 0; answers < healthyAnswers; answers++) {
      const { status } = await this.#server.visit(name)
      if (status === 200) continue
      this.failures.push(`${name}: ${status} for a look`)
      return false
    }
    return true
  }

  async #bomb(): Promise<void> {
    while (!this.#isOver) {
      const name = pickFrom(this.bombs)
      const path = pickFrom(['/spin', '/bomb'])
      const { status } = await this.#server.visit(name, path, { method: 'POST' })
      assert.ok(status === 503 || status === 502, `${path} of ${name} was answered ${status}`)
      this.counts.bombs += 1
      await pause(random() * 500)
    }
  }
}

/** How many files a process has open. */
async function descriptorsOf(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length
}

/** Configurations of cells that these servers left where everybody's memory files are. */
async function configurationsLeft(pids: readonly number[]): Promise<readonly string[]> {
  const names = await readdir('/dev/shm').catch((): string[] => [])
  return names.filter((name) => pids.some((pid) => name.startsWith(`bindery-${pid}-`)))
}

suite(`a soak of ${seconds} s (seed ${seed})`, () => {
  test(
    'nobody fails who is not meant to, and nothing is lost or left',
    { timeout: (seconds + 200) * 1_000 },
    async (t) => {
      await using server = await startTestServer()
      const soak = new Soak(server)
      await soak.deployAll()
      const before = await descriptorsOf(server.pid)
      await soak.run()
      assert.deepEqual(soak.failures, [])
      t.diagnostic(`${JSON.stringify(soak.counts)}, ${soak.kept.length} writes`)
      for (const name of [...soak.steady, ...soak.killed, ...soak.bombs]) {
        await eventually(async () => (await server.visit(name)).status === 200)
      }
      // Replaced processes stay for `waitUntil` work, with their sockets.
      await eventually(async () => (await descriptorsOf(server.pid)) < before + 60, 60_000)
      const servers = [server.pid]
      await server.restart()
      for (const key of soak.kept) {
        const name = key.split('-')[0] ?? ''
        assert.equal(await (await server.visit(name, `/get?key=${key}`)).text(), 'kept', key)
      }
      await server.stop()
      assert.deepEqual(
        await readdir(await socketDirectory(server.dataDirectory)),
        [],
        'sockets were left',
      )
      assert.deepEqual(await configurationsLeft(servers), [], 'configurations were left')
    },
  )
})
