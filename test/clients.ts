import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import type { z } from 'zod'
import {
  compileCache,
  startTestServer,
  type TestServer,
  type TestServerOptions,
  withoutOurs,
} from '#test/server.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The wranglers that are held against Bindery, by version, and where each is installed. */
const wranglers = {
  '4.164': 'node_modules/wrangler',
  '4.123': 'test/clients/node_modules/wrangler-4-123',
  '3.114': 'test/clients/node_modules/wrangler-3',
} as const
export type WranglerVersion = keyof typeof wranglers
const newest = '4.164' satisfies WranglerVersion

/** Whether every version takes part in everything. */
const isWhole = process.env['BINDERY_TEST_WRANGLERS'] === 'all'

/** What a wrangler has not: its tests skip it, or do it by hand. */
const missing: Readonly<Record<string, readonly WranglerVersion[]>> = {
  'automatic provisioning': ['3.114'],
  'props of service bindings': ['3.114'],
  'init --from-dash without npm': ['4.164', '4.123'],
  'kv namespace rename': ['3.114'],
  'kv bulk get': ['3.114'],
  'preview aliases': ['3.114'],
  'queues purge': ['3.114'],
  'queues subscription': ['3.114'],
  ratelimits: ['3.114'],
  'rules in run_worker_first': ['3.114'],
  'secrets-store': ['3.114'],
  'tags in versions deploy': ['3.114'],
  'null in secret bulk': ['3.114'],
  worker_loaders: ['3.114'],
  'null in versions secret bulk': ['3.114', '4.123'],
}

/** How a program ended. `all` is both its outputs. None has colours. */
export type Ended = {
  readonly code: number | null
  readonly stdout: string
  readonly all: string
}

export type RunOptions = {
  /** A folder below the server's own; made if it is missing. */
  readonly cwd?: string
  readonly stdin?: string
}

/** An unmodified wrangler, pointed at a server by its environment and by nothing else. */
export class Wrangler implements AsyncDisposable {
  readonly version: WranglerVersion
  readonly #program: string
  #server: TestServer | undefined

  constructor(version: WranglerVersion) {
    this.version = version
    this.#program = join(root, wranglers[version], 'bin/wrangler.js')
  }

  /** Starts a server of its own for it. */
  async start(options: TestServerOptions = {}): Promise<void> {
    ensureInstalled(this.version)
    this.#server = await startTestServer(options)
  }

  get server(): TestServer {
    return this.#server ?? assert.fail('start it first')
  }

  /** Why a test of something that this version has not is skipped; `false` if it has it. */
  lacks(feature: string): string | false {
    const versions = missing[feature] ?? assert.fail(`no version lacks ${feature}`)
    return versions.includes(this.version) && `wrangler ${this.version} has no ${feature}`
  }

  /**
   * A test of commands with which every version sends the same requests: but for the newest it is left
   * to `npm run soak`.
   */
  testAlike(title: string, run: () => Promise<void>): void {
    if (this.version === newest || isWhole) test(title, run)
  }

  /** Runs it. However it ends, this resolves. */
  async run(args: readonly string[], { cwd = '.', stdin = '' }: RunOptions = {}): Promise<Ended> {
    const { folder, environment } = this.server
    // Versions share no cache.
    const home = join(folder, 'home')
    await mkdir(join(folder, cwd), { recursive: true })
    await mkdir(home, { recursive: true })
    return runProgram([this.#program, ...args], {
      cwd: join(folder, cwd),
      stdin,
      environment: {
        ...withoutOurs(process.env),
        ...compileCache,
        ...environment,
        HOME: home,
        XDG_CONFIG_HOME: join(home, '.config'),
        // Nothing but the server is asked: not even whether there is a newer wrangler.
        npm_config_registry: 'http://127.0.0.1:9/',
        npm_config_offline: 'true',
        CI: '1',
        NO_COLOR: '1',
        WRANGLER_SEND_METRICS: 'false',
        WRANGLER_HIDE_BANNER: 'true',
      },
    })
  }

  /** Runs it, and fails the test if it fails. */
  async ok(args: readonly string[], options?: RunOptions): Promise<string> {
    const ended = await this.run(args, options)
    assert.equal(ended.code, 0, `wrangler ${args.join(' ')}\n${ended.all}`)
    return ended.all
  }

