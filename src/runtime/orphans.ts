import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '#contract/ports/log.ts'
import { openCgroups } from './cgroups.ts'

// A cell must not outlive its server: it would answer on sockets nobody knows, with old code, and
// hold storage that its successor opens. Each carries the run directory in its environment, which
// the kernel keeps as it was at its start: unlike a file with a process id there is no moment in
// which a process runs unmarked, and no id that another process may have by now.

const variable = 'BINDERY_RUN_DIRECTORY'
const folderName = /^[0-9a-f]{12}(\.[abw])?$/
const goneMs = 2_000
const pollMs = 5

/** Environment that marks a process as one of the server that owns `runDirectory`. */
export function ownerMark(runDirectory: string): Readonly<Record<string, string>> {
  return { [variable]: runDirectory }
}

/**
 * Kills what an earlier server left running in a run directory, and removes the sockets and the
 * control groups it left.
 * Called once, before anything is started there. On systems without /proc only sockets are removed.
 */
export async function sweepOrphans(runDirectory: string, log: Log): Promise<void> {
  const ours: number[] = []
  for (const pid of await processes()) if (await isOurs(pid, runDirectory)) ours.push(pid)
  if (ours.length > 0)
    log.warn('killing cells that outlived their server', { pids: ours.join(' ') })
  // All at once: of hundreds, each takes its time to end on a machine that is busy.
  await Promise.all(ours.map((pid) => kill(pid, runDirectory)))
  openCgroups(runDirectory)?.[Symbol.dispose]()
  for (const name of await readdir(runDirectory)) {
    if (folderName.test(name)) await rm(join(runDirectory, name), { recursive: true, force: true })
  }
}

async function processes(): Promise<number[]> {
  const entries = await readdir('/proc').catch((): string[] => [])
  return entries.filter((name) => /^\d+$/.test(name)).map(Number)
}

// The environment of a process that is gone, or not ours to read, is empty here.
async function isOurs(pid: number, runDirectory: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
  return environment.split('\0').includes(`${variable}=${runDirectory}`)
}

async function kill(pid: number, runDirectory: string): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    return
  }
  const deadline = performance.now() + goneMs
  while (performance.now() < deadline && (await isOurs(pid, runDirectory))) {
    await new Promise((resolve) => void setTimeout(resolve, pollMs))
  }
}
