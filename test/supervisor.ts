import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { withoutOurs } from '#test/server.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Why the supervisor can't be run here, or `false`. */
export const noSupervisor =
  spawnSync('python3', ['-c', 'import os; os.waitstatus_to_exitcode']).status === 0
    ? false
    : 'python3 is not here'

const line = z.object({
  pid: z.number().optional(),
  ports: z.tuple([z.number(), z.number()]).optional(),
  code: z.number().optional(),
  stopMs: z.number().optional(),
})

/** A server below a supervisor that keeps its sockets. */
export class Supervised implements AsyncDisposable {
  readonly port: number
  readonly apiPort: number
  pid: number
  /** What the servers have logged. */
  log = ''
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: Interface, first: z.output<typeof line>) {
    this.#child = child
    this.#lines = lines[Symbol.asyncIterator]()
    this.pid = first.pid ?? 0
    ;[this.port, this.apiPort] = first.ports ?? [0, 0]
    child.stderr?.on('data', (data: Buffer) => (this.log += data.toString()))
  }

  static async start(dataDirectory: string, command: readonly string[]): Promise<Supervised> {
    const child = spawn(
      'python3',
      [join(root, 'test/supervisor.py'), ...command, 'serve', '--data', dataDirectory],
      { cwd: root, stdio: ['pipe', 'pipe', 'pipe'], env: withoutOurs(process.env) },
    )
    const lines = createInterface({ input: child.stdout })
    const [first] = await once(lines, 'line')
    return new Supervised(child, lines, line.parse(JSON.parse(String(first))))
  }

  /** Replaces the server; resolves once the next one is started, with how the last one ended. */
  async replace(): Promise<{ readonly code: number; readonly stopMs: number }> {
    this.#child.stdin?.write('replace\n')
    const { pid = 0, code = -1, stopMs = -1 } = await this.#next()
    this.pid = pid
    return { code, stopMs }
  }

  /** Resolves once the API of the server that runs now says that it is ready. */
  async ready(): Promise<void> {
    const deadline = performance.now() + 60_000
    for (;;) {
      const health = await fetch(`http://127.0.0.1:${this.apiPort}/health`).catch(() => undefined)
      await health?.body?.cancel()
      if (health?.status === 200) return
      if (performance.now() > deadline) throw new Error(`it is not ready; it said:\n${this.log}`)
      await new Promise((resolve) => void setTimeout(resolve, 50))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'close')
    this.#child.stdin?.end()
    const deadline = setTimeout(() => {
      if (this.pid > 0) process.kill(this.pid, 'SIGKILL')
    }, 30_000)
    await ended
    clearTimeout(deadline)
  }

  async #next(): Promise<z.output<typeof line>> {
    const { value } = await this.#lines.next()
    return line.parse(JSON.parse(String(value)))
  }
}
