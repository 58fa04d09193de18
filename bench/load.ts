import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** What one round of load showed. */
export type Measured = {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Microseconds of CPU time, over all processes of the peer. */
  readonly cpuPerRequestUs: number
  readonly failed: number
}

export type Load = {
  readonly url: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly connections: number
  readonly seconds: number
  /** The first process of the peer: its descendants are counted too. */
  readonly pid: number
}

/** Runs wrk against a URL, and reads what the peer's processes used meanwhile. */
export async function measure(load: Load): Promise<Measured> {
  const before = cpuUs(load.pid)
  const output = await run('wrk', [
    '-t1',
    `-c${load.connections}`,
    `-d${load.seconds}`,
    '--latency',
    ...(load.host === undefined ? [] : ['-H', `Host: ${load.host}`]),
    ...Object.entries(load.headers ?? {}).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    load.url,
  ])
  const used = cpuUs(load.pid) - before
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0)
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1] ?? 0),
    p50Ms: latency(output, '50'),
    p99Ms: latency(output, '99'),
    cpuPerRequestUs: used / Math.max(requests, 1),
    failed:
      Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0) +
      (errors ? errors.slice(1).reduce((sum, count) => sum + Number(count), 0) : 0),
  }
}

/** The same for WebSockets, by a process of its own: each message is sent when the last has come back. */
export async function measureSockets(load: Load): Promise<Measured> {
  const { url, host, connections, seconds, pid } = load
  const program = fileURLToPath(new URL('sockets.ts', import.meta.url))
  const before = cpuUs(pid)
  const args = [url.replace('http', 'ws'), host ?? new URL(url).host, connections, seconds]
  const output = await run(process.execPath, [program, ...args.map(String)])
  const used = cpuUs(pid) - before
  const { messages, ...measured }: Omit<Measured, 'cpuPerRequestUs'> & { messages: number } =
    JSON.parse(output)
  return { ...measured, cpuPerRequestUs: used / Math.max(messages, 1) }
}

function latency(output: string, percentile: string): number {
  const match = new RegExp(`\\s${percentile}%\\s+([\\d.]+)(us|ms|s)`).exec(output)
  const scale = { us: 0.001, ms: 1, s: 1000 }[match?.[2] ?? 'ms'] ?? 1
  return Number(match?.[1] ?? Number.NaN) * scale
}

/** CPU time of a process and all its descendants so far. A kernel tick is 10 ms here. */
export function cpuUs(root: number): number {
  const parents = new Map<number, number>()
  const ticks = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      parents.set(pid, Number(fields[1]))
      ticks.set(pid, Number(fields[11]) + Number(fields[12]))
    } catch {
      // It ended while we were looking.
    }
  }
  let sum = 0
  for (const [pid, used] of ticks) if (descends(pid)) sum += used
  return sum * 10_000

  function descends(pid: number): boolean {
    for (let at: number | undefined = pid; at !== undefined; at = parents.get(at)) {
      if (at === root) return true
    }
    return false
  }
}

export function run(command: string, args: readonly string[], cwd?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd !== undefined && { cwd }),
    })
    let output = ''
    child.stdout.on('data', (data: Buffer) => (output += data.toString()))
    child.stderr.on('data', (data: Buffer) => (output += data.toString()))
    child.on('error', (error) =>
      reject(
        new Error(`${command} could not be run: is it installed? (apt-get install ${command})`, {
          cause: error,
        }),
      ),
    )
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${command} failed:\n${output}`)),
    )
  })
}
