import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { z } from 'zod'
import type { GuestPort } from '#contract/guests.ts'
import { workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Shim } from '#contract/wire.ts'
import { account } from '#test/backend.ts'
import { type BoundWorkerd, startBoundWorkerd } from '#test/bound-workerd.ts'
import { eventually } from '#test/temporary.ts'
import { workerLoader } from './binding.ts'
import { serveWorkerLoader } from './service.ts'

// The shim in a real workerd, over the real backplane, beside workerd's own loader: what user code sees
// is the same, but for names.

const version = { id: 'v', tag: '', createdAt: '' }
const wire = workerLoader.wiring(workerLoader.parse({ type: 'worker_loader', name: 'B' }), version)
assert.ok(wire.type === 'backend' && typeof wire.client === 'object')
const shim: Shim = wire.client

const silent = (): void => {}
const log: Log = { debug: silent, info: silent, warn: silent, error: silent, child: () => log }

function start(client: string | Shim, guests: GuestPort): Promise<BoundWorkerd> {
  const [type, resource] = ['worker_loader', null]
  const worker = workerName.parse('w')
  const grant = { capability: 'c', cell: 'cell', account, worker, name: 'B', type, resource }
  return startBoundWorkerd({
    fixture: new URL('./fixture.worker.ts', import.meta.url),
    client,
    type,
    resource,
    handler: serveWorkerLoader(Promise.resolve(guests), grant),
    log,
  })
}

const endless = { limitCpu: () => ({ [Symbol.dispose]() {} }), fullness: () => 0 }

