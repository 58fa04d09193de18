import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { z } from 'zod'
import type { Log } from '#contract/ports/log.ts'

/** What a process is started with. */
export type ProcessOptions = {
  readonly workerdPath: string
  /** Cap'n Proto text: see `config.ts`. */
  readonly config: string
  readonly agentSocket: string
  /** Where the configuration passes through, nameless, on a machine without `/dev/shm`. */
  readonly scratchDirectory: string
  /** How long it may take until the agent answers. */
  readonly startTimeoutMs: number
  readonly log: Log
}

/** One call of a hidden entrypoint, through the agent. */
export type AgentCall = {
  readonly slot: string
  readonly method: 'start' | 'assign'
  readonly argument?: unknown
}

const agentResults = z.array(
  z.discriminatedUnion('ok', [
    z.object({ ok: z.literal(true), result: z.unknown() }),
    z.object({ ok: z.literal(false), message: z.string() }),
  ]),
)

/** It did not start: `message` is workerd's own words on why. */
export class StartError extends Error {
  readonly timedOut: boolean
  constructor(message: string, timedOut: boolean) {
    super(message)
    this.name = 'StartError'
    this.timedOut = timedOut
  }
}

const pollMs = 2
const keptErrorBytes = 64 * 1024
const logLineBytes = 8 * 1024

/** A running workerd. Whoever starts it stops it. */
export class WorkerdProcess {
  readonly #child: ChildProcess
  readonly #agentSocket: string
  /** Resolves when the process is gone, however it went. */
  readonly exited: Promise<void>
  #isGone = false

  private constructor(child: ChildProcess, agentSocket: string) {
    this.#child = child
    this.#agentSocket = agentSocket
    this.exited = new Promise((resolve) => {
      child.once('close', () => {
        this.#isGone = true
        resolve()
      })
    })
  }

  /** Starts one and waits until its agent answers. Throws `StartError`. */
  static async start(options: ProcessOptions): Promise<WorkerdProcess> {
    const child = await launch(options)
    const started = new WorkerdProcess(child, options.agentSocket)
    const errors = tailOf(child.stderr, options.log)
    logLines(child.stdout, options.log)
    const deadline = performance.now() + options.startTimeoutMs
    while (!started.#isGone) {
      const answered = await started.#post([], deadline).catch(() => undefined)
      if (answered !== undefined) return started
      if (performance.now() > deadline) {
        started.kill()
        await started.exited
        throw new StartError(errors(), true)
      }
      await pause(pollMs)
    }
    throw new StartError(errors(), false)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isGone(): boolean {
    return this.#isGone
  }

  /** Calls hidden entrypoints, all at once. Throws what the first of them threw. */
  async call(calls: readonly AgentCall[], timeoutMs: number): Promise<readonly unknown[]> {
    const text = await this.#post(calls, performance.now() + timeoutMs)
    return agentResults.parse(JSON.parse(text)).map((result) => {
      if (!result.ok) throw new Error(result.message)
      return result.result
    })
  }

  /** SIGTERM, and SIGKILL if it is still there after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#child.kill('SIGTERM')
    const force = setTimeout(() => this.kill(), graceMs)
    await this.exited
    clearTimeout(force)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #post(calls: readonly AgentCall[], deadline: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.#agentSocket,
          method: 'POST',
          path: '/',
          headers: { host: 'agent', 'content-type': 'application/json' },
          agent: false,
          timeout: Math.max(1, deadline - performance.now()),
        },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (data: string) => (text += data))
          response.on('end', () => {
            if (response.statusCode === 200) resolve(text)
            else reject(new Error(`the agent answered ${response.statusCode}`))
          })
          response.on('error', reject)
        },
      )
      outgoing.on('timeout', () => outgoing.destroy(new Error('the agent did not answer in time')))
      outgoing.on('error', reject)
      outgoing.end(JSON.stringify(calls))
    })
  }
}

/**
 * Spawns workerd with its configuration as an open file that has no name: secrets in it are
 * readable to this process and its child, and gone with them. A pipe would not do: Node's are
 * sockets, which workerd can't open again through /proc.
 */
async function launch(options: ProcessOptions): Promise<ChildProcess> {
  const directory = existsSync('/dev/shm') ? '/dev/shm' : options.scratchDirectory
  const path = `${directory}/bindery-${process.pid}-${performance.now()}`
  await using file = await open(path, 'wx+', 0o600)
  await unlink(path)
  await file.writeFile(options.config)
  await unlink(options.agentSocket).catch(() => undefined)
  const [command, ...args] = [...dieWithParent, options.workerdPath, 'serve', '/proc/self/fd/3']
  if (command === undefined) throw new Error('unreachable: there is always a command')
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', file.fd],
    // Nothing of the server's environment is the cell's business.
    env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve).once('error', reject)
  })
  return child
}

/**
 * util-linux' setpriv asks the kernel to kill the cell when the server dies, even of SIGKILL. Where
 * it is missing, the sweep at the next start does it.
 */
const dieWithParent: readonly string[] = ['/usr/bin/setpriv', '/bin/setpriv']
  .filter((path) => existsSync(path))
  .slice(0, 1)
  .flatMap((path) => [path, '--pdeathsig', 'KILL', '--'])

/** Logs lines and keeps the last of them, for the message of a start that failed. */
function tailOf(stream: Readable | null, log: Log): () => string {
  let kept = ''
  stream?.setEncoding('utf8').on('data', (data: string) => {
    kept = (kept + data).slice(-keptErrorBytes)
  })
  logLines(stream, log)
  return () => kept
}

function logLines(stream: Readable | null, log: Log): void {
  if (!stream) return
  createInterface({ input: stream }).on('line', (line) => {
    log.info('cell', { line: line.slice(0, logLineBytes) })
  })
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}
