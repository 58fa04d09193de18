import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { BackendHandler, BackendReply } from '#contract/backend.ts'
import { gather } from '#contract/gather.ts'
import { workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { account } from '#test/backend.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { capabilityHeader, createBackplane } from './server.ts'

const capability = 'c'.repeat(32)

/** A backplane with one cell, whose one binding is `handle`. */
async function open(handle: BackendHandler, take = () => true) {
  const folder = await temporaryFolder()
  const socketPath = join(folder.path, 'b')
  const errors: unknown[] = []
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (message, facts) => void errors.push({ message, ...facts }),
    child: () => log,
  }
  const backplane = createBackplane({ serve: () => handle, log })
  const line = await backplane.open('cell', socketPath, take)
  const worker = workerName.parse('w')
  backplane.grant('cell', [
    { capability, cell: 'cell', account, worker, name: 'B', type: 'b', resource: null },
  ])
  let isClosed = false
  return {
    socketPath,
    errors,
    close: async () => {
      if (isClosed) return
      isClosed = true
      await line[Symbol.asyncDispose]()
    },
    async [Symbol.asyncDispose]() {
      await this.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

type Told = {
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

/** Calls with Node's client, which is another reading of HTTP than ours. */
async function call(
  socketPath: string,
  method: string,
  {
    body,
    headers = { [capabilityHeader]: capability },
  }: {
    readonly body?: string | Uint8Array
    readonly headers?: Readonly<Record<string, string>>
  } = {},
): Promise<Told> {
  const sent = request({ socketPath, method, path: '/x?y=%20z', headers })
  sent.end(body)
  const [answer] = await once(sent, 'response')
  const { bytes } = await gather(answer, 100 * 1024 * 1024)
  const { statusCode: status, statusMessage: reason } = answer
  return {
    status,
    reason,
    headers: answer.headers,
    body: Buffer.from(bytes ?? []).toString('latin1'),
  }
}

suite('replies', () => {
  const piece = new TextEncoder().encode('é')
  const cases: readonly (readonly [string, string, BackendReply, Partial<Told>])[] = [
    ['nothing', 'GET', { status: 200 }, { status: 200, reason: 'OK', body: '' }],
    ['a text', 'GET', { status: 201, body: 'é' }, { status: 201, body: 'Ã©' }],
    ['bytes', 'GET', { status: 200, body: piece }, { body: 'Ã©' }],
    ['no bytes', 'GET', { status: 200, body: new Uint8Array() }, { body: '' }],
    ['a reason', 'PUT', { status: 400, reason: 'no Ã©' }, { status: 400, reason: 'no Ã©' }],
    ['a status without a name', 'GET', { status: 299 }, { status: 299 }],
    ['to HEAD', 'HEAD', { status: 200, body: 'four' }, { status: 200, body: '' }],
    ['204', 'PUT', { status: 204 }, { status: 204, body: '' }],
    ['304', 'GET', { status: 304, headers: { etag: '"x"' } }, { status: 304, body: '' }],
    [
      'a length of its own',
      'HEAD',
      { status: 200, headers: { 'content-length': '12' } },
      { status: 200, body: '' },
    ],
  ]
  for (const [title, method, reply, expected] of cases) {
    test(title, async () => {
      await using cell = await open(async () => reply)
      const told = await call(cell.socketPath, method)
      for (const [name, value] of Object.entries(expected)) {
        assert.equal(told[name as keyof Told], value, name)
      }
      if (reply.headers?.['content-length']) assert.equal(told.headers['content-length'], '12')
    })
  }

  test('a stream may use its memory again', async () => {
    const buffer = new Uint8Array(300_000)
    await using cell = await open(async () => ({
      status: 200,
      body: (async function* () {
        for (let round = 0; round < 20; round++) yield buffer.fill(97 + round)
      })(),
    }))
    const { body } = await call(cell.socketPath, 'GET')
    assert.equal(body.length, 20 * buffer.length)
    for (let round = 0; round < 20; round++) {
      const part = body.slice(round * buffer.length, (round + 1) * buffer.length)
      assert.equal(part, String.fromCharCode(97 + round).repeat(buffer.length))
    }
  })

  test('a stream that breaks is no whole reply', async () => {
    await using cell = await open(async () => ({
      status: 200,
      body: (async function* () {
        yield piece
        throw new Error('the disk')
      })(),
    }))
    await assert.rejects(call(cell.socketPath, 'GET'))
    assert.equal(cell.errors.length, 1)
  })

  test('what a handler throws is logged, and 500', async () => {
    await using cell = await open(() => Promise.reject(new Error('the disk')))
    const { status, body } = await call(cell.socketPath, 'POST', { body: 'unread' })
    assert.deepEqual([status, body], [500, ''])
    assert.match(JSON.stringify(cell.errors), /the disk/)
  })

  test('what can be in no head is 500', async () => {
    await using cell = await open(async () => ({ status: 200, reason: 'a\r\nb' }))
    assert.equal((await call(cell.socketPath, 'GET')).status, 500)
  })
})

suite('who calls', () => {
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, number])[] = [
    ['nobody', {}, 403],
    ['another', { [capabilityHeader]: 'd'.repeat(32) }, 403],
    ['a name that objects have', { [capabilityHeader]: 'constructor' }, 403],
    ['in other letters', { 'X-Bindery-Capability': capability }, 200],
    ['two at once', { [capabilityHeader]: `${capability}, ${capability}` }, 403],
    ['with a header that objects have', { [capabilityHeader]: capability, constructor: 'x' }, 200],
  ]
  for (const [title, headers, expected] of cases) {
    test(`${title}: ${expected}`, async () => {
      await using cell = await open(async () => ({ status: 200 }))
      assert.equal((await call(cell.socketPath, 'GET', { headers })).status, expected)
    })
  }

  test('who makes too many calls is told so', async () => {
    await using cell = await open(
      async () => ({ status: 200 }),
      () => false,
    )
    const { status, reason } = await call(cell.socketPath, 'GET')
    assert.equal(status, 429)
    assert.match(reason ?? '', /^Too many API requests/)
  })
})

suite('bodies', () => {
  test('arrive whole, whoever takes his time', async () => {
    const sent = Buffer.alloc(3_000_000, 'abcdefg')
    await using cell = await open(async ({ body, url, method }) => {
      let bytes = Buffer.alloc(0)
      for await (const piece of body) {
        bytes = Buffer.concat([bytes, piece])
        await new Promise(setImmediate)
      }
      return { status: 200, body: `${method} ${url} ${bytes.equals(sent)}` }
    })
    assert.equal((await call(cell.socketPath, 'PUT', { body: sent })).body, 'PUT /x?y=%20z true')
  })

  test('a sender waits for who does not read', async () => {
    const enough = Promise.withResolvers<void>()
    await using cell = await open(async ({ body }) => {
      for await (const _ of body) await enough.promise
      return { status: 200 }
    })
    const socket = await connected(cell.socketPath)
    socket.write(head('PUT', 64 * 1024 * 1024))
    let taken = 0
    const chunk = Buffer.alloc(1024 * 1024)
    while (taken < 64 && socket.write(chunk)) taken += 1
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.ok(socket.writableLength > 0, 'it was all taken')
    socket.destroy()
    enough.resolve()
  })

  test('what is left of one is no call', async () => {
    let calls = 0
    await using cell = await open(async ({ body }) => {
      calls += 1
      for await (const _ of body) break
      return { status: 200 }
    })
    const socket = await connected(cell.socketPath)
    const inner = `GET /inner HTTP/1.1\r\nhost: x\r\n${capabilityHeader}: ${capability}\r\n\r\n`
    const body = inner.repeat(2_000)
    socket.write(head('PUT', body.length) + body + head('PUT', 0))
    let heard = ''
    socket.on('data', (piece: Buffer) => (heard += piece.toString('latin1')))
    await eventually(() => heard.split('HTTP/1.1 200 OK').length === 3)
    assert.equal(calls, 2)
    socket.destroy()
  })

  test('one that is cut is an error for its reader, and none for the log', async () => {
    const ends: string[] = []
    await using cell = await open(async ({ body }) => {
      try {
        for await (const _ of body);
        ends.push('whole')
      } catch (error) {
        ends.push('cut')
        throw error
      }
      return { status: 200 }
    })
    const socket = await connected(cell.socketPath)
    socket.write(`${head('PUT', 10)}12345`)
    await new Promise(setImmediate)
    socket.destroy()
    await eventually(() => ends.length > 0)
    assert.deepEqual(ends, ['cut'])
    assert.deepEqual(cell.errors, [])
  })
})

suite('the end', () => {
  test('what is in flight is answered, and its connection ends', async () => {
    const asked = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    await using cell = await open(async () => {
      asked.resolve()
      await go.promise
      return { status: 200, body: 'last' }
    })
    const told = call(cell.socketPath, 'GET')
    await asked.promise
    const closed = cell.close()
    go.resolve()
    assert.equal((await told).body, 'last')
    await closed
    await assert.rejects(call(cell.socketPath, 'GET'))
  })

  test('a connection that is idle keeps nobody', async () => {
    await using cell = await open(async () => ({ status: 200 }))
    const socket = await connected(cell.socketPath)
    socket.write(head('GET', 0))
    await once(socket, 'data')
    const ended = once(socket, 'close')
    await cell.close()
    await ended
  })
})

async function connected(socketPath: string): Promise<Socket> {
  const socket = connect(socketPath)
  await once(socket, 'connect')
  return socket.on('error', () => undefined)
}

function head(method: string, length: number): string {
  return `${method} / HTTP/1.1\r\nhost: x\r\n${capabilityHeader}: ${capability}\r\ncontent-length: ${length}\r\n\r\n`
}
