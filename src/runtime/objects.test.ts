import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { suite, test } from 'node:test'
import { WebSocket } from 'ws'
import type { CellPlan, ObjectNamespace } from '#contract/cell.ts'
import { objectNamespaceId } from '#contract/ids.ts'
import { account, otherAccount } from '#test/backend.ts'
import { eventually } from '#test/temporary.ts'
import { type Fixture, pidsOf, type Source, startFixture } from './fixture.ts'

// Durable Objects as the runtime wires them, and how their cell is replaced.

const counters: ObjectNamespace = {
  id: objectNamespaceId.parse('0'.repeat(31) + '1'),
  className: 'Counter',
  storage: 'sqlite',
}

/** `version` shows which code runs; the count shows whose storage. */
const counter = (version: string, className = 'Counter'): string => `
import { DurableObject } from 'cloudflare:workers'
export class ${className} extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS t (n INTEGER)')
  }
  add() {
    this.ctx.storage.sql.exec('INSERT INTO t VALUES (1)')
    return '${version} ' + this.ctx.storage.sql.exec('SELECT count(*) AS n FROM t').one().n
  }
  async alarm() {
    this.ctx.storage.sql.exec('INSERT INTO t VALUES (100)')
  }
  async fetch(request) {
    if (new URL(request.url).pathname === '/alarm') {
      await this.ctx.storage.setAlarm(Date.now() + 500)
      return new Response('set')
    }
    const [client, server] = Object.values(new WebSocketPair())
    this.ctx.acceptWebSocket(server)
    return new Response(null, { status: 101, webSocket: client })
  }
  webSocketMessage(ws, message) { ws.send(message + ' ' + this.add()) }
}
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname === '/ws' || pathname === '/alarm') return env.C.getByName('a').fetch(request)
    if (pathname === '/slow') await scheduler.wait(400)
    return new Response(await env.C.getByName('a').add())
  },
}`

const source = (version: string, more: Partial<Source> = {}): Source => ({
  code: counter(version),
  bindings: { C: { type: 'objects', namespace: counters.id } },
  objects: [counters],
  ...more,
})

async function count(fixture: Fixture, worker = 'w'): Promise<string> {
  const { status, body } = await fixture.visit(worker)
  assert.equal(status, 200, body)
  return body
}

