import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { WebSocket } from 'ws'
import type { CellPlan, ObjectNamespace } from '#contract/cell.ts'
import {
  type AccountId,
  type ObjectNamespaceId,
  objectNamespaceId,
  versionId,
} from '#contract/ids.ts'
import type { ObjectFiles } from '#contract/ports/object-files.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { openObjectFiles } from '#drivers/object-files/local/driver.ts'
import { account } from '#test/backend.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { type Fixture, pidsOf, type Source, startFixture } from './fixture.ts'

const sleepMs = 150

const counting = (word: string): Source => ({
  code: `let n = 0; export default { fetch: (r, env) => new Response('${word} ' + ++n + (env.V ?? '')) }`,
})

const ticking: ObjectNamespace = {
  id: objectNamespaceId.parse('0'.repeat(31) + '7'),
  className: 'Ticking',
  storage: 'sqlite',
}

const ticker: Source = {
  code: `
    import { DurableObject } from 'cloudflare:workers'
    export class Ticking extends DurableObject {
      set(inMs) { return this.ctx.storage.setAlarm(Date.now() + inMs) }
      times() { return this.ctx.storage.kv.get('times') ?? [] }
      alarm() { this.ctx.storage.kv.put('times', [...this.times(), Date.now()]) }
    }
    export default {
      async fetch(request, env) {
        const { pathname, searchParams } = new URL(request.url)
        const object = env.T.getByName('a')
        if (pathname === '/set') await object.set(Number(searchParams.get('in')))
        if (pathname === '/ws') {
          const [client, server] = Object.values(new WebSocketPair())
          server.accept()
          return new Response(null, { status: 101, webSocket: client })
        }
        return Response.json(await object.times())
      },
    }`,
  bindings: { T: { type: 'objects', namespace: ticking.id } },
  objects: [ticking],
}

async function isAsleep(fixture: Fixture, worker: string): Promise<boolean> {
  return fixture.targets(worker)[0]?.state === 'asleep' && (await pidsOf(fixture)).length === 0
}

