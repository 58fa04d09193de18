import { readdirSync, readFileSync } from 'node:fs'
import type { TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

/** The cells of a server: its children that are workerd. */
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

function isCell(pid: number, parent: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.includes('(workerd)') && Number(/\) \S (\d+)/.exec(stat)?.[1]) === parent
  } catch {
    return false
  }
}
