import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

// Control groups: what a process and all its children may use together, kept by the kernel.

export type CellLimits = {
  /** Memory, and what it has of files that is not on disk. */
  readonly memoryBytes: number
  /**
   * `kill`: the kernel does. `pause`: it gets no more, until somebody who watches it has seen that and
   * kills it, with words for those who wait for it.
   */
  readonly atLimit: 'kill' | 'pause'
}

/** Where cells get a group each. */
export interface Cgroups extends Disposable {
  readonly version: 'v1' | 'v2'
  /** Makes a group; whoever does removes it. */
  open(id: string, limits: CellLimits): Promise<Cgroup>
}

export interface Cgroup {
  /** Puts a process into it, with the children that it will have. */
  add(pid: number): Promise<void>
  /** Removes it, once all that was in it is gone. Never throws. */
  remove(): Promise<void>
}

/** Threads and processes of one cell: workerd has three, and one for each file operation at a time. */
const processesPerCell = 128
/** A cell's share of a busy processor; the server's own is ten times that. */
const cpuWeight = { v1: '102', v2: '10' }
const removalTries = 100
const removalMs = 20

type Folders = { readonly memory: string; readonly pids?: string; readonly cpu?: string }

/**
 * Groups below the one that this process is in, or `undefined` where it may make none. Those that an
 * earlier server left for the same `owner` are removed.
 */
export function openCgroups(owner: string, root = '/'): Cgroups | undefined {
  const name = `bindery-${createHash('sha256').update(owner).digest('hex').slice(0, 12)}`
  return openUnified(name, root) ?? openLegacy(name, root)
}

function openUnified(name: string, root: string): Cgroups | undefined {
  try {
    const mount = join(root, 'sys/fs/cgroup')
    const [, own = ''] =
      /^0::(\/.*)$/m.exec(readFileSync(join(root, 'proc/self/cgroup'), 'utf8')) ?? []
    const parent = join(mount, own)
    const offered = readFileSync(join(parent, 'cgroup.controllers'), 'utf8').trim().split(' ')
    if (!offered.includes('memory') || !offered.includes('pids')) return undefined
    // A group that hands on controllers has no processes of its own: the server moves into a leaf.
    const leaf = join(parent, `${name}-server`)
    mkdirSync(leaf, { recursive: true })
    writeFileSync(join(leaf, 'cgroup.procs'), String(process.pid))
    const enabled = ['memory', 'pids', 'cpu'].filter((each) => offered.includes(each))
    const enable = enabled.map((each) => `+${each}`).join(' ')
    writeFileSync(join(parent, 'cgroup.subtree_control'), enable)
    const folder = madeClean(join(parent, name))
    writeFileSync(join(folder, 'cgroup.subtree_control'), enable)
    return {
      version: 'v2',
      open: (id, limits) => openUnifiedCell(join(folder, id), limits, enabled.includes('cpu')),
      [Symbol.dispose]: () => removeTree(folder),
    }
  } catch {
    return undefined
  }
}

async function openUnifiedCell(path: string, limits: CellLimits, hasCpu: boolean): Promise<Cgroup> {
  await mkdir(path)
  const { memoryBytes, atLimit } = limits
  if (atLimit === 'pause') await writeFile(join(path, 'memory.high'), String(memoryBytes))
  const most = atLimit === 'pause' ? 2 * memoryBytes : memoryBytes
  await writeFile(join(path, 'memory.max'), String(most))
  // Swapping a cell out instead would only make everybody slow.
  await writeFile(join(path, 'memory.swap.max'), '0').catch(() => undefined)
  await writeFile(join(path, 'memory.oom.group'), '1')
  await writeFile(join(path, 'pids.max'), String(processesPerCell))
  if (hasCpu) await writeFile(join(path, 'cpu.weight'), cpuWeight.v2)
  return cgroupOf([path])
}

function openLegacy(name: string, root: string): Cgroups | undefined {
  const memory = legacyFolder('memory', name, root)
  if (memory === undefined) return undefined
  const pids = legacyFolder('pids', name, root)
  const cpu = legacyFolder('cpu', name, root)
  const folders: Folders = { memory, ...(pids && { pids }), ...(cpu && { cpu }) }
  return {
    version: 'v1',
    open: (id, limits) => openLegacyCell(folders, id, limits),
    [Symbol.dispose]() {
      for (const folder of Object.values(folders)) removeTree(folder)
    },
  }
}

function legacyFolder(controller: string, name: string, root: string): string | undefined {
  try {
    const lines = readFileSync(join(root, 'proc/self/cgroup'), 'utf8').split('\n')
    const own = lines
      .map((line) => line.split(':'))
      .find((parts) => parts[1]?.split(',').includes(controller))
    const mounts = readFileSync(join(root, 'proc/self/mounts'), 'utf8').split('\n')
    const mount = mounts
      .map((line) => line.split(' '))
      .find((parts) => parts[2] === 'cgroup' && parts[3]?.split(',').includes(controller))
    if (!own || !mount) return undefined
    return madeClean(join(root, mount[1] ?? '', own[2] ?? '', name))
  } catch {
    return undefined
  }
}

async function openLegacyCell(folders: Folders, id: string, limits: CellLimits): Promise<Cgroup> {
  const paths = Object.values(folders).map((folder) => join(folder, id))
  for (const path of paths) await mkdir(path)
  const { memory, pids, cpu } = folders
  await writeFile(join(memory, id, 'memory.limit_in_bytes'), String(limits.memoryBytes))
  if (limits.atLimit === 'pause') await writeFile(join(memory, id, 'memory.oom_control'), '1')
  if (pids !== undefined) await writeFile(join(pids, id, 'pids.max'), String(processesPerCell))
  if (cpu !== undefined) await writeFile(join(cpu, id, 'cpu.shares'), cpuWeight.v1)
  return cgroupOf(paths)
}

function cgroupOf(paths: readonly string[]): Cgroup {
  return {
    async add(pid) {
      for (const path of paths) await writeFile(join(path, 'cgroup.procs'), String(pid))
    },
    async remove() {
      for (const path of paths) await removed(path)
    },
  }
}

/** A dead process is in its group until somebody has been told of its death. */
async function removed(path: string): Promise<void> {
  for (let tries = 0; tries < removalTries; tries += 1) {
    try {
      return await rmdir(path)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
      await new Promise((resolve) => void setTimeout(resolve, removalMs))
    }
  }
}

function madeClean(folder: string): string {
  removeTree(folder)
  mkdirSync(folder, { recursive: true })
  return folder
}

/** The files in a group are not removed: they are the kernel's. */
function removeTree(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(folder, entry.name))
    }
    rmdirSync(folder)
  } catch {
    // Something is still in it: the next start tries again.
  }
}
