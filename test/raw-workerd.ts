import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { eventually, temporaryFolder } from './temporary.ts'

const { default: workerd } = z
  .object({ default: z.string() })
  .parse(createRequire(import.meta.url)('workerd'))

/** A workerd of the test's own, with one Worker on a unix socket and nothing of ours around it. */
export interface RawWorkerd extends AsyncDisposable {
  readonly socketPath: string
  readonly pid: number
  kill(): Promise<void>
}

/**
 * Starts one. `options` is Cap'n Proto text for the socket's `http`; `bundled` names a module that
 * comes with workerd: `module` may import `bundled`.
 */
export async function startRawWorkerd(
  module: string,
  options = '',
  bundled?: string,
): Promise<RawWorkerd> {
  const folder = await temporaryFolder()
  const socketPath = join(folder.path, 'worker.sock')
  const more = bundled === undefined ? '' : `, (name = "bundled", bundled = "${bundled}")`
  await writeFile(join(folder.path, 'worker.js'), module)
  await writeFile(
    join(folder.path, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (compatibilityDate = "2026-11-01", modules = [(name = "worker.js", esModule = embed "worker.js")${more}]))],
  sockets = [(name = "http", address = "unix:${socketPath}", http = (${options}), service = "main")],
);`,
  )
  const args = ['serve', ...(bundled === undefined ? [] : ['--experimental'])]
  const child = spawn(workerd, [...args, join(folder.path, 'config.capnp')], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  await eventually(() => accepts(socketPath))
  return {
    socketPath,
    pid: child.pid ?? 0,
    kill,
    async [Symbol.asyncDispose]() {
      await kill()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
