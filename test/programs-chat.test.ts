import assert from 'node:assert/strict'
import { appendFile, cp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { Wrangler } from '#test/clients.ts'
import { openSocket, type VisitorSocket } from '#test/sockets.ts'

// examples/chat, deployed by wrangler as it is.

const example = fileURLToPath(new URL('../examples/chat', import.meta.url))
const wrangler = new Wrangler('4.164')

const said = z.object({ id: z.number(), name: z.string(), text: z.string() })
const message = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('welcome'),
    name: z.string(),
    here: z.array(z.string()),
    messages: z.array(said),
  }),
  said.extend({ type: z.literal('message') }),
  z.object({ type: z.enum(['joined', 'left']), name: z.string() }),
  z.object({ type: z.literal('refused'), text: z.string() }),
])

before(async () => {
  // Visitors have addresses of their own: how fast one may talk is counted for each.
  await wrangler.start({ flags: ['--trusted-proxies', '127.0.0.1'] })
  await cp(example, join(wrangler.server.folder, 'chat'), { recursive: true })
  await wrangler.ok(['deploy'], { cwd: 'chat' })
})
after(() => wrangler[Symbol.asyncDispose]())

let visitors = 0

/** A WebSocket of another visitor in a room. */
function come(room: string): Promise<VisitorSocket> {
  const address = `192.0.2.${++visitors}`
  return openSocket(wrangler.server, 'chat', {
    path: `/rooms/${room}/socket`,
    headers: { 'x-forwarded-for': address },
  })
}

/** Comes, and says a name. Gives what the room answered. */
async function enter(room: string, name: string, seen = 0) {
  const socket = await come(room)
  socket.send({ name, after: seen })
  const welcome = await hear(socket)
  assert.ok(welcome.type === 'welcome', JSON.stringify(welcome))
  return { socket, welcome }
}

async function hear(socket: VisitorSocket): Promise<z.output<typeof message>> {
  return message.parse(await socket.json())
}

