import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { serveSteady, type Steady } from '#test/contract/steady.ts'

// Calls of the API of queues whose bodies are read, and are wrong: nothing of them stays.

let server: Steady
let queue: string
before(async () => {
  server = await serveSteady()
  queue = await made('wrong')
})
after(() => server[Symbol.asyncDispose]())

async function made(name: string): Promise<string> {
  const json = { queue_name: name }
  const { envelope } = await server.call('POST', `${server.home}/queues`, { json })
  return z.object({ queue_id: z.string() }).parse(envelope?.result).queue_id
}

type Case = readonly [title: string, json: unknown, status: number, code: number, message: RegExp]

function each(method: string, path: string, cases: readonly Case[]): void {
  suite(`${method} /queues${path}`, () => {
    for (const [title, json, status, code, message] of cases) {
      test(title, async () => {
        const to = `${server.home}/queues${path.replace('QUEUE', queue)}`
        const answer = await server.refuse(method, to, { json })
        assert.deepEqual([answer.status, answer.codes], [status, [code]], answer.text)
        assert.match(answer.message, message)
      })
    }
  })
}

const name = (queue_name: unknown): object => ({ queue_name })
const named = (settings: unknown): object => ({ queue_name: 'other', settings })

each('POST', '', [
  ['no name', {}, 400, 10026, /queue_name/],
  ['a number', name(7), 400, 10026, /queue_name/],
  ['an empty name', name(''), 400, 11003, /1 to 63/],
  ['a name that is too long', name('a'.repeat(64)), 400, 11003, /1 to 63/],
  ['capital letters', name('Jobs'), 400, 11003, /lower-case/],
  ['a name that ends with a hyphen', name('a-'), 400, 11003, /hyphens/],
  ['a name with a NUL', name('a\0'), 400, 11003, /lower-case/],
  ['a name that is taken', name('wrong'), 409, 11009, /already taken/],
  ['a place that is none', { ...name('other'), jurisdiction: 'mars' }, 400, 10026, /jurisdiction/],
  ['settings that are none', named('x'), 400, 100128, /settings/],
  ['a delay below 0', named({ delivery_delay: -1 }), 400, 100128, /delivery_delay/],
  ['a delay of more than a day', named({ delivery_delay: 86_401 }), 400, 100128, /delivery_delay/],
  ['retention of a moment', named({ message_retention_period: 59 }), 400, 100128, /retention/],
  [
    'retention of 15 days',
    named({ message_retention_period: 1_296_000 }),
    400,
    100128,
    /retention/,
  ],
  ['a pause that is no boolean', named({ delivery_paused: 1 }), 400, 100128, /paused/],
])

each('PATCH', '/QUEUE', [
  ['a name that is none', name('No!'), 400, 11003, /lower-case/],
  ['settings that are none', { settings: { delivery_delay: 0.5 } }, 400, 100128, /delivery_delay/],
])

each('POST', '/QUEUE/purge', [
  ['nobody says that it is meant', {}, 400, 10026, /permanently/],
  ['it is not meant', { delete_messages_permanently: false }, 400, 10026, /permanently/],
])

const worker = (more: object = {}): object => ({
  type: 'worker',
  script_name: 'steady',
  ...more,
})
const set = (settings: unknown): object => worker({ settings })
each('POST', '/QUEUE/consumers', [
  ['no type', {}, 400, 10026, /type/],
  ['another type', { type: 'email' }, 400, 10026, /type/],
  ['no script', { type: 'worker' }, 404, 10007, /does not exist/],
  ['a script that is not there', worker({ script_name: 'nobody' }), 404, 10007, /nobody/],
  ['a script of any name', worker({ script_name: '../x' }), 404, 10007, /does not exist/],
  ['batches of none', set({ batch_size: 0 }), 400, 100127, /batch_size/],
  ['batches of 101', set({ batch_size: 101 }), 400, 100127, /batch_size/],
  ['a wait of more than a minute', set({ max_wait_time_ms: 60_001 }), 400, 100127, /max_wait/],
  ['101 retries', set({ max_retries: 101 }), 400, 100127, /max_retries/],
  ['no batch at a time', set({ max_concurrency: 0 }), 400, 100127, /max_concurrency/],
  ['251 batches at a time', set({ max_concurrency: 251 }), 400, 100127, /max_concurrency/],
  ['a delay of more than a day', set({ retry_delay: 86_401 }), 400, 100127, /retry_delay/],
  ['a dead letter queue of its own', worker({ dead_letter_queue: 'wrong' }), 400, 11008, /back/],
  ['one that has no name', worker({ dead_letter_queue: 'No!' }), 400, 100127, /No!/],
])

