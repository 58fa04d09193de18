import assert from 'node:assert/strict'
import { appendFile, cp, rename, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { Wrangler } from '#test/clients.ts'
import type { Visit } from '#test/server.ts'
import { openSocket, type VisitorSocket } from '#test/sockets.ts'
import { eventually } from '#test/temporary.ts'

// Libraries that people run on Durable Objects, as npm has them, bundled and deployed by wrangler.

const clients = fileURLToPath(new URL('clients', import.meta.url))
const wrangler = new Wrangler('4.164')

before(async () => {
  await wrangler.start()
  await symlink(join(clients, 'node_modules'), join(wrangler.server.folder, 'node_modules'))
})
after(() => wrangler[Symbol.asyncDispose]())

/** Copies a program into a folder of its name, and deploys it. */
async function install(name: string): Promise<void> {
  await cp(join(clients, 'programs', name), join(wrangler.server.folder, name), { recursive: true })
  await wrangler.ok(['deploy'], { cwd: name })
}

/** Deploys with a line of code more, which makes it another version. */
async function redeploy(name: string): Promise<void> {
  const main = join(wrangler.server.folder, name, 'src/index.ts')
  await appendFile(main, `\nObject.assign(globalThis, { release: '${crypto.randomUUID()}' })\n`)
  await wrangler.ok(['deploy'], { cwd: name })
}

async function json(worker: string, path = '/', visit: Visit = {}): Promise<unknown> {
  const response = await wrangler.server.visit(worker, path, visit)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}

const open = (worker: string, path: string): Promise<VisitorSocket> =>
  openSocket(wrangler.server, worker, { path })

test('partyserver: connections with state and tags, an alarm, and what it stored', async () => {
  await install('party')
  const room = '/parties/my-server/room'
  using left = await open('party', `${room}?_pk=L&side=left`)
  assert.equal(await left.next(), 'welcome to room')
  using right = await open('party', `${room}?_pk=R&side=right`)
  assert.equal(await right.next(), 'welcome to room')
  assert.equal(await left.next(), 'R is here')
  right.send('hello')
  right.send('again')
  for (const text of ['R 1: hello', 'only the left', 'R 2: again', 'only the left']) {
    assert.equal(await left.next(), text)
  }
  assert.equal(await right.next(), 'R 1: hello')
  assert.equal(await right.next(), 'R 2: again')
  assert.deepEqual(await json('party', room, { method: 'POST' }), {
    name: 'room',
    said: ['hello', 'again'],
  })
  assert.equal(await left.next(), 'an alarm in room')
  await right.close(4000, 'bye')
  assert.equal(await left.until((text) => text.startsWith('R ')), 'R has gone')

  await redeploy('party')
  assert.equal((await left.closed)[0], 1012)
  using again = await open('party', `${room}?_pk=L`)
  assert.equal(await again.next(), 'welcome to room')
  again.send('after')
  assert.equal(await again.next(), 'L 1: after')
  assert.deepEqual(await json('party', room), { name: 'room', said: ['hello', 'again', 'after'] })
  assert.deepEqual(await json('party', '/parties/my-server/other'), { name: 'other', said: [] })
})

suite('agents', () => {
  const room = '/agents/counter-agent/one'
  const path = (name: string): string => `/agents/counter-agent/${name}`

  /** Calls a method as `AgentClient.call` does. Gives what was streamed, the result last. */
  async function call(socket: VisitorSocket, method: string, ...args: unknown[]) {
    const id = crypto.randomUUID()
    socket.send({ type: 'rpc', id, method, args })
    const results: unknown[] = []
    for (;;) {
      const answer: { id?: string; success?: boolean; done?: boolean; result?: unknown } =
        JSON.parse(await socket.until((text) => text.includes(id)))
      assert.ok(answer.success, JSON.stringify(answer))
      results.push(answer.result)
      if (answer.done !== false) return results
    }
  }

  /** The next state that is sent to a client. */
  async function state(socket: VisitorSocket): Promise<unknown> {
    const text = await socket.until((message) => message.includes('"cf_agent_state"'))
    return JSON.parse(text).state
  }

  before(() => install('agent'))

  test('state, calls over a WebSocket, and every client told', async () => {
    using first = await open('agent', room)
    assert.deepEqual(await state(first), { count: 0, reminded: [] })
    using second = await open('agent', room)
    assert.deepEqual(await state(second), { count: 0, reminded: [] })
    assert.deepEqual(await call(first, 'increment'), [1])
    assert.deepEqual(await state(second), { count: 1, reminded: [] })
    assert.deepEqual(await call(second, 'increment'), [2])
    assert.deepEqual(await call(second, 'countTo', 3), [1, 2, 3])
    assert.deepEqual(await json('agent', room), { name: 'one', count: 2, reminded: [] })
    await redeploy('agent')
    assert.equal((await first.closed)[0], 1012)
    using third = await open('agent', room)
    assert.deepEqual(await state(third), { count: 2, reminded: [] })
    assert.deepEqual(await call(third, 'increment'), [3])
    assert.equal(await json('agent', '/steps'), 3)
  })

  test('agents of an agent, each with its own state', async () => {
    assert.equal(await json('agent', '/delegate?to=a'), 1)
    assert.equal(await json('agent', '/delegate?to=a'), 2)
    assert.equal(await json('agent', '/delegate?to=b'), 1)
    await redeploy('agent')
    assert.equal(await json('agent', '/delegate?to=a'), 3)
    assert.equal(await json('agent', '/delegate?to=b'), 2)
  })

  test('a scheduled task runs, also when a new version came in between', async () => {
    const counted = { name: 'tasks', count: 0 }
    using socket = await open('agent', path('tasks'))
    await call(socket, 'remindIn', 1, 'soon')
    await call(socket, 'remindIn', 3, 'later')
    const done = await socket.until((text) => text.includes('"soon"'))
    assert.deepEqual(JSON.parse(done).state, { count: 0, reminded: ['soon'] })
    await redeploy('agent')
    await eventually(async () => {
      const now = await json('agent', path('tasks'))
      return JSON.stringify(now) === JSON.stringify({ ...counted, reminded: ['soon', 'later'] })
    })
  })
})

test('@cloudflare/actors: properties that persist, migrations, and alarms with names', async () => {
  await install('actor')
  assert.deepEqual(await json('actor', '/ann'), { name: 'ann', visits: 1, notes: [] })
  assert.deepEqual(await json('actor', '/ben'), { name: 'ben', visits: 1, notes: [] })
  await json('actor', '/ann', { method: 'POST' })
  const notes = ['first of ann', 'second of ann']
  const seen = await eventually(async () => {
    const now = (await json('actor', '/ann')) as { visits: number; notes: string[] }
    return now.notes.length === 2 && now
  })
  assert.deepEqual(seen.notes, notes)
  await redeploy('actor')
  assert.deepEqual(await json('actor', '/ann'), { name: 'ann', visits: seen.visits + 1, notes })
})

test('drizzle-orm: migrations, transactions, and a migration in a later release', async () => {
  await install('drizzle')
  const rows = [
    { list: 'buy', text: 'milk', tags: ['buy', 'milk'] },
    { list: 'buy', text: 'tea', tags: ['buy', 'tea'] },
  ]
  assert.deepEqual(await json('drizzle', '/?list=buy&text=milk&text=tea'), rows)
  const refused = await wrangler.server.visit('drizzle', '/?list=half&text=one&text=')
  assert.equal(refused.status, 500)
  assert.deepEqual(await json('drizzle'), rows, 'the transaction was rolled back')
  const names = ['id', 'list_id', 'text', 'tags'].map((name) => ({ name }))
  assert.deepEqual(await json('drizzle', '/columns'), names)

  const migrations = join(wrangler.server.folder, 'drizzle/drizzle')
  await rename(join(migrations, 'migrations.next.ts'), join(migrations, 'migrations.ts'))
  await redeploy('drizzle')
  assert.deepEqual(await json('drizzle'), rows)
  assert.deepEqual(await json('drizzle', '/columns'), [...names, { name: 'done' }])
})

test('capnweb: objects and callbacks over a WebSocket, pipelined', async () => {
  type Seat = { say(text: string): Promise<number>; listen(hear: (text: string) => void): unknown }
  type Door = { enter(name: string): Seat; said(): Promise<string[]> } & Disposable & {
      onRpcBroken(run: (error: unknown) => void): void
    }
  const capnweb = createRequire(join(clients, 'package.json'))('capnweb') as {
    newWebSocketRpcSession(socket: WebSocket): Door
  }
  const enter = (): Door =>
    capnweb.newWebSocketRpcSession(
      new WebSocket(`ws://127.0.0.1:${wrangler.server.visitorPort}/`, {
        headers: { host: 'capnweb.localhost' },
      }),
    )
  await install('capnweb')
  using door = enter()
  const heard: string[] = []
  const seat = door.enter('ann')
  await seat.listen((text) => void heard.push(text))
  assert.equal(await seat.say('hello'), 1)
  using other = enter()
  assert.equal(await other.enter('ben').say('hi'), 2)
  await eventually(() => heard.length === 2)
  assert.deepEqual(heard, ['ann: hello', 'ben: hi'])
  const broken = new Promise((resolve) => door.onRpcBroken(resolve))
  await redeploy('capnweb')
  assert.ok((await broken) instanceof Error)
  using again = enter()
  assert.deepEqual(await again.said(), ['ann: hello', 'ben: hi'])
})