suite('examples/chat', () => {
  test('two visitors see each other, and what the other says', async () => {
    const { socket: ann, welcome } = await enter('tea', 'Ann')
    assert.deepEqual(welcome, { type: 'welcome', name: 'Ann', here: ['Ann'], messages: [] })
    const { socket: ben, welcome: toBen } = await enter('TEA', ' Ben ')
    assert.deepEqual(toBen.here.toSorted(), ['Ann', 'Ben'])
    assert.deepEqual(await hear(ann), { type: 'joined', name: 'Ben' })
    ben.send({ text: 'hello' })
    const hello = { type: 'message', id: 1, name: 'Ben', text: 'hello' }
    assert.deepEqual([await hear(ann), await hear(ben)], [hello, hello])
    assert.deepEqual(await ben.close(4001, 'enough'), [4001, 'enough'])
    assert.deepEqual(await hear(ann), { type: 'left', name: 'Ben' })
    assert.deepEqual(await ann.close(), [1000, ''])
  })

  test('one who loses the network has left', async () => {
    const { socket: ann } = await enter('lost', 'Ann')
    const { socket: ben } = await enter('lost', 'Ben')
    ben[Symbol.dispose]()
    assert.deepEqual(await hear(ann), { type: 'joined', name: 'Ben' })
    assert.deepEqual(await hear(ann), { type: 'left', name: 'Ben' })
    await ann.close()
  })

  test('what is no message is refused, and changes nothing', async () => {
    using socket = await come('wrong')
    const wrong = ['{', '"text"', { name: '' }, { name: 'n'.repeat(33) }, { name: 5 }]
    for (const sent of wrong) {
      socket.send(sent)
      assert.equal((await hear(socket)).type, 'refused', JSON.stringify(sent))
    }
    socket.send({ name: 'Ann' })
    const welcome = await hear(socket)
    assert.ok(welcome.type === 'welcome' && welcome.here.length === 1)
    for (const sent of [{}, { text: ' ' }, { text: 't'.repeat(501) }]) {
      socket.send(sent)
      assert.equal((await hear(socket)).type, 'refused', JSON.stringify(sent))
    }
    socket.send('ping')
    assert.equal(await socket.next(), 'pong')
  })

  test('ten messages at once and no more; another visitor is not held up', async () => {
    const { socket: ann } = await enter('fast', 'Ann')
    for (let n = 0; n < 12; n++) ann.send({ text: `message ${n}` })
    const heard = []
    for (let n = 0; n < 12; n++) heard.push(await hear(ann))
    const refused = heard.filter(({ type }) => type === 'refused')
    // One more may have been allowed, if this took a second.
    assert.ok(refused.length === 2 || refused.length === 1, JSON.stringify(heard))
    const { socket: ben } = await enter('fast', 'Ben')
    ben.send({ text: 'slowly' })
    const slowly = await hear(ben)
    assert.ok(slowly.type === 'message' && slowly.name === 'Ben', JSON.stringify(slowly))
    await Promise.all([ann.close(), ben.close()])
  })

  test('the last hundred messages are kept', async () => {
    for (let n = 0; n < 11; n++) {
      const { socket } = await enter('long', `visitor ${n}`)
      for (let m = 0; m < 10; m++) socket.send({ text: `${n}.${m}` })
      for (let m = 0; m < 10; m++) await hear(socket)
      await socket.close()
    }
    const { socket, welcome } = await enter('long', 'Ann')
    assert.equal(welcome.messages.length, 100)
    assert.deepEqual(
      welcome.messages.map(({ id }) => id),
      Array.from({ length: 100 }, (_, n) => n + 11),
    )
    assert.equal(welcome.messages[0]?.text, '1.0')
    await socket.close()
  })

  test('a private room has an id; what is no room is not found', async () => {
    const made = await wrangler.server.visit('chat', '/rooms', { method: 'POST' })
    assert.equal(made.status, 201)
    const { room } = z.object({ room: z.string().length(64) }).parse(await made.json())
    const { socket, welcome } = await enter(room, 'Ann')
    assert.deepEqual(welcome.here, ['Ann'])
    await socket.close()
    for (const wrong of ['f'.repeat(64), '%', 'n'.repeat(33)]) {
      await assert.rejects(come(wrong), /404/, wrong)
    }
    for (const [path, status] of [
      ['/', 200],
      ['/rooms/tea', 200],
      ['/rooms/tea/socket', 426],
      ['/nothing', 404],
    ] as const) {
      assert.equal((await wrangler.server.visit('chat', path)).status, status, path)
    }
    const page = await wrangler.server.visit('chat')
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
    assert.match(await page.text(), /<title>Chat<\/title>/)
  })

  test('a new version: visitors come again, and hear only what they missed', async () => {
    const { socket: ann } = await enter('kept', 'Ann')
    ann.send({ text: 'before' })
    const first = await hear(ann)
    assert.ok(first.type === 'message')
    await deployProbe()
    assert.equal((await ann.closed)[0], 1012)
    const { socket: ben } = await enter('kept', 'Ben')
    ben.send({ text: 'after' })
    await hear(ben)
    const { socket: again, welcome } = await enter('kept', 'Ann', first.id)
    assert.deepEqual(
      welcome.messages.map(({ name, text }) => [name, text]),
      [['Ben', 'after']],
    )
    const { socket: newcomer, welcome: whole } = await enter('kept', 'Cid')
    assert.deepEqual(
      whole.messages.map(({ text }) => text),
      ['before', 'after'],
    )
    await Promise.all([again.close(), ben.close(), newcomer.close()])
  })

  test('a room that has hibernated knows who is there when it wakes', async () => {
    await deployProbe()
    const { socket: ann } = await enter('sleepy', 'Ann')
    const { socket: ben } = await enter('sleepy', 'Ben')
    await hear(ann)
    ann.send('probe')
    ann.send('probe')
    assert.deepEqual([await ann.next(), await ann.next()], ['probe 1', 'probe 2'])
    // workerd puts an object out of memory 10 s after its last event.
    await new Promise((resolve) => void setTimeout(resolve, 12_000))
    ann.send('probe')
    assert.equal(await ann.next(), 'probe 1', 'it was constructed again')
    ann.send({ text: 'good morning' })
    const morning = { type: 'message', id: 1, name: 'Ann', text: 'good morning' }
    assert.deepEqual([await hear(ann), await hear(ben)], [morning, morning])
    const { socket: cid, welcome } = await enter('sleepy', 'Cid')
    assert.deepEqual(welcome.here.toSorted(), ['Ann', 'Ben', 'Cid'])
    assert.deepEqual(await ben.close(), [1000, ''])
    await Promise.all([ann.close(), cid.close()])
  })
})

/** Deploys a version whose rooms count, in memory, how often they were asked for the count. */
async function deployProbe(): Promise<void> {
  await appendFile(
    join(wrangler.server.folder, 'chat/src/room.js'),
    `
{
  const take = Room.prototype.webSocketMessage
  Room.prototype.webSocketMessage = function (socket, data) {
    if (data !== 'probe') return take.call(this, socket, data)
    this.probed = (this.probed ?? 0) + 1
    socket.send('probe ' + this.probed)
  }
}
`,
  )
  await wrangler.ok(['deploy'], { cwd: 'chat' })
}
