import { spawnSync } from 'node:child_process'
import { workerdPath } from '#runtime/binary.ts'
import { openJail } from '#runtime/jail.ts'

/** The first user id of cells that tests run as root. */
export const firstUid = 61_000

/** Why no cell can be jailed on this machine; `false` if it can. */
export function noJail(): string | false {
  const jail = openJail({ workerdPath, runDirectory: '/tmp/bindery-none', firstUid })
  if ('reason' in jail) return jail.reason
  jail[Symbol.dispose]()
  // It is there, but what it is made of may be forbidden here: in many containers it is.
  const words = '--unshare-pid --unshare-net --unshare-ipc --ro-bind / / --proc /proc true'
  const { status, stderr } = spawnSync('bwrap', words.split(' '), {
    timeout: 10_000,
    encoding: 'utf8',
  })
  return status === 0 ? false : `bubblewrap can't be used here: ${stderr}`
}
