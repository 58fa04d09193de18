import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { suite, test } from 'node:test'
import type { Log } from '#contract/ports/log.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { ownerMark, sweepOrphans } from './orphans.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

function isAlive(pid: number): Promise<boolean> {
  // A process that is dead but not yet waited for has no command line.
  return readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (text) => text !== '',
    () => false,
  )
}

suite('orphans', () => {
  test('what carries the mark of a run directory is killed, all else is left alone', async () => {
    await using folder = await temporaryFolder()
    const { path } = folder
    const sleep = (env: Readonly<Record<string, string>>): ChildProcess =>
      spawn('/bin/sleep', ['60'], { env, stdio: 'ignore' })
    const ours = [sleep(ownerMark(path)), sleep({ A: 'b', ...ownerMark(path) })]
    const others = [
      sleep({}),
      sleep(ownerMark(`${path}x`)),
      sleep(ownerMark(path.slice(0, -1))),
      sleep({ OTHER: `BINDERY_RUN_DIRECTORY=${path}` }),
    ]
    try {
      await Promise.all([...ours, ...others].map((child) => once(child, 'spawn')))
      const died = Promise.all(ours.map((child) => once(child, 'exit')))
      await sweepOrphans(path, silent)
      assert.deepEqual(
        (await died).map(([, signal]) => signal as string),
        ['SIGKILL', 'SIGKILL'],
      )
      for (const child of others) assert.equal(await isAlive(child.pid ?? 0), true)
    } finally {
      for (const child of [...ours, ...others]) child.kill('SIGKILL')
    }
  })

  test('folders of old cells are removed, other files are not', async () => {
    await using folder = await temporaryFolder()
    // A socket without a folder is of an earlier release.
    const stale = ['0123456789ab.a', 'abcdefabcdef/b', 'abcdefabcdef/w01234567']
    const kept = ['0123456789ab.c', 'short.a', 'notes.txt', '0123456789ab.a.bak']
    await mkdir(join(folder.path, 'abcdefabcdef'))
    const server = createServer().listen(join(folder.path, stale[0] ?? ''))
    await once(server, 'listening')
    for (const name of [...stale.slice(1), ...kept]) await writeFile(join(folder.path, name), '')
    await sweepOrphans(folder.path, silent)
    assert.deepEqual((await readdir(folder.path)).toSorted(), kept.toSorted())
    server.close()
  })

  for (const mode of ['none', 'auto'] as const) {
    test(`a cell does not outlive a server that was killed, and the next start finds a clean place: isolation ${mode}`, async () => {
      await using folder = await temporaryFolder()
      const runDirectory = join(folder.path, 'run')
      const script = `
      import { startFixture } from ${JSON.stringify(new URL('./fixture.ts', import.meta.url).href)}
      const fixture = await startFixture({
        runDirectory: ${JSON.stringify(runDirectory)},
        isolation: { mode: '${mode}', firstUid: 61_000 },
      })
      await fixture.apply([await fixture.ready('a', { code: 'export default { fetch: () => new Response() }' })])
      console.log('up')
      setInterval(() => {}, 1000)`
      const server = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const exited = once(server, 'exit')
      await once(createInterface({ input: server.stdout }), 'line')
      const cells = await marked(runDirectory)
      assert.ok(cells.length >= 1)
      server.kill('SIGKILL')
      await exited
      const isTied = existsSync('/usr/bin/setpriv') || existsSync('/bin/setpriv')
      if (isTied) await eventually(async () => (await marked(runDirectory)).length === 0)
      assert.equal((await readdir(runDirectory, { recursive: true })).length, 5)
      await sweepOrphans(runDirectory, silent)
      assert.deepEqual(await marked(runDirectory), [])
      assert.deepEqual(await readdir(runDirectory), [])
    })
  }
})

async function marked(runDirectory: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter(Number)
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
      return environ.split('\0').includes(`BINDERY_RUN_DIRECTORY=${runDirectory}`) ? [pid] : []
    }),
  )
  return found.flat()
}
