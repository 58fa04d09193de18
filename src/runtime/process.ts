import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { open, rmdir, unlink } from 'node:fs/promises'
import { request } from 'node:http'
import { z } from 'zod'
import { OperatorError } from '#contract/errors.ts'
import type { Log } from '#contract/ports/log.ts'
import { logLines } from './lines.ts'
import { ownerMark } from './orphans.ts'

/** What a process is started with. */
export type ProcessOptions = {
  readonly workerdPath: string
  /** Cap'n Proto text: see `config.ts`. */
  readonly config: string
  readonly agentSocket: string
  /** The folder of its sockets. It goes with the process if nothing else is in it. */
  readonly folder: string
  /** All unix sockets that it makes, the agent's among them: stale files of theirs are removed. */
  readonly sockets: readonly string[]
  readonly runDirectory: string
  /** How long it may take until the agent answers. */
  readonly startTimeoutMs: number
  /** Gives up a start that is under way. */
  readonly signal: AbortSignal
  readonly log: Log
}

/** One call of a hidden entrypoint, through the agent. */
export type AgentCall = {
  readonly slot: string
  readonly method: 'hide' | 'describe' | 'assign'
  readonly argument?: unknown
}

export type Usage = {
  /** CPU time of the thread that runs all JavaScript, in ms. */
  readonly cpuMs: number
  /** What it holds for itself alone: the binary is shared by all. */
  readonly memoryBytes: number
}

