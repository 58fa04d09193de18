import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { account } from '#test/backend.ts'
import { eventually } from '#test/temporary.ts'
import { type Fixture, type Source, startFixture } from './fixture.ts'

// Workers that take more than they may, in processes of their own, beside others that must not notice.

const kilobytes = 1024
const limits = { cpuMs: 500, memoryBytes: 64 * kilobytes * kilobytes }

const bombs: Source = {
  code: `
    const held = []
    export default {
      async fetch(request, env) {
        const { pathname } = new URL(request.url)
        if (pathname === '/spin') for (;;);
        if (pathname === '/sleep') {
          await new Promise((resolve) => setTimeout(resolve, 1_500))
          return new Response('slept')
        }
        if (pathname === '/regex') return new Response(/^(a+)+$/.test('a'.repeat(40) + 'b'))
        if (pathname === '/storm') {
          for (;;) await null
        }
        if (pathname === '/turns') {
          const until = Date.now() + 1_500
          while (Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 0))
          return new Response('done')
        }
        if (pathname === '/recursion') return env.OTHER.fetch(request.url)
        if (pathname === '/heap') for (;;) held.push({ a: [held.length], b: 'x' + held.length })
        if (pathname === '/buffers') for (;;) held.push(new Uint8Array(1 << 20).fill(1))
        if (pathname === '/strings') for (let text = 'x';;) held.push((text += text).split(''))
        return new Response('fine')
      },
    }`,
}
const neighbour: Source = { code: `export default { fetch: () => new Response('fine') }` }

/** For Workers that fill memory: how fast that goes is the machine's business. */
const patient = { ...limits, cpuMs: 60_000 }

async function startWith(over: Partial<Source> = {}, most = limits): Promise<Fixture> {
  const fixture = await startFixture({ limits: most })
  const bound = (worker: string): Readonly<Record<string, Wire>> => ({
    OTHER: { type: 'worker', worker: workerName.parse(worker) },
  })
  const mirror = `export default { fetch: (request, env) => env.OTHER.fetch(request.url) }`
  await fixture.apply(
    [
      await fixture.ready('bombs', { ...bombs, bindings: bound('mirror'), ...over }),
      await fixture.ready('mirror', { code: mirror, bindings: bound('bombs') }),
    ],
    [await fixture.ready('neighbour', neighbour)],
  )
  return fixture
}

/** Asks the neighbour until told to stop: how often it answered, and how often not. */
function watchNeighbour(fixture: Fixture) {
  const over = new AbortController()
  const seen = { failures: 0, answers: 0 }
  const done = (async () => {
    while (!over.signal.aborted) {
      const { body } = await fixture.visit('neighbour')
      seen[body === 'fine' ? 'answers' : 'failures'] += 1
    }
  })()
  return async () => {
    over.abort()
    await done
    return seen
  }
}

