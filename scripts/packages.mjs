// Programs of the system that tests run, as Debian has them. A test whose program is not there skips
// with a reason, so nothing here fails: what can't be installed is said in one line.
import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'

/** Each with the package that it is in. A package that brings a service would start it. */
const programs = [
  { program: 'bwrap', debian: 'bubblewrap' },
  { program: 'pebble', debian: 'pebble' },
  { program: 'nginx', debian: 'nginx-light', isService: true },
  { program: 'haproxy', debian: 'haproxy', isService: true },
  { program: 'caddy', debian: 'caddy', isService: true },
  { program: 'rclone', debian: 'rclone' },
  { program: 's3cmd', debian: 's3cmd' },
]

const installMs = 120_000

/** Installs what is missing, if this is root's machine and a Debian; says so if it can't. */
export async function ensurePackages() {
  const missing = programs.filter(({ program }) => !isThere(program))
  if (missing.length === 0) return
  const wanted = missing.filter(({ isService }) => !isService || startsNoServices())
  if (process.getuid?.() === 0 && wanted.length > 0 && isThere('apt-get')) {
    const names = wanted.map(({ debian }) => debian)
    process.stdout.write(`Installing ${names.join(', ')} for the tests (once) ...\n`)
    if (!(await install(names)) && (await apt(['update']))) await install(names)
  }
  const left = missing.filter(({ program }) => !isThere(program))
  if (left.length === 0) return
  const list = left.map(({ program, debian }) => `${program} (${debian})`).join(', ')
  process.stdout.write(`Tests that need these programs are skipped: ${list}.\n`)
}

/** Whether a program is where programs are, or where those of root are. */
function isThere(program) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** In a container, as a rule, packages may not start what they bring (invoke-rc.d(8)). */
function startsNoServices() {
  return existsSync('/usr/sbin/policy-rc.d')
}

function install(names) {
  return apt(['install', '-y', '-q', '--no-install-recommends', ...names])
}

/** Whether apt-get did it, quietly and within its time. */
function apt(args) {
  return new Promise((resolve) => {
    const child = spawn('apt-get', ['-o', 'DPkg::Lock::Timeout=60', ...args], {
      stdio: 'ignore',
      timeout: installMs,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    child.on('error', () => resolve(false)).on('exit', (code) => resolve(code === 0))
  })
}
