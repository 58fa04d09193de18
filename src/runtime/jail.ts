import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { chown, lchown, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Isolation } from '#contract/cell.ts'
import type { AccountId } from '#contract/ids.ts'
import { type CellLimits, type Cgroups, openCgroups } from './cgroups.ts'
import { type Architecture, seccompProgram } from './seccomp.ts'

// Each cell in bubblewrap: an empty root with workerd and its six libraries, its own sockets and
// objects; no network, no other process, no capability, and a list of system calls.

/** What a process of one cell may see and use. */
export type JailOptions = {
  readonly account: AccountId | undefined
  /** The folder of its sockets. */
  readonly folder: string
  /** Folders of Durable Objects that nobody else has open. */
  readonly objects: readonly string[]
  /** Folders of files that other processes of the account may have open. */
  readonly shared: readonly string[]
  readonly limits: CellLimits
  readonly environment: Readonly<Record<string, string>>
  /** Its configuration, which it opens again by this number. */
  readonly configuration: { readonly fd: number; chown(uid: number, gid: number): Promise<void> }
  readonly program: readonly string[]
}

export type Ended = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Why it could not be started at all. */
  readonly error?: Error
}

/** Resolves when a process that has just been spawned is gone, or could not be started. */
export function endOf(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
    // Where there never was a process, nothing closes.
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, error })
    })
  })
}

/** A process that runs, jailed or not. */
export type Spawned = {
  readonly child: ChildProcess
  /** How it ended. Listened for from the beginning: it may be gone before anybody looks at it. */
  readonly ended: Promise<Ended>
  /** Of the process itself, whatever was started around it; 0 for as long as it is not there. */
  readonly pid: () => number
  /** SIGKILL, to it and all that is around it. */
  readonly kill: () => void
  /** Removes what is left of it once it is gone. */
  readonly cleanUp: () => Promise<void>
}

export interface Jail extends Disposable {
  readonly isolation: Isolation
  spawn(options: JailOptions): Promise<Spawned>
}

export type JailSettings = {
  readonly workerdPath: string
  /** The same at each start of the same server: names its control groups. */
  readonly runDirectory: string
  /** The first user id that cells of root's server run as. */
  readonly firstUid: number
}

/** How many accounts have a user id to themselves; more share them. */
const uids = 184
const temporaryBytes = 16 * 1024 * 1024
const programs = ['/usr/bin', '/bin', '/usr/local/bin']

/** Why there is no jail here, in words for the operator, or what makes jails. */
export function openJail(settings: JailSettings): Jail | { readonly reason: string } {
  const { arch, platform } = process
  if (platform !== 'linux') return { reason: 'it needs Linux' }
  if (arch !== 'x64' && arch !== 'arm64') return { reason: `there is no list of calls for ${arch}` }
  const bwrap = find('bwrap', programs)
  if (bwrap === undefined)
    return { reason: 'bubblewrap is missing: install the package bubblewrap' }
  const isRoot = process.getuid?.() === 0
  const setpriv = isRoot ? find('setpriv', programs) : undefined
  if (isRoot && setpriv === undefined) return { reason: 'setpriv is missing: install util-linux' }
  const libraries = findLibraries(arch, isRoot)
  if (typeof libraries === 'string') return { reason: `${libraries} is missing` }
  const cgroups = openCgroups(settings.runDirectory)
  return new Bubblewrap({ ...settings, arch, bwrap, setpriv, libraries, cgroups })
}

type Tools = JailSettings & {
  readonly arch: Architecture
  readonly bwrap: string
  /** Present if the server is root's, whose cells are somebody else's. */
  readonly setpriv: string | undefined
  readonly libraries: readonly string[]
  readonly cgroups: Cgroups | undefined
}

class Bubblewrap implements Jail {
  readonly #tools: Tools
  readonly #filter: Uint8Array
  readonly #uids = new Map<string, number>()

  constructor(tools: Tools) {
    this.#tools = tools
    this.#filter = seccompProgram(tools.arch)
  }

  get isolation(): Isolation {
    const cgroup = this.#tools.cgroups?.version ?? 'none'
    return { mode: 'jail', network: 'none', seccomp: true, cgroup }
  }

