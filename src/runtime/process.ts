import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, open, rmdir, unlink } from 'node:fs/promises'
import { request } from 'node:http'
import { constants } from 'node:os'
import { z } from 'zod'
import { OperatorError } from '#contract/errors.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import type { CellLimits } from './cgroups.ts'
import { type Ended, endOf, type Jail, sendSignal, type Spawned } from './jail.ts'
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
  /** Absent: it is a process of this user's, as any other. */
  readonly jail: Jail | undefined
  readonly account: AccountId | undefined
  /** Folders of Durable Objects that it may use. Made if they are missing. */
  readonly objects: readonly string[]
  /** Folders of files that other processes of the account may have open. Made if they are missing. */
  readonly shared: readonly string[]
  /**
   * Whether compatibility flags may be experimental: the agent needs that to pass on events. A check
   * has it not, and so refuses Workers that name such flags.
   */
  readonly experimental: boolean
  /** Of its environment: what is not the same for all. */
  readonly environment?: Readonly<Record<string, string>>
  /** What the kernel holds it to, where it can. */
  readonly limits: CellLimits
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

/** There was no process that could have seen a call. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
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
  readonly #spawned: Spawned
  #pid = 0
  readonly #options: ProcessOptions
  /** Resolves when the process is gone and its sockets are removed: with how it went. */
  readonly exited: Promise<string>
  readonly #gone = new AbortController()
  #isGone = false

  private constructor(spawned: Spawned, options: ProcessOptions) {
    const { ended, cleanUp } = spawned
    this.#spawned = spawned
    this.#options = options
    this.exited = ended.then(async (how) => {
      this.#isGone = true
      this.#gone.abort()
      await removeAll(options.sockets)
      await rmdir(options.folder).catch(() => undefined)
      await cleanUp()
      return wordFor(how)
    })
  }

  /** Starts one and waits until its agent answers. Throws `StartError`. */
  static async start(options: ProcessOptions): Promise<WorkerdProcess> {
    const deadline = AbortSignal.timeout(options.startTimeoutMs)
    const spawned = await launch(options)
    const { child } = spawned
    const started = new WorkerdProcess(spawned, options)
    const errors = tailOf(child)
    if (child.stdout) logLines(child.stdout, options.log)
    if (child.stderr) logLines(child.stderr, options.log)
    while (!started.isGone) {
      const answered = await started.#call([], deadline).catch(() => undefined)
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
    if (this.#pid === 0 && !this.#isGone) this.#pid = this.#spawned.pid()
    return this.#pid
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
    await this.#call([], this.#gone.signal)
  }

  /** Calls hidden entrypoints, all at once. Throws what the first of them threw. */
  async call(calls: readonly AgentCall[], timeoutMs: number): Promise<readonly unknown[]> {
    const text = await this.#call(calls, AbortSignal.timeout(timeoutMs))
    return agentResults.parse(JSON.parse(text)).map((result) => {
      if (!result.ok) throw new Error(result.message)
      return result.result
    })
  }

  /**
   * Has the agent deliver an event, however long that takes; answers with its JSON. Throws a
   * `RefusedError` if it was not there to take it.
   */
  deliver(event: Uint8Array, stop: AbortSignal): Promise<string> {
    return this.#post(event, {
      path: '/event',
      deadline: AbortSignal.any([stop, this.#gone.signal]),
    })
  }

  /** SIGTERM, and SIGKILL if it is still there after `graceMs`: an open WebSocket keeps it. */
  async stop(graceMs: number): Promise<void> {
    if (graceMs <= 0) this.kill()
    else if (!this.#isGone) sendSignal(this.pid, 'SIGTERM')
    const force = setTimeout(() => this.kill(), graceMs)
    await this.exited
    clearTimeout(force)
  }

  kill(): void {
    if (!this.#isGone) this.#spawned.kill()
  }

  #call(calls: readonly AgentCall[], deadline: AbortSignal): Promise<string> {
    return this.#post(JSON.stringify(calls), { path: '/', deadline })
  }

  #post(
    body: string | Uint8Array,
    { path, deadline }: { readonly path: string; readonly deadline: AbortSignal },
  ): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const outgoing = request(
      {
        socketPath: this.#options.agentSocket,
        method: 'POST',
        path,
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
      const isRefused =
        'code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')
      if (isRefused) reject(new RefusedError('nobody listens', { cause: error }))
      else reject(deadline.aborted ? new Error('no answer in time', { cause: error }) : error)
    })
    outgoing.end(body)
    return promise
  }
}

/**
 * Spawns workerd with its configuration as an open file that has no name: secrets in it are
 * readable to this process and its child, and gone with them. A pipe would not do: Node's are
 * sockets, which workerd can't open again through /proc.
 */
async function launch(options: ProcessOptions): Promise<Spawned> {
  const { workerdPath, runDirectory, jail } = options
  // What starts it for us would say so as if it were the Worker's fault.
  if (!existsSync(workerdPath)) {
    throw new OperatorError(`workerd is missing at ${workerdPath}: install it again.`)
  }
  const directory = existsSync('/dev/shm') ? '/dev/shm' : runDirectory
  const path = `${directory}/bindery-${process.pid}-${performance.now()}`
  await removeAll(options.sockets)
  for (const folder of [...options.objects, ...options.shared])
    await mkdir(folder, { recursive: true, mode: 0o700 })
  await using file = await open(path, 'wx+', 0o600)
  await unlink(path)
  await file.writeFile(options.config)
  // Nothing of the server's environment is the cell's business.
  const environment = {
    PATH: '/usr/bin:/bin',
    TZ: 'UTC',
    ...options.environment,
    ...ownerMark(runDirectory),
  }
  const flags = options.experimental ? ['--experimental'] : []
  const serve = ['serve', ...flags, '/proc/self/fd/3']
  const spawned = jail
    ? await jail.spawn({
        ...options,
        environment,
        configuration: file,
        program: ['/workerd', ...serve],
      })
    : spawnPlain([...dieWithParent, workerdPath, ...serve], environment, file.fd)
  const { child, ended } = spawned
  if (child.pid === undefined) {
    const { error } = await ended
    throw new OperatorError(`${child.spawnfile} can't be run: ${error?.message}`, { cause: error })
  }
  return spawned
}

function spawnPlain(
  [command = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  configuration: number,
): Spawned {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', configuration], env })
  return {
    child,
    ended: endOf(child),
    pid: () => child.pid ?? 0,
    kill: () => void child.kill('SIGKILL'),
    cleanUp: async () => {},
  }
}

/** bubblewrap, like a shell, adds 128 to the signal that ended what it ran. */
function wordFor({ code, signal }: Ended): string {
  if (signal !== null) return signal
  const name = Object.entries(constants.signals).find(([, number]) => code === 128 + number)?.[0]
  return name ?? `code ${code}`
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