/** What scenarios come to that say something that the contract names. */
const said: Readonly<Record<string, RegExp>> = {
  'a module': /^{"result":\[("{\\"a\\":1,\\"b\\":\[\\"x\\"\]}",?){3}\]}$/,
  'no modules': /"TypeError: Dynamic Worker code must contain at least one module\."/,
  'a name without an ending': /Module name must end with '\.js' or '\.py' .*Got: other"/,
  TypeScript: /Got: other\.ts\. If you're trying to load TypeScript, bundle it first/,
  'a module of two kinds': /Each module must contain exactly one of .*contained 2 properties\./,
  'no main module': /No such module: main\.js/,
  'code that throws': /Failed to start Worker:\\nUncaught Error: boom\\n {2}at main\.js:1:7/,
  'a syntax error': /Uncaught SyntaxError: Unexpected token '\)'\\n {2}at main\.js:1:34/,
  'no date': /Error: Invalid compatibility date: undefined/,
  'a date to come':
    /This Worker requires compatibility date .*newest date supported by this server/,
  'an unknown flag': /No such compatibility flag: nope/,
  'an experimental flag': /flag experimental is experimental/,
  allowExperimental: /'allowExperimental' is only allowed when the calling worker has/,
  'large env': /env size \(1048589 bytes\) exceeds the maximum allowed size of 1048576 bytes\./,
  'large code': /code size \(67108926 bytes\) exceeds the maximum allowed size of 67108864 bytes\./,
  'no network':
    /not permitted to access the internet via global functions like fetch\(\)\. It must/,
  'no sockets': /not permitted to access the internet/,
  'its own way out': /all goes here: http:\/\/anywhere\/path/,
  'a loader in env': /Could not serialize object of type \\"WorkerLoader\\"/,
  'an entrypoint of another in env':
    /Entrypoints to dynamically-loaded workers cannot be transferred/,
  'an own entrypoint in env': /"a\/k"/,
  'the same name twice': /^{"result":\["1","2",1\]}$/,
  'other code under a name': /^{"result":\["{\\"first\\":1}","{\\"first\\":1}"\]}$/,
  'no such entrypoint': /Worker has no such entrypoint: Nope/,
  'a named one, by name and by the word default': /^{"result":\[{"a":\[1\]},"hello x"\]}$/,
  exports: /^{"result":\["Named","default"\]}$/,
  'limited calls':
    /^{"result":\["hello you",3,15,6,17,"x!","RangeError: no",true,"a field","fetched"/,
}

suite('a loader', () => {
  test('says what the one of workerd says, and gives names to those who watch', async () => {
    await using native = await start('workerLoader', endless)
    await using ours = await start(shim, endless)
    const scenarios = z.array(z.string()).parse(JSON.parse(await native.get('/')))
    assert.deepEqual(
      Object.keys(said).filter((name) => !scenarios.includes(name)),
      [],
    )
    for (const name of scenarios) {
      const path = `/${encodeURIComponent(name)}`
      const [theirs, answer] = [await native.get(path), await ours.get(path)]
      if (name === 'watched') {
        assert.match(answer, /"as":"named","scriptName":"watched by name","outcome":"ok"/)
        assert.equal(answer.replace('"watched by name"', 'null'), theirs)
      } else assert.equal(answer, theirs, name)
      const expected = said[name]
      if (expected) assert.match(answer, expected, name)
    }
  })

  test('keeps those that were asked for lately; calls of one that goes finish', async () => {
    await using workerd = await start(shim, endless)
    const slow = workerd.get('/slow')
    for (let n = 0; n < 150; n++) {
      assert.deepEqual(await many(workerd, `n${n}`), { said: `n${n}`, loaded: 1 })
      // In use all the time.
      assert.deepEqual(await many(workerd, 'n0'), { said: 'n0', loaded: 1 })
    }
    assert.deepEqual(await many(workerd, 'n149'), { said: 'n149', loaded: 1 })
    assert.deepEqual(await many(workerd, 'n1'), { said: 'n1', loaded: 2 })
    assert.equal(await slow, 'slow')
  })

  test('keeps fewer where memory is short', async () => {
    await using workerd = await start(shim, { ...endless, fullness: () => 0.9 })
    for (const name of ['a', 'b', 'c', 'd', 'e']) await many(workerd, name)
    assert.deepEqual(await many(workerd, 'e'), { said: 'e', loaded: 1 })
    assert.deepEqual(await many(workerd, 'a'), { said: 'a', loaded: 2 })
  })

  test('one that did not start is loaded anew', async () => {
    await using workerd = await start(shim, endless)
    assert.match(await workerd.get('/flaky'), /boom/)
    assert.equal(await eventually(async () => (await workerd.get('/flaky')) === '{}'), true)
  })

  test('one that ends by itself is loaded anew, and no limit of it stays', async () => {
    const limits = new Set<object>()
    await using workerd = await start(shim, {
      ...endless,
      limitCpu() {
        const limit = {}
        limits.add(limit)
        return { [Symbol.dispose]: () => void limits.delete(limit) }
      },
    })
    const answer: unknown = JSON.parse(await workerd.get('/hostile'))
    assert.deepEqual(answer, { again: 'there', loaded: 2 })
    for (let n = 0; n < 70; n++) await many(workerd, `n${n}`)
    // Others have come meanwhile.
    assert.deepEqual(JSON.parse(await workerd.get('/hostile')), { again: 'there', loaded: 4 })
    await eventually(() => limits.size === 0)
  })

  test('says when one is called whose CPU time is limited, and when it has answered', async () => {
    const limits = new Set<object>()
    const asked: number[] = []
    await using workerd = await start(shim, {
      ...endless,
      limitCpu(cell, cpuMs) {
        assert.equal(cell, 'cell')
        const limit = {}
        limits.add(limit)
        asked.push(cpuMs)
        return { [Symbol.dispose]: () => void limits.delete(limit) }
      },
    })
    await workerd.get('/calls')
    assert.deepEqual(asked, [])
    await workerd.get('/limited%20calls')
    assert.ok(asked.length >= 10 && asked.every((cpuMs) => cpuMs === 10_000), String(asked))
    await eventually(() => limits.size === 0)
    asked.length = 0
    await workerd.get('/both%20limits')
    // The first is its start.
    assert.deepEqual(asked, [300, 300, 200])
    await eventually(() => limits.size === 0)
  })
})

async function many(workerd: BoundWorkerd, name: string): Promise<unknown> {
  return JSON.parse(await workerd.get(`/many?name=${name}`))
}