  async spawn(options: JailOptions): Promise<Spawned> {
    const { bwrap, setpriv, cgroups } = this.#tools
    const uid = setpriv === undefined ? undefined : this.#uidOf(options.account)
    if (uid !== undefined) {
      await options.configuration.chown(uid, uid)
      await Promise.all([...options.objects, options.folder].map((path) => giveAll(path, uid)))
      await Promise.all(options.shared.map((path) => giveUnlessGiven(path, uid)))
    }
    const id = options.folder.slice(options.folder.lastIndexOf('/') + 1)
    const group = await cgroups?.open(id, options.limits)
    const child = spawn(bwrap, jailArguments(this.#tools, options, uid), {
      stdio: ['ignore', 'pipe', 'pipe', options.configuration.fd, 'pipe', 'pipe', 'pipe'],
      env: options.environment,
    })
    const ended = endOf(child)
    const { information, gate, filter } = pipesOf(child)
    filter?.end(this.#filter)
    const init = information ? await childPid(information, ended) : 0
    if (init > 0) await group?.add(init).catch(() => undefined)
    gate?.end('.')
    return {
      child,
      ended,
      pid: () => onlyChildOf(init),
      // The first process of a namespace takes all others with it.
      kill: () => (init > 0 ? sendSignal(init, 'SIGKILL') : void child.kill('SIGKILL')),
      cleanUp: async () => group?.remove(),
    }
  }

  [Symbol.dispose](): void {
    this.#tools.cgroups?.[Symbol.dispose]()
  }

  /** One for each account, so that what one leaves on the disk is not another's. */
  #uidOf(account: AccountId | undefined): number {
    const key = account ?? ''
    const known = this.#uids.get(key)
    if (known !== undefined) return known
    const uid = this.#tools.firstUid + (this.#uids.size % uids)
    this.#uids.set(key, uid)
    return uid
  }
}

/**
 * Root's bubblewrap needs no user namespace, and would map root into one: the process in it would
 * still be root to the kernel. It starts setpriv instead, which becomes somebody else and has no way
 * back. An ordinary user's needs one to do anything, and is that user inside.
 *
 * bubblewrap's own first process stays in the namespace, although workerd could be the first: when the
 * server dies, the signal that is to end the cell comes from a process of root's without capabilities,
 * which may not signal anybody else.
 */
export function jailArguments(
  tools: Pick<Tools, 'workerdPath' | 'setpriv' | 'libraries'>,
  options: Pick<JailOptions, 'folder' | 'objects' | 'shared' | 'environment' | 'program'>,
  uid: number | undefined,
): readonly string[] {
  const { workerdPath, setpriv, libraries } = tools
  const { folder, objects, shared, environment, program } = options
  const files = [...libraries.map((path) => [realpathSync(path), path]), [workerdPath, '/workerd']]
  if (setpriv !== undefined) files.push([setpriv, '/setpriv'])
  const devices = ['/dev/null', '/dev/zero', '/dev/random', '/dev/urandom']
  const writable = [folder, ...objects, ...shared]
  const folders = foldersOf([...libraries, ...writable, ...devices])
  const words = [
    '--unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try',
    uid === undefined ? '--unshare-user' : '',
    '--die-with-parent --new-session --clearenv --cap-drop ALL',
    uid === undefined ? '' : '--cap-add CAP_SETUID --cap-add CAP_SETGID',
    `--perms 1777 --size ${temporaryBytes} --tmpfs /tmp`,
  ]
  return [
    ...words.flatMap((line) => (line === '' ? [] : line.split(' '))),
    ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
    ...folders.flatMap((path) => ['--perms', '0755', '--dir', path]),
    ...files.flatMap(([from = '', to = '']) => ['--ro-bind', from, to]),
    ...devices.flatMap((path) => ['--dev-bind', path, path]),
    ...writable.flatMap((path) => ['--bind', path, path]),
    ...'--proc /proc --remount-ro / --chdir / --info-fd 4 --block-fd 5 --seccomp 6 --'.split(' '),
    ...(uid === undefined ? [] : becoming(uid)),
    ...program,
  ]
}

