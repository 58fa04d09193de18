import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import { account } from '#test/backend.ts'
import { startBoundWorkerd } from '#test/bound-workerd.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { queue as binding } from './binding.ts'
import { openMessages } from './message-store.ts'
import { Sender } from './sender.ts'
import { serveQueue } from './service.ts'
import { openStore } from './store.ts'

// The native producer in a real workerd, over the real backplane: what user code sees, and what is
// stored of it.

const start = 1_800_000_000_000
const folder = await temporaryFolder()
const migrations = binding.migrations ?? assert.fail()
const clock = movableClock(start)
const ports = await openPorts({ path: join(folder.path, 'queue'), migrations, clock })
const store = await openStore(ports)
const messages = await openMessages(ports)
const settings = { deliveryDelay: 7, isPaused: false, retention: 3600 }
const queue = await store.create(account, 'jobs', settings)
const sender = new Sender({ messages, clock, backlogBytes: 1e9, onSent: () => undefined })
const grant = {
  capability: 'c',
  cell: 'cell',
  account,
  worker: workerName.parse('w'),
  name: 'B',
  type: 'queue',
  resource: { queue: 'jobs', delaySeconds: null },
}
const workerd = await startBoundWorkerd({
  fixture: new URL('./fixture.worker.ts', import.meta.url),
  client: 'queue',
  type: grant.type,
  resource: grant.resource,
  handler: serveQueue({ store, sender }, grant),
  log: ports.log,
})
after(async () => {
  await workerd[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const result = (value: unknown) => ({ result: value })
const typeError = (text: string) => ({ error: `TypeError: ${text}` })
const refused = (code: number, cause: string) => ({ error: `Error: ${cause} (${code})` })
const sent = result('sent')
/** What `send` resolves with, where a scenario passes it on. */
const some = 'some metrics'

const longest = 'which exceeds single message size limit of 128000'
const delayText = (delay: number) =>
  `message delay ${delay} is invalid: must be a whole number of seconds from 0 to 86400`
const cases: readonly (readonly [string, unknown])[] = [
  ['metrics', result([0, 0, 'undefined'])],
  ['json', result([1, 14, 'Date'])],
  ['text', some],
  ['bytes', some],
  ['v8', some],
  ['delayed', some],
  ['at once', some],
  ['not quite JSON', some],
  ['batch', result([10, 14 + 7 + 2 + 10 + 1 + 1 + 9 + 7 + 2 + 1, 'Date'])],
  ['no body', typeError('Message body cannot be undefined')],
  [
    'text of a number',
    typeError('Content Type "text" requires a value of type string, but received: number'),
  ],
  ['unknown format', typeError('Unsupported queue message content type: zz')],
  ['empty batch', typeError('sendBatch() requires at least one message')],
  ['as long as may be', sent],
  ['too long', refused(10_204, 'message length of 128001 bytes exceeds limit of 128000')],
  ['much too long', refused(10_204, 'message length of 20000000 bytes exceeds limit of 128000')],
  ['as many as may be', sent],
  ['too many', refused(10_206, 'batch message count of 101 exceeds limit of 100')],
  ['one too long', refused(10_204, `message in batch has length 128001 bytes ${longest}`)],
  ['as much as may be', sent],
  ['too much', refused(10_205, 'batch size of 256001 bytes exceeds limit of 256000')],
  ['much too much', refused(10_205, 'batch size of 10800000 bytes exceeds limit of 256000')],
  ['negative delay', refused(10_203, delayText(-1))],
  ['a day of delay', sent],
  ['more than a day of delay', refused(10_203, delayText(86_401))],
  ['more than a day of delay, for a batch', refused(10_202, delayText(86_401))],
  ['more than a day of delay, in a batch', refused(10_202, delayText(86_401))],
  ['after errors', sent],
]

suite('in workerd', () => {
  for (const [scenario, expected] of cases) {
    test(scenario, async () => {
      const answer: unknown = JSON.parse(await workerd.get(`/${encodeURIComponent(scenario)}`))
      if (expected === some) assert.match(JSON.stringify(answer), /^\{"result":\{"metadata":/)
      else assert.deepEqual(answer, expected)
    })
  }

  test('every scenario is asked for', async () => {
    assert.deepEqual(
      JSON.parse(await workerd.get('/')),
      cases.map(([scenario]) => scenario),
    )
  })

  test('bodies are stored in their formats, each visible when it is to be', async () => {
    const stored = await messages.peek(queue.lines[0] ?? 0, 1_000)
    const rows = stored
      .filter(({ body }) => body.byteLength < 100)
      .map(({ seq, format, body }) => [seq, format, Buffer.from(body).toString('latin1')])
      .toSorted(([a], [b]) => Number(a) - Number(b))
      .slice(0, 10)
      .map(([, format, text]) => [format, text])
    const [, , , v8] = rows
    assert.ok((v8?.[1]?.toString() ?? '').startsWith('\u00ff\u000f'))
    assert.deepEqual(
      rows.filter((row) => row !== v8),
      [
        ['json', '{"a":[1,null]}'],
        ['text', 'grÃ¼Ã\u009fe'],
        ['bytes', '\u0000\u00ff'],
        ['text', 'd'],
        ['text', 'n'],
        ['json', 'undefined'],
        ['json', '{"b":1}'],
        ['text', 'b2'],
        ['bytes', '\u0001'],
      ],
    )
    const head = await messages.head(queue.lines[0] ?? 0, 1_000)
    const delays = new Set(head.map(({ visibleAt }) => (visibleAt - start) / 1000))
    // The queue's own delay is 7.
    assert.deepEqual(
      [...delays].toSorted((a, b) => a - b),
      [0, 5, 7, 20, 60, 86_400],
    )
  })
})