const agentResults = z.array(
  z.discriminatedUnion('ok', [
    z.object({ ok: z.literal(true), result: z.unknown().optional() }),
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

// A refused connection costs 0.2 ms; a start takes tens of milliseconds.
const pollMs = 2
// x86-64's. Where pages are larger, too little is counted, and never too much.
const pageBytes = 4_096
// The largest answer describes a Worker's exports, whose names are its own choice.
const answerBytes = 4 * 1024 * 1024
const keptErrorLength = 64 * 1024

/** A running workerd. Whoever starts it stops it. */
export class WorkerdProcess {
  readonly #child: ChildProcess
  readonly #options: ProcessOptions
  /** Resolves when the process is gone and its sockets are removed: with how it went. */
  readonly exited: Promise<string>
  readonly #gone = new AbortController()
  #isGone = false

  private constructor(child: ChildProcess, options: ProcessOptions) {
    this.#child = child
    this.#options = options
    const { promise, resolve } = Promise.withResolvers<string>()
    this.exited = promise
    child.once('close', (code, signal) => {
      this.#isGone = true
      this.#gone.abort()
      void removeAll(options.sockets)
        .then(() => rmdir(options.folder).catch(() => undefined))
        .then(() => resolve(signal ?? `code ${code}`))
    })
  }

  /** Starts one and waits until its agent answers. Throws `StartError`. */
  static async start(options: ProcessOptions): Promise<WorkerdProcess> {
    const deadline = AbortSignal.timeout(options.startTimeoutMs)
    const child = await launch(options)
    const started = new WorkerdProcess(child, options)
    const errors = tailOf(child)
    if (child.stdout) logLines(child.stdout, options.log)
    if (child.stderr) logLines(child.stderr, options.log)
    while (!started.isGone) {
      const answered = await started.#post([], deadline).catch(() => undefined)
      if (answered !== undefined) return started
      if (deadline.aborted || options.signal.aborted) {
        started.kill()
        await started.exited
        throw new StartError(errors(), true)
      }
      await new Promise((resolve) => void setTimeout(resolve, pollMs))
    }
    await started.exited
    throw new StartError(errors(), false)
  }

  get isGone(): boolean {
    return this.#isGone
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** What it has used; `undefined` once it is gone, and where the system has no /proc. */
  usage(): Usage | undefined {
    try {
      const [nanoseconds] = readFileSync(`/proc/${this.pid}/schedstat`, 'latin1').split(' ')
      const [, resident, shared] = readFileSync(`/proc/${this.pid}/statm`, 'latin1').split(' ')
      const memoryBytes = (Number(resident) - Number(shared)) * pageBytes
      return { cpuMs: Number(nanoseconds) / 1e6, memoryBytes }
    } catch {
      return undefined
    }
  }

  /** Resolves when its thread has got round to answering, however long that takes. */
  async ping(): Promise<void> {
    await this.#post([], this.#gone.signal)
  }

  /** Calls hidden entrypoints, all at once. Throws what the first of them threw. */
  async call(calls: readonly AgentCall[], timeoutMs: number): Promise<readonly unknown[]> {
    const text = await this.#post(calls, AbortSignal.timeout(timeoutMs))
    return agentResults.parse(JSON.parse(text)).map((result) => {
      if (!result.ok) throw new Error(result.message)
      return result.result
    })
  }

  /** SIGTERM, and SIGKILL if it is still there after `graceMs`: an open WebSocket keeps it. */
  async stop(graceMs: number): Promise<void> {
    if (graceMs <= 0) this.kill()
    else this.#child.kill('SIGTERM')
    const force = setTimeout(() => this.kill(), graceMs)
    await this.exited
    clearTimeout(force)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #post(calls: readonly AgentCall[], deadline: AbortSignal): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const outgoing = request(
      {
        socketPath: this.#options.agentSocket,
        method: 'POST',
        path: '/',
        headers: { host: 'agent', 'content-type': 'application/json' },
        agent: false,
        signal: AbortSignal.any([this.#options.signal, deadline]),
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (data: string) => {
          text += data
          if (text.length > answerBytes) outgoing.destroy(new Error('the agent says too much'))
        })
        response.on('end', () => {
          if (response.statusCode === 200) resolve(text)
          else reject(new Error(`the agent answered ${response.statusCode}`))
        })
        response.on('error', reject)
      },
    )
    outgoing.on('error', (error) => {
      reject(deadline.aborted ? new Error('no answer in time', { cause: error }) : error)
    })
    outgoing.end(JSON.stringify(calls))
    return promise
  }
}

/**
 * Spawns workerd with its configuration as an open file that has no name: secrets in it are
 * readable to this process and its child, and gone with them. A pipe would not do: Node's are
 * sockets, which workerd can't open again through /proc.
 */
async function launch(options: ProcessOptions): Promise<ChildProcess> {
  // What starts it for us would say so as if it were the Worker's fault.
  if (!existsSync(options.workerdPath)) {
    throw new OperatorError(`workerd is missing at ${options.workerdPath}: install it again.`)
  }
  const directory = existsSync('/dev/shm') ? '/dev/shm' : options.runDirectory
  const path = `${directory}/bindery-${process.pid}-${performance.now()}`
  await removeAll(options.sockets)
  await using file = await open(path, 'wx+', 0o600)
  await unlink(path)
  await file.writeFile(options.config)
  const [command, ...args] = [...dieWithParent, options.workerdPath, 'serve', '/proc/self/fd/3']
  if (command === undefined) throw new Error('unreachable: there is always a command')
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', file.fd],
    // Nothing of the server's environment is the cell's business.
    env: { PATH: '/usr/bin:/bin', TZ: 'UTC', ...ownerMark(options.runDirectory) },
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve).once('error', (error) => {
      reject(
        new OperatorError(`${options.workerdPath} can't be run: ${error.message}`, {
          cause: error,
        }),
      )
    })
  })
  return child
}

/**
 * util-linux' setpriv asks the kernel to kill the cell when the server dies, even of SIGKILL. Where
 * it is missing, the sweep at the next start does it (`orphans.ts`).
 */
const dieWithParent: readonly string[] = ['/usr/bin/setpriv', '/bin/setpriv']
  .filter((path) => existsSync(path))
  .slice(0, 1)
  .flatMap((path) => [path, '--pdeathsig', 'KILL', '--'])

/** The last of what a process says on stderr, for the message of a start that failed. */
function tailOf(child: ChildProcess): () => string {
  let kept = ''
  child.stderr?.setEncoding('utf8').on('data', (data: string) => {
    kept = (kept + data).slice(-keptErrorLength)
  })
  return () => kept
}

async function removeAll(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map((path) => unlink(path).catch(() => undefined)))
}