  /** Runs it, and fails the test unless it fails and says so. */
  async fails(args: readonly string[], why: RegExp, options?: RunOptions): Promise<void> {
    const ended = await this.run(args, options)
    assert.equal(ended.code, 1, `wrangler ${args.join(' ')}\n${ended.all}`)
    assert.match(ended.all, why)
  }

  /** What a command prints as JSON. */
  async json<Schema extends z.ZodType>(
    schema: Schema,
    args: readonly string[],
    options?: RunOptions,
  ): Promise<z.output<Schema>> {
    const { code, stdout, all } = await this.run(args, options)
    assert.equal(code, 0, `wrangler ${args.join(' ')}\n${all}`)
    const start = stdout.search(/^[[{]/m)
    assert.ok(start >= 0, `no JSON: ${all}`)
    return schema.parse(JSON.parse(stdout.slice(start)))
  }

  /** Writes files of a project into a folder of its name. Objects are written as JSON. */
  async project(
    name: string,
    config: object,
    files: Readonly<Record<string, string | Uint8Array | object>>,
  ): Promise<void> {
    const base = { name, main: 'index.js', compatibility_date: '2026-11-01' }
    const all = { ...files, 'wrangler.json': { ...base, ...config } }
    for (const [file, content] of Object.entries(all)) {
      const path = join(this.server.folder, name, file)
      await mkdir(dirname(path), { recursive: true })
      const isPlain = typeof content === 'string' || content instanceof Uint8Array
      await writeFile(path, isPlain ? content : JSON.stringify(content, null, 2))
    }
  }

  /** What a Worker answers. Fails the test unless that is 200. */
  async visit(worker: string, path = '/'): Promise<string> {
    const response = await this.server.visit(worker, path)
    const text = await response.text()
    assert.equal(response.status, 200, text)
    return text
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]()
  }
}

/** A suite for each of the wranglers, with a server for each. */
export function withEachWrangler(title: string, define: (wrangler: Wrangler) => void): void {
  for (const version of Object.keys(wranglers) as WranglerVersion[]) {
    withWrangler(title, version, define)
  }
}

/**
 * The same where the one in the middle asks nothing that the newest does not: that one takes part in
 * `npm run soak` alone.
 */
export function withNewestAndOldest(
  title: string,
  define: (wrangler: Wrangler) => void,
  options?: () => Promise<TestServerOptions>,
): void {
  const versions: readonly WranglerVersion[] = [
    newest,
    ...(isWhole ? ['4.123' as const] : []),
    '3.114',
  ]
  for (const version of versions) withWrangler(title, version, define, options)
}

function withWrangler(
  title: string,
  version: WranglerVersion,
  ...[define, options]: [(wrangler: Wrangler) => void, (() => Promise<TestServerOptions>)?]
): void {
  suite(`${title}, wrangler ${version}`, () => {
    const wrangler = new Wrangler(version)
    before(async () => wrangler.start(await options?.()))
    after(() => wrangler[Symbol.asyncDispose]())
    define(wrangler)
  })
}

const runMs = 60_000

/** `npm test` installs the older wranglers before the tests run; a test run by hand does here. */
function ensureInstalled(version: WranglerVersion): void {
  if (existsSync(join(root, wranglers[version], 'package.json'))) return
  const cwd = join(root, 'test/clients')
  execFileSync('npm', ['install', '--no-audit', '--no-fund'], { cwd, stdio: 'inherit' })
}

function runProgram(
  args: readonly string[],
  options: {
    readonly cwd: string
    readonly stdin: string
    readonly environment: NodeJS.ProcessEnv
  },
): Promise<Ended> {
  const { cwd, stdin, environment } = options
  const child = spawn(process.execPath, [...args], {
    cwd,
    env: environment,
    stdio: 'pipe',
    timeout: runMs,
    killSignal: 'SIGKILL',
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  // A program that does not read its input may be gone before it is written.
  child.stdin.on('error', () => undefined).end(stdin)
  const { promise, resolve, reject } = Promise.withResolvers<Ended>()
  child.on('error', reject).on('close', (code) => {
    const [stdout, stderr] = [output.stdout, output.stderr].map(stripVTControlCharacters)
    resolve({ code, stdout: stdout ?? '', all: `${stdout}${stderr}` })
  })
  return promise
}
