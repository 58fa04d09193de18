// Installs what is missing, shows that it does, and runs the pinned Node. Used by every npm script;
// plain JavaScript for Node 18 and later, because it runs before anything is installed.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const node = join(root, 'node_modules', 'node', 'bin', 'node')
/** What Node made of our code at an earlier start: half of what a start costs. Where it can't be written, it is made each time. */
const compiled = join(root, 'node_modules', '.cache', 'compiled')

/** Installs the packages of a folder, unless those of its lock are there already. */
export async function ensureInstalled(folder = root) {
  const stamp = join(folder, 'node_modules', '.bindery-installed')
  const wanted = fingerprint(folder)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  const name = folder === root ? 'Bindery needs' : `${folder.slice(root.length + 1)} needs`
  const done = progress(`Installing the packages that ${name} (once; about a minute)`)
  // `npm install` rather than `npm ci`: the lock has no packages for other platforms, which
  // `npm ci` takes for a difference.
  const args = ['install', '--no-audit', '--no-fund', '--loglevel=error', '--no-update-notifier']
  const { code, output } = await run('npm', args, { cwd: folder, capture: true })
  done()
  if (code !== 0 || (folder === root && !existsSync(node))) {
    process.stderr.write(
      `${output}\nThe packages could not be installed (npm install in ${folder}).\n`,
    )
    if (code === 0)
      process.stderr.write('Install scripts must be allowed: see "ignore-scripts" in npm config.\n')
    process.exit(1)
  }
  writeFileSync(stamp, wanted)
}

/** Runs the pinned Node with its output shown; resolves with the exit code. */
export async function runNode(args, options = {}) {
  // node:sqlite and type stripping are what we pin this Node for: nobody needs to be warned of them.
  const { code } = await run(node, ['--disable-warning=ExperimentalWarning', ...args], options)
  return code
}

/** Runs a program of node_modules/.bin; resolves with the exit code. */
export async function runTool(name, args) {
  const { code } = await run(join(root, 'node_modules', '.bin', name), args)
  return code
}

function run(command, args, { cwd = process.cwd(), capture = false } = {}) {
  return new Promise((resolve) => {
    const path = `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`
    const bound = capture ? { descriptors: [] } : boundSockets()
    const stdio = capture
      ? ['ignore', 'pipe', 'pipe']
      : ['inherit', 'inherit', 'inherit', ...bound.descriptors]
    const env = { NODE_COMPILE_CACHE: compiled, ...process.env, ...bound.env, PATH: path }
    const child = spawn(command, args, { cwd, stdio, env })
    let output = ''
    child.stdout?.on('data', (data) => (output += data))
    child.stderr?.on('data', (data) => (output += data))
    // The terminal tells the whole group of an interrupt; a supervisor tells only us.
    const forward = (signal) => child.kill(signal)
    process.on('SIGTERM', forward).on('SIGINT', () => {})
    child.on('error', (error) => resolve({ code: 127, output: error.message }))
    child.on('exit', (code, signal) => {
      process.off('SIGTERM', forward)
      resolve({ code: code ?? 128 + (constants.signals[signal] ?? 0), output })
    })
  })
}

/** Sockets that systemd has handed to us (sd_listen_fds(3)) are for the process that we start. */
function boundSockets() {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = process.env
  if (count === undefined || pid !== String(process.pid)) return { descriptors: [], env: {} }
  const descriptors = Array.from({ length: Number(count) }, (_, index) => 3 + index)
  return { descriptors, env: { LISTEN_PID: undefined } }
}

function fingerprint(folder) {
  const hash = createHash('sha256')
  for (const file of ['package.json', 'package-lock.json']) {
    const path = join(folder, file)
    if (existsSync(path)) hash.update(readFileSync(path))
  }
  return hash.digest('hex')
}

/** Shows a line that goes on while something takes its time. */
function progress(text) {
  const started = Date.now()
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`
  const isTerminal = process.stdout.isTTY
  process.stdout.write(isTerminal ? text : `${text} ...\n`)
  const timer = setInterval(
    () =>
      process.stdout.write(
        isTerminal ? `\r${text} ... ${seconds()}` : `  still installing, ${seconds()}\n`,
      ),
    isTerminal ? 1_000 : 10_000,
  )
  return () => {
    clearInterval(timer)
    process.stdout.write(
      isTerminal ? `\r${text} ... done in ${seconds()}\n` : `  done in ${seconds()}\n`,
    )
  }
}
