import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { glob, readdir, readFile } from 'node:fs/promises'
import { suite, test } from 'node:test'
import { startFixture } from './fixture.ts'

// What is secret in a cell, and where it must not be found while the cell runs.
suite('secrets of a running cell', () => {
  test('are in no command line, no environment, no file and no log', async () => {
    const canary = `canary${randomBytes(8).toString('hex')}`
    await using fixture = await startFixture()
    const worker = {
      code: `export default { fetch: (r, env) => new Response(env.S + env.J.s) }`,
      bindings: {
        S: { type: 'text', text: canary },
        J: { type: 'json', json: { s: canary } },
        K: {
          type: 'key',
          key: {
            format: 'raw',
            data: btoa(canary),
            algorithm: { name: 'HMAC', hash: 'SHA-256' },
            usages: ['sign'],
          },
        },
        KV: { type: 'backend', client: 'kvNamespace', resource: canary },
      },
    } as const
    await fixture.apply([await fixture.ready('w', worker)])
    assert.equal((await fixture.visit('w')).body, canary + canary)

    const needles = [canary, btoa(canary).slice(0, -2), Buffer.from(canary).toString('hex')]
    const secrets = [
      ...needles,
      ...fixture.targets('w').flatMap((t) => [t.cfBlobHeader, t.protoHeader]),
    ]
    const clean = (text: string, where: string): void => {
      for (const secret of secrets) assert.ok(!text.includes(secret), where)
    }
    let cells = 0
    for (const pid of (await readdir('/proc')).filter(Number)) {
      const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
      clean(environ, `environment of ${pid}`)
      clean(
        await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => ''),
        `command line of ${pid}`,
      )
      if (environ.includes(`=${fixture.runDirectory}\0`)) cells += 1
    }
    assert.ok(cells >= 1, 'the cell was among them')
    for (const folder of [fixture.runDirectory, '/dev/shm']) {
      for await (const entry of glob('**', { cwd: folder, withFileTypes: true })) {
        if (!entry.isFile()) continue
        const path = `${entry.parentPath}/${entry.name}`
        clean(await readFile(path, 'latin1').catch(() => ''), path)
      }
    }
    clean(JSON.stringify(fixture.log), 'log')
    assert.ok(fixture.log.some(({ message }) => message === 'configuration'))
  })
})
