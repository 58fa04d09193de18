import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { suite, test } from 'node:test'
import { WebSocket } from 'ws'
import type { WorkerPlan } from '#contract/cell.ts'
import { OperatorError } from '#contract/errors.ts'
import { account } from '#test/backend.ts'
import { eventually } from '#test/temporary.ts'
import { type Fixture, pidsOf, type Source, startFixture } from './fixture.ts'

const says = (word: string, over: Partial<Source> = {}): Source => ({
  code: `let n = 0; export default { fetch: () => new Response('${word} ' + ++n) }`,
  ...over,
})

async function socketsIn({ runDirectory }: Pick<Fixture, 'runDirectory'>): Promise<number> {
  // In a folder of each cell's own, which may be going.
  const folders = (await readdir(runDirectory)).map((name) => `${runDirectory}/${name}`)
  const entries = await Promise.all(
    folders.map((path) => readdir(path, { withFileTypes: true }).catch(() => [])),
  )
  return entries.flat().filter((entry) => entry.isSocket()).length
}

suite('apply', () => {
  test('starts, replaces and stops cells, and leaves nothing behind', async () => {
    await using fixture = await startFixture({ lingerMs: 20 })
    assert.deepEqual(await pidsOf(fixture), [])
    const one = await fixture.ready('a', says('one'))
    await fixture.apply([one], [await fixture.ready('b', says('other'))])
    assert.equal((await fixture.visit('a')).body, 'one 1')
    assert.equal((await fixture.visit('b')).body, 'other 1')
    const [pidsBefore, targets] = [await pidsOf(fixture), fixture.targets('b')]
    assert.equal(pidsBefore.length, 2)

    await fixture.apply(
      [await fixture.ready('a', says('two'))],
      [await fixture.ready('b', says('other'))],
    )
    assert.equal((await fixture.visit('a')).body, 'two 1')
    assert.equal((await fixture.visit('b')).body, 'other 2', 'nothing changed for b')
    assert.deepEqual(fixture.targets('b'), targets)
    await eventually(async () => (await pidsOf(fixture)).length === 2)

    await fixture.apply()
    assert.deepEqual(fixture.targets('a'), [])
    await eventually(async () => (await pidsOf(fixture)).length === 0)
    await eventually(async () => (await socketsIn(fixture)) === 0)
  })

  const broken: Readonly<Record<string, readonly [Source, RegExp]>> = {
    'throws at the top': [
      { code: `export default {}; throw new Error('boom')` },
      /^b: Uncaught Error: boom\n {2}at index\.js:1:26$/,
    ],
    'loops at the top': [
      { code: `export default {}; for (;;);` },
      /^Script startup exceeded CPU time limit\.$/,
    ],
    'is for a later workerd': [
      says('x', { date: '2099-01-01' }),
      /compatibility date "2099-01-01"/,
    ],
  }
  for (const [name, [source, message]] of Object.entries(broken)) {
    test(`changes nothing if one of the new Workers ${name}`, async () => {
      await using fixture = await startFixture({ startTimeoutMs: 1_500 })
      const first = await fixture.ready(
        'a',
        says('one', { bindings: { V: { type: 'text', text: '1' } } }),
      )
      await fixture.apply([first])
      await fixture.visit('a')
      const targets = fixture.targets('a')
      const next = fixture.plan('a', says('two'))
      await assert.rejects(
        fixture.apply([next], [fixture.plan('b', source)], [await fixture.ready('c', says('c'))]),
        (error: Error) => message.test(error.message) || assert.fail(error.message),
      )
      assert.deepEqual(fixture.targets('a'), targets)
      assert.deepEqual(fixture.targets('b'), [])
      assert.equal((await fixture.visit('a')).body, 'one 2')
      assert.equal((await pidsOf(fixture)).length, 1)
      assert.equal(await socketsIn(fixture), 4)
    })
  }

  test('gives values back if a later cell of the same call does not start', async () => {
    const code = `export default { fetch: (r, env) => new Response(env.V) }`
    const source = (value: string): Source => ({
      code,
      bindings: { V: { type: 'text', text: value } },
    })
    // The second cell is said to need new values only, and can't take them: it is replaced, in vain.
    await using fixture = await startFixture({ decide: () => ({ type: 'env' }) })
    const [a, b] = [
      await fixture.ready('a', source('old')),
      await fixture.ready('b', source('old')),
    ]
    await fixture.apply([a], [b])
    const unable: WorkerPlan = {
      ...fixture.plan('b', { code: `export default {}; throw new Error('no')` }),
      exports: b.exports,
    }
    await assert.rejects(
      fixture.apply(
        [{ ...fixture.plan('a', source('new')), exports: a.exports }],
        [unable, await fixture.ready('c', says('c'))],
      ),
      /b: Uncaught Error: no/,
    )
    assert.equal((await fixture.visit('a')).body, 'old')
    assert.equal((await fixture.visit('b')).body, 'old')
  })

  test('takes the calls for one account one by one, in their order', async () => {
    await using fixture = await startFixture()
    const plans = await Promise.all([1, 2, 3, 4].map((n) => fixture.ready('a', says(`v${n}`))))
    const order: number[] = []
    await Promise.all(
      plans.map(async (plan, index) => {
        await fixture.host.apply(account, [{ account, workers: [plan] }])
        order.push(index)
      }),
    )
    assert.deepEqual(order, [0, 1, 2, 3])
    await fixture.apply([await fixture.ready('a', says('v4'))])
    assert.equal((await fixture.visit('a')).body, 'v4 1')
  })

  test('swaps under load without losing a request', async () => {
    await using fixture = await startFixture({ lingerMs: 50 })
    const slow = (version: number): Source => ({
      code: `export default { async fetch(request) {
        await scheduler.wait(10 * Math.random())
        return new Response(await request.text() + ' ${version}')
      } }`,
    })
    const plans = await Promise.all(
      Array.from({ length: 8 }, (_, n) => fixture.ready('a', slow(n))),
    )
    const [first, ...others] = plans
    assert.ok(first)
    await fixture.apply([first])
    const outcomes: string[] = []
    const over = new AbortController()
    const clients = Array.from({ length: 6 }, async (_, client) => {
      for (let n = 0; !over.signal.aborted && n < 10_000; n++) {
        const body = `${client}.${n}`
        const answer = await fixture
          .visit('a', '/', { method: n % 2 === 0 ? 'POST' : 'GET', ...(n % 2 === 0 && { body }) })
          .catch((error: unknown) => ({ status: 0, body: String(error) }))
        outcomes.push(`${answer.status} ${answer.body}`)
      }
    })
    for (const plan of others) {
      await fixture.apply([plan])
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    over.abort()
    await Promise.all(clients)
    assert.deepEqual(
      outcomes.filter((outcome) => !/^200 (\d+\.\d+)? \d$/.test(outcome)),
      [],
    )
    assert.ok(outcomes.length > 100, `${outcomes.length} requests`)
    assert.match(outcomes.at(-1) ?? '', / 7$/)
    await eventually(async () => (await pidsOf(fixture)).length === 1)
  })

  test('lets waitUntil work of a replaced cell end', async () => {
    await using fixture = await startFixture({ lingerMs: 1_000 })
    const working: Source = {
      code: `export default { async fetch(request, env, ctx) {
        ctx.waitUntil(scheduler.wait(300).then(() => env.KV.put('done', '1')))
        return new Response('early')
      } }`,
      bindings: { KV: { type: 'backend', client: 'kvNamespace', resource: 'n' } },
    }
    await fixture.apply([await fixture.ready('a', working)])
    assert.equal((await fixture.visit('a')).body, 'early')
    await fixture.apply([await fixture.ready('a', says('two'))])
    await eventually(() => fixture.calls.some(({ url }) => url.startsWith('/done')))
  })

  test('leaves WebSockets open for the drain time, and closes them with 1012', async () => {
    await using fixture = await startFixture({ drainMs: 600, lingerMs: 0 })
    const echo: Source = {
      code: `export default { fetch() {
        const [client, server] = Object.values(new WebSocketPair())
        server.accept()
        server.addEventListener('message', ({ data }) => server.send(data))
        return new Response(null, { status: 101, webSocket: client })
      } }`,
    }
    await fixture.apply([await fixture.ready('a', echo)])
    const socket = new WebSocket(fixture.url(), { headers: { host: 'a.localhost' } })
    await new Promise((resolve) => socket.once('open', resolve))
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    await fixture.apply([await fixture.ready('a', says('two'))])
    assert.equal((await fixture.visit('a')).body, 'two 1')
    const echoed = new Promise((resolve) => socket.once('message', resolve))
    socket.send('still here')
    assert.equal(String(await echoed), 'still here')
    assert.equal(await closed, 1012)
    await eventually(async () => (await pidsOf(fixture)).length === 1)
  })

  test('does not start a replaced cell again that dies', async () => {
    await using fixture = await startFixture({ drainMs: 60_000, lingerMs: 60_000 })
    await fixture.apply([await fixture.ready('a', says('one'))])
    const old = fixture.host.status(account)[0]?.pid ?? 0
    await fixture.apply([await fixture.ready('a', says('two'))])
    process.kill(old, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(fixture.log.filter(({ message }) => message === 'a cell died').length, 0)
    assert.equal((await fixture.visit('a')).body, 'two 1')
  })

  test('does not pile up replaced cells, whatever they wait for', async () => {
    await using fixture = await startFixture({ lingerMs: 60_000, drainMs: 60_000 })
    const code = `export default { fetch() {
      const [client, server] = Object.values(new WebSocketPair())
      server.accept()
      return new Response(null, { status: 101, webSocket: client })
    } }`
    const closed: number[] = []
    for (let n = 0; n < 11; n++) {
      await fixture.apply([await fixture.ready('a', { code: `${code} // ${n}` })])
      const opened = new WebSocket(fixture.url(), { headers: { host: 'a.localhost' } })
      await new Promise((resolve, reject) => opened.once('open', resolve).once('error', reject))
      opened.on('error', () => undefined).once('close', () => closed.push(n))
    }
    await eventually(() => closed.length === 2)
    assert.deepEqual(closed, [0, 1])
    await eventually(async () => (await pidsOf(fixture)).length === 9)
  })
})

suite('what has come up is stored before it is met', () => {
  test('if it is not stored, everything is as before', async () => {
    await using fixture = await startFixture()
    const source = (word: string): Source => ({
      code: `import { env } from 'cloudflare:workers'
        let n = 0
        export default { fetch: () => new Response(env.WORD + ' ' + ++n) }`,
      bindings: { WORD: { type: 'text', text: word } },
    })
    const [a, b] = [await fixture.ready('a', source('old')), await fixture.ready('b', says('old'))]
    await fixture.apply([a], [b])
    assert.equal((await fixture.visit('a')).body, 'old 1')
    const during: string[] = []
    const full = async (): Promise<void> => {
      during.push((await fixture.visit('b')).body)
      throw new Error('the disk is full')
    }
    const changed = [
      { ...fixture.plan('a', source('new')), exports: a.exports },
      await fixture.ready('b', says('new')),
    ] as const
    await assert.rejects(fixture.applyAnd(full, [changed[0]], [changed[1]]), /the disk is full/)
    assert.match(during[0] ?? '', /^old/)
    assert.equal((await fixture.visit('a')).body, 'old 2', 'the isolate stays')
    assert.match((await fixture.visit('b')).body, /^old/)
    await fixture.apply([changed[0]], [changed[1]])
    assert.equal((await fixture.visit('a')).body, 'new 3')
    assert.match((await fixture.visit('b')).body, /^new/)
  })
})

suite('a cell that dies', () => {
  test('is down at once, comes back, and has the newest values', async () => {
    await using fixture = await startFixture()
    const code = `let n = 0; export default { fetch: (r, env) => new Response(env.V + ++n) }`
    const source = (value: string): Source => ({
      code,
      bindings: { V: { type: 'text', text: value } },
    })
    const plan = await fixture.ready('a', source('old'))
    await fixture.apply([plan])
    const [before] = fixture.targets('a')
    for (const [round, pid] of (await pidsOf(fixture)).entries()) {
      assert.equal(round, 0)
      process.kill(pid, 'SIGKILL')
    }
    await eventually(() => fixture.targets('a')[0]?.state === 'down')
    // Values that come while it is down or starting are in the process that comes up.
    await fixture.apply([{ ...fixture.plan('a', source('new')), exports: plan.exports }])
    assert.equal((await fixture.visit('a')).body, 'new1', 'ingress waits for it')
    const [after] = fixture.targets('a')
    assert.equal(after?.state, 'up')
    assert.notEqual(after?.id, before?.id)
    assert.notEqual(after?.cfBlobHeader, before?.cfBlobHeader)
    assert.equal(await socketsIn(fixture), 4)
    assert.ok(
      fixture.log.some(
        ({ message, fields }) => message === 'a cell died' && fields['detail'] === 'SIGKILL',
      ),
    )
  })

  test('is not restarted while it is being stopped', async () => {
    await using fixture = await startFixture({ lingerMs: 0 })
    await fixture.apply([await fixture.ready('a', says('a'))])
    for (const pid of await pidsOf(fixture)) process.kill(pid, 'SIGKILL')
    await eventually(() => fixture.targets('a')[0]?.state === 'down')
    await fixture.apply()
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.deepEqual(await pidsOf(fixture), [])
    await eventually(async () => (await socketsIn(fixture)) === 0)
  })

  test('waits longer after each death', async () => {
    await using fixture = await startFixture()
    await fixture.apply([await fixture.ready('a', says('a'))])
    for (let n = 0; n < 3; n++) {
      await eventually(() => fixture.targets('a')[0]?.state === 'up')
      for (const pid of await pidsOf(fixture)) process.kill(pid, 'SIGKILL')
      await eventually(() => fixture.targets('a')[0]?.state === 'down')
    }
    const waits = fixture.log.flatMap(({ message, fields }) =>
      message === 'a cell died' ? [fields['restartInMs']] : [],
    )
    assert.deepEqual(waits, [10, 250, 500])
  })
})

suite('restore', () => {
  test('brings up what it can, and tries the rest again', async () => {
    await using fixture = await startFixture()
    const bad = fixture.plan('bad', { code: `export default {}; throw new Error('not today')` })
    const plans = [await fixture.ready('a', says('a')), bad, await fixture.ready('b', says('b'))]
    await fixture.restore(...plans.map((plan) => [plan]))
    assert.equal((await fixture.visit('a')).body, 'a 1')
    assert.equal((await fixture.visit('b')).body, 'b 1')
    assert.deepEqual(
      fixture.targets('bad').map(({ state }) => state),
      ['down'],
    )
    const failures = (): number =>
      fixture.log.filter(
        ({ message, fields }) =>
          message === 'a cell did not start' &&
          String(fields['detail']).startsWith('bad: Uncaught Error: not today'),
      ).length
    await eventually(() => failures() >= 3)
    await fixture.apply(
      [await fixture.ready('a', says('a'))],
      [await fixture.ready('bad', says('good'))],
    )
    assert.equal((await fixture.visit('bad')).body, 'good 1')
    assert.equal((await fixture.visit('a')).body, 'a 2')
  })
})

suite('the host', () => {
  test('stops everything within its bound, whatever the cells do', async () => {
    const fixture = await startFixture({ lingerMs: 60_000, drainMs: 60_000 })
    const busy: Source = { code: `export default { fetch: () => { for (;;); } }` }
    await fixture.apply([await fixture.ready('a', busy)], [await fixture.ready('b', says('b'))])
    const stuck = fixture.visit('a').catch(() => undefined)
    await fixture.visit('b')
    await new Promise((resolve) => setTimeout(resolve, 100))
    const check = fixture.check('c', { code: `for (;;);` }).catch(() => undefined)
    await fixture.apply([await fixture.ready('b', says('b2'))])
    assert.equal((await pidsOf(fixture)).length >= 3, true)
    const startedAt = performance.now()
    await fixture[Symbol.asyncDispose]()
    assert.ok(performance.now() - startedAt < 8_000)
    await Promise.all([stuck, check])
    assert.deepEqual(await pidsOf(fixture), [])
    await assert.rejects(fixture.apply(), /the server is stopping/)
    await assert.rejects(fixture.check('c', says('c')), /the server is stopping/)
  })

  const refusals: Readonly<Record<string, readonly [object, RegExp]>> = {
    'a workerd that is missing': [
      { workerdPath: '/nowhere/workerd' },
      /^workerd is missing at \/nowhere\/workerd\.$/,
    ],
    'a workerd that is none': [{ workerdPath: '/bin/false' }, /^workerd does not start: /],
    'a folder with a long path': [
      { runDirectory: `/tmp/${'x'.repeat(100)}` },
      /too long for unix sockets/,
    ],
  }
  for (const [name, [options, message]] of Object.entries(refusals)) {
    test(`tells the operator of ${name}`, async () => {
      await assert.rejects(startFixture(options), (error) => {
        assert.ok(error instanceof OperatorError)
        assert.match(error.message, message)
        return true
      })
    })
  }
})
