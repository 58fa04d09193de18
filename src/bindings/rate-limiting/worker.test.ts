import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { BackendReply } from '#contract/backend.ts'
import { workerName } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { account } from '#test/backend.ts'
import { startBoundWorkerd } from '#test/bound-workerd.ts'
import { movableClock } from '#test/ports.ts'
import { rateLimit } from './binding.ts'
import { Counters } from './counters.ts'
import { serveRateLimit } from './service.ts'

// The shim in a real workerd, over the real backplane: what user code sees.

const entry = {
  type: 'ratelimit',
  name: 'B',
  namespace_id: '1',
  simple: { limit: 1, period: 10 },
}
const wire = rateLimit.wiring(rateLimit.parse(entry), { id: 'v', tag: '', createdAt: '' })
assert.ok(wire.type === 'backend')
const { client, resource } = wire

const within = { result: { success: true } }
const beyond = { result: { success: false } }
const error = (text: string) => ({ rejected: `Error: ${text}` })
const notAnInteger = 'The value cannot be converted because it is not an integer.'
const negative =
  'The value cannot be converted because it is negative and this API expects a positive number.'

/** What each says the first time, and the second. */
const cases: readonly (readonly [string, unknown, unknown?])[] = [
  ['no options', error('invalid rate limit options')],
  ['null', error('invalid rate limit options')],
  ['text', error('invalid rate limit options')],
  ['number', error('invalid rate limit options')],
  ['unknown keys', error('bad rate limit options: [a,b]')],
  ['an array', error('bad rate limit options: [0]')],
  ['key number', error('invalid key: 5')],
  ['key null', error('invalid key: null')],
  ['key symbol', error('invalid key: Symbol(k)')],
  ['limit text', error('limit must be a number: 5')],
  ['limit null', error('limit must be a number: null')],
  ['period text', error('period must be a number: 10')],
  ['period 30', error('unsupported period: 30')],
  ['period NaN', error('unsupported period: NaN')],
  ['key and limit', error('invalid key: 5')],
  ['delta text', { rejected: `TypeError: ${notAnInteger}` }],
  ['delta below 0', { rejected: `TypeError: ${negative}` }],
  ['delta 0', { rejected: 'RangeError: delta must be non-zero' }],
  [
    'delta large',
    { rejected: 'TypeError: Value out of range. Must be less than or equal to 4294967295.' },
  ],
  ['key long', error('invalid key: it is longer than 1024 characters')],
  ['no key', within, beyond],
  ['undefined key', beyond],
  ['plain', within, beyond],
  ['odd', within, beyond],
  ['surrogate', within, beyond],
  ['other surrogate', within, beyond],
  ['replacement character', within, beyond],
  ['JSON of a surrogate', within, beyond],
  ['as long as may be', within, beyond],
  ['as long as may be, of surrogates', within, beyond],
  // 0 + 3, 3 + 3, 6 + 3: the third call is within 7, and the fourth is not.
  ['all', within, within],
  ['all', within, beyond],
  ['busy', within, within],
  ['forbidden', within, within],
  ['broken', within, within],
  ['too many', error('Too many calls.'), error('Too many calls.')],
  ['surface', { result: ['object', [], false] }],
]

/** Keys that stand for trouble of the platform's. */
const troubles: Readonly<Record<string, () => BackendReply>> = {
  'k=busy': () => ({ status: 503 }),
  'k=forbidden': () => ({ status: 403 }),
  'k=broken': () => {
    throw new Error('broken')
  },
  'k=too%20many': () => ({ status: 429, reason: 'Too many calls.' }),
}

for (const compatibilityDate of ['2026-11-01', '2021-11-03']) {
  suite(`a rate limit in a Worker of ${compatibilityDate}`, () => {
    test('says what upstream says', async () => {
      using counters = new Counters(movableClock(1_800_000_000_000))
      const handler = serveRateLimit(counters, {
        capability: 'c',
        cell: 'cell',
        account,
        worker: workerName.parse('w'),
        name: 'B',
        type: 'ratelimit',
        resource,
      })
      const logged: string[] = []
      await using workerd = await startBoundWorkerd({
        fixture: new URL('./fixture.worker.ts', import.meta.url),
        client,
        compatibilityDate,
        type: 'ratelimit',
        resource,
        handler: async (request) => {
          const trouble = troubles[request.url.replace(/^.*\?/, '').replaceAll('+', '%20')]
          return trouble ? trouble() : handler(request)
        },
        log: logInto(logged),
      })
      const ask = async (name: string): Promise<unknown> =>
        JSON.parse(await workerd.get(`/${encodeURIComponent(name)}`))
      for (const [name, first, second] of cases) {
        assert.deepEqual(await ask(name), first, name)
        if (second !== undefined) assert.deepEqual(await ask(name), second, `${name}, again`)
      }
      assert.deepEqual(logged, ['binding failed', 'binding failed'])
    })
  })
}

/** Keeps what is said; what it is said of is the backplane's to test. */
function logInto(logged: string[]): Log {
  const keep = (message: string): void => void logged.push(message)
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: () => log }
  return log
}
