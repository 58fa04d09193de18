import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { z } from 'zod'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { sweepOrphans } from '#runtime/orphans.ts'
import { temporaryFolder } from '#test/temporary.ts'

/** What a visitor sends. */
export type Visit = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Instead of the Worker's own. */
  readonly host?: string
}

/** A whole Bindery as users run it: `bindery serve` on a folder of the test's own and free ports. */
export interface TestServer extends AsyncDisposable {
  /** A folder for the test's files: projects, homes. The server's data is in its `data`. */
  readonly folder: string
  readonly dataDirectory: string
  /** What `admin.env` says: all that a client needs. */
  readonly environment: Readonly<Record<string, string>>
  readonly apiUrl: string
  readonly visitorPort: number
  /** Where visitors come in by TLS; 0 if its flags do not say so. */
  readonly tlsPort: number
  readonly pid: number
  /** All that it has logged since it was made: one JSON object a line, and what is no JSON. */
  readonly log: string
  /** One request to `<worker>.localhost`. Each has a connection of its own. */
  visit(worker: string, path?: string, visit?: Visit): Promise<Response>
  /** SIGTERM. Rejects unless it drains, exits with 0 and leaves no process behind. */
  stop(): Promise<void>
  /** SIGKILL. Its cells may live on, as after a crash; the next start or the disposal ends them. */
  kill(): Promise<void>
  /** Starts again on the same folder, on other ports; stops first if it is up. */
  restart(): Promise<void>
}

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * What Node made of the code of programs that tests start, by what the code is: half of what a start costs
 * is making it. `scripts/run.mjs` names the same folder for the tests themselves.
 */
export const compileCache = {
  NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'),
} as const

const readyMs = 60_000
const stopMs = 30_000