each('POST', '/QUEUE/messages', [
  ['no body', {}, 400, 10026, /body/],
  ['a text that is none', { body: 7, content_type: 'text' }, 400, 10026, /string/],
  ['another format', { body: 'x', content_type: 'v8' }, 400, 10026, /content_type/],
  ['a delay that is none', { body: 'x', delay_seconds: 'soon' }, 400, 10026, /delay_seconds/],
  ['a delay below 0', { body: 'x', delay_seconds: -1 }, 400, 10203, /0 to 86400/],
  ['a message that is too long', { body: 'x'.repeat(128_000) }, 413, 10204, /128002 bytes/],
])

const batch = (...messages: readonly object[]): object => ({ messages })
const long = { body: 'x'.repeat(127_000) }
each('POST', '/QUEUE/messages/batch', [
  ['no messages', {}, 400, 10026, /messages/],
  ['none', batch(), 400, 10208, /no messages/],
  ['one of which has no body', batch({ body: 1 }, {}), 400, 10026, /body/],
  ['101', batch(...Array.from({ length: 101 }, () => ({ body: 1 }))), 413, 10206, /count of 101/],
  ['too much of them', batch(long, long, long), 413, 10205, /exceeds limit of 256000/],
  ['a delay', { ...batch({ body: 1 }), delay_seconds: 1e9 }, 400, 10202, /0 to 86400/],
])

each('POST', '/QUEUE/messages/pull', [
  ['where nobody pulls', {}, 405, 11010, /no HTTP pull consumer/],
  ['none', { batch_size: 0 }, 400, 10026, /batch_size/],
  ['101', { batch_size: 101 }, 400, 10026, /batch_size/],
  ['for 13 hours', { visibility_timeout_ms: 46_800_000 }, 400, 10026, /visibility/],
])

each('POST', '/QUEUE/messages/ack', [
  ['where nobody pulls', {}, 405, 11010, /no HTTP pull consumer/],
  ['no id', { acks: [{}] }, 400, 10026, /lease_id/],
  ['a delay', { retries: [{ lease_id: 'x', delay_seconds: -1 }] }, 400, 10026, /delay_seconds/],
])

suite('POST /event_subscriptions/subscriptions', () => {
  const right = {
    name: 's',
    source: { type: 'r2' },
    destination: { type: 'queues.queue', queue_id: '0'.repeat(32) },
    events: ['bucket.created'],
  }
  const cases: readonly Case[] = [
    ['a queue that is not there', right, 404, 10104, /does not exist/],
    ['no name', { ...right, name: '' }, 400, 10026, /name/],
    ['a source that is none', { ...right, source: { type: 'moon' } }, 400, 11013, /moon/],
    ['no events', { ...right, events: [] }, 400, 10026, /events/],
    ['another destination', { ...right, destination: { type: 'mail' } }, 400, 10026, /destination/],
  ]
  for (const [title, json, status, code, message] of cases) {
    test(title, async () => {
      const to = `${server.home}/event_subscriptions/subscriptions`
      const answer = await server.refuse('POST', to, { json })
      assert.deepEqual([answer.status, answer.codes], [status, [code]], answer.text)
      assert.match(answer.message, message)
    })
  }
})
