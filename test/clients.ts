import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type TestServer, withoutOurs } from '#test/server.ts'

/** The wranglers that are held against Bindery, by version, and where each is installed. */
export const wranglers = {
  '4.164': 'node_modules/wrangler',
  '4.123': 'test/clients/node_modules/wrangler-4-123',
  '3.114': 'test/clients/node_modules/wrangler-3',
} as const
export type WranglerVersion = keyof typeof wranglers

/** How a program ended. `all` is both its outputs, without colours. */
export type Ended = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly all: string
}

export type RunOptions = {
  /** A folder below the server's own; made if it is missing. */
  readonly cwd?: string
  readonly stdin?: string
  readonly environment?: Readonly<Record<string, string>>
}

/** An unmodified wrangler, pointed at a server by its environment and by nothing else. */
export interface Wrangler {
  readonly version: WranglerVersion
  /** Runs it. However it ends, it resolves. */
  run(args: readonly string[], options?: RunOptions): Promise<Ended>
  /** Runs it, and fails the test if it does. */
  ok(args: readonly string[], options?: RunOptions): Promise<Ended>
}

const root = fileURLToPath(new URL('..', import.meta.url))
const runMs = 60_000

/** A wrangler of a version. It has a home of its own, so that versions share no cache. */
export function wranglerOf(server: TestServer, version: WranglerVersion): Wrangler {
  ensureInstalled(version)
  const program = join(root, wranglers[version], 'bin/wrangler.js')
  const home = join(server.folder, `home-${version}`)
  const run: Wrangler['run'] = async (args, { cwd = '.', stdin = '', environment = {} } = {}) => {
    const directory = join(server.folder, cwd)
    await mkdir(directory, { recursive: true })
    await mkdir(home, { recursive: true })
    return runProgram([program, ...args], {
      cwd: directory,
      stdin,
      environment: {
        ...withoutOurs(process.env),
        ...server.environment,
        HOME: home,
        XDG_CONFIG_HOME: join(home, '.config'),
        CI: '1',
        WRANGLER_SEND_METRICS: 'false',
        WRANGLER_HIDE_BANNER: 'true',
        NO_COLOR: '1',
        NO_UPDATE_NOTIFIER: '1',
        ...environment,
      },
    })
  }
  return {
    version,
    run,
    async ok(args, options) {
      const ended = await run(args, options)
      assert.equal(ended.code, 0, `wrangler ${args.join(' ')}\n${ended.all}`)
      return ended
    },
  }
}

/** Writes files below the server's folder. Objects are written as JSON. */
export async function writeProject(
  server: TestServer,
  name: string,
  files: Readonly<Record<string, string | Uint8Array | object>>,
): Promise<void> {
  for (const [file, content] of Object.entries(files)) {
    const path = join(server.folder, name, file)
    await mkdir(dirname(path), { recursive: true })
    const isPlain = typeof content === 'string' || content instanceof Uint8Array
    await writeFile(path, isPlain ? content : JSON.stringify(content, null, 2))
  }
}

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
    resolve({ code, ...output, all: output.stdout + output.stderr })
  })
  return promise
}
