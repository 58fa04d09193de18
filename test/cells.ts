import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

/** The cells of a server: its children, or those of its jails, that are workerd. */
function cellsOf(server: Pick<TestServer, 'pid'>): readonly number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && isCell(pid, server.pid))
}

/** SIGKILL to the cells of a server, of which there is at least one by then. */
export async function killCells(server: Pick<TestServer, 'pid'>): Promise<void> {
  const pids = await eventually(() => {
    const cells = cellsOf(server)
    return cells.length > 0 && cells
  })
  for (const pid of pids) process.kill(pid, 'SIGKILL')
}

/** SIGKILL to those of its cells that have databases open, if any. Says how many. */
export function killDatabaseCells(server: Pick<TestServer, 'pid'>): number {
  const pids = cellsOf(server).filter(hasDatabases)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  return pids.length
}

function hasDatabases(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) =>
      readlinkSync(`/proc/${pid}/fd/${fd}`).includes('/databases/'),
    )
  } catch {
    return false
  }
}

function isCell(pid: number, server: number): boolean {
  let [name, parent] = stateOf(pid)
  if (name !== 'workerd') return false
  // A jail is two processes: one outside, and the first inside.
  for (; parent !== server; [name, parent] = stateOf(parent)) {
    if (name !== 'workerd' && name !== 'bwrap') return false
  }
  return true
}

/** The name and the parent of a process. */
function stateOf(pid: number): readonly [name: string, parent: number] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [, name = '', parent] = /\((.*)\) \S (\d+)/.exec(stat) ?? []
    return [name, Number(parent)]
  } catch {
    return ['', 0]
  }
}