suite('a Worker that exceeds a limit', () => {
  const exceeding: Readonly<Record<string, 'cpu' | 'memory'>> = {
    '/spin': 'cpu',
    '/regex': 'cpu',
    '/storm': 'cpu',
    '/heap': 'memory',
    '/buffers': 'memory',
    '/strings': 'memory',
    '/recursion': 'memory',
  }
  for (const [path, reason] of Object.entries(exceeding)) {
    test(`${path}: page 1102, and nobody else notices`, async () => {
      await using fixture = await startWith({}, reason === 'memory' ? patient : limits)
      const stop = watchNeighbour(fixture)
      const began = performance.now()
      // It is not repeated: it may have had effects.
      const { status, body } = await fixture.visit('bombs', path, { method: 'POST' })
      const tookMs = performance.now() - began
      assert.equal(status, 503, body)
      assert.match(body, /Error 1102[\s\S]*Worker exceeded resource limits/)
      assert.equal((await fixture.visit('bombs')).body, 'fine')
      assert.ok(performance.now() - began < tookMs + 1_500, 'it answers again soon')
      const { failures, answers } = await stop()
      assert.equal(failures, 0)
      assert.ok(answers > 10, `the neighbour went on: ${answers}`)
      const [bombed, other] = fixture.host.status(account)
      assert.equal(bombed?.lastDeath?.reason, reason)
      assert.equal(bombed?.deaths, 1)
      assert.equal(bombed?.state, 'running')
      assert.equal(other?.deaths, 0)
    })
  }

  const withinLimits: Readonly<Record<string, string>> = { '/sleep': 'slept', '/turns': 'done' }
  for (const [path, body] of Object.entries(withinLimits)) {
    test(`${path} is not one`, async () => {
      await using fixture = await startWith()
      assert.equal((await fixture.visit('bombs', path)).body, body)
      assert.equal(fixture.host.status(account)[0]?.deaths, 0)
    })
  }

  test('a limit of its own is what counts', async () => {
    await using fixture = await startWith({ limits: { cpuMs: 1_500 } })
    const began = performance.now()
    assert.equal((await fixture.visit('bombs', '/spin')).status, 503)
    assert.ok(performance.now() - began > 1_500)
  })

  test('what waited behind the culprit is answered by the next process', async () => {
    await using fixture = await startWith()
    const slow = fixture.visit('bombs', '/sleep')
    await new Promise((resolve) => setTimeout(resolve, 100))
    await fixture.visit('bombs', '/')
    const spins = fixture.visit('bombs', '/spin')
    await new Promise((resolve) => setTimeout(resolve, 100))
    const behind = [1, 2, 3].map(() => fixture.visit('bombs', '/'))
    assert.equal((await spins).status, 503)
    assert.deepEqual(
      (await Promise.all(behind)).map(({ body }) => body),
      ['fine', 'fine', 'fine'],
    )
    assert.equal((await slow).body, 'slept')
    assert.equal(fixture.host.status(account)[0]?.deaths, 1)
  })

  test('many at once do not hide each other, though none has a core of its own', async () => {
    await using fixture = await startFixture({ limits })
    const names = Array.from({ length: 8 }, (_, index) => `spinner-${index}`)
    const plans = await Promise.all(names.map((name) => fixture.ready(name, bombs)))
    await fixture.apply(...plans.map((plan) => [plan]))
    const visits = names.map((name) => fixture.visit(name, '/spin', { method: 'POST' }))
    assert.deepEqual(
      (await Promise.all(visits)).map(({ status }) => status),
      names.map(() => 503),
    )
  })

  test('is none if many requests at once take a little each', async () => {
    await using fixture = await startFixture({ limits })
    const crowd = await fixture.ready('crowd', {
      limits: { cpuMs: 20 },
      code: `
        const spin = () => { for (let i = 0, x = 0; i < 1_000_000; i++) x += i % 7 }
        export default {
          async fetch() {
            spin()
            await scheduler.wait(1)
            spin()
            return new Response('fine')
          },
        }`,
    })
    await fixture.apply([crowd])
    for (let round = 0; round < 3; round++) {
      const visits = Array.from({ length: 64 }, () =>
        fixture.visit('crowd', '/', { method: 'POST' }),
      )
      const bodies = new Set((await Promise.all(visits)).map(({ body }) => body))
      assert.deepEqual(bodies, new Set(['fine']))
    }
    assert.equal(fixture.host.status(account)[0]?.deaths, 0)
  })

  test('one that does it again and again is waited for no longer than a second', async () => {
    await using fixture = await startWith()
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await fixture.visit('bombs', '/spin')).status, 503)
      const began = performance.now()
      assert.equal((await fixture.visit('bombs')).body, 'fine')
      assert.ok(performance.now() - began < 2_500)
    }
  })
})

suite('a Worker that does not start', () => {
  test('is tried again, longer apart each time, and says so', async () => {
    await using fixture = await startFixture()
    await fixture.restore([
      fixture.plan('a', { code: `export default {}; throw new Error('boom')` }),
    ])
    await eventually(() => (fixture.host.status(account)[0]?.deaths ?? 0) >= 2)
    const [status] = fixture.host.status(account)
    assert.equal(status?.state, 'waiting')
    assert.equal(status.lastDeath?.reason, 'start')
    assert.match(status.lastDeath.detail, /a: Uncaught Error: boom/)
    assert.ok(Date.parse(status.nextStartAt ?? '') > Date.now())
  })
})