/** Becomes somebody without a way back. */
function becoming(uid: number): readonly string[] {
  const words = `/setpriv --reuid ${uid} --regid ${uid} --clear-groups --inh-caps=-all
    --ambient-caps=-all --no-new-privs --`
  return words.split(/\s+/)
}

/** All folders above some paths, each before what is in it. */
function foldersOf(paths: readonly string[]): readonly string[] {
  const found = new Set<string>()
  const add = (path: string): void => {
    if (path === '/' || path === '/tmp' || found.has(path)) return
    add(dirname(path))
    found.add(path)
  }
  for (const path of paths) add(dirname(path))
  return [...found]
}

const libraryNames = ['libm.so.6', 'libdl.so.2', 'librt.so.1', 'libpthread.so.0', 'libc.so.6']
const libraryFolders: Readonly<Record<Architecture, readonly string[]>> = {
  x64: ['/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64', '/usr/lib'],
  arm64: ['/lib/aarch64-linux-gnu', '/lib64', '/usr/lib64', '/usr/lib'],
}
const interpreters: Readonly<Record<Architecture, string>> = {
  x64: '/lib64/ld-linux-x86-64.so.2',
  arm64: '/lib/ld-linux-aarch64.so.1',
}

/** Where the libraries of workerd (and setpriv) are, or the name of one that is not there. */
function findLibraries(architecture: Architecture, isRoot: boolean): readonly string[] | string {
  const names = isRoot ? [...libraryNames, 'libcap-ng.so.0'] : libraryNames
  const found = [interpreters[architecture]]
  for (const name of names) {
    const path = find(name, libraryFolders[architecture])
    if (path === undefined) return name
    found.push(path)
  }
  return existsSync(interpreters[architecture]) ? found : interpreters[architecture]
}

function find(name: string, folders: readonly string[]): string | undefined {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

/**
 * Makes somebody the owner of a folder and all that is in it. Called while no process of theirs has
 * it: links are not followed, and nobody puts one in the way.
 */
async function giveAll(folder: string, uid: number): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), uid, uid)
  }
  // The folder comes last: if it is theirs, all is.
  await chown(folder, uid, uid)
}

/**
 * The same for a folder that others of theirs may have: whoever puts files there later makes them the
 * owner's. Only after a start of the server may it be somebody else's, and then nobody has it.
 */
async function giveUnlessGiven(folder: string, uid: number): Promise<void> {
  if ((await stat(folder)).uid !== uid) await giveAll(folder, uid)
}

type Pipes = {
  readonly information: Readable | undefined
  readonly gate: Writable | undefined
  readonly filter: Writable | undefined
}

function pipesOf(child: ChildProcess): Pipes {
  const stdio: readonly (Readable | Writable | null | undefined)[] = child.stdio
  const [, , , , information, gate, filter] = stdio
  for (const pipe of [information, gate, filter]) pipe?.on('error', () => {})
  return {
    information: information && 'read' in information ? information : undefined,
    gate: gate && 'write' in gate ? gate : undefined,
    filter: filter && 'write' in filter ? filter : undefined,
  }
}

/** The process that the first of a namespace started; 0 if it has not, or is gone. */
function onlyChildOf(init: number): number {
  try {
    return Number(readFileSync(`/proc/${init}/task/${init}/children`, 'latin1').trim())
  } catch {
    return 0
  }
}

/** Sends a signal to a process that may be gone. */
export function sendSignal(pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  if (pid <= 0) return
  try {
    process.kill(pid, name)
  } catch {
    // It is gone, and whoever waits for it is about to be told.
  }
}

/** What bubblewrap says of the process that it makes; 0 if it ends before that. */
function childPid(information: Readable, ended: Promise<Ended>): Promise<number> {
  return new Promise((resolve) => {
    let text = ''
    information.setEncoding('utf8').on('data', (data: string) => {
      text += data
      const [, pid] = /"child-pid": (\d+)\b[^]*\}/.exec(text) ?? []
      if (pid !== undefined) resolve(Number(pid))
    })
    information.once('close', () => resolve(0))
    void ended.then(() => resolve(0))
  })
}