suite('Durable Objects', () => {
  test('keep their data over new code, and no two processes have them open', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('one'))])
    assert.equal(await count(fixture), 'one 1')
    const [before] = fixture.targets('w')
    await fixture.apply([await fixture.ready('w', source('two'))])
    assert.equal(await count(fixture), 'two 2')
    assert.notEqual(fixture.targets('w')[0]?.socketPath, before?.socketPath)
    const files = await readdir(`${fixture.runDirectory}/objects/${account}/${counters.id}`)
    assert.equal(files.filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).length, 1)
  })

  test('are replaced under load: visitors are held, none is refused', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('v0'))])
    const over = new AbortController()
    const bodies: string[] = []
    let longestMs = 0
    const clients = Array.from({ length: 8 }, async () => {
      while (!over.signal.aborted) {
        const sent = performance.now()
        bodies.push(await count(fixture))
        longestMs = Math.max(longestMs, performance.now() - sent)
      }
    })
    for (let n = 1; n <= 5; n++) {
      const plan = await fixture.ready('w', source(`v${n}`))
      await fixture.apply([plan])
      await new Promise((resolve) => void setTimeout(resolve, 100))
    }
    over.abort()
    await Promise.all(clients)
    const counts = bodies.map((body) => Number(body.split(' ')[1]))
    assert.deepEqual(new Set(counts).size, counts.length, 'each write counted once')
    assert.equal(Math.max(...counts), counts.length, 'none was lost')
    assert.ok(longestMs < 2_000, `held for ${longestMs} ms`)
  })

  test('are replaced at once, however many cells of others are to start', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('one'))])
    const next = await fixture.ready('w', source('two'))
    const slow = { code: 'for (let n = 0; n < 3e8; n++); export default {}' }
    const theirs = Array.from({ length: 24 }, (_, n): CellPlan => {
      const plan = { ...fixture.plan(`w${n}`, slow), account: otherAccount }
      return { account: otherAccount, workers: [plan] }
    })
    const startedAt = performance.now()
    const restored = fixture.host.restore(otherAccount, theirs).then(() => performance.now())
    await fixture.apply([next])
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs < ((await restored) - startedAt) / 2, `${tookMs} ms`)
  })

  test('let a slow request finish first', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('old'))])
    const slow = fixture.visit('w', '/slow')
    await new Promise((resolve) => void setTimeout(resolve, 100))
    await fixture.apply([await fixture.ready('w', source('new'))])
    assert.equal((await slow).body, 'old 1')
    assert.equal(await count(fixture), 'new 2')
  })

  test('come back with the old code when the new does not start', async () => {
    await using fixture = await startFixture()
    const old = await fixture.ready('w', source('old'))
    await fixture.apply([old])
    assert.equal(await count(fixture), 'old 1')
    const broken = { ...fixture.plan('w', source('x', { code: `throw new Error('no')` })) }
    await assert.rejects(fixture.apply([{ ...broken, exports: old.exports }]), /no/)
    assert.equal(await count(fixture), 'old 2')
  })

  test('are not opened again by a restart that fails while they are taken over', async () => {
    await using fixture = await startFixture()
    const { exports } = await fixture.ready('w', source('x'))
    const slow = (version: string, turns: number) => {
      const code = `for (let n = 0; n < ${turns}; n++);\n${counter(version)}`
      return { ...fixture.plan('w', source(version, { code })), exports }
    }
    await fixture.apply([slow('old', 6e8)])
    for (const pid of await pidsOf(fixture)) process.kill(pid, 'SIGKILL')
    await eventually(async () => (await pidsOf(fixture)).length === 0)
    const [restarted = 0] = await eventually(async () => {
      const pids = await pidsOf(fixture)
      return pids.length > 0 && pids
    })
    const applied = fixture.apply([slow('new', 1e9)]).then(() => true)
    await new Promise((resolve) => void setTimeout(resolve, 50))
    // On a busy machine it may have come up, and gone, by now: then it was simply taken over.
    if ((await pidsOf(fixture)).includes(restarted)) process.kill(restarted, 'SIGKILL')
    const seen = new Set<number>()
    while (!(await Promise.race([applied, new Promise((go) => void setTimeout(go, 10))]))) {
      const pids = await pidsOf(fixture)
      for (const pid of pids) if (pid !== restarted) seen.add(pid)
    }
    assert.equal(await count(fixture), 'new 1')
    assert.equal(seen.size, 1, 'the new one alone')
  })

  test('are as they were when what has come up can not be stored', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('old'))])
    assert.equal(await count(fixture), 'old 1')
    const waiting: Promise<string>[] = []
    const full = (): Promise<never> => {
      // Nobody is sent to what is not stored: who comes now is answered by the old code.
      waiting.push(count(fixture))
      return Promise.reject(new Error('the disk is full'))
    }
    const next = await fixture.ready('w', source('new'))
    await assert.rejects(fixture.applyAnd(full, [next]), /the disk is full/)
    assert.deepEqual(await Promise.all(waiting), ['old 2'])
    await fixture.apply([next])
    assert.equal(await count(fixture), 'new 3')
  })

  test('close their WebSockets with 1012, and a new one finds the state', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('old'))])
    const first = await open(fixture)
    assert.equal(await first.ask('hi'), 'hi old 1')
    await fixture.apply([await fixture.ready('w', source('new'))])
    assert.deepEqual(await first.closed, [1012, 'The Worker is being restarted.'])
    const second = await open(fixture)
    assert.equal(await second.ask('hi'), 'hi new 2')
    second.close()
  })

  test('wake for an alarm after a restart that nobody asks for', async () => {
    await using fixture = await startFixture()
    const plan = await fixture.ready('w', source('one'))
    await fixture.apply([plan])
    assert.equal((await fixture.visit('w', '/alarm')).body, 'set')
    await fixture.apply([await fixture.ready('w', source('two'))])
    await new Promise((resolve) => void setTimeout(resolve, 1_000))
    // The alarm has written one row, this request another.
    assert.equal(await count(fixture), 'two 2')
  })

  test('belong to another Worker of the same cell as well', async () => {
    await using fixture = await startFixture()
    const owner = await fixture.ready('owner', source('one'))
    const guest = await fixture.ready('guest', {
      code: `export default { async fetch(request, env) {
        return new Response(await env.THEIRS.getByName('a').add())
      } }`,
      bindings: { THEIRS: { type: 'objects', namespace: counters.id } },
    })
    await fixture.apply([guest, owner])
    assert.equal(await count(fixture, 'guest'), 'one 1')
    assert.equal(await count(fixture, 'owner'), 'one 2')
    // A class may have another name by then: the binding knows the namespace.
    const renamed = await fixture.ready('owner', {
      ...source('two', { objects: [{ ...counters, className: 'Other' }] }),
      code: counter('two', 'Other'),
    })
    await fixture.apply([guest, renamed])
    assert.equal(await count(fixture, 'guest'), 'two 3')
    // Without the owner the guest still starts.
    await fixture.apply([guest])
    assert.equal((await fixture.visit('guest')).status, 500)
  })

  test('move between cells', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('one', source('one'))])
    assert.equal(await count(fixture, 'one'), 'one 1')
    const other = await fixture.ready('two', source('two'))
    const without = await fixture.ready('one', {
      code: `export default { fetch: () => new Response('nothing here') }`,
    })
    await fixture.apply([without], [other])
    assert.equal(await count(fixture, 'two'), 'two 2')
    assert.equal((await fixture.visit('one')).body, 'nothing here')
  })

  test('are closed while files are worked on, and visitors wait', async () => {
    await using fixture = await startFixture()
    const other = await fixture.ready('other', {
      code: `export default { fetch: () => new Response('not held') }`,
    })
    await fixture.apply([await fixture.ready('w', source('one'))], [other])
    assert.equal(await count(fixture), 'one 1')
    const folder = `${fixture.runDirectory}/objects/${account}/${counters.id}`
    const [before] = fixture.targets('w')
    const waiting: Promise<string>[] = []
    await fixture.host.whileStopped(account, [counters.id], async () => {
      assert.equal((await pidsOf(fixture)).length, 1, 'only the other runs')
      const left = (await readdir(folder)).filter((name) => /-(wal|shm)$/.test(name))
      assert.deepEqual(left, [], 'it was closed as it should be')
      waiting.push(count(fixture))
      assert.equal((await fixture.visit('other')).body, 'not held')
      await new Promise((resolve) => void setTimeout(resolve, 300))
      await rm(folder, { recursive: true })
    })
    assert.deepEqual(await Promise.all(waiting), ['one 1'], 'what ran saw other files')
    assert.notEqual(fixture.targets('w')[0]?.socketPath, before?.socketPath)
  })

  test('are opened again when the work on their files fails', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('one'))])
    assert.equal(await count(fixture), 'one 1')
    const failed = fixture.host.whileStopped(account, [counters.id], async () => {
      throw new Error('a full disk')
    })
    await assert.rejects(failed, /a full disk/)
    assert.equal(await count(fixture), 'one 2')
  })

  test('of a namespace that nobody runs are worked on at once, in the turn of the account', async () => {
    await using fixture = await startFixture()
    const order: string[] = []
    const plan = await fixture.ready('w', source('one'))
    const working = fixture.host.whileStopped(account, [counters.id], async () => {
      await new Promise((resolve) => void setTimeout(resolve, 200))
      order.push('worked')
    })
    await Promise.all([working, fixture.apply([plan]).then(() => order.push('applied'))])
    assert.deepEqual(order, ['worked', 'applied'])
    assert.equal(await count(fixture), 'one 1')
  })

  test('survive the death of their cell', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('w', source('one'))])
    for (let n = 1; n <= 20; n++) assert.equal(await count(fixture), `one ${n}`)
    for (const pid of await pidsOf(fixture)) process.kill(pid, 'SIGKILL')
    await eventually(async () => (await fixture.visit('w')).body === 'one 21')
  })
})

async function open(fixture: Fixture) {
  const socket = new WebSocket(fixture.url('/ws'), { headers: { host: 'w.localhost' } })
  const closed = new Promise<[number, string]>((resolve) => {
    socket.once('close', (code, reason) => resolve([code, reason.toString()]))
  })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return {
    closed,
    ask: (text: string) =>
      new Promise<string>((resolve) => {
        socket.once('message', (data: Buffer) => resolve(data.toString()))
        socket.send(text)
      }),
    close: () => socket.terminate(),
  }
}
