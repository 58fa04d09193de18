import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFile, mkdir, rename } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { workerdPath } from '#runtime/binary.ts'
import { pidsOf, startFixture } from '#runtime/fixture.ts'
import { account } from '#test/backend.ts'
import { ask, call, deploy, namespace, placeOf } from '#test/deployer.ts'
import { startTestServer } from '#test/server.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

// What the machine may run out of: each time there is a clear error, the rest goes on, and all is
// well again when there is enough of it.

const fine = { code: `export default { fetch: () => new Response('fine') }` }

suite('workerd is gone', () => {
  test('what runs goes on; what dies says why, and comes back with it', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'workerd')
    await copyFile(workerdPath, path)
    await using fixture = await startFixture({ workerdPath: path })
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => fixture.ready(name, fine)))
    assert.ok(a && b && c)
    await fixture.apply([a], [b])
    await rename(path, `${path}.moved`)
    const [pid = 0] = await pidsOf(fixture)
    process.kill(pid, 'SIGKILL')
    const died = await eventually(() =>
      fixture.host.status(account).find(({ lastDeath }) => lastDeath?.reason === 'start'),
    )
    assert.match(died.lastDeath?.detail ?? '', /workerd is missing/)
    const others = await Promise.all(['a', 'b'].map((name) => fixture.visit(name)))
    assert.deepEqual(
      others.map(({ status }) => status).toSorted((x, y) => x - y),
      [200, 502],
    )
    await assert.rejects(fixture.check('c', fine), /workerd is missing/)
    await assert.rejects(fixture.apply([a], [b], [c]), /workerd is missing/)
    await rename(`${path}.moved`, path)
    await eventually(async () => {
      const visits = await Promise.all(['a', 'b'].map((name) => fixture.visit(name)))
      return visits.every(({ status }) => status === 200)
    }, 20_000)
  })
})

suite('out of file descriptors', () => {
  const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0

  test(
    'visitors wait or are refused, the server stays, and recovers',
    { skip: hasPrlimit ? false : 'prlimit is missing' },
    async () => {
      await using server = await startTestServer()
      const place = placeOf(server)
      await deploy(place, 'a', fine)
      await deploy(place, 'b', fine)
      await server.visit('a')
      const open = 40
      execFileSync('prlimit', [
        '--pid',
        String(server.pid),
        `--nofile=${descriptorsOf(server.pid) + open}:`,
      ])
      const sockets: Socket[] = []
      for (let n = 0; n < 200; n++) {
        sockets.push(connect({ port: server.visitorPort, host: '127.0.0.1' }).on('error', () => {}))
      }
      await new Promise((resolve) => setTimeout(resolve, 500))
      const upload = await Promise.race([
        ask(place, 'PUT', '~/workers/scripts/c', undefined).catch((error: unknown) => error),
        new Promise((resolve) => setTimeout(resolve, 1_000, 'no answer')),
      ])
      assert.ok(upload !== undefined)
      for (const socket of sockets) socket.destroy()
      const began = performance.now()
      await eventually(async () => (await server.visit('a').catch(() => undefined))?.status === 200)
      assert.ok(performance.now() - began < 3_000)
      assert.equal((await server.visit('b')).status, 200)
      execFileSync('prlimit', ['--pid', String(server.pid), '--nofile=1024:'])
      await deploy(place, 'c', fine)
      assert.equal((await server.visit('c')).status, 200)
    },
  )
})

function descriptorsOf(pid: number): number {
  return Number(execFileSync('sh', ['-c', `ls /proc/${pid}/fd | wc -l`]).toString())
}

suite('the disk is full', () => {
  test('nothing is acknowledged that is not kept, reads go on, and space is enough', async (t) => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'small')
    await mkdir(data)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'bindery-test', data])
    if (mounted.status !== 0) return t.skip('no file system can be mounted here')
    try {
      await using server = await startTestServer({ dataDirectory: data })
      const place = placeOf(server)
      const id = await namespace(place, 'n')
      const bindings = [{ type: 'kv_namespace', name: 'KV', namespace_id: id }]
      await deploy(place, 'writer', { code: writer, bindings })
      assert.equal(await (await server.visit('writer', '/put?key=first')).text(), 'kept')
      spawnSync('dd', ['if=/dev/zero', `of=${join(data, 'ballast')}`, 'bs=64k'])
      const kept = ['first']
      let refused = 0
      for (let n = 0; n < 40; n++) {
        const answer = await server.visit('writer', `/put?key=k${n}`)
        if (answer.status === 200) kept.push(`k${n}`)
        else refused += 1
      }
      assert.ok(refused > 0, 'the disk was full')
      const form = await ask(place, 'POST', '~/storage/kv/namespaces', { title: 'another' })
      assert.equal(form.success, false)
      assert.equal(await (await server.visit('writer', '/get?key=first')).text(), 'first')
      spawnSync('rm', [join(data, 'ballast')])
      await eventually(async () => (await server.visit('writer', '/put?key=last')).status === 200)
      await server.restart()
      for (const key of [...kept, 'last']) {
        assert.equal(await (await server.visit('writer', `/get?key=${key}`)).text(), key)
      }
      await call(placeOf(server), 'POST', '~/storage/kv/namespaces', { title: 'another' })
    } finally {
      spawnSync('umount', [data])
    }
  })
})

const writer = `
  export default {
    async fetch(request, env) {
      const { pathname, searchParams } = new URL(request.url)
      const key = searchParams.get('key')
      if (pathname === '/get') return new Response((await env.KV.get(key))?.slice(0, key.length))
      await env.KV.put(key, key + 'x'.repeat(20_000))
      return new Response('kept')
    },
  }`