export type TestServerOptions = {
  /** Where its data is, if not in a folder of its own. */
  readonly dataDirectory?: string
  /** More flags of `bindery serve`. */
  readonly flags?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** Starts one. It is up: `/health` has answered. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  const dataDirectory = options.dataDirectory ?? join(folder.path, 'data')
  const process = new ServerProcess(dataDirectory, options)
  stack.defer(() => process.end())
  await process.start()
  const owned = stack.move()
  return {
    folder: folder.path,
    dataDirectory,
    get environment() {
      return process.running.environment
    },
    get apiUrl() {
      return process.running.apiUrl
    },
    get visitorPort() {
      return process.running.visitorPort
    },
    get tlsPort() {
      return process.running.tlsPort
    },
    get pid() {
      return process.running.child.pid ?? 0
    },
    get log() {
      return process.log
    },
    visit: (worker, path = '/', visit = {}) =>
      fetchFrom(process.running.visitorPort, visit.host ?? `${worker}.localhost`, {
        path,
        ...visit,
      }),
    stop: () => process.stop(),
    kill: () => process.kill(),
    async restart() {
      if (process.isRunning) await process.stop()
      await process.start()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

type Running = {
  readonly child: ChildProcess
  readonly exited: Promise<unknown>
  readonly environment: Readonly<Record<string, string>>
  readonly apiUrl: string
  readonly visitorPort: number
  readonly tlsPort: number
}

/** A line that is no JSON (a stack, a warning) is not the one. */
const readyLine = z
  .string()
  .startsWith('{"time"')
  .transform((line): unknown => JSON.parse(line))
  .pipe(
    z.object({
      message: z.literal('ready'),
      api: z.url(),
      httpPort: z.number(),
      httpsPort: z.number().optional(),
    }),
  )

class ServerProcess {
  log = ''
  readonly #dataDirectory: string
  readonly #options: TestServerOptions
  #running: Running | undefined

  constructor(dataDirectory: string, options: TestServerOptions) {
    this.#dataDirectory = dataDirectory
    this.#options = options
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  get running(): Running {
    return this.#running ?? assert.fail('the server is not up')
  }

  async start(): Promise<void> {
    assert.ok(!this.isRunning, 'the server is up already')
    const { child, exited } = this.#spawn()
    try {
      const { api, httpPort, httpsPort } = await this.#ready(child)
      const health = await fetch(new URL('/health', api))
      assert.equal(health.status, 200, await health.text())
      const admin = await readFile(join(this.#dataDirectory, 'admin.env'), 'utf8')
      const environment = z.record(z.string(), z.string()).parse(parseEnv(admin))
      assert.equal(environment['CLOUDFLARE_API_BASE_URL'], api)
      const ports = { visitorPort: httpPort, tlsPort: httpsPort ?? 0 }
      this.#running = { child, exited, environment, apiUrl: api, ...ports }
    } catch (error) {
      child.kill('SIGKILL')
      await exited
      await this.#sweep()
      throw new Error(`the server did not start; it said:\n${this.log}`, { cause: error })
    }
  }

  async stop(): Promise<void> {
    const { child, exited } = this.running
    this.#running = undefined
    child.kill('SIGTERM')
    const deadline = setTimeout(() => child.kill('SIGKILL'), stopMs)
    await exited
    clearTimeout(deadline)
    const left = await this.#sweep()
    assert.deepEqual([child.exitCode, child.signalCode], [0, null], this.log)
    assert.equal(left, '', 'processes were left behind')
  }

  async kill(): Promise<void> {
    const { child, exited } = this.running
    this.#running = undefined
    child.kill('SIGKILL')
    await exited
  }

  /** However it is: nothing of it runs when this resolves. */
  async end(): Promise<void> {
    if (this.isRunning) await this.kill()
    await this.#sweep()
  }

  #spawn(): { readonly child: ChildProcess; readonly exited: Promise<unknown> } {
    const listen = ['--listen', '127.0.0.1:0', '--api', '127.0.0.1:0']
    const { flags = [], environment = {} } = this.#options
    const child = spawn(
      process.execPath,
      ['src/cli/main.ts', 'serve', '--data', this.#dataDirectory, ...listen, ...flags],
      {
        cwd: root,
        env: { ...withoutOurs(process.env), ...compileCache, ...environment },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    return { child, exited: once(child, 'close') }
  }

  /** Reads stderr, now and later. Rejects if the process ends, or takes too long. */
  #ready({ stderr }: ChildProcess): Promise<z.output<typeof readyLine>> {
    const { promise, resolve, reject } = Promise.withResolvers<z.output<typeof readyLine>>()
    const deadline = setTimeout(() => reject(new Error(`not up after ${readyMs} ms`)), readyMs)
    createInterface({ input: stderr ?? assert.fail('no stderr') })
      .on('line', (line) => {
        this.log += `${line}\n`
        const parsed = readyLine.safeParse(line)
        if (parsed.success) resolve(parsed.data)
      })
      .on('close', () => reject(new Error('it ended')))
    return promise.finally(() => clearTimeout(deadline))
  }

  /** Ends cells without a server; resolves with what it had to say of them. */
  async #sweep(): Promise<string> {
    let said = ''
    const log = jsonLog({ write: (line) => (said += line), level: 'warn', now: () => Date.now() })
    await sweepOrphans(join(this.#dataDirectory, 'run'), log).catch(() => undefined)
    return said
  }
}

/** An environment in which nothing says how Bindery or a client of Cloudflare is to behave. */
export function withoutOurs(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(
      ([name]) => !/^(BINDERY|CLOUDFLARE|CF|WRANGLER|NODE)_/.test(name),
    ),
  )
}

/** `fetch` does not let its callers choose the host, and follows redirects. */
function fetchFrom(
  port: number,
  host: string,
  visit: Visit & { readonly path: string },
): Promise<Response> {
  const { path, method = 'GET', headers = {}, body } = visit
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    method,
    agent: false,
    headers: { ...headers, host },
  })
  sent.on('error', reject).on('response', (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => void chunks.push(chunk)).on('error', reject)
    response.on('end', () => {
      const received = new Headers()
      for (const [name, values = []] of Object.entries(response.headersDistinct)) {
        for (const value of values) received.append(name, value)
      }
      const status = response.statusCode ?? 0
      const isNull = [204, 205, 304].includes(status)
      resolve(new Response(isNull ? null : Buffer.concat(chunks), { status, headers: received }))
    })
  })
  sent.end(body)
  return promise
}