/** Looks as often as it can, to be there at once. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!condition()) {
    assert.ok(performance.now() < deadline, 'it does not happen')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

suite('a Worker that nobody visits', () => {
  test('has no process, and gets one when somebody does', async () => {
    await using fixture = await startFixture({ sleepMs, lingerMs: 0 })
    await fixture.apply([await fixture.ready('a', counting('a'))])
    assert.equal((await fixture.visit('a')).body, 'a 1')
    await eventually(() => isAsleep(fixture, 'a'))
    assert.equal(fixture.host.status(account)[0]?.state, 'asleep')
    const visits = await Promise.all([1, 2, 3].map(() => fixture.visit('a')))
    assert.deepEqual(visits.map(({ body }) => body).toSorted(), ['a 1', 'a 2', 'a 3'])
    assert.equal((await pidsOf(fixture)).length, 1)
    assert.equal(fixture.host.status(account)[0]?.deaths, 0)
    await eventually(() => isAsleep(fixture, 'a'))
  })

  test('is not put to sleep while a request or a WebSocket is open', async () => {
    await using fixture = await startFixture({ sleepMs, lingerMs: 0 })
    const slow = await fixture.ready('slow', {
      code: `export default { fetch: async () => { await scheduler.wait(1_000); return new Response('done') } }`,
    })
    await fixture.apply([slow], [await fixture.ready('ticker', ticker)])
    const answer = fixture.visit('slow')
    const socket = new WebSocket(fixture.url('/ws'), { headers: { host: 'ticker.localhost' } })
    await new Promise((resolve) => socket.once('open', resolve))
    assert.equal((await answer).body, 'done')
    await eventually(() => fixture.targets('slow')[0]?.state === 'asleep')
    assert.equal(fixture.targets('ticker')[0]?.state, 'up')
    socket.terminate()
    await eventually(() => isAsleep(fixture, 'ticker'))
  })

  test('is waited for anew if it is asked while it falls asleep', async () => {
    await using fixture = await startFixture({ sleepMs, lingerMs: 0 })
    const busy = await fixture.ready('busy', {
      code: `
        export default {
          async fetch(request, env, ctx) {
            const { pathname } = new URL(request.url)
            // Its process takes the whole time that it is given to end.
            if (pathname === '/wait') ctx.waitUntil(scheduler.wait(10_000))
            else await scheduler.wait(1_500)
            return new Response(pathname)
          },
        }`,
    })
    await fixture.apply([busy])
    for (let round = 0; round < 3; round++) {
      await fixture.visit('busy', '/wait')
      const before = await pidsOf(fixture)
      await until(() => fixture.targets('busy')[0]?.state === 'asleep')
      fixture.host.wake({ account, worker: busy.worker })
      assert.equal(fixture.targets('busy')[0]?.state, 'waking', 'nobody is sent to the old process')
      const answers = [1, 2, 3].map(() => fixture.visit('busy', '/post', { method: 'POST' }))
      assert.deepEqual(
        new Set((await Promise.all(answers)).map(({ body }) => body)),
        new Set(['/post']),
      )
      assert.notDeepEqual(await pidsOf(fixture), before)
    }
  })

  test('takes new values and new code in its sleep', async () => {
    await using fixture = await startFixture({ sleepMs, lingerMs: 0 })
    const source = (value: string): Source => ({
      ...counting('a'),
      bindings: { V: { type: 'text', text: value } },
    })
    await fixture.apply([await fixture.ready('a', source('!'))])
    await eventually(() => isAsleep(fixture, 'a'))
    await fixture.apply([await fixture.ready('a', source('?'))])
    assert.deepEqual(await pidsOf(fixture), [], 'a value wakes nobody')
    assert.equal((await fixture.visit('a')).body, 'a 1?')
    await eventually(() => isAsleep(fixture, 'a'))
    await fixture.apply([await fixture.ready('a', counting('b'))])
    assert.equal((await fixture.visit('a')).body, 'b 1')
  })

  test('is asleep after a start of the server', async () => {
    await using fixture = await startFixture({ sleepMs, lingerMs: 0 })
    await fixture.restore([await fixture.ready('a', counting('a'))])
    assert.ok(await isAsleep(fixture, 'a'))
    assert.equal((await fixture.visit('a')).body, 'a 1')
  })
})

suite('an alarm of a Worker that is asleep', () => {
  /** A host that reads alarms where its objects are. */
  async function startTicker(start: 'apply' | 'restore', folder: string) {
    const path = join(folder, 'objects')
    const files: ObjectFiles = await openObjectFiles({ path, clock: systemClock })
    const fixture = await startFixture({
      sleepMs,
      lingerMs: 0,
      objectsDirectory: path,
      nextAlarm: async (of: AccountId, namespaces: readonly ObjectNamespaceId[]) => {
        const maps = namespaces.map((namespace) => files.alarms({ account: of, namespace }))
        const all = (await Promise.all(maps)).flatMap((map) => [...map.values()])
        return all.length === 0 ? undefined : Math.min(...all.map(({ at }) => at))
      },
    })
    await fixture[start]([await fixture.ready('ticker', ticker)])
    return {
      fixture,
      async [Symbol.asyncDispose]() {
        await fixture[Symbol.asyncDispose]()
        await files[Symbol.asyncDispose]()
      },
    }
  }

  test('wakes it in time, and it falls asleep again', async () => {
    await using folder = await temporaryFolder()
    await using made = await startTicker('apply', folder.path)
    const { fixture } = made
    const due = Date.now() + 2_500
    await fixture.visit('ticker', '/set?in=2500')
    await eventually(() => isAsleep(fixture, 'ticker'))
    assert.ok(Date.now() < due - 500, 'it sleeps before the alarm')
    await eventually(() => fixture.targets('ticker')[0]?.state === 'up')
    // A busy machine has it wait for its turn.
    assert.ok(Date.now() < due + 1_000, 'it is up in time')
    await eventually(() => isAsleep(fixture, 'ticker'))
    const times: number[] = JSON.parse((await fixture.visit('ticker')).body)
    assert.equal(times.length, 1)
    assert.ok(Math.abs((times[0] ?? 0) - due) < 2_000, `${(times[0] ?? 0) - due} ms late`)
  })

  test('wakes it after a start of the server, at once if it was missed', async () => {
    await using folder = await temporaryFolder()
    {
      await using made = await startTicker('apply', folder.path)
      await made.fixture.visit('ticker', '/set?in=1000')
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    await using made = await startTicker('restore', folder.path)
    await eventually(() => made.fixture.targets('ticker')[0]?.state === 'up')
    await eventually(async () => (await made.fixture.visit('ticker')).body !== '[]')
  })
})

suite('a preview', () => {
  const version = versionId.parse('11111111-1111-4111-8111-111111111111')

  test('runs while it is looked at', async () => {
    let plan: CellPlan | undefined
    await using fixture = await startFixture({
      sleepMs,
      lingerMs: 0,
      planPreview: async () => plan,
    })
    const next = await fixture.ready('a', { ...counting('next'), version })
    plan = { account, workers: [next] }
    await fixture.apply([await fixture.ready('a', counting('now'))])
    fixture.routePreview('next', { account, worker: next.worker, version })
    assert.equal((await fixture.visit('next')).body, 'next 1')
    assert.equal((await fixture.visit('a')).body, 'now 1')
    assert.equal((await fixture.visit('next')).body, 'next 2')
    await eventually(async () => (await pidsOf(fixture)).length === 0)
    assert.equal((await fixture.visit('next')).body, 'next 1', 'it starts again')
  })
})
